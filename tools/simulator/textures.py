"""Procedural textures: (H, W, 3) uint8 RGB that repeat without a seam, from a random generator."""

import math

import cv2
import numpy as np

TILE_M = 6.0
"""Size of a texture on the ground."""
TILE_PX = 512
FACADE_M = (3.2, 3.1)
"""Width and height of a window with the wall around it."""

PLASTER = ((0.60, 0.42, 0.34), (0.78, 0.78, 0.74), (0.47, 0.33, 0.42), (0.55, 0.58, 0.60), (0.42, 0.30, 0.26))
"""Colours of the houses, by style, 0–1."""


def grass(rng: np.random.Generator) -> np.ndarray:
    """Bright green with darker tufts."""
    blades = _noise(rng, TILE_PX, 1.2) * 0.09 + _noise(rng, TILE_PX, 4.0) * 0.06 + _noise(rng, TILE_PX, 40.0) * 0.05
    return _coloured((66, 116, 4), 1.0 + blades)


def paving(rng: np.random.Generator) -> np.ndarray:
    """Light grey slabs of different sizes and tones, with darker joints."""
    slab, is_joint = _slabs(rng, 14)
    tones = np.clip(rng.normal(177, 29, slab.max() + 1), 125, 245) / 177
    tone = tones[slab] * (1.0 + 0.05 * _noise(rng, TILE_PX, 2.0) + 0.05 * _noise(rng, TILE_PX, 12.0))
    return _coloured((178, 177, 172), np.where(is_joint, 0.72 * tone, tone))


def asphalt(rng: np.random.Generator) -> np.ndarray:
    """Dark grey, grainy, with wide stains."""
    return _coloured((72, 70, 67), 1.0 + 0.07 * _noise(rng, TILE_PX, 1.0) + 0.06 * _noise(rng, TILE_PX, 30.0))


def plain(rng: np.random.Generator, colour: tuple[float, float, float], grain: float) -> np.ndarray:
    """A single colour (0–255) with noise of standard deviation `grain` (0–1)."""
    return _coloured(colour, 1.0 + grain * (_noise(rng, TILE_PX, 1.5) + _noise(rng, TILE_PX, 12.0)))


def facade(rng: np.random.Generator, style: int) -> np.ndarray:
    """A window in a plastered wall, (128, 128, 3)."""
    size = 128
    wall = _coloured(tuple(255 * part for part in PLASTER[style]), 1.0 + 0.05 * _noise(rng, size, 2.0))
    if style % 2 == 0:
        wall[::16] = wall[::16] * 0.8  # courses of stone
    left, right, top, bottom = 42, 86, 26, 92
    frame = np.array([205, 200, 190]) if style != 1 else np.array([150, 150, 150])
    wall[top - 6 : bottom + 6, left - 6 : right + 6] = frame * 0.9
    wall[bottom + 6 : bottom + 10, left - 10 : right + 10] = frame
    glass = np.linspace(55, 30, bottom - top)[:, np.newaxis, np.newaxis] * [0.9, 1.0, 1.15]
    wall[top:bottom, left:right] = glass
    wall[top:bottom, 62:66] = frame * 0.75
    wall[(top + bottom) // 2 - 10 : (top + bottom) // 2 - 6, left:right] = frame * 0.75
    wall[-6:] = np.clip(wall[-6:] * 1.12, 0, 255)
    return wall


def stones(rng: np.random.Generator) -> np.ndarray:
    """Rough stones of a wall or a plinth, (128, 128, 3)."""
    slab, is_joint = _slabs(rng, 9)
    tones = rng.uniform(0.6, 1.25, slab.max() + 1)
    tone = np.where(is_joint, 0.5, tones[slab]) * (1.0 + 0.1 * _noise(rng, TILE_PX, 3.0))
    return cv2.resize(_coloured((104, 104, 110), tone), (128, 128), interpolation=cv2.INTER_AREA)


def roofing(rng: np.random.Generator) -> np.ndarray:
    """Grey sheets with seams, (64, 64, 3)."""
    tone = 1.0 + 0.08 * _noise(rng, 64, 4.0)
    tone[:, ::16] *= 0.7
    tone[:, 1::16] *= 1.2
    return _coloured((128, 132, 142), tone)


def bark(rng: np.random.Generator) -> np.ndarray:
    """Pale grey with dark stains along the trunk, (64, 64, 3)."""
    stains = cv2.resize(_noise(rng, 64, 3.0)[:16], (64, 64))
    return _coloured((140, 138, 140), 1.0 + 0.2 * stains)


def cloth(rng: np.random.Generator) -> np.ndarray:
    """Folds of cloth and locks of hair, (64, 64, 3): grey around 200, to multiply by a colour."""
    folds = _noise(rng, 64, 1.0) * 0.07 + _noise(rng, 64, 3.0) * 0.1
    return _coloured((208, 208, 208), 1.0 + folds)


def sky(rng: np.random.Generator) -> np.ndarray:
    """Panorama of the sky, (256, 1024, 3): rows from 90° to −10° elevation, columns by yaw; blue with clouds."""
    clouds = np.zeros((256, 1024))
    for weight, scale_px in ((1.0, 60.0), (0.6, 24.0), (0.35, 9.0), (0.2, 3.0)):
        clouds += weight * _smoothed(rng.normal(size=clouds.shape), scale_px)
    cover = np.clip(clouds * 0.55 + 0.35, 0.0, 1.0)[..., np.newaxis]
    elevation = np.linspace(90, -10, 256)[:, np.newaxis, np.newaxis] / 90
    blue = np.array([96, 130, 190]) * (1 - 0.35 * elevation) + np.array([60, 50, 25]) * np.clip(0.5 - elevation, 0, 1)
    white = 232 - 60 * np.clip(clouds[..., np.newaxis] - 0.9, 0, 1)
    return np.clip(blue * (1 - cover) + white * cover, 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, size: int, scale_px: float) -> np.ndarray:
    """Smooth periodic noise, (size, size), with mean 0 and standard deviation 1."""
    return _smoothed(rng.normal(size=(size, size)), scale_px)


def _smoothed(noise: np.ndarray, scale_px: float) -> np.ndarray:
    """Blur with a Gaussian in the spectrum, so that opposite edges match."""
    rows, columns = noise.shape
    spectrum = np.fft.rfft2(noise)
    for axis, frequency in ((0, np.fft.fftfreq(rows)), (1, np.fft.rfftfreq(columns))):
        gain = np.exp(-2 * (math.pi * scale_px) ** 2 * frequency**2)
        spectrum *= np.expand_dims(gain, 1 - axis)
    smooth = np.fft.irfft2(spectrum, s=noise.shape)
    return (smooth - smooth.mean()) / smooth.std()


def _coloured(colour: tuple[float, ...], tone: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(colour) * tone[..., np.newaxis], 0, 255).astype(np.uint8)


def _slabs(rng: np.random.Generator, across: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide a tile into rectangular slabs of different sizes, `across` of the smallest per side.

    Returns:
        (TILE_PX, TILE_PX) int, number of the slab; and bool, whether a pixel is in a joint.
    """
    owner = -np.ones((across, across), int)
    count = 0
    for row in range(across):
        for column in range(across):
            if owner[row, column] >= 0:
                continue
            high, wide = ((1, 2), (2, 1), (1, 1), (2, 2), (1, 2), (2, 3))[rng.integers(6)]
            rows, columns = (row + np.arange(high)) % across, (column + np.arange(wide)) % across
            patch = owner[np.ix_(rows, columns)]
            owner[np.ix_(rows, columns)] = np.where(patch < 0, count, patch)
            count += 1
    # The lines of the grid have irregular distances.
    cuts = np.cumsum(rng.uniform(0.7, 1.3, across))
    lines = np.floor(cuts / cuts[-1] * TILE_PX).astype(int)
    cell = np.searchsorted(lines, np.arange(TILE_PX), side="right").clip(0, across - 1)
    slab = owner[np.ix_(cell, cell)]
    edge = (slab != np.roll(slab, 1, axis=0)) | (slab != np.roll(slab, 1, axis=1))
    return slab, cv2.dilate(edge.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
