"""Convert camera images to network input and masks to ground truth, for training, evaluation and the server.

Imports neither Keras nor TensorFlow.
"""

import io
import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Networks take RGB in [−1, 1], as the original tools trained them: (value − MEAN) / SCALE.
MEAN = 127.5
SCALE = 127.5

# A file of a few kilobytes may hold a picture of any size; QuadSim's has 256 × 256 pixels.
MOST_IMAGE_PX = 4096 * 4096


def open_image(file: Path, formats: tuple[str, ...] = ("JPEG", "PNG")) -> Image.Image:
    """Read an image file completely; its size is checked before it is decoded.

    Raises:
        ValueError: if it is not a whole image of one of the formats, too large, or of more than 8 bits in a channel of
            grey, of which Pillow would keep the darkest 256 values; the message names the file.
    """
    try:
        with Image.open(file, formats=formats) as image:
            if math.prod(image.size) > MOST_IMAGE_PX:
                raise ValueError(f"{image.width}×{image.height} pixels, more than {MOST_IMAGE_PX:,}")
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"grey of more than 8 bits ({image.mode})")
            image.load()
            return image
    # Pillow raises nearly anything on a broken file.
    except Exception as error:
        raise ValueError(f"expected a whole {' or '.join(formats)} in {file}, got: {error}") from error


def jpeg_of(image: Image.Image, quality: int) -> bytes:
    """Encode an image as JPEG. If Pillow wrote it to a file, a full disk would cut it off without an error."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def resize_rgb(image: Image.Image, px: int) -> np.ndarray:
    """Resize an image of any size and mode to (px, px, 3) uint8 RGB, with PIL's bilinear filter.

    PIL widens the filter for smaller sizes, so that thin far figures fade instead of vanishing.
    """
    rgb = image.convert("RGB")
    if rgb.size != (px, px):
        rgb = rgb.resize((px, px), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def normalise(images: np.ndarray) -> np.ndarray:
    """Map uint8 images (..., 3) to the float32 in [−1, 1] that networks take."""
    return (images.astype(np.float32) - MEAN) / SCALE


def resize_truth(mask: Image.Image, px: int) -> np.ndarray:
    """Resize a recorded mask to the ground truth of the original's score.

    Each channel is resized separately, as 0 and 1 with PIL's bilinear filter, which rounds: a pixel is set if the class
    covers about half of it or more. Where three classes meet, a pixel may have no class.

    Args:
        mask: RGB, channels surroundings, people, hero; above 0 for the pixels of the class.

    Returns:
        (px, px, 3) uint8, 0 or 1.
    """
    return resize_rgb(Image.fromarray(np.minimum(np.asarray(mask.convert("RGB")), 1)), px)


def resize_probabilities(probabilities: np.ndarray, px: int) -> np.ndarray:
    """Average probabilities (H, W, classes) down to (px, px, classes), or interpolate them bilinearly up."""
    if probabilities.shape[:2] == (px, px):
        return probabilities
    shrinks = px < probabilities.shape[0]
    return cv2.resize(probabilities, (px, px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
