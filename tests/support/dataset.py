"""Dataset folders of frames drawn by hand."""

from pathlib import Path

import numpy as np
from PIL import Image

from model.scoring import HERO


def save_pair(folder: Path, name: str, image: np.ndarray, mask: np.ndarray, part: str = "train") -> None:
    """Save a frame in the dataset's layout.

    Args:
        folder: folder of the dataset.
        name: name of both files, without ending.
        image: (H, W, 3) uint8 RGB.
        mask: (H, W, 3) uint8 RGB, in the dataset's colours.
        part: part of the dataset: train or validation.
    """
    for kind, array, ending in (("images", image, "jpeg"), ("masks", mask, "png")):
        (folder / part / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / part / kind / f"{name}.{ending}", subsampling=0, quality=100)


def save_frames(folder: Path, count: int) -> None:
    """Save a set of frames of 32 px: noise with a person, and in every other one the hero."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        image = rng.integers(0, 100, (32, 32, 3), dtype=np.uint8)
        classes = np.zeros((32, 32), int)
        classes[4:12, 20:26] = 1
        if number % 2:
            classes[12:20, 12:20] = HERO
        image[classes == HERO] = (250, 20, 20)
        Image.fromarray(image).save(folder / "images" / f"run1cam1_{number:05}.jpeg")
        Image.fromarray((np.eye(3)[classes] * 255).astype(np.uint8)).save(
            folder / "masks" / f"run1_mask_{number:05}.png"
        )
