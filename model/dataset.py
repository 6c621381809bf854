"""Read a training set into memory and draw augmented batches from it.

A set is a folder with `images/*.jpeg` and `masks/*.png`, paired by sorted order.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from model import augment
from model.images import normalise, resize_rgb
from model.scoring import HERO


class Frames(NamedTuple):
    """Pairs in memory.

    Args:
        images: (N, px, px, 3) uint8 RGB.
        masks: (N, px, px) uint8, numbers into `scoring.CLASSES`.
    """

    images: np.ndarray
    masks: np.ndarray

    def shows_hero(self) -> np.ndarray:
        """(N,) bool: which frames have a pixel of the hero."""
        return (self.masks == HERO).any(axis=(1, 2))


def list_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Pair the images of a set with their masks.

    Raises:
        ValueError: if the folder holds no image, not one mask per image, or a pair of different frame numbers
            (five digits in the names, as `preprocess_ims` gives them).
    """
    images = sorted((folder / "images").glob("*.jpeg"))
    masks = sorted((folder / "masks").glob("*.png"))
    if not images:
        raise ValueError(f"expected {folder / 'images'} to hold *.jpeg files, found none")
    if len(images) != len(masks):
        raise ValueError(f"expected one mask per image in {folder}, got {len(images)} images, {len(masks)} masks")
    pairs = list(zip(images, masks, strict=True))
    for image, mask in pairs:
        numbers = {found[0] for file in (image, mask) if (found := re.search(r"\d{5}", file.name))}
        if len(numbers) > 1:
            raise ValueError(f"expected a mask of {image.name} next in {mask.parent}, got {mask.name}")
    return pairs


def read_pair(image_path: Path, mask_path: Path, px: int) -> augment.Pair:
    """Read one camera image and its mask.

    Args:
        image_path: the image, of any size.
        mask_path: its mask, of the same size.
        px: height and width to resize both to; a pixel of the mask takes the class that covers most of it.

    Returns:
        (px, px, 3) uint8 RGB and (px, px) uint8 numbers into `scoring.CLASSES`.

    Raises:
        ValueError: if a file is no whole image, the sizes differ, or a pixel of the mask has not exactly one class.
    """
    image, mask = _open(image_path), _open(mask_path)
    if image.size != mask.size:
        raise ValueError(
            f"expected a mask of the image's size, {_size(image)}, in {mask_path} for {image_path.name}, "
            f"got {_size(mask)}"
        )
    channels = np.asarray(mask)
    if not ((channels.max(axis=-1) == 255) & (channels.sum(axis=-1, dtype=np.uint16) == 255)).all():
        raise ValueError(f"expected exactly one class per pixel (one channel 255, the others 0) in {mask_path}")
    shares = np.asarray(mask.resize((px, px), Image.Resampling.BILINEAR))
    return resize_rgb(image, px), shares.argmax(axis=-1).astype(np.uint8)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise ValueError(f"expected an image in {path}, got: {error}") from error


def _size(image: Image.Image) -> str:
    return f"{image.width}×{image.height}"


def read_set(folder: Path, px: int) -> Frames:
    """Read a whole set at `px` × `px`, with a progress bar.

    Raises:
        ValueError: as `list_pairs` and `read_pair` do.
    """
    pairs = list_pairs(folder)
    images = np.empty((len(pairs), px, px, 3), np.uint8)
    masks = np.empty((len(pairs), px, px), np.uint8)
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(pairs), desc=f"reading {folder.name}", unit=" pairs") as progress,
    ):
        read = pool.map(lambda pair: read_pair(pair[0], pair[1], px), pairs)
        for number, (image, mask) in enumerate(read):
            images[number], masks[number] = image, mask
            progress.update()
    return Frames(images, masks)


class AugmentedBatches(keras.utils.PyDataset):
    """Training batches, each a function of (seed, epoch, step) alone.

    So a resumed run sees what an uninterrupted one would have seen, but for the order within an epoch, which Keras
    shuffles. `hero_share` of each batch comes from the frames that show the hero: they are 37 % of the set, and
    they are what the score is about.

    Args:
        frames: the pairs to draw from.
        batch: pairs in a batch.
        steps: batches in an epoch.
        hero_share: share of a batch drawn from frames with the hero, in [0, 1].
        seed: the same seed gives the same batches.

    Attributes:
        epoch: which epoch's batches to draw; training sets it as each epoch begins.

    Raises:
        ValueError: if `frames` lacks frames with or without the hero, or `batch` does not fit it.
    """

    def __init__(self, frames: Frames, *, batch: int, steps: int, hero_share: float, seed: int) -> None:
        super().__init__()
        shows_hero = frames.shows_hero()
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
