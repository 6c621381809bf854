"""The files of a set that `tools/export_dataset.py` makes."""

import io
import math
from pathlib import Path

from PIL import Image

from model.images import jpeg_of
from model.pair_files import IMAGE_PX, JPEG_QUALITY, replace_file
from server.sight.images import LARGEST_IMAGE_PX, decode_rgb

TARGET = "target.txt"  # in the set's folder


def note_target(out: Path, target: str) -> None:
    """Write the name of the target that a set's masks show, or compare it with the name that is there.

    Raises:
        OSError: if it cannot be written.
        ValueError: if the set has another target: all its masks have the target in the class of the hero.
    """
    file = out / TARGET
    if not file.exists():
        replace_file(file, f"{target}\n".encode())
    elif (noted := file.read_text("utf-8", errors="replace").removesuffix("\n")) != target:
        raise ValueError(
            f"expected --target {noted}, which the masks in {out} show, got {target}: choose another --out"
        )


def dataset_image(file: bytes) -> bytes:
    """A camera image as a JPEG file of the dataset's size; unchanged if it is one already.

    Raises:
        ValueError: if it is not an image that the server would take.
    """
    pixels, size = decode_rgb(file, IMAGE_PX)
    if not file.startswith(b"\x89PNG") and size == (IMAGE_PX, IMAGE_PX):
        return file
    return jpeg_of(Image.fromarray(pixels), JPEG_QUALITY)


def dataset_mask(file: bytes) -> bytes:
    """A recorded mask, (px, px) RGB of any size, as a PNG file of the dataset's size; classes are not mixed.

    Raises:
        ValueError: if it is not a PNG of a sane size.
    """
    resized = io.BytesIO()
    try:
        with Image.open(io.BytesIO(file), formats=["PNG"]) as mask:
            if math.prod(mask.size) > LARGEST_IMAGE_PX:
                raise ValueError(f"{mask.size[0]}×{mask.size[1]} pixels")
            mask.convert("RGB").resize((IMAGE_PX, IMAGE_PX), Image.Resampling.NEAREST).save(resized, "PNG")
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise ValueError(f"expected a mask, a PNG of at most {LARGEST_IMAGE_PX} pixels, got {error}") from error
    return resized.getvalue()
