"""Dataset folders of frames drawn by hand."""

from pathlib import Path

import numpy as np
from PIL import Image


def save_pair(folder: Path, name: str, image: np.ndarray, mask: np.ndarray, part: str = "train") -> None:
    """Save a frame in the dataset's layout.

    Args:
        folder: of the dataset.
        name: of both files, without ending.
        image: (H, W, 3) uint8 RGB.
        mask: likewise, in the dataset's colours.
        part: of the dataset: train or validation.
    """
    for kind, array, ending in (("images", image, "jpeg"), ("masks", mask, "png")):
        (folder / part / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / part / kind / f"{name}.{ending}", subsampling=0, quality=100)
