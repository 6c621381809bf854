"""Make the pairs of a training set from raw recordings. A set can be completed after a kill at any moment.

Imports neither Keras nor TensorFlow.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from model.command import make_output_folder
from model.images import jpeg_of
from model.mask_colours import COLOURS, MOST_TARGETS
from model.pair_files import (
    IMAGE_ENDINGS,
    JPEG_QUALITY,
    MASK_ENDINGS,
    PARTIAL,
    is_litter,
    list_files,
    pair_up,
    partial_file,
)
from model.raw_recordings import SPLITS, Run, read_camera, recorded_ns
from model.scoring import HERO

_PAIR = re.compile(r"(?P<prefix>(?P<fold>\d+)_(?P<run>.+))_(?:cam1|mask)_(?P<number>\d{5,})\.(?:jpeg|png)")


class Frame(NamedTuple):
    """A recorded frame and the pair to make of it.

    Args:
        label: run and frame number, for messages.
        cameras: files of the frame in the order of `CAMERAS`; each may be missing.
        image: file of the colour image to make.
        mask: file of the mask to make.
        target: class number of its hero; see `mask_colours`.
    """

    label: str
    cameras: tuple[Path, ...]
    image: Path
    mask: Path
    target: int = HERO

    def mask_ns(self) -> int:
        """Modification time that its mask gets: that of the recording, plus 1 s for each class number after `HERO`.

        Raises:
            FileNotFoundError: as `recorded_ns`.
        """
        return self.own_ns()[self.target - HERO]

    def own_ns(self) -> range:
        """Modification times that masks of this frame get, one for each target; raises as `mask_ns`."""
        begin_ns = recorded_ns(self.cameras)
        return range(begin_ns, begin_ns + MOST_TARGETS * 10**9, 10**9)


def list_frames(run: Run, out: Path, target: int = HERO) -> list[Frame]:
    """List the frames of a run in order, with their pairs in the set at `out`; `target` as in `Frame`.

    Raises:
        ValueError: if there are other files among the frames.
    """
    return [
        Frame(
            f"{run.split}/{run.name} frame {number}",
            run.camera_files(number),
            *pair_paths(out / run.split, run.prefix, number),
            target,
        )
        for number in run.frame_numbers()
    ]


def pair_paths(folder: Path, prefix: str, number: str) -> tuple[Path, Path]:
    """Image and mask of a frame in the folder of a split."""
    return folder / "images" / f"{prefix}_cam1_{number}.jpeg", folder / "masks" / f"{prefix}_mask_{number}.png"


def nearest_layer(surroundings: np.ndarray, people: np.ndarray, hero: np.ndarray) -> np.ndarray:
    """Find the nearest layer of each pixel.

    Ties go to surroundings, then to people. Surroundings count as one step nearer than recorded, so they also win from
    one step behind. That step wraps around: depth 0 counts as 255, the farthest.

    Args:
        surroundings: (H, W) uint8, depth of this layer alone, 255 where it has nothing.
        people: the same of the people other than the hero.
        hero: the same of the hero.

    Returns:
        (H, W, 3) uint8, 255 in the channel of the nearest class in the order of `scoring.CLASSES`, else 0.

    Source: the original tool, argmin over (cam4 − 1, cam2, cam3) in uint8.
    """
    surroundings = surroundings - np.uint8(1)
    is_surroundings = (surroundings <= people) & (surroundings <= hero)
    is_people = ~is_surroundings & (people <= hero)
    is_hero = ~is_surroundings & ~is_people
    return np.stack([is_surroundings, is_people, is_hero], axis=-1) * np.uint8(255)


def make_pair(frame: Frame) -> str | None:
    """Make the image and the mask of a frame.

    A kill at any moment leaves both files, neither of them, or the image alone, which `repair_set` deletes. The mask's
    modification time comes from the recording (`Frame.mask_ns`), so `is_made` can tell that both belong together.

    Returns:
        Why the recording gives no pair; None if the pair was made.

    Raises:
        OSError: if a file cannot be written.
    """
    try:
        time_ns = frame.mask_ns()
        colour, people, hero, surroundings = map(read_camera, frame.cameras)
    except (FileNotFoundError, ValueError) as error:
        return f"{frame.label}: {error}"
    layers = nearest_layer(surroundings[..., 0], people[..., 0], hero[..., 0])
    layers[layers[..., HERO] > 0] = COLOURS[frame.target]
    image, mask = partial_file(frame.image), partial_file(frame.mask)
    try:
        image.write_bytes(jpeg_of(Image.fromarray(colour), JPEG_QUALITY))
        Image.fromarray(layers).save(mask, "PNG")
        os.utime(mask, ns=(time_ns, time_ns))
        frame.mask.unlink(missing_ok=True)  # an older recording's mask must not stand beside the new image
        image.replace(frame.image)
        mask.replace(frame.mask)
    finally:
        image.unlink(missing_ok=True)
        mask.unlink(missing_ok=True)
    return None


def is_made(frame: Frame) -> bool:
    """Whether the set holds the pair, made from the files that the recording has now, with the target's colour."""
    try:
        return frame.mask.stat().st_mtime_ns == frame.mask_ns()
    except FileNotFoundError:
        return False


def is_changed(frame: Frame) -> bool:
    """Whether the mask was changed after it was made, for example by hand: it is newer than its image.

    An unchanged mask has the time of its recording, which is older than the image. For a further target, it has a few
    seconds more and may be newer than the image, so these times are excluded.
    """
    try:
        changed_ns, made_ns = (file.stat().st_mtime_ns for file in (frame.mask, frame.image))
        return changed_ns > made_ns and changed_ns not in frame.own_ns()
    except FileNotFoundError:
        return False


def check_set(out: Path, runs: Sequence[Run]) -> None:
    """Check that the pairs of these runs fit the existing files of the set.

    Raises:
        ValueError: if the set holds pairs of these runs under other folds or in the other split, masks with these runs'
            names but without images, other files that are no pairs, or pairs of other runs that make images and masks
            sort differently.
    """
    _check_splits(out, runs)
    for split in SPLITS:
        of_split = [run for run in runs if run.split == split]
        prefixes = _check_own_pairs(out, split, of_split)
        own_names = tuple(f"{run.prefix}_{kind}_" for run in of_split for kind in ("cam1", "mask"))
        others = [
            [file for file in list_files(out / split / kind, endings) if not file.name.startswith(own_names)]
            for kind, endings in (("images", IMAGE_ENDINGS), ("masks", MASK_ENDINGS))
        ]
        pair_up(*others)
        # Readers pair images and masks by their sorted names.
        by_image = sorted(prefixes, key=lambda prefix: f"{prefix}_cam1_")
        by_mask = sorted(prefixes, key=lambda prefix: f"{prefix}_mask_")
        for one, other in zip(by_image, by_mask, strict=True):
            if one != other:
                raise ValueError(
                    f"expected runs in {out / split} whose images and masks sort alike, got {one} and {other}: "
                    "choose another --out"
                )


def _check_splits(out: Path, runs: Sequence[Run]) -> None:
    """Check that no frame gets into both splits, for a score on frames that the network has learned means nothing.

    Raises:
        ValueError: if the set holds pairs of a run in the split in which the run was before.
    """
    for run in runs:
        for split in set(SPLITS) - {run.split}:
            if any(map(_is_made_for_any_target, list_frames(run._replace(split=split), out))):
                raise ValueError(
                    f"expected frames of {run.name} only in {out / run.split}, got some in {out / split}: "
                    "choose another --out, or delete this set and make it again"
                )


def _is_made_for_any_target(frame: Frame) -> bool:
    try:
        return frame.mask.stat().st_mtime_ns in frame.own_ns()
    except FileNotFoundError:
        return False


def _check_own_pairs(out: Path, split: str, runs: Sequence[Run]) -> set[str]:
    """Check the pairs of these runs in a split; returns the prefixes of all runs that it holds or will hold.

    Raises:
        ValueError: if they are under other folds, or a mask has no image.
    """
    folds, own = {run.name: run.fold for run in runs}, {run.prefix for run in runs}
    prefixes = set(own)
    for file, name in named_as_pairs(out / split):
        image, mask = pair_paths(out / split, name["prefix"], name["number"])
        if file == image:
            fold = folds.get(name["run"])
            if fold is not None and name["fold"] != str(fold):
                raise ValueError(
                    f"expected {split}/{name['run']} in {out} as fold {fold}, its number among the present runs, "
                    f"got {file.name}: choose another --out, or delete this set and make it again"
                )
            prefixes.add(name["prefix"])
        elif file == mask and name["prefix"] in own and not image.exists():
            raise ValueError(
                f"expected the image {image.name} of the mask {mask}, found none: "
                "delete the mask, or choose another --out"
            )
    return prefixes


def repair_set(out: Path, runs: Sequence[Run]) -> None:
    """Delete the remains of a kill: partial files, and images of these runs without masks. Make the folders."""
    for split in {run.split for run in runs}:
        own = {run.prefix for run in runs if run.split == split}
        for kind in ("images", "masks"):
            make_output_folder(out / split / kind)
        for file, name in named_as_pairs(out / split):
            image, mask = pair_paths(out / split, name["prefix"], name["number"])
            is_alone = file == image and name["prefix"] in own and not mask.exists()
            if is_alone or file.suffix == PARTIAL:
                file.unlink()


def named_as_pairs(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """List the files of a split, complete or partial, whose names have the form of `pair_paths`."""
    names = ((file, _PAIR.fullmatch(file.name.removesuffix(PARTIAL))) for file in folder.glob("*/*"))
    return [(file, name) for file, name in names if name and not is_litter(file.name)]
