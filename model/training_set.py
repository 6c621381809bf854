"""Make a training set from raw recordings, with a progress bar. `model.preprocessing` has the steps.

Imports neither Keras nor TensorFlow.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from model.bars import counting_bar, print_beside_bars
from model.command import print_text
from model.preprocessing import Frame, check_set, is_changed, is_made, list_frames, make_pair, repair_set
from model.raw_recordings import SPLITS, Run, find_runs
from model.scoring import HERO

MOST_LISTED = 10  # number of kept masks that are listed by name

Item = TypeVar("Item")
Result = TypeVar("Result")


def make_set(raw: Path, out: Path, runs: Sequence[Run] | None = None, target: int = HERO) -> int:
    """Make the missing pairs. Masks that were changed after they were made are kept, and named on standard error.

    Args:
        raw: folder of the recordings.
        out: folder of the set.
        runs: recordings to use, each with its split in the set; None: all that `find_runs` finds.
        target: class number of the recordings' hero; see `model.mask_colours`.

    Returns:
        Number of skipped frames; each is named on standard error.

    Raises:
        ValueError: if the set would lie among the recordings, or as `find_runs`, `list_frames` and `check_set`; before
            anything is written.
        OSError: if a file cannot be written.
    """
    for split in SPLITS:
        folder = (out / split).resolve()
        if folder.is_relative_to(raw.resolve()) or raw.resolve().is_relative_to(folder):
            raise ValueError(f"expected --out outside the recordings in {raw}, got {out}")
    runs = find_runs(raw) if runs is None else runs
    frames = [list_frames(run, out, target) for run in runs]
    recorded = [frame for of_run in frames for frame in of_run]
    if not recorded:
        raise ValueError(f"expected recorded frames in {raw}, got {len(runs)} runs without frames")
    check_set(out, runs)
    repair_set(out, runs)  # from here on, every mask has its image
    for run, of_run in zip(runs, frames, strict=True):
        if not of_run:
            print_text(f"{run.split}/{run.name}: no frames yet")
    changed: list[Frame] = []
    missing: list[Frame] = []
    skipped = 0
    for frame in recorded:
        if not is_made(frame):
            (changed if is_changed(frame) else missing).append(frame)
    for frame in changed[:MOST_LISTED]:
        why = "it was changed after it was made; delete it to have it made anew"
        print_text(f"kept {frame.mask}: {why}", file=sys.stderr)
    for reason in in_parallel(make_pair, missing, "making pairs", " pairs"):
        if reason is not None:
            skipped += 1
            print_beside_bars(f"skipped {reason}")
    made, there = len(missing) - skipped, len(recorded) - len(missing)
    kept = f", of them with changed masks that were kept: {len(changed)}" if changed else ""
    print(f"pairs made: {made}, already there: {there}{kept}, frames skipped: {skipped}")
    if skipped:
        print("Run the same command again for skipped frames that QuadSim has completed by then.")
    return skipped


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], description: str, unit: str) -> Iterator[Result]:
    """Process each item, with a progress bar; yields the results in order.

    Uses threads. They are as fast as processes here, because Pillow releases the interpreter's lock. Processes could
    survive a kill of the command and keep writing beside the next run.
    """
    if not items:
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool, counting_bar(len(items), desc=description, unit=unit) as bar:
        for result in pool.map(work, items):
            bar.update()
            yield result
