"""Encoded images of a grey scene with a red square, which `ColourEngine` takes for the hero."""

import io

import numpy as np
from PIL import Image

from support.fake_engine import GREY, RED


def encoded(colour=GREY, size=(256, 256), kind="JPEG", mode="RGB") -> bytes:
    """A file whose red square covers 1/3 to 1/2 of the image each way."""
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    image[size[1] // 3 : size[1] // 2, size[0] // 3 : size[0] // 2] = RED
    return saved(Image.fromarray(image).convert(mode), kind)


def plain(colour=GREY) -> bytes:
    """A file of one colour."""
    return saved(Image.new("RGB", (256, 256), colour), "JPEG")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """An image's file, written with Pillow's options."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
