"""Augmentations of one (image, class mask) pair; pure functions of a seeded generator."""

import numpy as np

from model.scoring import CLASSES

SURROUNDINGS = CLASSES.index("surroundings")
Pair = tuple[np.ndarray, np.ndarray]


def shift_and_pad(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, most: float = 0.25) -> Pair:
    """Move the picture by up to `most` of its size each way; what comes in is black surroundings.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        rng: drawn from twice.
        most: largest shift as a share of height and width, in [0, 1).

    Returns:
        The moved pair; the arguments are left as they were.
    """
    height, width = mask.shape
    down = int(rng.integers(-int(most * height), int(most * height) + 1))
    right = int(rng.integers(-int(most * width), int(most * width) + 1))
    moved_image = np.zeros_like(image)
    moved_mask = np.full_like(mask, SURROUNDINGS)
    source = (_kept(-down, height), _kept(-right, width))
    target = (_kept(down, height), _kept(right, width))
    moved_image[target] = image[source]
    moved_mask[target] = mask[source]
    return moved_image, moved_mask


def _kept(shift: int, size: int) -> slice:
    return slice(max(0, shift), min(size, size + shift))


def flip(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Mirror left and right, every other time: QuadSim's world has no handedness that a person shows."""
    if rng.random() < 0.5:
        return image[:, ::-1], mask[:, ::-1]
    return image, mask


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness (×0.55 to ×1.35) and contrast (×0.75 to ×1.25), as shade and sun do.

    Args:
        image: (H, W, 3) uint8.
        rng: drawn from twice.

    Returns:
        (H, W, 3) uint8, through one table of 256 entries.
    """
    brightness, contrast = rng.uniform(0.55, 1.35), rng.uniform(0.75, 1.25)
    level = np.arange(256, dtype=np.float32) * brightness
    table = np.clip((level - 110) * contrast + 110, 0, 255).astype(np.uint8)
    return table[image]
