"""The log of a training run: a line of CSV for each epoch."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from model.scoring import HeroScore


class EpochLog(NamedTuple):
    """A line of the log.

    Args:
        epoch: number of the epoch, from 1.
        loss: mean loss of the epoch's batches.
        validation: validation score after the epoch; None if it was not scored.
    """

    epoch: int
    loss: float
    validation: HeroScore | None = None

    @property
    def quality(self) -> float:
        """Quality of the validation; −1, lower than any quality, if the epoch was not scored."""
        return self.validation.quality if self.validation else -1.0


def read_log(path: Path) -> list[EpochLog]:
    """Read the log of a run; empty if it does not exist yet.

    Raises:
        ValueError: if the file is damaged; names it.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        try:
            log = [_read_line(row) for row in csv.DictReader(file)]
        except (ValueError, TypeError, KeyError, csv.Error) as error:  # a TypeError of a line that is cut off
            raise ValueError(f"expected the log of a training in {path}, got: {error}") from error
    if [line.epoch for line in log] != [*range(1, len(log) + 1)]:
        raise ValueError(f"expected the epochs from 1 on in {path}, got {', '.join(str(line.epoch) for line in log)}")
    return log


def _read_line(row: dict[str, str]) -> EpochLog:
    score = (
        HeroScore(float(row["hero_iou"]), *(int(row[name]) for name in ("tp", "fp", "fn"))) if row["quality"] else None
    )
    return EpochLog(int(row["epoch"]), float(row["loss"]), score)


def write_log(path: Path, log: list[EpochLog]) -> None:
    """Write the log of a run as CSV: a line per epoch, with empty score fields for epochs without a score."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("epoch", "loss", "quality", *HeroScore._fields))
        writer.writeheader()
        for epoch, loss, validation in log:
            score = {"quality": round(validation.quality, 6), **validation._asdict()} if validation else {}
            writer.writerow({"epoch": epoch, "loss": loss, **score})


def best_epoch(log: Sequence[EpochLog]) -> EpochLog | None:
    """First epoch with the highest quality; None if no epoch was scored."""
    return max((line for line in log if line.validation), key=lambda line: line.quality, default=None)
