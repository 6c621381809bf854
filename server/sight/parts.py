"""Everybody's pixels in one frame: connected parts of the mask of people, parted where depth tells them apart.

All parts are measured at once: with thirty people in view, a call for each would cost more than the network's turn.
"""

from typing import NamedTuple

import cv2
import numpy as np

from server.sight.geometry import Camera

MOST_PARTS = 200  # of a frame; a crowd of sixty has fewer
# Another person within a part covers at least the first share of it and the second of their own box, and has at least
# the third of their depths within one body's depth. A rim of background around a body does not.
LEAST_SHARE, LEAST_FILL, LEAST_AT_ONE_DEPTH = 0.12, 0.4, 0.6

# The hero and somebody else within a part: each covers at least this share of it, and the distance of their middles is
# at least this share of that of two people side by side.
LEAST_SHARE_BESIDE, LEAST_APART = 0.15, 0.6


class Parts(NamedTuple):
    """The pixels of n parts, P pixels in all, one part after the other.

    Args:
        rows, columns: (P,) int, in the mask.
        at: (P,) int, in the flattened mask.
        label: (P,) int, each pixel's part.
        begins: (n,) int, where each part begins in them.
        areas: (n,) int, pixels of each.
        depths: (P,) uint8, of the depth image at each pixel.
        mask_shape: (height, width) of the mask.
    """

    rows: np.ndarray
    columns: np.ndarray
    at: np.ndarray
    label: np.ndarray
    begins: np.ndarray
    areas: np.ndarray
    depths: np.ndarray
    mask_shape: tuple[int, int]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over each part, (n,), of values of its pixels, (P,)."""
        return np.add.reduceat(values, self.begins)

    def mean_of_largest(self, values: np.ndarray, most: int) -> np.ndarray:
        """Mean over the `most` largest values of each part, (n,), or over all of a smaller part, of (P,) float64."""
        apart = 2.0 * float(np.abs(values).max()) + 1.0  # so that one sort keeps the parts in their order
        offsets = apart * self.label
        largest_first = offsets - np.sort(offsets - values)
        is_taken = np.arange(most) < self.areas[:, np.newaxis]
        at = np.where(is_taken, self.begins[:, np.newaxis] + np.arange(most), 0)
        return (largest_first[at] * is_taken).sum(axis=1) / is_taken.sum(axis=1)

    def pixels(self, number: int) -> slice:
        """Where a part's pixels are."""
        begin = int(self.begins[number])
        return slice(begin, begin + int(self.areas[number]))


class Outlines(NamedTuple):
    """Of n parts, in the camera's continuous pixel coordinates.

    Args:
        centroids_px: (n, 2), (u, v).
        feet_px: (n, 2), the middle of the lowest row's lower edge.
        boxes_px: (n, 4), left, top, right, bottom.
    """

    centroids_px: np.ndarray
    feet_px: np.ndarray
    boxes_px: np.ndarray


def find_parts(
    mask: np.ndarray, depth_255: np.ndarray, window: int, min_px: int, hero: np.ndarray | None = None
) -> Parts | None:
    """The 8-connected parts of a mask, those of people at different depths, or of the hero beside others, parted.

    Args:
        mask: (H, W) bool, where people are, at the network's resolution.
        depth_255: (D, E) uint8, round(255 · depth / far), of any size.
        window: steps of depth that one body may take up.
        min_px: smallest part to believe, in the mask's pixels.
        hero: (H, W) bool, where it is rather the hero than others; None if that is not known.

    Returns:
        At most `MOST_PARTS`, the largest first, equally large ones from the top; None without any.
    """
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    if cv2.countNonZero(pixels) < min_px:
        return None
    # Labelling only the part where anything is: 5 to 20 µs instead of 170 µs at 160 px. Spaghetti labelling, because
    # the default one starts threads, which on a busy machine now and then takes 5 ms.
    left, top, width, height = cv2.boundingRect(pixels)
    crop = pixels[top : top + height, left : left + width]
    _, labels = cv2.connectedComponentsWithAlgorithm(crop, connectivity=8, ltype=cv2.CV_32S, ccltype=cv2.CCL_SPAGHETTI)
    columns, rows = cv2.findNonZero(crop).reshape(-1, 2).T.astype(np.int64)  # five times as fast as numpy's
    parts = _sorted(rows + top, columns + left, labels.ravel()[rows * width + columns], depth_255, mask.shape, min_px)
    if parts is None:
        return None
    parts = _divided(parts, _others(parts, window, min_px), depth_255, min_px)
    return parts if hero is None else _divided(parts, _beside(parts, hero, min_px), depth_255, min_px)


def stretches(parts: Parts, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The densest stretch of depths of each part, the nearest of equally dense ones.

    A depth of 0 is nearer than the near clip plane and 255 is nothing within far: neither is a measurement.

    Returns:
        Three arrays (n,): the first step of the stretch, the pixels in it, and the sum of their steps.
    """
    n = len(parts.areas)
    counts = np.bincount(parts.label * 256 + parts.depths, minlength=256 * n).reshape(n, 256)
    counts[:, 0] = counts[:, 255] = 0
    sums = np.zeros((2, n, 256 + window), np.int64)
    sums[0, :, 1:257] = np.cumsum(counts, axis=1)
    sums[1, :, 1:257] = np.cumsum(counts * np.arange(256), axis=1)
    sums[:, :, 257:] = sums[:, :, 256:257]
    in_stretch = sums[:, :, window:] - sums[:, :, :-window]
    first = in_stretch[0].argmax(axis=1)
    within, weighted = in_stretch[:, np.arange(n), first]
    return first, within, weighted


def outline(parts: Parts, camera: Camera) -> Outlines:
    """Measure parts in the image of the camera that took it."""
    u_scale = camera.image_width_px / parts.mask_shape[1]
    v_scale = camera.image_px / parts.mask_shape[0]
    top, bottom = (edge.reduceat(parts.rows, parts.begins) for edge in (np.minimum, np.maximum))
    left, right = (edge.reduceat(parts.columns, parts.begins) for edge in (np.minimum, np.maximum))
    lowest = parts.rows == bottom[parts.label]
    feet = parts.sum(parts.columns * lowest) / parts.sum(lowest)
    u, v = parts.sum(parts.columns) / parts.areas, parts.sum(parts.rows) / parts.areas
    return Outlines(
        np.column_stack([(u + 0.5) * u_scale, (v + 0.5) * v_scale]),
        np.column_stack([(feet + 0.5) * u_scale, (bottom + 1) * v_scale]),
        np.column_stack([left * u_scale, top * v_scale, (right + 1) * u_scale, (bottom + 1) * v_scale]),
    )


def _sorted(
    rows: np.ndarray,
    columns: np.ndarray,
    labels: np.ndarray,
    depth_255: np.ndarray,
    shape: tuple[int, ...],
    min_px: int,
) -> Parts | None:
    """Parts from each pixel's label, without those that are too small."""
    sizes = np.bincount(labels)
    by_size = np.argsort(-sizes, kind="stable")[:MOST_PARTS]
    kept = by_size[sizes[by_size] >= min_px]
    if not len(kept):
        return None
    rank = np.full(len(sizes), len(kept), np.uint16)
    rank[kept] = np.arange(len(kept))
    ranks = rank[labels]
    areas = sizes[kept]
    order = np.argsort(ranks, kind="stable")[: areas.sum()]  # radix sort, as they have 16 bits
    rows, columns = rows[order], columns[order]
    height, width = shape
    depth_height, depth_width = depth_255.shape
    at = rows * width + columns
    if depth_255.shape == shape:
        depths = depth_255.ravel()[at]
    else:
        depth_rows, depth_columns = (
            (2 * at + 1) * most // (2 * size)
            for at, most, size in ((rows, depth_height, height), (columns, depth_width, width))
        )
        depths = depth_255[depth_rows, depth_columns]
    begins = np.cumsum(areas) - areas
    return Parts(rows, columns, at, ranks[order].astype(np.int64), begins, areas, depths, (height, width))


def _divided(parts: Parts, labels: np.ndarray | None, depth_255: np.ndarray, min_px: int) -> Parts:
    """Parts by new labels of their pixels, (P,); as they were with None."""
    if labels is None:
        return parts
    divided = _sorted(parts.rows, parts.columns, labels, depth_255, parts.mask_shape, min_px)
    assert divided is not None, "a part is only divided into parts that are large enough"
    return divided


def _others(parts: Parts, window: int, min_px: int) -> np.ndarray | None:
    """New labels, (P,), where a part holds another person at another depth; None where none does."""
    first, within, _ = stretches(parts, window)
    is_measured = (parts.depths > 0) & (parts.depths < 255)
    is_outside = is_measured & ((parts.depths < first[parts.label]) | (parts.depths >= (first + window)[parts.label]))
    outside = parts.sum(is_outside)
    is_shared = (outside >= np.maximum(min_px, LEAST_SHARE * parts.areas)) & (within >= min_px)
    if not is_shared.any():
        return None
    chosen = is_outside & is_shared[parts.label]
    rows, columns = parts.rows[chosen], parts.columns[chosen]
    top, left = rows.min(), columns.min()
    rest = np.zeros((rows.max() - top + 1, columns.max() - left + 1), np.uint8)
    rest[rows - top, columns - left] = 1
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        rest, connectivity=8, ltype=cv2.CV_32S, ccltype=cv2.CCL_SPAGHETTI
    )
    inner = np.zeros(len(parts.label), labels.dtype)
    inner[chosen] = labels[rows - top, columns - left]
    area_px = stats[:, cv2.CC_STAT_AREA]
    fill = area_px / np.maximum(stats[:, cv2.CC_STAT_WIDTH] * stats[:, cv2.CC_STAT_HEIGHT], 1)
    is_body = (area_px >= min_px) & (fill >= LEAST_FILL)
    is_body[0] = False  # what is no part of the rest
    result = parts.label.copy()
    for label in np.flatnonzero(is_body).tolist():
        area = int(area_px[label])
        own = inner == label
        part = int(parts.label[own][0])
        steps = np.cumsum(np.bincount(parts.depths[own], minlength=256 + window))
        at_one_depth = int((steps[window:] - steps[:-window]).max())
        if area >= LEAST_SHARE * parts.areas[part] and at_one_depth >= LEAST_AT_ONE_DEPTH * area:
            result[own] = len(parts.areas) + label
    return result if (result != parts.label).any() else None


def _beside(parts: Parts, hero: np.ndarray, min_px: int) -> np.ndarray | None:
    """New labels, (P,), where a part holds the hero and somebody else side by side; None where none does.

    Hair or a top of somebody else that looks like the hero's lies above or below the rest of them, not beside it.
    """
    is_hero = hero.ravel()[parts.at]
    heroes = parts.sum(is_hero.astype(np.int64))
    fewer = np.minimum(heroes, parts.areas - heroes)
    is_shared = fewer >= np.maximum(min_px, LEAST_SHARE_BESIDE * parts.areas)
    if not is_shared.any():
        return None
    result = parts.label.copy()
    for part in np.flatnonzero(is_shared).tolist():
        pixels = parts.pixels(part)
        columns, own = parts.columns[pixels], is_hero[pixels]
        left, right = columns[own], columns[~own]
        reach = (np.ptp(left) + np.ptp(right) + 2) / 2  # between the middles of two who stand side by side
        if abs(left.mean() - right.mean()) >= LEAST_APART * reach:
            result[pixels] = np.where(own, len(parts.areas) + part, part)
    return result if (result != parts.label).any() else None
