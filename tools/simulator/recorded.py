"""Read folders of recorded images as frames to play; adds synthetic depth if they have none."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from model.images import open_image
from model.pair_files import IMAGE_ENDINGS, MASK_ENDINGS, is_depth_layer, list_files, pair_up
from model.scoring import EXAM_FOLDER
from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import Pose
from tools.simulator.frames import ground_depth_m, put_people_on_ground
from tools.simulator.server_process import REPOSITORY

CAMERA_POSE = Pose(x_m=0.0, y_m=0.0, z_m=3.0, roll_deg=0.0, pitch_deg=30.0, yaw_deg=0.0)
"""Assumed pose of the camera, which recordings lack: it puts the followed hero on the ground with a height of 1.7 m."""

PLAYED_ENDINGS = (*IMAGE_ENDINGS, ".png")
_IMAGE_FOLDERS = ("images", "IMG")


class PlayedFrame(NamedTuple):
    """A frame to send.

    Args:
        name: name of the image file.
        image: bytes of a JPEG file, or (H, W, 3) uint8 RGB.
        depth_m: (H, W) float planar depth, metres, infinite where there is nothing; None for a frame without depth.
        gimbal_pose: pose of the camera, world frame.
    """

    name: str
    image: bytes | np.ndarray
    depth_m: np.ndarray | None
    gimbal_pose: Pose


class UnreadableImageError(ValueError):
    """A file that is not a readable image; the message names it."""


def dataset_directory() -> Path | None:
    """Find the recorded dataset: $FOLLOWME_DATA, or else `shared/data` beside the project; None if there is none."""
    directory = Path(os.environ.get("FOLLOWME_DATA") or REPOSITORY.parent / "shared" / "data")
    return directory if (directory / EXAM_FOLDER).is_dir() else None


def image_files(directory: Path) -> list[Path]:
    """List the colour images of a folder in order: its own, or those of its `images/` (dataset) or `IMG/` (recording).

    Raises:
        FileNotFoundError: if the folder or an image in it is missing.
    """
    inner = next((directory / name for name in _IMAGE_FOLDERS if (directory / name).is_dir()), directory)
    if not inner.is_dir():
        raise FileNotFoundError(f"expected a folder of images, found none at {directory}")
    files = list_files(inner, PLAYED_ENDINGS)
    if any(file.name.startswith("cam1_") for file in files):
        files = [file for file in files if not is_depth_layer(file)]
    if not files:
        raise FileNotFoundError(f"expected images ({', '.join(PLAYED_ENDINGS)}) in {inner}, got none")
    return files


def mask_files(files: Sequence[Path]) -> dict[Path, Path]:
    """Find the masks of a dataset's images, in `masks/` beside `images/`; empty without images or masks.

    Raises:
        ValueError: if images and masks do not pair up, as `pair_up`.
    """
    if not files:
        return {}
    images = files[0].parent
    masks = images.parent / "masks"
    if images.name != "images" or not masks.is_dir():
        return {}
    return dict(pair_up(list_files(images, PLAYED_ENDINGS), list_files(masks, MASK_ENDINGS)))


def read_frames(
    files: Iterable[Path], masks: dict[Path, Path] | None = None
) -> Iterator[PlayedFrame | UnreadableImageError]:
    """Read images lazily; an unreadable image is yielded as its error.

    Args:
        files: images of any size; those of another size than 256×256 are cut to a square and resized.
        masks: image → mask, of images that have a mask. In the depth, a mask's people stand upright on the ground.
    """
    ground_m = ground_depth_m(QUADSIM_CAMERA, CAMERA_POSE)
    for file in files:
        try:
            depth_m = _recorded_depth_m(file)
            if depth_m is None:
                mask = (masks or {}).get(file)
                depth_m = ground_m if mask is None else _with_people(ground_m, mask)
            yield PlayedFrame(file.name, _read_image(file), depth_m, CAMERA_POSE)
        except UnreadableImageError as error:
            yield error


def _read_image(file: Path) -> bytes | np.ndarray:
    """Read an image: an upright JPEG of QuadSim's size as bytes, any other as 256×256 RGB."""
    size_px = QUADSIM_CAMERA.image_px
    image = _open(file)
    seen = upright(image)
    if image.format == "JPEG" and image.size == (size_px, size_px) and seen is image:
        return file.read_bytes()
    return np.asarray(ImageOps.fit(seen.convert("RGB"), (size_px, size_px)))


def upright(image: Image.Image) -> Image.Image:
    """An image as viewers show it: a camera that is turned stores lying images, and notes how it was held (EXIF)."""
    try:
        is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if is_turned else image
    except Exception:  # Pillow raises nearly anything on damaged notes, without which the image is as good
        return image


def _recorded_depth_m(file: Path) -> np.ndarray | None:
    """Depth for `cam1_…png` of a raw recording: the nearest of its three depth layers; None for other files."""
    if not file.name.startswith("cam1_"):
        return None
    layers = [file.with_name(f"cam{number}_{file.name[5:]}") for number in (2, 3, 4)]
    if not all(layer.is_file() for layer in layers):
        return None
    depths = [np.asarray(_open(layer).convert("L")) for layer in layers]
    if len({depth.shape for depth in depths}) > 1:
        raise UnreadableImageError(f"expected depth layers of one size beside {file}, got several")
    nearest = np.minimum.reduce(depths)
    return np.where(nearest < 255, nearest * (QUADSIM_CAMERA.far_m / 255), np.inf)


def _with_people(ground_m: np.ndarray, mask_file: Path) -> np.ndarray:
    mask = np.asarray(_open(mask_file).convert("RGB").resize(ground_m.shape[::-1]))
    is_person = (mask[..., 1] > 127) | (mask[..., 2] > 127)
    return put_people_on_ground(ground_m, is_person, QUADSIM_CAMERA, CAMERA_POSE)


def _open(file: Path) -> Image.Image:
    try:
        return open_image(file)
    except ValueError as error:
        raise UnreadableImageError(str(error)) from error
