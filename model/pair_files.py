"""The files of a training set: `images/*.jpeg` (or `.jpg`) and `masks/*.png`, paired by sorted order.

Every reader of image files lists them here, so that all of them ignore the same files. Imports neither Keras nor
TensorFlow.
"""

import re
from collections.abc import Collection, Sequence
from itertools import zip_longest
from pathlib import Path

from model.folders import check_folder, write_whole

IMAGE_PX = 256
JPEG_QUALITY = 75  # the original tool's
IMAGE_ENDINGS, MASK_ENDINGS = (".jpeg", ".jpg"), (".png",)
# Files under construction end with this; readers of a set ignore them.
PARTIAL = ".partial"

PathPair = tuple[Path, Path]

# Files of file managers and archives. Names that begin with a dot are ignored, too: .DS_Store and macOS's `._NAME`.
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")
# The number of a file's recording, with which the original tool's names begin: 0_run1_cam1_00000.jpeg.
_FOLD = re.compile(r"\d+_")
_DEPTH_LAYER = re.compile(r".*cam[234]_\d{5,}\.png")


def partial_file(file: Path) -> Path:
    """Where to write a file before it gets its own name, so that a kill leaves no half-written file behind."""
    return file.with_name(f"{file.name}{PARTIAL}")


def replace_file(file: Path, content: bytes) -> None:
    """Write a file as `write_whole` does."""
    write_whole(file, lambda part: part.write_bytes(content))


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name comes from a file manager or an archive."""
    return name.startswith(".") or name.lower() in _LITTER


def is_depth_layer(file: Path) -> bool:
    """Whether a file has the name of a depth layer of QuadSim's raw format, with or without a prefix."""
    return _DEPTH_LAYER.fullmatch(file.name) is not None


def list_files(folder: Path, endings: Collection[str]) -> list[Path]:
    """List the files of a folder with these endings in order, without litter.

    Args:
        folder: the folder; the list is empty if it does not exist.
        endings: in lower case, with their dot; the files may have them in upper case.
    """
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in entries if file.suffix.lower() in endings and not is_litter(file.name))


def frame_number(file: Path) -> str | None:
    """Number of a file's frame: the last five or more digits in a row in its name, else the last digits; or None."""
    return (re.findall(r"\d{5,}", file.stem) or re.findall(r"\d+", file.stem) or [None])[-1]


def _can_pair(image: Path, mask: Path) -> bool:
    """Whether two files may be of the same frame: same frame number and, if both names have a fold, the same fold."""
    folds = {match[0] for file in (image, mask) if (match := _FOLD.match(file.name))}
    return frame_number(image) == frame_number(mask) and len(folds) < 2


def list_pairs(folder: Path) -> list[PathPair]:
    """Pair the images of a set with their masks.

    Raises:
        OSError: if the folder does not exist.
        ValueError: if it holds no image, or as `pair_up`.
    """
    check_folder(folder / "images")
    images = list_files(folder / "images", IMAGE_ENDINGS)
    if not images:
        raise ValueError(f"expected {folder / 'images'} to hold *.jpeg files, found none")
    return pair_up(images, list_files(folder / "masks", MASK_ENDINGS))


def pair_up(images: Sequence[Path], masks: Sequence[Path]) -> list[PathPair]:
    """Pair images with masks, both in sorted order.

    Raises:
        ValueError: if an image or a mask is alone, the files of a pair have different recordings or frame numbers, or
            the original tool has left its depth layers among the masks; the message names the file.
    """
    stems = {image.stem for image in images}
    for mask in masks:
        if is_depth_layer(mask) and mask.stem not in stems:
            raise ValueError(
                f"expected only masks in {mask.parent}, got {mask.name}, a depth layer that an interrupted run of the "
                "original tool left: delete its cam2_, cam3_ and cam4_ files, or make the set again in a new folder"
            )
    pairs = []
    for position, (image, mask) in enumerate(zip_longest(images, masks)):
        if image is None or mask is None or not _can_pair(image, mask):
            raise ValueError(_without_partner(images[position:], masks[position:]))
        pairs.append((image, mask))
    return pairs


def _without_partner(images: Sequence[Path], masks: Sequence[Path]) -> str:
    """Say which file lacks its partner: the first image or the first mask, which do not fit each other."""
    if not masks or (len(images) > 1 and _can_pair(images[1], masks[0])):
        return f"expected a mask for each image, found none for {images[0]}"
    if not images or (len(masks) > 1 and _can_pair(images[0], masks[1])):
        return f"expected an image for each mask, found none for {masks[0]}"
    return f"expected a mask of {images[0].name} next in {masks[0].parent}, got {masks[0].name}"
