"""The folder of a training run: its files, and whether a training may begin or go on there."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from model.dataset import Frames, sha256_of
from model.pair_files import is_litter
from model.recipes import TrainingConfig

SETTINGS, LOG, TENSORBOARD = "settings.json", "log.csv", "tensorboard"
FRAMES_SHA256 = "frames.sha256"  # of the frames that a run learns from
CHECKPOINT, KEPT, WEIGHTS = "checkpoint.weights.h5", "kept_epoch.keras", "model_weights.keras"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a kill leaves either the old file or the new one, never a partial file."""
    part = path.with_name(f"part-{path.name}")
    write(part)
    part.replace(path)


def check_run(out: Path, config: TrainingConfig, resume: bool) -> None:
    """Check that a run can start in the folder `out`, or resume there with the same settings.

    Raises:
        ValueError: if it cannot.
    """
    settings = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a run folder, got the file {out}")
    if not resume:
        if settings.exists():
            raise ValueError(f"expected a new run folder, but {out} holds a run; --resume goes on with it")
        if out.exists() and not all(is_litter(file.name) for file in out.iterdir()):
            raise ValueError(f"expected a new or empty run folder, but {out} holds other files")
        return
    if not settings.exists():
        raise ValueError(f"expected an interrupted run in {out} to resume, found no {SETTINGS}")
    usual, given = (json.loads(json.dumps(asdict(each))) for each in (TrainingConfig(), config))
    recorded = usual | json.loads(settings.read_text())  # a setting that is newer than the run has its default
    for name, value in given.items():
        if value != recorded[name]:
            raise ValueError(f"expected {name} {recorded[name]}, as {settings} has it, to resume, got {value}")


def check_frames(out: Path, frames: Frames) -> str:
    """Check that the run in a folder, if there is one, was begun with the same frames to learn from.

    Returns:
        Their digest.

    Raises:
        ValueError: if it was begun with others.
    """
    digest, noted = sha256_of([frames]), out / FRAMES_SHA256
    if noted.exists() and noted.read_text().strip() != digest:
        raise ValueError(f"expected the frames that the run in {out} was begun with, got others: give the same --data")
    return digest


def begin_run(out: Path, config: TrainingConfig, frames_sha256: str) -> None:
    """Make the folder, and note the settings of the run and the digest of its frames."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / SETTINGS, lambda path: path.write_text(json.dumps(asdict(config), indent=1) + "\n"))
    write_whole(out / FRAMES_SHA256, lambda path: path.write_text(f"{frames_sha256}\n"))
