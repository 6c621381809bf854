"""The files of a training set: `images/*.jpeg` and `masks/*.png` in pairs. Imports neither Keras nor TensorFlow."""

from pathlib import Path

IMAGE_PX = 256
JPEG_QUALITY = 75  # the original tool's
# Files under construction end with this; readers of a set ignore them.
PARTIAL = ".partial"


def partial_file(file: Path) -> Path:
    """Where to write a file before it gets its own name, so that a kill leaves no half-written file behind."""
    return file.with_name(f"{file.name}{PARTIAL}")
