"""The display of a training run in progress: a progress bar, and logs for TensorBoard."""

import sys
from importlib.util import find_spec
from pathlib import Path

import keras

from model.bars import counting_bar
from model.recipes import TrainingConfig


class Progress(keras.callbacks.Callback):
    """A bar for the whole run: finished batches, remaining time and loss; in a pipe, a line for each epoch instead."""

    def __init__(self, config: TrainingConfig, done: int) -> None:
        super().__init__()
        self._epochs, total = config.epochs, config.epochs * config.steps
        self._bar = counting_bar(total, initial=done * config.steps, unit=" batches", mininterval=1.0)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keras calls this with the epoch counted from 0."""
        self._bar.set_description(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        """Keras calls this with the mean loss of the epoch so far."""
        if self._bar.update():  # once a second: on JAX, reading the loss waits for the step to end
            self._bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Keras calls this with the epoch counted from 0 and its mean loss."""
        if self._bar.disable:
            print(f"epoch {epoch + 1} of {self._epochs}: loss {logs['loss']:.4f}", file=sys.stderr)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Keras calls this after the last epoch."""
        self._bar.close()


def tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """Writer of logs for TensorBoard; none without TensorFlow, which Keras needs for it on any backend."""
    return [keras.callbacks.TensorBoard(folder, write_graph=False)] if find_spec("tensorflow") else []
