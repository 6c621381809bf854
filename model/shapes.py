"""Masks as COCO writes them: runs of pixels, and polygons along the pixels' edges. Both keep every pixel.

Polygons are in continuous pixel coordinates, x right, y down: pixel (row, column) covers [column, column + 1] ×
[row, row + 1]. A pixel belongs to a polygon if its centre does.

Source of the runs: COCO's own library, pycocotools (`maskApi.c`): column by column, the first run is outside. Packed,
each run is a number in characters of 5 bits each; from the fourth run on, it is the difference from the run two before.
"""

from collections.abc import Sequence

import cv2
import numpy as np

Point = tuple[int, int]


def runs_of(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a mask, (H, W) bool, column by column. The first run is outside; its length may be 0."""
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff(changes, prepend=0, append=mask.size).tolist()


def mask_of_runs(runs: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of runs as `runs_of` gives them.

    Raises:
        ValueError: if they do not fill the mask exactly.
    """
    total = shape[0] * shape[1]
    if min(runs, default=-1) < 0 or sum(runs) != total:
        raise ValueError(f"expected runs of {total} pixels together")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(shape, order="F")


def unpacked(text: str) -> list[int]:
    """Runs from their packed form.

    Raises:
        ValueError: if the text is not packed runs.
    """
    runs: list[int] = []
    value = bits = 0
    for character in text:
        chunk = ord(character) - 48
        if not 0 <= chunk < 64 or bits > 30:
            raise ValueError("expected packed runs")
        value |= (chunk & 31) << bits
        bits += 5
        if chunk & 32:  # more to come
            continue
        if chunk & 16:  # negative
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = bits = 0
    if bits:
        raise ValueError("expected packed runs")
    return runs


def mask_of_polygon(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels whose centres are in a polygon, (points, 2) float of x and y."""
    height, width = shape
    crossings = np.zeros((height, width + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        first, last = np.clip(np.ceil(np.sort([y0, y1]) - 0.5), 0, height).astype(int)
        rows = np.arange(first, last)
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] ^= 1
    return np.logical_xor.accumulate(crossings, axis=1)[:, :width]


def polygons_of(mask: np.ndarray) -> list[list[Point]]:
    """Polygons that cover a mask, (H, W) bool, exactly and without overlap.

    COCO's polygons have no holes, so a part with a hole is cut in two at the hole's left edge.
    """
    found: list[list[Point]] = []
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    for part in (parts == number for number in range(1, count)):
        rings = _rings(part)
        holes = [ring for ring in rings if _doubled_area(ring) < 0]
        if not holes:
            found += rings
            continue
        cut = min(x for x, _ in holes[0])
        columns = np.arange(mask.shape[1])
        found += polygons_of(part & (columns < cut)) + polygons_of(part & (columns >= cut))
    return found


def _rings(part: np.ndarray) -> list[list[Point]]:
    """The corners of the outlines of a part and of its holes. The part is on the right of the outline's direction."""
    padded = np.pad(part, 1)
    # Steps (x, y, dx, dy) along the edges between pixels of the part and their neighbours outside.
    steps: set[tuple[int, int, int, int]] = set()
    for (dx, dy), (right, down), (row, column) in (
        ((1, 0), (0, -1), (0, 0)),  # along its upper edge
        ((0, 1), (1, 0), (0, 1)),  # along its right edge
        ((-1, 0), (0, 1), (1, 1)),
        ((0, -1), (-1, 0), (1, 0)),
    ):
        neighbour = padded[1 + down : padded.shape[0] - 1 + down, 1 + right : padded.shape[1] - 1 + right]
        steps |= {(int(x) + column, int(y) + row, dx, dy) for y, x in np.argwhere(part & ~neighbour)}
    rings = []
    while steps:
        step = next(iter(steps))
        way = [step]
        while True:
            x, y, dx, dy = way[-1]
            # Turn right, go straight on or turn left. Right is first, to stay at this pixel if two touch at a corner.
            turns = ((-dy, dx), (dx, dy), (dy, -dx))
            step = next(each for turn in turns if (each := (x + dx, y + dy, *turn)) in steps)
            if step == way[0]:
                break
            way.append(step)
        steps -= {*way}
        rings.append([each[:2] for before, each in zip([way[-1], *way], way, strict=False) if before[2:] != each[2:]])
    return rings


def _doubled_area(ring: Sequence[Point]) -> float:
    """Twice the area inside an outline; negative for the outline of a hole."""
    x, y = np.array(ring, float).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
