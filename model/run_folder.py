"""The folder of a training run: its files, and whether a training may begin or go on there."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.command import check_output_folder
from model.dataset import Frames, sha256_of
from model.folders import write_whole
from model.loading import weights_sha256
from model.pair_files import is_litter
from model.recipes import TrainingConfig

SETTINGS, LOG, TENSORBOARD = "settings.json", "log.csv", "tensorboard"
BEGUN_WITH = "begun_with.json"
CHECKPOINT, KEPT, WEIGHTS = "checkpoint.weights.h5", "kept_epoch.keras", "model_weights.keras"


def read_notes(file: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder.

    Raises:
        ValueError: if the file is damaged; names it.
    """
    try:
        notes = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected the notes of a training in {file}, got: {error}") from error
    if not isinstance(notes, dict):
        raise ValueError(f"expected the notes of a training in {file}, got {type(notes).__name__}")
    return notes


def check_run(out: Path, config: TrainingConfig, resume: bool) -> None:
    """Check that a run can start in the folder `out`, or resume there with the same settings.

    Raises:
        ValueError: if it cannot.
        OSError: if the folder cannot be written into.
    """
    settings = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a run folder, got the file {out}")
    check_output_folder(out)
    if not resume:
        if settings.exists():
            raise ValueError(
                f"expected a new run folder, but {out} holds a run: continue it by the same command with --resume"
            )
        if out.exists() and not all(is_litter(file.name) for file in out.iterdir()):
            raise ValueError(f"expected a new or empty run folder, but {out} holds other files")
        return
    if not settings.exists():
        raise ValueError(f"expected an interrupted run in {out} to resume, found no {SETTINGS}")
    check_settings(out, config, "start a new run (--out) from its weights (--start)")


def check_settings(out: Path, config: TrainingConfig, advice: str) -> None:
    """Check that the run in a folder was begun with these settings.

    Raises:
        ValueError: if it was begun with others; ends with the advice what to do with other settings.
    """
    settings = out / SETTINGS
    usual, given = (json.loads(json.dumps(asdict(each))) for each in (TrainingConfig(), config))
    recorded = usual | read_notes(settings)  # a setting that is newer than the run has its default
    for name, value in given.items():
        if value != recorded[name]:
            raise ValueError(
                f"expected {name} {recorded[name]}, as {settings} has it, to resume, got {value}; with other settings, "
                f"{advice}"
            )


def frames_digests(learned: Frames, validation: Frames) -> dict[str, str]:
    """SHA-256 digests, by name, of the frames that a run learns from and validates on."""
    return {"frames to learn from": sha256_of([learned]), "validation frames": sha256_of([validation])}


def input_digests(config: TrainingConfig, learned: Frames, validation: Frames) -> dict[str, str]:
    """SHA-256 digests, by name, of the inputs of a run. The settings hold only their file names.

    Args:
        config: the settings.
        learned: frames to learn from.
        validation: frames to validate on.

    Raises:
        OSError, ValueError: if a profile or the weights to start from can't be read.
    """
    profiles = json.dumps([asdict(profile) for profile in (config.target, *config.more_targets)])
    return {
        **frames_digests(learned, validation),
        "profiles": hashlib.sha256(profiles.encode()).hexdigest(),
        "weights to start from": weights_sha256(config.start) if config.start else "none",
        "teacher's weights": weights_sha256(config.teacher) if config.teacher else "none",
    }


def check_begun(out: Path, content: Mapping[str, str]) -> None:
    """Check that the run in a folder, if there is one, was begun with the same `input_digests`.

    Raises:
        ValueError: if it was begun with others, or the file that tells is damaged.
    """
    noted = out / BEGUN_WITH
    recorded = read_notes(noted) if noted.exists() else {}
    for what, sha256 in content.items():
        if recorded.get(what, sha256) != sha256:
            raise ValueError(f"expected the {what} that the run in {out} was begun with, got others")


def begin_run(out: Path, config: TrainingConfig, content: Mapping[str, str]) -> None:
    """Make the folder, and store the settings of the run and the digests of its inputs (`input_digests`)."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / SETTINGS, lambda path: path.write_text(json.dumps(asdict(config), indent=1) + "\n"))
    write_whole(out / BEGUN_WITH, lambda path: path.write_text(json.dumps(content, indent=1) + "\n"))
