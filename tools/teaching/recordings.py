"""The recordings to teach from: chooses which of them are held out, and lets the stand-in record."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from model.pair_files import MASK_ENDINGS, list_files
from model.preprocessing import pair_paths
from model.raw_recordings import SPLITS, Run
from tools.simulator.lookalikes import MOST_LOOKALIKES
from tools.simulator.quadsim import record_run
from tools.simulator.recording import RECORD_EVERY_S, Recorder
from tools.simulator.targets import lookalikes_of
from tools.simulator.world import World

LEAST_RECORDINGS = 3
RECORDINGS_PER_HELD_OUT = 4

# Seeds of the stand-in's worlds; no seed is in both splits. 200 frames each.
SEEDS = {"train": tuple(range(1000, 1030)), "validation": tuple(range(1100, 1105))}
RECORDING_S = 606.0
PEOPLE = 30


def split_recordings(runs: Sequence[Run]) -> list[Run]:
    """Put whole recordings into the splits to learn from and to hold out, `SPLITS`; those without frames are left out.

    If the recordings are in both splits already, they stay there. Otherwise one of `RECORDINGS_PER_HELD_OUT` is held
    out.

    Raises:
        ValueError: if there are too few.
    """
    with_frames = [run for run in runs if run.frame_numbers()]
    if len(with_frames) < LEAST_RECORDINGS:
        names = ", ".join(f"{run.split}/{run.name}" for run in with_frames) or "none"
        raise ValueError(
            f"expected at least {LEAST_RECORDINGS} recordings with frames, got {len(with_frames)} ({names}): "
            "some to learn from, and a whole one to test with, because neighbouring frames of a recording look alike. "
            f"Record {LEAST_RECORDINGS - len(with_frames)} more, each a separate flight of some minutes, "
            "as train/<name>/IMG beside them"
        )
    learning, held_out = SPLITS
    if len({run.split for run in with_frames}) == len(SPLITS):
        return with_frames
    count = max(1, len(with_frames) // RECORDINGS_PER_HELD_OUT)
    chosen = {(number + 1) * len(with_frames) // count - 1 for number in range(count)}
    return [run._replace(split=held_out if number in chosen else learning) for number, run in enumerate(with_frames)]


def refuse_corrected(data: Path) -> None:
    """Make sure that a dataset that is to be made anew holds no work by hand.

    Raises:
        ValueError: if masks were changed after they were made: they are newer than their images.
    """
    masks = [mask for split in SPLITS for mask in list_files(data / split / "masks", MASK_ENDINGS)]
    changed = [mask for mask in masks if _image_of(mask).exists() and _is_newer(mask, _image_of(mask))]
    if changed:
        raise ValueError(
            f"expected masks as they were made, for the recordings are others now and {data} must be made anew, got "
            f"{len(changed)} corrected ones, such as {changed[0]}: move that folder elsewhere, and begin again"
        )


def _image_of(mask: Path) -> Path:
    prefix, _, number = mask.stem.rpartition("_mask_")  # a recording may have the word in its name, too
    return pair_paths(mask.parents[1], prefix, number)[0]


def _is_newer(file: Path, other: Path) -> bool:
    return file.stat().st_mtime_ns > other.stat().st_mtime_ns


def record_stand_in(target: str, raw: Path, part: Path) -> None:
    """Record those flights of the stand-in around a target that are missing in `raw`.

    Args:
        target: name of a target of the stand-in.
        raw: folder of the recordings.
        part: folder for a recording that is not yet whole.

    Raises:
        OSError: if a frame cannot be written.
    """
    for split, seeds in SEEDS.items():
        for seed in seeds:
            folder = raw / split / f"seed{seed}"
            if folder.exists():
                continue
            shutil.rmtree(part, ignore_errors=True)
            # To learn from: as many others of the target's kind as possible. To calibrate on: as many as in the flights
            # later.
            others = MOST_LOOKALIKES if split == SPLITS[0] else lookalikes_of(target, None, PEOPLE)
            with World(seed, PEOPLE, lookalikes=others, target=target) as world:
                record_run(world, Recorder(part), seed, RECORDING_S, RECORD_EVERY_S)
            folder.parent.mkdir(parents=True, exist_ok=True)
            part.replace(folder)
