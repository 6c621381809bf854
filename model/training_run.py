"""A whole training: from dataset folders to weights with their card, a table of the data, and pictures."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import cv2
import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from model import evaluation
from model.batches import AugmentedBatches
from model.dataset import Dataset, Frames, Recording, read_dataset, sha256_of
from model.images import MEAN, SCALE
from model.loading import load_network, resolve_weights
from model.options import flag
from model.provenance import card_content, commit, targets_content, write_card
from model.recipes import PRESETS, TrainingConfig
from model.run_folder import LOG, check_run
from model.scoring import EVALUATION_SETS, EXAM_FOLDER, HERO, PEOPLE
from model.training import Trained, train
from model.training_log import EpochLog, best_epoch, read_log
from model.validation import DistanceScore, validate_by_distance

CURVES, SAMPLES = "loss.png", "samples.png"  # in a run folder, as the files of `model.run_folder`
# Outlines in the samples. The targets' colours differ from those in the masks.
OUTLINES = {PEOPLE: (0, 90, 255), **dict(enumerate(((0, 255, 0), (255, 255, 0), (255, 0, 255), (0, 255, 255)), HERO))}


def run_training(
    config: TrainingConfig, folders: Sequence[Path], out: Path, *, preset: str = "fpn", resume: bool = False
) -> Trained:
    """Train, or resume training, in a run folder; prints the target, the table of the data and the scores.

    Args:
        config: the settings.
        folders: dataset folders.
        out: run folder; it gets the weights, their card, the log and the pictures.
        preset: preset with which the settings are compared for the command on the card.
        resume: go on with an interrupted run of the same settings.

    Raises:
        OSError, ValueError: as `check_run`, `read_dataset` and `train`.
    """
    check_run(out, config, resume)
    started_from, taught_by = (
        card_content(resolve_weights(weights)) if weights else None for weights in (config.start, config.teacher)
    )
    targets = (config.target, *config.more_targets)
    print(*(f"target: {target}" for target in targets), sep="\n")
    exam = exam_sets(folders)
    data = read_dataset(folders, config.input_px, config.hold_out, config.hovering_frames, len(targets))
    print(table(data.recordings), flush=True)
    trained = train(
        config, data.training, data.all_validation, out, lambda batches: draw_samples(batches, out / SAMPLES)
    )
    names = [target.name for target in targets]
    parts = score_parts(load_network(trained.weights), data.validation, names) if config.sets == "train" else {}
    for name, score in parts.items():
        print(f"{name}: {score}")
    log = read_log(out / LOG)
    card = {
        **describe(config, trained, log),
        "validation_parts": {name: score.as_json() for name, score in parts.items()} if parts else None,
        "command": command(preset, config, folders, out),
        "commit": commit(),
        "data": {"names": [folder.name for folder in folders], **describe_data(data)},
        "started_from": started_from,
        "taught_by": taught_by,
    }
    write_card(trained.weights, card)  # engines read the targets from it
    write_card(trained.weights, {**card, "evaluation": examine(trained.weights, exam)})
    draw_curves(log, out / CURVES)
    return trained


def command(preset: str, config: TrainingConfig, data: Sequence[Path], out: Path) -> str:
    """Command that repeats the whole training, with the settings that differ from the preset.

    A preset from a file is written as settings that differ from `fpn`, because the file may be gone later.
    """
    preset = preset if preset in PRESETS else "fpn"
    usual = asdict(PRESETS[preset])
    given = [
        (flag(name), *(value if isinstance(value, tuple) else (value,)))
        for name, value in asdict(config).items()
        if value != usual[name]
    ]
    options = [("--data", *data), ("--out", out), ("--preset", preset), *given]
    return shlex.join(["python", "tools/train.py", *(str(part) for option in options for part in option)])


def score_command(weights: Path, folders: Sequence[Path]) -> str | None:
    """The command that scores weights on the exam of a dataset folder, else on its `validation/`; None without both."""
    for sets, options in ((EXAM_FOLDER, ()), (evaluation.VALIDATION, ("--set", evaluation.VALIDATION))):
        for folder in folders:
            if (folder / sets).is_dir():
                return shlex.join(
                    [".venv/bin/python", "tools/evaluate.py", *map(str, (weights, "--data", folder)), *options]
                )
    return None


def describe(config: TrainingConfig, trained: Trained, log: list[EpochLog]) -> dict:
    """Describe the weights of a run for their card."""
    best = best_epoch(log)
    if best is None:
        raise ValueError("expected at least one epoch with a validation score in the log, found none")
    return {
        "network": config.network,
        "classes": config.classes,
        **targets_content(config.target, *config.more_targets),
        "input_px": config.input_px,
        "mean": MEAN,
        "scale": SCALE,
        "settings": asdict(config),
        "epoch": config.epochs if config.keep == "last" else best.epoch,
        "thresholds": trained.thresholds and trained.thresholds._asdict(),
        # A score on frames that the network learned from would mean nothing.
        "validation": {"quality": trained.validation.quality, **trained.validation._asdict()}
        if config.sets == "train"
        else None,
    }


def table(recordings: list[Recording]) -> str:
    """Table of the recordings: frames, and the number and sizes (px) of the heroes."""
    lines = [f"{'folder':12} {'recording':10} {'use':10} frames left out  hero  people only  hero px: 5 %  50 %  95 %"]
    for each in recordings:
        sizes = np.percentile(each.hero_px, (5, 50, 95)) if len(each.hero_px) else np.full(3, np.nan)
        lines.append(
            f"{each.folder:12} {each.name:10} {each.use:10} {each.frames:6} {each.left_out:8} {len(each.hero_px):5} "
            f"{each.with_people_only:12} {sizes[0]:13.0f} {sizes[1]:5.0f} {sizes[2]:5.0f}"
        )
    lines.append(
        "left out: frames of a hovering drone, which are nearly the same; people only: frames without the hero; "
        "hero px: the size that 5 %, 50 % and 95 % of the heroes have at most"
    )
    return "\n".join(lines)


def score_parts(
    network: keras.Model, validation: dict[str, Frames], targets: Sequence[str]
) -> dict[str, DistanceScore]:
    """Score a network on each part of the validation frames; parts without the hero are left out.

    Returns:
        The score by the name of the part; with several targets, by the names of the part and the target.
    """
    return {
        part if len(targets) == 1 else f"{part}, {name}": validate_by_distance(network, frames, number)
        for part, frames in validation.items()
        for number, name in enumerate(targets, HERO)
        if (frames.masks == number).any()
    }


def exam_sets(data: Sequence[Path]) -> dict[str, Path]:
    """Folders of the evaluation sets by name, from the first dataset folder that has them; empty if none has.

    Raises:
        FileNotFoundError: if that folder has only some of them.
    """
    having = [folder for folder in data if (folder / EXAM_FOLDER).is_dir()]
    return evaluation.find_sets(having[0]) if having else {}


def examine(weights: Path, sets: dict[str, Path]) -> list[dict]:
    """Score weights on the evaluation sets at 160 px and at their own input size, for their card; [] without sets.

    Also [], with a line that says so, where training does without TensorFlow, which the conversion for OpenVINO needs.
    """
    if not sets:
        return []
    if find_spec("tensorflow") is None:
        print("not scored on the exam: TensorFlow is not installed")
        return []
    figures = [evaluation.describe(evaluation.evaluate(weights, sets, px)) for px in ("160", "native")]
    shown = ("resolution_px", *EVALUATION_SETS, "final_iou", "weight", "final_score")
    return [{name: scored[name] for name in shown} for scored in figures]


def describe_data(data: Dataset) -> dict:
    """Describe the frames of training and validation for the card."""
    return {
        "train_pairs": len(data.training.images),
        "validation_pairs": {name: len(frames.images) for name, frames in data.validation.items()},
        "recordings": {f"{each.folder}/{each.name} ({each.use})": each.frames for each in data.recordings},
        "sha256_at_input_px": sha256_of([data.training, *data.validation.values()]),
    }


def draw_samples(batches: AugmentedBatches, path: Path, columns: int = 8) -> None:
    """Draw the first training batch as PNG: the hero outlined in green, other people in blue.

    Further targets are yellow, magenta and cyan.
    """
    tiles = []
    for image, mask in zip(*batches[0], strict=True):
        picture = np.round(image * SCALE + MEAN).astype(np.uint8)
        for class_number, colour in OUTLINES.items():
            shape = (mask == class_number).astype(np.uint8)
            picture[cv2.dilate(shape, np.ones((3, 3), np.uint8)) > shape] = colour
        tiles.append(Image.fromarray(picture))
    px, rows = tiles[0].width, -(-len(tiles) // columns)
    sheet = Image.new("RGB", (min(columns, len(tiles)) * px, rows * px))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * px, number // columns * px))
    sheet.save(path)


def draw_curves(log: list[EpochLog], path: Path) -> None:
    """Plot training loss and validation quality of each epoch as PNG."""
    figure = Figure(figsize=(7, 4))
    loss = figure.subplots()
    loss.plot([line.epoch for line in log], [line.loss for line in log], label="training loss")
    loss.set(xlabel="epoch", ylabel="training loss")
    scored = [(line.epoch, line.validation.quality) for line in log if line.validation]
    quality = loss.twinx()
    quality.plot(*zip(*scored, strict=True), "C1o-", label="validation quality")
    quality.set(ylabel="hero IoU × share of right detections", ylim=(0, None))
    figure.legend(loc="upper center", ncols=2)
    figure.savefig(path, dpi=120)
