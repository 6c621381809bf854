"""Masks and a network's probabilities drawn by hand, at the network's 160 px; depth at the camera's 256."""

import numpy as np

NETWORK_PX = 160


def mask_of(*rectangles: tuple[int, int, int, int], shape: tuple[int, int] = (NETWORK_PX, NETWORK_PX)) -> np.ndarray:
    """True in the given (top, left, bottom, right), the last two exclusive."""
    mask = np.zeros(shape, dtype=bool)
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = True
    return mask


def depth_of(level: int, size: int = 256) -> np.ndarray:
    """A depth image of one level."""
    return np.full((size, size), level, dtype=np.uint8)


def probabilities_of(hero: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) float32: surroundings, people, hero, from the probabilities (or masks) of the last two."""
    hero = hero.astype(np.float32)
    others = np.zeros_like(hero) if others is None else others.astype(np.float32)
    return np.stack([1 - hero - others, others, hero], axis=-1)
