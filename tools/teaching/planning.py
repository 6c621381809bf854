"""Choose a training that fits into the given time: size of the crops, precision, number of steps."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import openvino as ov

from model.budget import step_s
from model.dataset import Frames, evenly_spread, read_pairs
from model.pair_files import PathPair, list_pairs
from model.recipes import PRESETS, TrainingConfig
from model.training import draw_batches
from tools.simulator.server_process import REPOSITORY

START = REPOSITORY / "weights" / "model_weights.keras"
# Settings for training from the shipped network. FCN4 has a thirteenth of its weights, but is no faster to train. Time
# of a step on a CPU core in float32: FCN4 at 160 px 2.5 s; the shipped network with crops of 192 px 4.0 s, with crops
# of 128 px less than half of that.
TRANSFER = replace(PRESETS["fpn"], learning_rate=1e-3, near_weight=2.0, people_weight=2.0)
CROPS_PX = (192, 128, 96)
LEAST_STEPS = 200  # if fewer fit into the time, the crops become smaller
STEPS_PER_EPOCH = 50  # approximately; a kill costs at most one epoch
TIMED_FRAMES = 200


def plan_training(hours: float, data: Path, profile: Path) -> TrainingConfig:
    """Settings of a training that takes about the given time on this machine; a few steps are timed.

    Args:
        hours: wall-clock time for the training.
        data: the dataset folder.
        profile: TOML file of the target.

    Raises:
        OSError, ValueError: if the data can't be read.
    """
    usual = replace(TRANSFER, start=short_path(START), profile=str(profile), precision=best_precision())
    frames = frames_to_time(usual, list_pairs(data / "train"))
    for crop_px in CROPS_PX:
        config = replace(usual, crop_px=crop_px)
        a_step_s = step_s(config, frames, time.perf_counter)
        steps = int(3600 * hours / a_step_s)
        print(f"a step with crops of {crop_px} px takes {a_step_s:.2f} s: {steps} fit", flush=True)
        if steps >= LEAST_STEPS:
            break
    return with_steps(config, steps)


def frames_to_time(config: TrainingConfig, pairs: Sequence[PathPair]) -> Frames:
    """A part of the frames, evenly spread; all frames if the part lacks the target, so that it gives no batches.

    Raises:
        OSError, ValueError: if they can't be read.
    """
    part = [pairs[number] for number in evenly_spread(len(pairs), TIMED_FRAMES)]
    frames = read_pairs(part, config.input_px, "frames to time a step")
    try:
        draw_batches(config, frames)
    except ValueError:
        return read_pairs(pairs, config.input_px, "all frames to time a step")
    return frames


def short_path(path: Path) -> str:
    """A path, relative if it is in the current folder, because the card with it may be read on another machine."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def with_steps(config: TrainingConfig, steps: int) -> TrainingConfig:
    """Settings of about this number of steps; the weights are averaged over the last tenth of them."""
    steps = max(2, steps)
    epochs = max(1, round(steps / STEPS_PER_EPOCH))
    per_epoch = steps // epochs
    average = min(0.995, max(0.0, 1 - 10 / (epochs * per_epoch)))
    return replace(
        config, epochs=epochs, steps=per_epoch, validate_every=epochs, validation_steps=20, average=round(average, 4)
    )


def best_precision() -> str:
    """The precision in which this CPU trains fastest."""
    has_bfloat16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "mixed_bfloat16" if has_bfloat16 else "float32"


def plan_advice(config: TrainingConfig) -> list[str]:
    """Advice on what would make the training better."""
    steps = config.epochs * config.steps
    if steps >= LEAST_STEPS:
        return []
    return [
        f"Only {steps} steps fitted into the time, and {LEAST_STEPS} are few. Give more --hours, or a machine with "
        "nothing else to do; with plan.toml deleted, the same hours are planned anew."
    ]


def describe_plan(config: TrainingConfig) -> str:
    """Description of the training in a line, for people."""
    return (
        f"{config.network} at {config.input_px} px, {config.epochs * config.steps} steps of {config.batch} crops of "
        f"{config.crop_px} px in {config.precision}, starting from {Path(config.start).name}"
    )
