"""The table of a search, in the columns of the original report: a row per trial. Imports neither Ray nor Optuna."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.tuning.space import Space
from tools.tuning.trials import Trial, scored

# Setting of `TrainingConfig` → the original report's word for it, in its order. Other searched settings follow.
REPORTED = {
    "network": "network",
    "learning_rate": "learning rate",
    "batch": "batch size",
    "epochs": "epochs",
    "steps": "steps per epoch",
    "validation_steps": "validation steps",
    "workers": "workers",
}
SCORE = "validation score"
SCORES = ("epochs trained", "training loss", SCORE, "hero IoU", "false alarms", "missed", "state", "error")


def rows(trials: Sequence[Trial], space: Space) -> list[dict[str, Any]]:
    """A row for each trial, best first, with None where a trial has no value.

    The training loss and the scores are those of the epoch that counts: the best one or the last one, as the settings
    say. The validation score is hero IoU × TP / (TP + FP + FN).
    """
    return sorted((_row(trial, space) for trial in trials), key=lambda row: -1 if row[SCORE] is None else row[SCORE])[
        ::-1
    ]


def _row(trial: Trial, space: Space) -> dict[str, Any]:
    parameters = trial.record.parameters
    try:
        values = asdict(space.config(parameters))
    except ValueError:  # they contradict each other, so the trial failed
        values = asdict(space.base) | parameters
    settings = {title: values[name] for name, title in REPORTED.items()}
    settings |= {name.replace("_", " "): value for name, value in parameters.items() if name not in REPORTED}
    line = scored(trial.log, space.base)  # which epoch counts is not searched
    score = line.validation if line else None
    scores = (
        trial.log[-1].epoch if trial.log else 0,
        line.loss if line else None,
        *((round(score.quality, 4), round(score.hero_iou, 4), score.fp, score.fn) if score else (None,) * 4),
        trial.record.state,
        trial.record.error,
    )
    return {"trial": trial.number, **settings, **dict(zip(SCORES, scores, strict=True))}


def shown(value: Any) -> str:
    """A value for people: three significant digits of a fraction."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def score_of(trial: Trial, space: Space) -> float | None:
    """Validation score of the epoch that counts; None if no epoch was scored or the trial failed."""
    line = scored(trial.log, space.base)  # which epoch counts is not searched
    return None if line is None or trial.record.state == "failed" else line.quality


def best_trial(trials: Sequence[Trial], space: Space) -> Trial | None:
    """The trial with the highest score among the finished ones, or among all if none is; None without a score."""
    with_score = [trial for trial in trials if score_of(trial, space) is not None]
    finished = [trial for trial in with_score if trial.record.state == "finished"]
    return max(finished or with_score, key=lambda trial: score_of(trial, space) or 0.0, default=None)


def write_csv(table: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the rows as CSV, with empty fields for None."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)
