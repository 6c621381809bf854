"""The trials of a search on disk: run folders, as `tools/train.py` makes them, each with a `trial.json`.

They are all that a search needs to go on after a kill. Imports neither Ray nor Optuna.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from model.folders import write_whole
from model.recipes import TrainingConfig
from model.run_folder import LOG, SETTINGS, WEIGHTS, check_begun, check_settings
from model.training_log import EpochLog, best_epoch, read_log
from tools.tuning.space import Parameters, Space

TRIALS, TRIAL = "trials", "trial.json"

State = Literal["running", "finished", "stopped", "failed"]


class Record(msgspec.Struct, frozen=True):
    """The content of `trial.json`.

    Args:
        parameters: value of each searched setting.
        state: running (also if it was killed with the search), finished, stopped early, or failed.
        error: why it failed.
    """

    parameters: Parameters
    state: State = "running"
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """A trial.

    Args:
        number: its number, from 0.
        folder: its run folder.
        record: its parameters and state.
        log: log of its epochs so far.
    """

    number: int
    folder: Path
    record: Record
    log: tuple[EpochLog, ...]

    @property
    def is_over(self) -> bool:
        """Whether the trial has ended for good."""
        return self.record.state != "running"


def scored(log: Iterable[EpochLog], config: TrainingConfig) -> EpochLog | None:
    """The epoch whose network counts: the best or the last one with a score, as the settings say; None without any."""
    lines = [line for line in log if line.validation]
    return lines[-1] if lines and config.keep == "last" else best_epoch(lines)


def run_folder(out: Path, number: int) -> Path:
    """Folder of a trial in the folder of a search."""
    return out / TRIALS / f"{number:04}"


def new_number(out: Path) -> int:
    """The number of a new trial, above those of all folders: one without a record has files of a forgotten trial."""
    folders = [folder.name for folder in (out / TRIALS).glob("*") if re.fullmatch("[0-9]+", folder.name)]
    return max(map(int, folders), default=-1) + 1


def read_trials(out: Path) -> list[Trial]:
    """Read the trials of a search in order.

    Raises:
        ValueError: if a file is damaged, or a folder is not that of a trial, such as a copy; the message names it.
    """
    trials = []
    for file in sorted((out / TRIALS).glob(f"*/{TRIAL}")):
        number = int(file.parent.name) if re.fullmatch("[0-9]+", file.parent.name) else None
        if number is None or file.parent != run_folder(out, number):
            raise ValueError(f"expected only trials 0000, 0001, … in {out / TRIALS}, got {file.parent.name}")
        try:
            record = msgspec.json.decode(file.read_bytes(), type=Record)
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected a trial of a search in {file}, got: {error}") from error
        trials.append(Trial(number, file.parent, record, tuple(read_log(file.parent / LOG))))
    return trials


def check_trials(trials: Iterable[Trial], space: Space, digests: Mapping[str, str]) -> None:
    """Check that a search may go on with these trials, so that their scores compare.

    Args:
        trials: of the search.
        space: what is searched. The file of its preset may have changed since.
        digests: of the frames, as `frames_digests` gives them.

    Raises:
        ValueError: if a trial has other settings, or was begun with other frames.
    """
    for trial in trials:
        if trial.record.parameters.keys() != space.search.keys():
            raise ValueError(
                f"expected values of {', '.join(space.search)} in {trial.folder / TRIAL}, "
                f"got {', '.join(trial.record.parameters) or 'none'}"
            )
        check_begun(trial.folder, digests)
        if (trial.folder / SETTINGS).exists():
            check_settings(trial.folder, space.config(trial.record.parameters), "begin another search (--out)")


def write_record(folder: Path, record: Record) -> None:
    """Write a trial's record, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(msgspec.to_builtins(record), indent=1) + "\n"
    write_whole(folder / TRIAL, lambda path: path.write_text(text))


def end(folder: Path, error: str = "") -> None:
    """Record that a trial is over, because it failed with an error, or else finished or was stopped early."""
    before = msgspec.json.decode((folder / TRIAL).read_bytes(), type=Record)
    state: State = "failed" if error else "finished" if (folder / WEIGHTS).exists() else "stopped"
    write_record(folder, Record(before.parameters, state, error))
