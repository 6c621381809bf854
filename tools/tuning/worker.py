"""The work of a Ray worker: train one trial, and report each score."""

import os
from pathlib import Path
from typing import Any

import keras
from ray import tune

from model.dataset import Frames
from model.recipes import TrainingConfig
from model.run_folder import LOG
from model.training import train
from model.training_log import EpochLog, read_log
from tools.tuning.space import Space
from tools.tuning.trials import run_folder, scored

EPOCH, SCORE = "epoch", "score"
"""Names of the values reported for each scored epoch."""


class Reporter(keras.callbacks.Callback):
    """Reports each scored epoch except the last one, because the weights are not written yet then.

    Args:
        out: the run folder.
        config: settings of the run.
    """

    def __init__(self, out: Path, config: TrainingConfig) -> None:
        super().__init__()
        self._out, self._config = out, config

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Keras calls this with the epoch counted from 0, after the log has its line."""
        if epoch + 1 < self._config.epochs:
            report(read_log(self._out / LOG), self._config)


def report(log: list[EpochLog], config: TrainingConfig) -> None:
    """Report the last epoch to the search, which may end the process; nothing if that epoch has no score."""
    best = scored(log, config)
    if best is not None and log[-1].validation:
        tune.report({EPOCH: log[-1].epoch, SCORE: best.quality})


def run_trial(
    suggestion: dict[str, Any], space: Space, out: Path, cpus: float, training: Frames, validation: Frames
) -> None:
    """Train a trial in its run folder, or go on with it after a kill.

    Args:
        suggestion: `number` and `parameters` of the trial.
        space: the space that they are from.
        out: folder of the search.
        cpus: CPUs of the trial; TensorFlow uses as many threads.
        training: frames to learn from.
        validation: frames to score.
    """
    threads = str(max(1, int(cpus)))
    os.environ |= {
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
    }  # read with the first operation
    config, folder = space.config(suggestion["parameters"]), run_folder(out, suggestion["number"])
    log = read_log(folder / LOG)
    if log and log[-1].epoch < config.epochs:
        report(log, config)  # the killed search may not have got this report
    train(config, training, validation, folder, callbacks=[Reporter(folder, config)])
    report(read_log(folder / LOG), config)
