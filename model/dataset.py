"""Read a training set into memory and draw augmented batches from it.

A set is a folder with `images/*.jpeg` and `masks/*.png`, paired by sorted order.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from model import augment
from model.fcn import CLASSES
from model.images import normalise, resize_rgb

HERO = CLASSES.index("hero")


class Frames(NamedTuple):
    """Pairs in memory.

    Args:
        images: (N, px, px, 3) uint8 RGB.
        masks: (N, px, px) uint8, numbers into `CLASSES`.
    """

    images: np.ndarray
    masks: np.ndarray


def list_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Pair the images of a set with their masks.

    Raises:
        ValueError: if the folder holds no image, or as many masks as it should not.
    """
    images = sorted((folder / "images").glob("*.jpeg"))
    masks = sorted((folder / "masks").glob("*.png"))
    if not images:
        raise ValueError(f"expected {folder / 'images'} to hold *.jpeg files, found none")
    if len(images) != len(masks):
        raise ValueError(f"expected one mask per image in {folder}, got {len(images)} images, {len(masks)} masks")
    return list(zip(images, masks, strict=True))


def read_image(path: Path, px: int) -> np.ndarray:
    """Read one camera image as (px, px, 3) uint8 RGB."""
    with Image.open(path) as image:
        return resize_rgb(image, px)


def read_mask(path: Path, px: int) -> np.ndarray:
    """Read one mask as (px, px) uint8 class numbers; a pixel takes the class that covers most of it.

    Raises:
        ValueError: if the file is not an RGB mask in which each pixel has exactly one class.
    """
    with Image.open(path) as image:
        channels = np.asarray(image.convert("RGB"))
    if not np.array_equal(channels.astype(np.uint16).sum(axis=-1), np.full(channels.shape[:2], 255)):
        raise ValueError(f"expected exactly one class per pixel (0 or 255) in {path}, got others")
    shares = np.asarray(Image.fromarray(channels).resize((px, px), Image.Resampling.BILINEAR))
    return shares.argmax(axis=-1).astype(np.uint8)


def read_set(folder: Path, px: int) -> Frames:
    """Read a whole set at `px` × `px`, with a progress bar.

    Raises:
        ValueError: as `list_pairs` and `read_mask` do.
    """
    pairs = list_pairs(folder)

    def read(pair: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
        return read_image(pair[0], px), read_mask(pair[1], px)

    images = np.empty((len(pairs), px, px, 3), np.uint8)
    masks = np.empty((len(pairs), px, px), np.uint8)
    with ThreadPoolExecutor() as pool:
        progress = tqdm(pool.map(read, pairs), total=len(pairs), desc=f"reading {folder.name}", unit=" pairs")
        for number, (image, mask) in enumerate(progress):
            images[number], masks[number] = image, mask
    return Frames(images, masks)


class AugmentedBatches(keras.utils.PyDataset):
    """Training batches, each a function of (seed, epoch, step) alone.

    So a resumed run sees what an uninterrupted one would have seen. `hero_share` of each batch comes from the
    frames that show the hero: they are 37 % of the set, and they are what the score is about.

    Args:
        frames: the pairs to draw from.
        batch: pairs in a batch.
        steps: batches in an epoch.
        hero_share: share of a batch drawn from frames with the hero, in [0, 1].
        seed: the same seed gives the same batches.

    Attributes:
        epoch: which epoch's batches to draw; training sets it as each epoch begins.
    """

    def __init__(self, frames: Frames, *, batch: int, steps: int, hero_share: float, seed: int) -> None:
        super().__init__(workers=1, max_queue_size=8)
        shows_hero = (frames.masks == HERO).any(axis=(1, 2))
        self._frames = frames
        self._with_hero = np.flatnonzero(shows_hero)
        self._without = np.flatnonzero(~shows_hero)
        if not len(self._with_hero) or not len(self._without):
            raise ValueError(
                "expected frames with and without the hero, "
                f"got {len(self._with_hero)} with and {len(self._without)} without"
            )
        if not 1 <= batch <= len(frames.images):
            raise ValueError(f"batch must be 1 to {len(frames.images)} (the whole set), got {batch}")
        self._batch, self._steps, self._seed = batch, steps, seed
        self._heroes = round(hero_share * batch)
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch: (batch, px, px, 3) float32 in [−1, 1] and (batch, px, px) uint8 class numbers."""
        rng = np.random.default_rng([self._seed, self.epoch, step])
        chosen = np.concatenate(
            [
                rng.choice(self._with_hero, self._heroes),
                rng.choice(self._without, self._batch - self._heroes),
            ]
        )
        images, masks = zip(*(self._augmented(number, rng) for number in chosen), strict=True)
        return normalise(np.stack(images)), np.stack(masks)

    def _augmented(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = augment.flip(self._frames.images[number], self._frames.masks[number], rng)
        return augment.shift_and_pad(augment.light(image, rng), mask, rng)


def in_batches(images: np.ndarray, batch: int = 32) -> Iterator[np.ndarray]:
    """Normalised float32 batches of (N, px, px, 3) uint8 images, in order."""
    for start in range(0, len(images), batch):
        yield normalise(images[start : start + batch])
