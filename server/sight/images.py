"""Decode camera and depth images, which may come from any client, to arrays.

`plain_image` first removes everything but the picture from a file. So decoding costs no more than its pixels do.
"""

import errno
import io
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from model.images import resize_rgb
from server.sight.plain_image import PlainImage, UnusualImageError, plain_image
from server.wire.messages import BadFrameError, shorten

SMALLEST_IMAGE_PX = 16
# QuadSim sends 256 × 256. No camera of ours sends a larger image than this; decoding it takes 5 ms or more.
LARGEST_IMAGE_PX = 640 * 480
MOST_ELONGATED = 4.0

# Load the decoders now. Pillow would load them with the first image, and fail if no file descriptor is free then.
Image.preinit()
# Errors of the operating system, which no image causes.
_OUR_TROUBLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

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
        BadFrameError: if it is not a whole, plain JPEG or PNG of a sane size.
        OSError: if this machine is out of file descriptors.
        MemoryError: if it is out of memory.
    """
    return _decode("rgb_image", file, lambda image: (resize_rgb(image, px), Size(*image.size)))


def decode_depth(file: bytes) -> np.ndarray:
    """Decode a depth image.

    Returns:
        (H, W) uint8: round(255 · depth / far), of the red channel.

    Raises:
        BadFrameError, OSError, MemoryError: as `decode_rgb`.
    """
    return _decode("depth_image", file, lambda image: np.asarray(image.getchannel(0)))


def _decode(field: str, file: bytes, convert: Callable[[Image.Image], Decoded]) -> Decoded:
    try:
        plain = plain_image(file)
        _check_size(field, plain)
        with Image.open(io.BytesIO(plain.file), formats=(plain.kind,)) as opened:
            image: Image.Image = opened
            if image.mode in ("P", "1"):
                image = image.convert("RGBA")
            return convert(image)
    except (BadFrameError, MemoryError):
        raise
    except UnusualImageError as error:
        raise BadFrameError(field, error.expected, error.received) from error
    except Exception as error:  # Pillow raises nearly anything on a broken file
        if isinstance(error, OSError) and error.errno in _OUR_TROUBLES:
            raise
        expected = "a JPEG or PNG that can be decoded"
        raise BadFrameError(field, expected, f"{shorten(file, 12)}: {str(error)[:80]}") from error


def _check_size(field: str, image: PlainImage) -> None:
    width, height = image.width_px, image.height_px
    if min(width, height) < SMALLEST_IMAGE_PX or width * height > LARGEST_IMAGE_PX:
        expected = f"an image of at least {SMALLEST_IMAGE_PX} px and at most {LARGEST_IMAGE_PX} pixels"
        raise BadFrameError(field, expected, f"{width}×{height}")
    if not 1 / MOST_ELONGATED <= width / height <= MOST_ELONGATED:
        raise BadFrameError(field, f"a shape of at most {MOST_ELONGATED:g}:1", f"{width}×{height}")
