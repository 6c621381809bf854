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
from model.scoring import CLASSES, HERO, PEOPLE

AUGMENTATIONS = ("shift", "light", "far")

# How often "far" pastes up to two people into a frame, and a hero into one without; their areas, px.
PASTED_PEOPLE, PASTED_HERO = 0.4, 0.4
PASTED_AREA_PX = (9.0, 150.0)
# Smaller figures are no examples of anything.
CUTOUT_LEAST_PX = 20


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

    def joined(self, others: "Frames") -> "Frames":
        """These frames, then the others."""
        return Frames(np.concatenate([self.images, others.images]), np.concatenate([self.masks, others.masks]))

    def spread(self, count: int) -> "Frames":
        """`count` of the frames, evenly spread over them; all where there are no more."""
        chosen = np.linspace(0, len(self.images), min(count, len(self.images)), endpoint=False).astype(int)
        return Frames(self.images[chosen], self.masks[chosen])


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

    Args:
        frames: the pairs to draw from.
        augmentation: `"shift"`, the original's: moved and padded; `"light"`: mirrored and in other light as well;
            `"far"`: a window of the frame at another scale, mirrored, in other light, with people and heroes cut from
            other frames pasted in as far ones.
        crop_px: height and width of what is drawn, px; only `"far"` gives another size than the frames'.
        batch: pairs in a batch.
        steps: batches in an epoch.
        hero_share: share of a batch drawn from frames with the hero, in [0, 1]; 0 draws from all frames alike.
        seed: the same seed gives the same batches.
        workers: threads that draw batches ahead of the training; they come in the same order.

    Attributes:
        epoch: which epoch's batches to draw; training sets it as each epoch begins.

    Raises:
        ValueError: if `frames` lacks frames with or without the hero, `batch` does not fit it, or `"far"` finds no
            people or no hero to cut out.
    """

    def __init__(
        self,
        frames: Frames,
        *,
        augmentation: str,
        crop_px: int,
        batch: int,
        steps: int,
        hero_share: float,
        seed: int,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers)
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
        self._crop_px = crop_px
        self._batch, self._steps, self._seed = batch, steps, seed
        self._heroes = round(hero_share * batch)
        self._augmented = {"shift": self._shifted, "light": self._lit, "far": self._far}[augmentation]
        if augmentation == "far":
            self._people, self._hero = (_cutouts(frames, class_number) for class_number in (PEOPLE, HERO))
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch: (batch, px, px, 3) float32 in [−1, 1] and (batch, px, px) uint8 class numbers."""
        rng = np.random.default_rng([self._seed, self.epoch, step])
        if self._heroes:
            with_hero = rng.choice(self._with_hero, self._heroes)
            chosen = np.concatenate([with_hero, rng.choice(self._without, self._batch - self._heroes)])
        else:
            chosen = rng.choice(len(self._frames.images), self._batch, replace=False)
        images, masks = zip(*(self._augmented(number, rng) for number in chosen), strict=True)
        return normalise(np.stack(images)), np.stack(masks)

    def _shifted(self, number: int, rng: np.random.Generator) -> augment.Pair:
        return augment.shift_and_pad(self._frames.images[number], self._frames.masks[number], rng)

    def _lit(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = augment.flip(self._frames.images[number], self._frames.masks[number], rng)
        return augment.shift_and_pad(augment.light(image, rng), mask, rng)

    def _far(self, number: int, rng: np.random.Generator) -> augment.Pair:
        image, mask = augment.flip(self._frames.images[number], self._frames.masks[number], rng)
        image, mask = augment.window(image, mask, rng, self._crop_px, around=HERO)
        pasted = [self._people] * int(rng.integers(0, 3)) if rng.random() < PASTED_PEOPLE else []
        if not (mask == HERO).any() and rng.random() < PASTED_HERO:
            pasted.append(self._hero)
        for cutouts in pasted:
            area_px = np.exp(rng.uniform(*np.log(PASTED_AREA_PX)))
            image, mask = augment.paste(image, mask, cutouts[rng.integers(len(cutouts))], area_px, rng)
        if pasted:
            image = augment.compress(image, rng)
        return augment.tint(augment.light(image, rng), rng), mask


def _cutouts(frames: Frames, class_number: int) -> list[augment.Cutout]:
    """Everybody of a class who can be cut out."""
    found = [
        cutout
        for image, mask in zip(*frames, strict=True)
        for cutout in augment.cut_out(image, mask, class_number, CUTOUT_LEAST_PX)
    ]
    if not found:
        raise ValueError(f"expected frames with a whole {CLASSES[class_number]} figure to cut out, got none")
    return found
