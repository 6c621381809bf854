"""Depth and number of what is drawn, encoded as colours: Panda3D's software renderer does not return depth.

A texture has a column for each step of depth and a row for each number.
"""

from typing import Any

import numpy as np
import panda3d.core as panda

MOST_LOOKS = 61
"""Most people in a scene, with the hero."""

_DEPTH_STEPS = 2048
_NUMBERS = 64
SOLID, LEAF, _NOTHING = 0, MOST_LOOKS + 1, MOST_LOOKS + 2
"""Numbers of objects, of leaves and of empty pixels; those between are people, from 1 on."""


def number_texture() -> Any:
    """Make the texture whose column s encodes step s in red (upper five bits) and green (lower six), row t in blue.

    Each value is shifted up and centred in its step, so that rounding does not change it.
    """
    image = np.full((_NUMBERS, _DEPTH_STEPS, 4), 255, np.uint8)
    step = np.arange(_DEPTH_STEPS)
    image[..., 2], image[..., 1] = (step >> 6) * 8 + 4, (step & 63) * 4 + 2
    image[..., 0] = (np.arange(_NUMBERS) * 4 + 2)[:, np.newaxis]
    texture = panda.Texture("numbers")
    texture.setup2dTexture(_DEPTH_STEPS, _NUMBERS, panda.Texture.TUnsignedByte, panda.Texture.FRgba)
    texture.setRamImage(image.tobytes())
    texture.setMinfilter(panda.SamplerState.FTNearest)
    texture.setMagfilter(panda.SamplerState.FTNearest)
    texture.setWrapU(panda.SamplerState.WMClamp)
    texture.setWrapV(panda.SamplerState.WMClamp)
    return texture


def texture_row(number: Any) -> Any:
    """Texture coordinate of the row of a number, or of an array of them."""
    return (number + 0.5) / _NUMBERS


def depth_and_number(transform: np.ndarray, number: int, far_m: float) -> Any:
    """Transform from world points to texture coordinates: depth as a share of the far depth, and a constant row."""
    forward, place = transform[:3, 0], transform[:3, 3]
    rows = np.zeros((4, 4))
    rows[0] = np.append(forward, -forward @ place) / far_m
    rows[1, 3] = texture_row(number)
    rows[2, 2] = rows[3, 3] = 1.0
    return panda.TransformState.makeMat(panda.LMatrix4(*rows.T.ravel().tolist()))


def decode(image: np.ndarray, far_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode an image that was drawn with the texture.

    Args:
        image: (px, px, 3) uint8 RGB.
        far_m: the depth at the last step.

    Returns:
        (px, px) uint8 numbers; (px, px) float32 depths in metres; (px, px) bool, whether anything nearer than the last
        step is drawn there.
    """
    number = image[..., 2] >> 2
    step = (image[..., 0].astype(np.int32) >> 3) * (_DEPTH_STEPS // 32) + (image[..., 1] >> 2)
    depth_m = (step + np.float32(0.5)) * np.float32(far_m / _DEPTH_STEPS)
    return number, depth_m, is_numbered(image) & (step < _DEPTH_STEPS - 1)


def is_numbered(image: np.ndarray) -> np.ndarray:
    """(px, px) bool: where anything is drawn at all, at any depth."""
    return image[..., 2] >> 2 != _NOTHING
