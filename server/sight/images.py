"""From encoded images, which may come from anybody, to arrays.

A decoder is only trusted with a file that could come from a camera: a JPEG or PNG of a sane size and few parts.
"""

import io
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from model.images import resize_rgb
from server.wire.messages import BadFrameError, shorten

FORMATS = ("JPEG", "PNG")
SMALLEST_IMAGE_PX = 16
# QuadSim sends 256 × 256. A larger image than this comes from no camera of ours and costs much work.
LARGEST_IMAGE_PX = 1024 * 1024
MOST_ELONGATED = 4.0
# A baseline JPEG has one scan for each channel, and its thumbnail as many. An empty scan costs as much as a full one.
MOST_SCANS = 8

Decoded = TypeVar("Decoded")


class Size(NamedTuple):
    """Size of an image as received."""

    width_px: int
    height_px: int

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width_px / self.height_px

    def __str__(self) -> str:
        return f"{self.width_px}×{self.height_px}"


def decode_rgb(file: bytes, px: int) -> tuple[np.ndarray, Size]:
    """Decode a camera image to the network's size.

    Returns:
        (px, px, 3) uint8 RGB, and the size of the image as received.

    Raises:
        BadFrameError: if it is not a whole JPEG or PNG of a sane size.
    """
    return _decode("rgb_image", file, lambda image: (resize_rgb(image, px), Size(*image.size)))


def decode_depth(file: bytes) -> np.ndarray:
    """Decode a depth image.

    Returns:
        (H, W) uint8: round(255 · depth / far), of the red channel.

    Raises:
        BadFrameError: if it is not a whole JPEG or PNG of a sane size.
    """
    return _decode("depth_image", file, lambda image: np.asarray(image.getchannel(0)))


def _decode(field: str, file: bytes, convert: Callable[[Image.Image], Decoded]) -> Decoded:
    expected = f"a whole JPEG or PNG of at least {SMALLEST_IMAGE_PX} px and at most {LARGEST_IMAGE_PX} pixels"
    try:
        if file.count(b"iCCP") > 1:  # before it is opened, for opening decompresses each
            raise BadFrameError(field, "a PNG of one colour profile at most", f"{file.count(b'iCCP')}")
        with Image.open(io.BytesIO(file), formats=FORMATS) as opened:
            image: Image.Image = opened
            _check_header(field, image, expected)
            # A file of many parts can cost a thousand times what its size suggests. QuadSim sends plain ones.
            scans = file.count(b"\xff\xda") if image.format == "JPEG" else 0
            if scans > MOST_SCANS:
                raise BadFrameError(field, f"a JPEG of at most {MOST_SCANS} scans", str(scans))
            if image.mode in ("P", "1"):
                image = image.convert("RGBA")
            return convert(image)
    except BadFrameError:
        raise
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise BadFrameError(field, expected, f"{shorten(file, 12)}: {str(error)[:80]}") from error


def _check_header(field: str, image: Image.Image, expected: str) -> None:
    """Refuse an image for its header, before anything is decompressed."""
    width, height = image.size
    if image.format not in FORMATS:  # Pillow opens a JPEG of several pictures as an MPO
        raise BadFrameError(field, "a plain JPEG or PNG", f"{image.format}")
    if min(image.size) < SMALLEST_IMAGE_PX or width * height > LARGEST_IMAGE_PX:
        raise BadFrameError(field, expected, f"{width}×{height}")
    if not 1 / MOST_ELONGATED <= width / height <= MOST_ELONGATED:
        raise BadFrameError(field, f"a shape of at most {MOST_ELONGATED:g}:1", f"{width}×{height}")
    if image.info.get("progressive"):
        raise BadFrameError(field, "a baseline JPEG", "a progressive one")
    if image.mode.startswith(("I", "F")):
        raise BadFrameError(field, "8 bits a channel", f"an image of Pillow's mode {image.mode}")
