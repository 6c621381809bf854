"""Read training sets into memory: pair images with masks, split recordings off for validation, count each recording.

A set is a folder of pairs as `model.pair_files` lists them. A dataset folder holds the set `train` and usually the set
`validation`. A file's name begins with its recording, up to the first `_` or to the frame's number. Neighbouring
frames of a recording are alike, so a split between training and validation keeps each recording whole. An `s` at the
end of a recording (`r14s` is a part of `r14`) marks a hovering camera, whose frames are nearly identical.

Masks are used as recorded. High grass is not in QuadSim's depth layers, so the masks of people in it include legs that
the grass hides (about 1 % of the frames of other people's recordings). They stay, because the distance is estimated
from the figure's full height, and because the scored masks come from the same camera.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from model.bars import counting_bar
from model.images import open_image, resize_rgb
from model.mask_colours import class_numbers
from model.pair_files import PathPair, list_pairs
from model.scoring import HERO, PEOPLE, mask_of_one_target

# A hero that covers a larger share of the frame is near: more than 600 px of 256 × 256.
NEAR_SHARE = 600 / 256**2


class Frames(NamedTuple):
    """Pairs in memory. With several targets, *the hero* is any of them.

    Args:
        images: (N, px, px, 3) uint8 RGB.
        masks: (N, px, px) uint8, numbers of classes, see `mask_colours.class_numbers`.
    """

    images: np.ndarray
    masks: np.ndarray

    def hero_px(self) -> np.ndarray:
        """(N,) int: pixels of the hero in each frame."""
        return np.count_nonzero(self.masks >= HERO, axis=(1, 2))

    def shows_hero(self) -> np.ndarray:
        """(N,) bool: which frames have a pixel of the hero."""
        return self.hero_px() > 0

    def shows_people(self) -> np.ndarray:
        """(N,) bool: which frames have a pixel of other people."""
        return (self.masks == PEOPLE).any(axis=(1, 2))

    def is_near(self) -> np.ndarray:
        """(N,) bool: which frames show a near hero, larger than `NEAR_SHARE` of the frame."""
        return self.hero_px() > NEAR_SHARE * self.masks[0].size

    def of_one_target(self, target: int) -> "Frames":
        """The frames with masks of one target: the target with this class number is the hero, all others are people."""
        return Frames(self.images, mask_of_one_target(self.masks, target))

    def joined(self, others: "Frames") -> "Frames":
        """These frames, then the others."""
        return Frames(np.concatenate([self.images, others.images]), np.concatenate([self.masks, others.masks]))

    def spread(self, count: int) -> "Frames":
        """`count` evenly spread frames; all frames if there are fewer."""
        chosen = evenly_spread(len(self.images), count)
        return Frames(self.images[chosen], self.masks[chosen])

    def weights(self, near: float, people: float) -> np.ndarray:
        """(N,) float: how often to draw each frame, relative to the others with (or without) the hero.

        Args:
            near: weight of a frame with a near hero; with a far one it is 1.
            people: weight of a frame with people and without the hero; with nobody it is 1.
        """
        people_only = self.shows_people() & ~self.shows_hero()
        return np.where(self.is_near(), near, 1.0) * np.where(people_only, people, 1.0)


class Recording(NamedTuple):
    """The frames of one recording in one set.

    Args:
        folder: name of the dataset folder.
        name: the recording.
        use: "train", "held out" or "validation".
        frames: frames in use.
        left_out: frames of a hovering camera that are not in use.
        with_people_only: frames with people and without the hero.
        hero_px: (frames with the hero,) int, sizes of the hero.
    """

    folder: str
    name: str
    use: str
    frames: int
    left_out: int
    with_people_only: int
    hero_px: np.ndarray


class Dataset(NamedTuple):
    """Frames to train on and to validate on.

    Args:
        training: frames to learn from.
        validation: frames by their origin: "validation", the sets of that name; "held out", recordings of `train` sets.
        recordings: counts of each recording.
    """

    training: Frames
    validation: dict[str, Frames]
    recordings: list[Recording]

    @property
    def all_validation(self) -> Frames:
        """The frames to validate on, of every origin."""
        return reduce(Frames.joined, self.validation.values())


def recording_of(name: str) -> str:
    """The recording of a file name: up to the first `_` or the frame's number, without the `s` of a hovering camera."""
    prefix = re.split(r"_|\d*\.[^._]+$", name, maxsplit=1)[0]
    return prefix.removesuffix("s") if _is_hovering(name) else prefix


def _is_hovering(name: str) -> bool:
    return re.match(r"[a-z]+\d+s_", name) is not None


def evenly_spread(total: int, count: int) -> np.ndarray:
    """(min(count, total),) int: indices evenly spread over `total`, starting with 0."""
    return np.linspace(0, total, min(count, total), endpoint=False).astype(int)


def cap_hovering(pairs: Sequence[PathPair], most: int) -> list[PathPair]:
    """Keep at most `most` frames, evenly spread, of each run of a hovering camera; 0 keeps all.

    A run is the name up to the second `_`.
    """
    runs: dict[str, list[PathPair]] = {}
    for pair in pairs:
        if most and _is_hovering(pair[0].name):
            runs.setdefault("_".join(pair[0].name.split("_")[:2]), []).append(pair)
    dropped = {
        pair for run in runs.values() for number, pair in enumerate(run) if number not in evenly_spread(len(run), most)
    }
    return [pair for pair in pairs if pair not in dropped]


def open_pair(image_path: Path, mask_path: Path) -> tuple[Image.Image, Image.Image]:
    """Open one camera image and its mask, as RGB.

    Raises:
        ValueError: as `open_image`, or if the sizes differ.
    """
    image, mask = (open_image(path).convert("RGB") for path in (image_path, mask_path))
    if image.size != mask.size:
        raise ValueError(
            f"expected a mask of the image's size, {_size(image)}, in {mask_path} for {image_path.name}, "
            f"got {_size(mask)}"
        )
    return image, mask


def read_pair(image_path: Path, mask_path: Path, px: int, targets: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Read one camera image and its mask.

    Args:
        image_path: the image, of any size.
        mask_path: its mask, of the same size.
        px: output height and width; a mask pixel gets the class that covers most of it.
        targets: number of targets that a mask may show; see `mask_colours`.

    Returns:
        (px, px, 3) uint8 RGB and (px, px) uint8 numbers of classes, see `mask_colours.class_numbers`.

    Raises:
        ValueError: as `open_pair`, or if a mask pixel has not exactly one class.
    """
    image, mask = open_pair(image_path, mask_path)
    try:
        numbers = class_numbers(np.asarray(mask), targets)
    except ValueError as error:
        raise ValueError(f"{error} in {mask_path}") from error
    if mask.size != (px, px):
        planes = [Image.fromarray((numbers == number) * np.uint8(255)) for number in range(HERO + targets)]
        shares = [np.asarray(plane.resize((px, px), Image.Resampling.BILINEAR)) for plane in planes]
        numbers = np.argmax(shares, axis=0).astype(np.uint8)
    return resize_rgb(image, px), numbers


def _size(image: Image.Image) -> str:
    return f"{image.width}×{image.height}"


def sha256_of(sets: Iterable[Frames]) -> str:
    """SHA-256 of the images and masks of sets of frames, which identifies them."""
    digest = hashlib.sha256()
    for frames in sets:
        for part in frames:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def read_pairs(pairs: Sequence[PathPair], px: int, title: str, targets: int = 1) -> Frames:
    """Read pairs at `px` × `px`, with a progress bar of that title.

    Raises:
        ValueError: as `read_pair` does.
    """
    images = np.empty((len(pairs), px, px, 3), np.uint8)
    masks = np.empty((len(pairs), px, px), np.uint8)
    with (
        ThreadPoolExecutor() as pool,
        counting_bar(len(pairs), desc=f"reading {title}", unit=" pairs") as progress,
    ):
        read = pool.map(lambda pair: read_pair(pair[0], pair[1], px, targets), pairs)
        for number, (image, mask) in enumerate(read):
            images[number], masks[number] = image, mask
            progress.update()
    return Frames(images, masks)


def read_set(folder: Path, px: int) -> Frames:
    """Read a whole set at `px` × `px`, with a progress bar.

    Raises:
        OSError, ValueError: as `list_pairs` and `read_pair` do.
    """
    return read_pairs(list_pairs(folder), px, folder.name)


def read_dataset(
    folders: Sequence[Path],
    px: int,
    held_out: Collection[str] = (),
    hovering_frames: int = 0,
    targets: int = 1,
) -> Dataset:
    """Read dataset folders at `px` × `px`, with progress bars.

    Args:
        folders: dataset folders, each with `train` and possibly `validation`.
        px: height and width of the frames.
        held_out: recordings of `train` to validate on instead.
        hovering_frames: most frames to use of each run of a hovering camera; 0 for all.
        targets: number of targets that masks may show.

    Raises:
        OSError: if a folder does not exist.
        ValueError: as `list_pairs` and `read_pair` do, if a recording to hold out does not exist, or if nothing is left
            to train or to validate on.
    """
    listed: dict[str, list[tuple[str, PathPair]]] = {"train": [], "held out": [], "validation": []}
    for folder in folders:
        for pair in list_pairs(folder / "train"):
            listed["held out" if recording_of(pair[0].name) in held_out else "train"].append((folder.name, pair))
        if (folder / "validation").is_dir():
            listed["validation"] += [(folder.name, pair) for pair in list_pairs(folder / "validation")]
    missing = set(held_out) - {recording_of(image.name) for _, (image, _) in listed["held out"]}
    if missing:
        raise ValueError(f"expected recordings to hold out in train/, found none of {', '.join(sorted(missing))}")
    if not listed["train"]:
        raise ValueError("expected frames to train on, got none: every recording is held out")
    if not listed["held out"] and not listed["validation"]:
        raise ValueError("expected frames to validate on: a folder with validation/ or recordings to hold out")
    read, recordings = {}, []
    for use, sources in listed.items():
        if sources:
            kept = set(cap_hovering([pair for _, pair in sources], hovering_frames))
            used = [source for source in sources if source[1] in kept]
            read[use] = read_pairs([pair for _, pair in used], px, use, targets)
            recordings += _count(use, sources, used, read[use])
    training = read.pop("train")
    return Dataset(training, read, recordings)


def _count(
    use: str, sources: Iterable[tuple[str, PathPair]], used: Iterable[tuple[str, PathPair]], frames: Frames
) -> list[Recording]:
    """Counts of each recording; `frames` are the frames of `used`, which is a part of `sources`."""

    def recordings_in(listed: Iterable[tuple[str, PathPair]]) -> list[tuple[str, str]]:
        return [(folder, recording_of(image.name)) for folder, (image, _) in listed]

    total, of_used = recordings_in(sources), recordings_in(used)
    hero_px, people_only = frames.hero_px(), frames.shows_people() & ~frames.shows_hero()
    counted = []
    for key in dict.fromkeys(total):
        mine = np.array([other == key for other in of_used])
        count, sizes = int(mine.sum()), hero_px[mine]
        left_out = total.count(key) - count
        counted.append(Recording(*key, use, count, left_out, int(people_only[mine].sum()), sizes[sizes > 0]))
    return counted
