"""The progress bar of a training run."""

import keras
from tqdm import tqdm

from model.recipes import TrainingConfig


class Progress(keras.callbacks.Callback):
    """One bar for the whole run: finished batches, remaining time, loss of the epoch."""

    def __init__(self, config: TrainingConfig, done: int) -> None:
        super().__init__()
        self._bar = tqdm(total=config.epochs * config.steps, initial=done * config.steps, unit=" batches")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keras calls this with the epoch counted from 0."""
        self._bar.set_description(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        """Keras calls this with the mean loss of the epoch so far."""
        self._bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
        self._bar.update()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Keras calls this after the last epoch."""
        self._bar.close()
