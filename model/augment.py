"""Augmentations of one (image, class mask) pair; pure functions of a seeded generator."""

from typing import NamedTuple

import cv2
import numpy as np

from model.scoring import HERO, SURROUNDINGS

Pair = tuple[np.ndarray, np.ndarray]


def shift_and_pad(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, most: float = 0.25) -> Pair:
    """Move the picture by up to `most` of its size each way; what comes in is black surroundings.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        rng: drawn from twice.
        most: largest shift as a share of height and width, in [0, 1).

    Returns:
        The moved pair; the arguments are left as they were.
    """
    height, width = mask.shape
    down = int(rng.integers(-int(most * height), int(most * height) + 1))
    right = int(rng.integers(-int(most * width), int(most * width) + 1))
    moved_image = np.zeros_like(image)
    moved_mask = np.full_like(mask, SURROUNDINGS)
    source = (_kept(-down, height), _kept(-right, width))
    target = (_kept(down, height), _kept(right, width))
    moved_image[target] = image[source]
    moved_mask[target] = mask[source]
    return moved_image, moved_mask


def _kept(shift: int, size: int) -> slice:
    return slice(max(0, shift), min(size, size + shift))


def flip(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Mirror left and right, every other time: QuadSim's world has no handedness that a person shows."""
    if rng.random() < 0.5:
        return image[:, ::-1], mask[:, ::-1]
    return image, mask


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness (×0.55 to ×1.35) and contrast (×0.75 to ×1.25), as shade and sun do.

    Args:
        image: (H, W, 3) uint8.
        rng: drawn from twice.

    Returns:
        (H, W, 3) uint8, through one table of 256 entries.
    """
    brightness, contrast = rng.uniform(0.55, 1.35), rng.uniform(0.75, 1.25)
    level = np.arange(256, dtype=np.float32) * brightness
    table = np.clip((level - 110) * contrast + 110, 0, 255).astype(np.uint8)
    return table[image]


def tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the light's colour: each channel by itself, ×0.92 to ×1.08.

    Args:
        image: (H, W, 3) uint8.
        rng: drawn from once.
    """
    gains = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    return np.clip(image * gains, 0, 255).astype(np.uint8)


def window(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, px: int, around: int, largest: float = 1.35
) -> Pair:
    """Cut a square window and resize it to (px, px): what is in it grows by up to `largest` or shrinks to fit.

    Args:
        image: (H, H, 3) uint8.
        mask: (H, H) uint8 class numbers.
        rng: drawn from.
        px: size to resize to, at most H.
        around: a class that the window shows, if the image does; of a figure one pixel thin it may lose that one.
        largest: magnification of the smallest window.
    """
    size = len(mask)
    side = round(px / np.exp(rng.uniform(np.log(px / size), np.log(largest))))
    corner = rng.integers(0, size - side + 1, 2)
    there = np.argwhere(mask == around)
    if len(there):
        # One of its pixels lands anywhere in the window, as far as the image's edge allows.
        corner = np.clip(there[rng.integers(len(there))] - rng.integers(0, side, 2), 0, size - side)
    top, left = corner
    image, mask = image[top : top + side, left : left + side], mask[top : top + side, left : left + side]
    shrinks = side > px
    return (
        cv2.resize(image, (px, px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
        cv2.resize(mask, (px, px), interpolation=cv2.INTER_NEAREST_EXACT),
    )


class Cutout(NamedTuple):
    """A person cut from a frame.

    Args:
        image: (h, w, 3) uint8, the person's surroundings included.
        shape: (h, w) float32, 1 where the person is.
        class_number: what the person is labelled.
    """

    image: np.ndarray
    shape: np.ndarray
    class_number: int


def cut_out(image: np.ndarray, mask: np.ndarray, class_number: int, least_px: int) -> list[Cutout]:
    """Cut out what is large, whole and in one piece: connected, of `least_px` or more, off the image's edge.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        class_number: whom to cut out.
        least_px: smallest area, px.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((mask == class_number).astype(np.uint8))
    height, width = mask.shape
    found = []
    for label in range(1, count):
        left, top, w, h, area = boxes[label]
        if area < least_px or left == 0 or top == 0 or left + w == width or top + h == height:
            continue
        box = (slice(top, top + h), slice(left, left + w))
        found.append(Cutout(image[box].copy(), (labels[box] == label).astype(np.float32), class_number))
    return found


def paste(image: np.ndarray, mask: np.ndarray, cutout: Cutout, area_px: float, rng: np.random.Generator) -> Pair:
    """Paste a person as one who stands far away: shrunk, in sun or shade; others are often half hidden.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        cutout: whom.
        area_px: how many pixels they shall have, at most as many as they were cut out with.
        rng: drawn from.

    Returns:
        A new pair; the pair is returned as it was where the person does not fit in.
    """
    factor = min(1.0, float(np.sqrt(area_px / cutout.shape.sum())))
    # Who is near is seen from above; from afar the same person is taller and narrower.
    taller = np.exp(rng.uniform(0, 0.35)) if factor < 0.5 else 1.0
    h, w = (max(2, round(side * factor)) for side in (cutout.shape.shape[0] * taller, cutout.shape.shape[1] / taller))
    height, width = mask.shape
    if h >= height or w >= width:
        return image, mask
    # QuadSim draws far figures now smooth, now by single samples.
    how = cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_NEAREST_EXACT
    cover = cv2.resize(cutout.shape, (w, h), interpolation=how)
    # Shrunk as "colour times cover", so that what stood around the person stays behind.
    person = cv2.resize(cutout.image * cutout.shape[..., None], (w, h), interpolation=how)
    if rng.random() < 0.5:
        cover, person = cover[:, ::-1], person[:, ::-1]
    # Half a hero is not shown: brown hair or trousers alone, taken for the hero, were nearly all of the false alarms.
    if cutout.class_number != HERO and rng.random() < 0.5:
        hidden = rng.integers(0, max(1, h // 2))
        rows = slice(h - hidden, h) if rng.random() < 0.5 else slice(0, hidden)
        cover, person = cover.copy(), person.copy()
        cover[rows] = person[rows] = 0
    top, left = _place(mask, h, w, rng)
    box = (slice(top, top + h), slice(left, left + w))
    image, mask = image.copy(), mask.copy()
    shade = np.exp(rng.uniform(np.log(0.25), np.log(1.25)))
    image[box] = np.clip(image[box] * (1 - cover[..., None]) + person * shade, 0, 255).astype(np.uint8)
    mask[box][cover > 0.5] = cutout.class_number
    return image, mask


def _place(mask: np.ndarray, h: int, w: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top left corner for a figure (h, w): mostly as high in the image as others stand, else anywhere."""
    height, width = mask.shape
    top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    rows = np.flatnonzero((mask != SURROUNDINGS).any(axis=1))
    if len(rows) and rng.random() < 0.7:
        top = int(np.clip(rng.choice(rows) - h // 2 + rng.integers(-6, 7), 0, height - h - 1))
    return top, left


def compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send an image through JPEG of quality 65 to 90, as QuadSim does: it washes out the colours of small things."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(65, 91))])
    return cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
