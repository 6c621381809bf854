"""QuadSim's raw recordings: folders `<raw>/{train,validation}/<run>/IMG` with `cam{1,2,3,4}_NNNNN.png` per frame.

Imports neither Keras nor TensorFlow.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from model.images import open_image
from model.pair_files import IMAGE_PX, is_litter

SPLITS = ("train", "validation")
CAMERAS = ("cam1", "cam2", "cam3", "cam4")  # colour; depth of people, hero and surroundings, each alone


class Run(NamedTuple):
    """One recording.

    Args:
        split: a member of `SPLITS`.
        name: name of its folder, which the user chose in QuadSim.
        fold: its number among all runs.
        folder: folder of its frames; it does not exist before QuadSim starts to record.
    """

    split: str
    name: str
    fold: int
    folder: Path

    @property
    def prefix(self) -> str:
        """Beginning of the file names of its pairs."""
        return f"{self.fold}_{self.name}"

    def frame_numbers(self) -> list[str]:
        """Numbers of the frames of which at least one camera has a file, in order.

        Raises:
            ValueError: if the folder holds any other file.
        """
        if not self.folder.exists():
            return []
        files = list_folder(self.folder, r"cam[1-4]_\d{5,}\.png", "cam1_NNNNN.png to cam4_NNNNN.png")
        return sorted({file.stem.partition("_")[2] for file in files})

    def camera_files(self, number: str) -> tuple[Path, ...]:
        """Files of a frame in the order of `CAMERAS`; each may be missing."""
        return tuple(self.folder / f"{camera}_{number}.png" for camera in CAMERAS)


def find_runs(raw: Path) -> list[Run]:
    """Find the recordings in a folder, in the order of their folds.

    Raises:
        ValueError: if there are none, or the folder holds anything else; the message shows the wanted folders.
    """
    try:
        runs = _list_runs(raw)
    except ValueError as error:
        raise ValueError(f"{error}; recordings must be at {_wanted(raw)}") from error
    if not runs:
        raise ValueError(f"expected recordings as {_wanted(raw)}, found none")
    return runs


def _list_runs(raw: Path) -> list[Run]:
    runs: list[Run] = []
    splits = {folder.name: folder for folder in list_folder(raw, "|".join(SPLITS), " and ".join(SPLITS))}
    for split in SPLITS:
        for folder in list_folder(splits[split], "(?!IMG$).+", "runs") if split in splits else []:
            list_folder(folder, "IMG", "IMG")
            runs.append(Run(split, folder.name, len(runs), folder / "IMG"))
    return runs


def _wanted(raw: Path) -> str:
    return str(raw / "<train or validation>" / "<run>" / "IMG" / "cam1_NNNNN.png")


def list_folder(folder: Path, names: str, meaning: str) -> list[Path]:
    """List the entries of a folder in order, without the files of file managers.

    Args:
        folder: the folder.
        names: regular expression of the allowed names.
        meaning: the allowed names in words, for the error message.

    Raises:
        ValueError: if it is not a folder, or holds any other entry.
    """
    if not folder.is_dir():
        found = "got a file" if folder.exists() else "found none"
        raise ValueError(f"expected a folder with {meaning} in it at {folder}, {found}")
    entries = sorted(entry for entry in folder.iterdir() if not is_litter(entry.name))
    for entry in entries:
        if not re.fullmatch(names, entry.name):
            raise ValueError(f"expected only {meaning} in {folder}, got {entry.name}")
    return entries


def recorded_ns(cameras: tuple[Path, ...]) -> int:
    """Time at which the last of a frame's files was written, ns since 1970.

    Raises:
        FileNotFoundError: if a file is missing.
    """
    try:
        return max(file.stat().st_mtime_ns for file in cameras)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"expected {error.filename}, found none") from error


def read_camera(file: Path) -> np.ndarray:
    """Read the image of one camera.

    Returns:
        (256, 256, 3) uint8.

    Raises:
        ValueError: if the file is not a complete PNG, or not of the size and mode that QuadSim writes.
    """
    pixels, mode = read_png(file)
    height, width = pixels.shape[:2]
    if (width, height) != (IMAGE_PX, IMAGE_PX) or mode not in ("RGB", "RGBA"):
        raise ValueError(f"expected {IMAGE_PX}×{IMAGE_PX} RGB in {file}, got {width}×{height} {mode}")
    return pixels


def read_png(file: Path) -> tuple[np.ndarray, str]:
    """Read a PNG.

    Returns:
        The pixels, (H, W, 3) uint8, and the mode of the file.

    Raises:
        ValueError: if the file is not a complete PNG.
    """
    image = open_image(file, ("PNG",))
    try:
        with Image.open(file, formats=["PNG"]) as unverified:
            # Verifies the checksums, which decoding ignores: decoding accepted 10 % of files with one flipped bit.
            unverified.verify()
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise ValueError(f"expected a whole PNG in {file}, got: {error}") from error
    return np.asarray(image.convert("RGB")), image.mode
