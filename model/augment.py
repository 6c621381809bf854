"""Augmentations of one (image, class mask) pair; pure functions of a seeded generator."""

from typing import NamedTuple

import cv2
import numpy as np

from model.profile import Profile
from model.scoring import HERO, SURROUNDINGS

Pair = tuple[np.ndarray, np.ndarray]

# All values of a channel. Replacing them by a table of new values is faster than arithmetic on the whole image.
_LEVELS = np.arange(256, dtype=np.float32)


def shift_and_pad(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, most: float = 0.25) -> Pair:
    """Move the picture by up to `most` of its size each way; the new border is black surroundings.

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
    """Mirror left and right with probability 1/2; shapes as for `shift_and_pad`, the result may be a view."""
    if rng.random() < 0.5:
        return image[:, ::-1], mask[:, ::-1]
    return image, mask


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness (×0.55 to ×1.35) and contrast (×0.75 to ×1.25), as in shade and sun.

    Args:
        image: (H, W, 3) uint8.
        rng: drawn from twice.

    Returns:
        (H, W, 3) uint8.
    """
    brightness, contrast = rng.uniform(0.55, 1.35), rng.uniform(0.75, 1.25)
    table = (_LEVELS * brightness - 110) * contrast + 110
    return np.asarray(cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)))


def tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the colour of the light: each channel separately, ×0.92 to ×1.08.

    Args:
        image: (H, W, 3) uint8.
        rng: drawn from once.
    """
    gains = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    return np.asarray(cv2.LUT(image, np.clip(_LEVELS[:, None] * gains, 0, 255).astype(np.uint8)[None]))


def window(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, px: int, around: np.ndarray, largest: float = 1.35
) -> Pair:
    """Crop a random square window and resize it to (px, px).

    The scale is between px / H (the whole image) and `largest`.

    Args:
        image: (H, H, 3) uint8.
        mask: (H, H) uint8 class numbers.
        rng: random generator.
        px: output size, at most H.
        around: (H, H) bool; if any pixel is True, the window contains at least one of them. Resizing may still remove a
            figure that is one pixel wide.
        largest: magnification of the smallest window.

    Returns:
        (px, px, 3) uint8 and (px, px) uint8.
    """
    size = len(mask)
    side = round(px / np.exp(rng.uniform(np.log(px / size), np.log(largest))))
    corner = rng.integers(0, size - side + 1, 2)
    there = np.argwhere(around)
    if len(there):
        # A random pixel of `around` gets a random position in the window. The window stays within the image.
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
        image: (h, w, 3) uint8, the bounding box with the background.
        shape: (h, w) float32, 1 on the person, 0 elsewhere.
        class_number: class of the person.
    """

    image: np.ndarray
    shape: np.ndarray
    class_number: int


def cut_out(image: np.ndarray, mask: np.ndarray, class_number: int, least_px: int) -> list[Cutout]:
    """Cut out the connected figures that have at least `least_px` pixels and do not touch the image's edge.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        class_number: class to cut out.
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


def paste(
    image: np.ndarray,
    mask: np.ndarray,
    cutout: Cutout,
    area_px: float,
    rng: np.random.Generator,
    profile: Profile,
) -> Pair:
    """Paste a person as a far figure: scaled down, in sun or shade. People other than the hero are often half hidden.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8 class numbers.
        cutout: the person.
        area_px: area of the pasted figure, px; limited to the cutout's own area.
        rng: random generator.
        profile: whether the figure may be mirrored, and how much taller it may become.

    Returns:
        A new pair; the same pair if the person does not fit into the image.
    """
    factor = min(1.0, float(np.sqrt(area_px / cutout.shape.sum())))
    # The camera sees near people from above; the same people look taller and narrower from a distance.
    taller = np.exp(rng.uniform(0, profile.pasted_stretch)) if factor < 0.5 else 1.0
    h, w = (max(2, round(side * factor)) for side in (cutout.shape.shape[0] * taller, cutout.shape.shape[1] / taller))
    height, width = mask.shape
    if h >= height or w >= width:
        return image, mask
    # QuadSim renders some far figures smoothly and others with one sample per pixel.
    how = cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_NEAREST_EXACT
    cover = cv2.resize(cutout.shape, (w, h), interpolation=how)
    # Colour is multiplied by the shape before scaling, so that no background colour mixes in.
    person = cv2.resize(cutout.image * cutout.shape[..., None], (w, h), interpolation=how)
    if profile.is_mirrored and rng.random() < 0.5:
        cover, person = cover[:, ::-1], person[:, ::-1]
    # The hero is never half hidden. Otherwise a network accepts brown hair or trousers alone as the hero: this caused
    # nearly all false alarms of such a network.
    if cutout.class_number < HERO and rng.random() < 0.5:
        rows = _hidden_rows(h, rng)
        cover, person = cover.copy(), person.copy()
        cover[rows] = person[rows] = 0
    top, left = _place(mask, h, w, rng)
    box = (slice(top, top + h), slice(left, left + w))
    image, mask = image.copy(), mask.copy()
    shade = np.exp(rng.uniform(np.log(0.25), np.log(1.25)))
    image[box] = np.clip(image[box] * (1 - cover[..., None]) + person * shade, 0, 255).astype(np.uint8)
    mask[box][cover > 0.5] = cutout.class_number
    return image, mask


def _hidden_rows(h: int, rng: np.random.Generator) -> slice:
    """Rows of a figure to hide: up to half of its height, at its lower or its upper end."""
    hidden = rng.integers(0, max(1, h // 2))
    return slice(h - hidden, h) if rng.random() < 0.5 else slice(0, hidden)


def _place(mask: np.ndarray, h: int, w: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top left corner for a figure (h, w): with probability 0.7 at the height of another person, else anywhere."""
    height, width = mask.shape
    top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    rows = np.flatnonzero((mask != SURROUNDINGS).any(axis=1))
    if len(rows) and rng.random() < 0.7:
        top = int(np.clip(rng.choice(rows) - h // 2 + rng.integers(-6, 7), 0, height - h - 1))
    return top, left


def compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress an image as JPEG, quality 65 to 90. QuadSim does so, too, which blurs the colours of small objects."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(65, 91))])
    return cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
