"""Make a training set of raw QuadSim recordings, as the original project's tool of this name did.

    python tools/preprocess_ims.py
    python tools/preprocess_ims.py --raw data/raw_sim_data --out data/processed_sim_data

Of each frame `<raw>/{train,validation}/<run>/IMG/cam{1,2,3,4}_NNNNN.png` it makes a pair in `<out>/<split>`:
`images/<fold>_<run>_cam1_NNNNN.jpeg` and `masks/<fold>_<run>_mask_NNNNN.png`. A fold is a run's number, from 0, over
the runs of train, then those of validation, both sorted by name; runs without frames count.

A frame takes 7 ms of a CPU core: some 200 frames a second on two idle ones. Ctrl-C or a kill costs no pair that is
made: the same command goes on. It may run while QuadSim records, but only once at a time. Pairs of runs that are not in
`<raw>` stay as they are.

Exit status: 0, every recorded frame is in the set; 1, all but those named as skipped; 2, refused or failed, for the
reason given; 130, interrupted.
"""

import argparse
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.images import IMAGE_PX, JPEG_QUALITY, PARTIAL
from model.scoring import CLASSES, HERO

SPLITS = ("train", "validation")
CAMERAS = ("cam1", "cam2", "cam3", "cam4")  # colour; the depth of people, hero and surroundings alone
HERO_PERCENTILES = (5, 25, 50, 75, 95)
_LITTER = ("Thumbs.db", "desktop.ini")  # of file managers, as are names that begin with a dot
_PAIR = re.compile(r"(?P<prefix>(?P<fold>\d+)_(?P<run>.+))_(?:cam1|mask)_(?P<number>\d{5,})\.(?:jpeg|png)")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Run(NamedTuple):
    """One recording.

    Args:
        split: one of `SPLITS`.
        name: its folder's, which was chosen in QuadSim.
        fold: its number over all runs.
        folder: where its frames are; missing until QuadSim begins to record.
    """

    split: str
    name: str
    fold: int
    folder: Path

    @property
    def prefix(self) -> str:
        """What the names of its pairs begin with."""
        return f"{self.fold}_{self.name}"


class Frame(NamedTuple):
    """A recorded frame and the pair to be made of it.

    Args:
        label: run and frame number, for people.
        cameras: the files of `CAMERAS`; any may be missing.
        image: where the colour image goes.
        mask: where the mask goes.
    """

    label: str
    cameras: tuple[Path, ...]
    image: Path
    mask: Path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--raw",
        type=Path,
        default=Path("data/raw_sim_data"),
        help="folder of the recordings, <split>/<run>/IMG in it (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/processed_sim_data"),
        help="folder of the set, train/ and validation/ in it (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        skipped = preprocess(options.raw, options.out)
        for split in SPLITS:
            print(describe(options.out / split))
    except (OSError, ValueError) as error:
        print(f"preprocess_ims: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    print(next_step(options.out))
    return 1 if skipped else 0


def preprocess(raw: Path, out: Path) -> int:
    """Make the pairs that are not there yet, with a progress bar.

    Returns:
        How many frames were skipped; each has been named on standard error.

    Raises:
        ValueError: as `find_runs`, `list_frames` and `check_set` do, before anything is written.
        OSError: if something cannot be written.
    """
    runs = find_runs(raw)
    frames = [list_frames(run, out) for run in runs]
    recorded = [frame for of_run in frames for frame in of_run]
    if not recorded:
        raise ValueError(f"expected recorded frames in {raw}, got {len(runs)} runs of none")
    check_set(out, runs)
    repair_set(out, runs)  # from here on, where there is a mask there is its image
    for run, of_run in zip(runs, frames, strict=True):
        if not of_run:
            print(f"{run.split}/{run.name}: no frames yet")
    missing = [frame for frame in recorded if not is_made(frame)]
    skipped = 0
    for reason in in_parallel(make_pair, missing, "making pairs", " pairs"):
        if reason is not None:
            skipped += 1
            tqdm.write(f"skipped {reason}", file=sys.stderr)
    made, there = len(missing) - skipped, len(recorded) - len(missing)
    print(f"pairs made: {made}, there already: {there}, frames skipped: {skipped}")
    if skipped:
        print("The same command takes up skipped frames whose files have become whole, as while QuadSim records.")
    return skipped


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], description: str, unit: str) -> Iterator[Result]:
    """Do some work on each item, in order, with a progress bar.

    In threads: they are as fast as processes here, for Pillow lets other threads go on, and none survives a kill to
    write beside the next run.
    """
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(items), desc=description, unit=unit, disable=not items) as progress,
    ):
        for result in pool.map(work, items):
            progress.update()
            yield result


# --- what was recorded


def find_runs(raw: Path) -> list[Run]:
    """Find the recordings, in order of their folds.

    Raises:
        ValueError: if there are none, or something else lies among them.
    """
    runs: list[Run] = []
    splits = {folder.name: folder for folder in list_folder(raw, "|".join(SPLITS), " and ".join(SPLITS))}
    for split in SPLITS:
        for folder in list_folder(splits[split], ".+", "runs") if split in splits else []:
            list_folder(folder, "IMG", "IMG")
            runs.append(Run(split, folder.name, len(runs), folder / "IMG"))
    if not runs:
        raise ValueError(f"expected recordings as {raw / '<train or validation>' / '<run>' / 'IMG'}, found none")
    return runs


def list_frames(run: Run, out: Path) -> list[Frame]:
    """List a run's frames in order: every number of which any camera has a file.

    Raises:
        ValueError: if something else lies among the files.
    """
    if not run.folder.exists():
        return []
    files = list_folder(run.folder, r"cam[1-4]_\d{5,}\.png", "cam1_NNNNN.png to cam4_NNNNN.png")
    return [
        Frame(
            f"{run.split}/{run.name} frame {number}",
            tuple(run.folder / f"{camera}_{number}.png" for camera in CAMERAS),
            *pair_files(out / run.split, run.prefix, number),
        )
        for number in sorted({file.stem.partition("_")[2] for file in files})
    ]


def list_folder(folder: Path, names: str, meant: str) -> list[Path]:
    """List what a folder holds, sorted, but for what file managers leave.

    Args:
        folder: the folder.
        names: pattern of what may be in it.
        meant: the same, for people.

    Raises:
        ValueError: if it is no folder, or holds anything else.
    """
    if not folder.is_dir():
        found = "got a file" if folder.exists() else "found none"
        raise ValueError(f"expected a folder with {meant} in it at {folder}, {found}")
    entries = sorted(entry for entry in folder.iterdir() if entry.name[0] != "." and entry.name not in _LITTER)
    for entry in entries:
        if not re.fullmatch(names, entry.name):
            raise ValueError(f"expected only {meant} in {folder}, got {entry.name}")
    return entries


def recorded_ns(frame: Frame) -> int:
    """When the last of a frame's files was written, ns since 1970.

    Raises:
        FileNotFoundError: if one is missing.
    """
    try:
        return max(file.stat().st_mtime_ns for file in frame.cameras)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"expected {error.filename}, found none") from error


def read_camera(file: Path) -> np.ndarray:
    """Read what one camera recorded.

    Returns:
        (256, 256, 3) uint8.

    Raises:
        ValueError: if it is no whole PNG, or not as QuadSim writes it.
    """
    pixels, mode = read_png(file)
    height, width = pixels.shape[:2]
    if (width, height) != (IMAGE_PX, IMAGE_PX) or mode not in ("RGB", "RGBA"):
        raise ValueError(f"expected {IMAGE_PX}×{IMAGE_PX} RGB in {file}, got {width}×{height} {mode}")
    return pixels


def read_png(file: Path) -> tuple[np.ndarray, str]:
    """Read a PNG as (H, W, 3) uint8 and the mode that it is stored in.

    Raises:
        ValueError: if it is none, or not whole.
    """
    try:
        with Image.open(file, formats=["PNG"]) as image:
            image.verify()  # the checksums, which decoding ignores: it let 10 % of single flipped bits through
        with Image.open(file, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB")), image.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a whole PNG in {file}, got: {error}") from error


# --- what is made of it


def nearest_layer(surroundings: np.ndarray, people: np.ndarray, hero: np.ndarray) -> np.ndarray:
    """Tell for each pixel which layer is nearest.

    Ties go to surroundings, then to people. Surroundings count one step nearer than recorded, so that they win from one
    step behind, too; and that step wraps around: 0 counts as 255, the farthest.

    Args:
        surroundings: (H, W) uint8, depth of this layer alone, 255 where there is nothing.
        people: the same of the people other than the hero.
        hero: the same of the hero.

    Returns:
        (H, W, 3) uint8, 255 in the channel of the nearest of `scoring.CLASSES`, else 0.

    Source: the original's tool, argmin over (cam4 − 1, cam2, cam3) in uint8.
    """
    surroundings = surroundings - np.uint8(1)
    is_surroundings = (surroundings <= people) & (surroundings <= hero)
    is_people = ~is_surroundings & (people <= hero)
    is_hero = ~is_surroundings & ~is_people
    return np.stack([is_surroundings, is_people, is_hero], axis=-1) * np.uint8(255)


def make_pair(frame: Frame) -> str | None:
    """Make a frame's image and mask.

    Whenever this is killed, both are there, or neither, or the image alone, which `repair_set` takes away. The mask
    gets the time of the recording, by which `is_made` knows that they belong together.

    Returns:
        Why these files make no pair, or None if they did.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        time_ns = recorded_ns(frame)
        colour, people, hero, surroundings = map(read_camera, frame.cameras)
    except (FileNotFoundError, ValueError) as error:
        return f"{frame.label}: {error}"
    image, mask = (file.with_name(f"{file.name}{PARTIAL}") for file in (frame.image, frame.mask))
    try:
        Image.fromarray(colour).save(image, "JPEG", quality=JPEG_QUALITY)
        Image.fromarray(nearest_layer(surroundings[..., 0], people[..., 0], hero[..., 0])).save(mask, "PNG")
        os.utime(mask, ns=(time_ns, time_ns))
        frame.mask.unlink(missing_ok=True)  # an older recording's, not to stand beside this one's image
        image.replace(frame.image)
        mask.replace(frame.mask)
    finally:
        image.unlink(missing_ok=True)
        mask.unlink(missing_ok=True)
    return None


def is_made(frame: Frame) -> bool:
    """Whether the mask, so the pair, is in the set, made of the files that the recording holds now."""
    try:
        return frame.mask.stat().st_mtime_ns == recorded_ns(frame)
    except FileNotFoundError:
        return False


# --- the set


def pair_files(folder: Path, prefix: str, number: str) -> tuple[Path, Path]:
    """Image and mask of a frame in the folder of a split."""
    return folder / "images" / f"{prefix}_cam1_{number}.jpeg", folder / "masks" / f"{prefix}_mask_{number}.png"


def check_set(out: Path, runs: Sequence[Run]) -> None:
    """Check that the pairs of these runs can join what the set holds.

    Raises:
        ValueError: if it holds pairs of theirs under other folds, masks of their names but of another tool, or pairs
            of others that would make images and masks sort differently.
    """
    for split in SPLITS:
        folds = {run.name: run.fold for run in runs if run.split == split}
        own = {run.prefix for run in runs if run.split == split}
        prefixes = set(own)
        for file, name in named_as_pairs(out / split):
            image, mask = pair_files(out / split, name["prefix"], name["number"])
            if file == image:
                fold = folds.get(name["run"])
                if fold is not None and name["fold"] != str(fold):
                    raise ValueError(
                        f"expected {split}/{name['run']} in {out} as fold {fold}, its number among the present runs, "
                        f"got {file.name}: make the set anew, in another --out or after deleting this one"
                    )
                prefixes.add(name["prefix"])
            elif file == mask and name["prefix"] in own and not image.exists():
                raise ValueError(
                    f"expected the image {image.name} of the mask {mask}, found none: "
                    "delete the mask, or choose another --out"
                )
        # By their sorted names, images and masks pair up.
        by_image = sorted(prefixes, key=lambda prefix: f"{prefix}_cam1_")
        by_mask = sorted(prefixes, key=lambda prefix: f"{prefix}_mask_")
        for one, other in zip(by_image, by_mask, strict=True):
            if one != other:
                raise ValueError(
                    f"expected runs in {out / split} whose images sort as their masks do, got {one} and {other}: "
                    "choose another --out"
                )


def repair_set(out: Path, runs: Sequence[Run]) -> None:
    """Take away what a kill left: partial files, and images of these runs alone. Make the folders of their splits."""
    for split in {run.split for run in runs}:
        own = {run.prefix for run in runs if run.split == split}
        for kind in ("images", "masks"):
            (out / split / kind).mkdir(parents=True, exist_ok=True)
        for file, name in named_as_pairs(out / split):
            image, mask = pair_files(out / split, name["prefix"], name["number"])
            is_alone = file == image and name["prefix"] in own and not mask.exists()
            if is_alone or file.suffix == PARTIAL:
                file.unlink()


def named_as_pairs(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """List the files of a split, whole or partial, that bear names of this tool's."""
    names = ((file, _PAIR.fullmatch(file.name.removesuffix(PARTIAL))) for file in folder.glob("*/*"))
    return [(file, name) for file, name in names if name]


def describe(folder: Path) -> str:
    """Tell what a split of the set holds: frames, heroes and their sizes, people, folds.

    Raises:
        ValueError: if images and masks differ in number, or a mask cannot be read.
    """
    masks = sorted((folder / "masks").glob("*.png"))
    images = list((folder / "images").glob("*.jpeg"))
    if len(images) != len(masks):
        raise ValueError(f"expected one mask per image in {folder}, got {len(images)} images, {len(masks)} masks")
    if not masks:
        return f"{folder.name}: no frames"
    pixels = np.array(list(in_parallel(count_pixels, masks, f"reading {folder.name}", " masks")))
    hero_px = pixels[:, HERO][pixels[:, HERO] > 0]
    with_people = np.count_nonzero(pixels[:, CLASSES.index("people")])
    lines = [
        f"{folder.name}: {len(masks)} frames",
        f"  {len(hero_px)} with the hero ({len(hero_px) / len(masks):.0%}), {with_people} with other people",
    ]
    if len(hero_px):
        sizes = " / ".join(f"{size:.0f}" for size in np.percentile(hero_px, HERO_PERCENTILES))
        lines.append(f"  hero of {sizes} px (percentiles {' / '.join(map(str, HERO_PERCENTILES))})")
    folds = Counter(mask.name.rpartition("_mask_")[0] for mask in masks)
    lines.append(f"  frames by fold: {', '.join(f'{prefix} {count}' for prefix, count in folds.items())}")
    return "\n".join(lines)


def count_pixels(mask: Path) -> np.ndarray:
    """How many pixels each of `scoring.CLASSES` has in a mask, (3,) int."""
    return np.count_nonzero(read_png(mask)[0], axis=(0, 1))


def next_step(out: Path) -> str:
    """What to do with the set."""
    for split in SPLITS:
        if not any((out / split / "masks").glob("*.png")):
            return f"Next: record runs for {split}, too; training needs both"
    return f"Next: {shlex.join(['python', 'tools/train.py', '--data', str(out), '--out', 'runs/new'])}"


if __name__ == "__main__":
    sys.exit(main())
