"""The pixels of each person in one frame: connected parts of the mask of people, divided where depths differ.

Each measurement is one call for all parts: with thirty people in view, one call for each part would take longer than
the network.
"""

from typing import NamedTuple

import cv2
import numpy as np

from server.sight.geometry import Camera

MOST_PARTS = 200  # in a frame; a crowd of sixty people has fewer
# A part is divided where it holds another person at another depth. That person's pixels cover at least LEAST_SHARE of
# the part and at least LEAST_FILL of their own bounding box, and at least LEAST_AT_ONE_DEPTH of their depths lie within
# the depth of one body. A rim of background around a body does not meet these conditions.
LEAST_SHARE, LEAST_FILL, LEAST_AT_ONE_DEPTH = 0.12, 0.4, 0.6

# A part is divided into the hero and somebody else if each covers at least LEAST_SHARE_BESIDE of the part, and the
# horizontal distance of their middles is at least LEAST_APART of that of two people side by side.
LEAST_SHARE_BESIDE, LEAST_APART = 0.15, 0.6


class Parts(NamedTuple):
    """The pixels of n parts, P pixels in total, sorted by part.

    Args:
        rows, columns: (P,) int, position of each pixel in the mask.
        at: (P,) int, index of each pixel in the flattened mask.
        label: (P,) int, number of each pixel's part.
        begins: (n,) int, index of each part's first pixel in the arrays of pixels.
        areas: (n,) int, number of pixels of each part.
        depths: (P,) uint8, value of the depth image at each pixel.
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
        """Sum of the pixels' values, (P,), over each part: (n,)."""
        return np.add.reduceat(values, self.begins)

    def mean_of_largest(self, values: np.ndarray, most: int) -> np.ndarray:
        """Mean of each part's `most` largest values, or of all its values if it has fewer.

        Args:
            values: (P,) float64, one for each pixel.
            most: how many values to average.

        Returns:
            (n,) float64.
        """
        apart = 2.0 * float(np.abs(values).max()) + 1.0  # offset between parts, so that sorting doesn't mix them
        offsets = apart * self.label
        largest_first = offsets - np.sort(offsets - values)
        is_taken = np.arange(most) < self.areas[:, np.newaxis]
        at = np.where(is_taken, self.begins[:, np.newaxis] + np.arange(most), 0)
        return (largest_first[at] * is_taken).sum(axis=1) / is_taken.sum(axis=1)

    def pixels(self, number: int) -> slice:
        """The range of a part's pixels in the arrays of pixels."""
        begin = int(self.begins[number])
        return slice(begin, begin + int(self.areas[number]))


class Outlines(NamedTuple):
    """The outlines of n parts, in continuous pixel coordinates of the camera image.

    Args:
        centroids_px: (n, 2), (u, v).
        feet_px: (n, 2), the middle of the lower edge of the lowest row.
        boxes_px: (n, 4), left, top, right, bottom.
    """

    centroids_px: np.ndarray
    feet_px: np.ndarray
    boxes_px: np.ndarray


def find_parts(
    mask: np.ndarray, depth_255: np.ndarray, window: int, min_px: int, hero: np.ndarray | None = None
) -> Parts | None:
    """The 8-connected parts of a mask, divided between people at different depths and between the hero and others.

    Args:
        mask: (H, W) bool, where people are, at the network's resolution.
        depth_255: (D, E) uint8, round(255 · depth / far), of any size.
        window: number of depth steps that one body may extend over.
        min_px: size of the smallest part that is kept, in pixels of the mask.
        hero: (H, W) bool, pixels that are more likely the hero's than somebody else's; None for no division by it.

    Returns:
        At most `MOST_PARTS` parts, sorted by size, the largest first; of equal size, the upper part first. None if
        there is no part.
    """
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    if cv2.countNonZero(pixels) < min_px:
        return None
    # Labelling is limited to the bounding box of the mask: 5 to 20 µs instead of 170 µs at 160 px. The algorithm is
    # Spaghetti, because the default starts threads, which sometimes takes 5 ms on a busy machine.
    left, top, width, height = cv2.boundingRect(pixels)
    crop = pixels[top : top + height, left : left + width]
    _, labels = cv2.connectedComponentsWithAlgorithm(crop, connectivity=8, ltype=cv2.CV_32S, ccltype=cv2.CCL_SPAGHETTI)
    columns, rows = cv2.findNonZero(crop).reshape(-1, 2).T.astype(np.int64)  # five times as fast as numpy's
    parts = _parts_of_labels(
        rows + top, columns + left, labels.ravel()[rows * width + columns], depth_255, mask.shape, min_px
    )
    if parts is None:
        return None
    parts = _relabelled(parts, _labels_by_depth(parts, window, min_px), depth_255, min_px)
    return parts if hero is None else _relabelled(parts, _labels_by_hero(parts, hero, min_px), depth_255, min_px)


def stretches(parts: Parts, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each part's range of `window` depth steps that holds the most pixels; of equal ranges, the nearest.

    A depth of 0 means nearer than the near clip plane, and 255 means nothing nearer than far. Both are no measurements.

    Returns:
        Three arrays (n,): the first step of the range, the number of pixels in it, and the sum of their depth steps.
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
    """Measure the outlines of parts in the camera image."""
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


def _parts_of_labels(
    rows: np.ndarray,
    columns: np.ndarray,
    labels: np.ndarray,
    depth_255: np.ndarray,
    shape: tuple[int, ...],
    min_px: int,
) -> Parts | None:
    """The parts given by each pixel's label, largest first, without parts that are too small."""
    sizes = np.bincount(labels)
    by_size = np.argsort(-sizes, kind="stable")[:MOST_PARTS]
    kept = by_size[sizes[by_size] >= min_px]
    if not len(kept):
        return None
    rank = np.full(len(sizes), len(kept), np.uint16)
    rank[kept] = np.arange(len(kept))
    ranks = rank[labels]
    areas = sizes[kept]
    order = np.argsort(ranks, kind="stable")[: areas.sum()]  # a radix sort, because ranks have 16 bits
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


def _relabelled(parts: Parts, labels: np.ndarray | None, depth_255: np.ndarray, min_px: int) -> Parts:
    """The parts given by new labels of the pixels, (P,); unchanged if `labels` is None."""
    if labels is None:
        return parts
    divided = _parts_of_labels(parts.rows, parts.columns, labels, depth_255, parts.mask_shape, min_px)
    assert divided is not None, "a part is only divided into parts that are large enough"
    return divided


def _labels_by_depth(parts: Parts, window: int, min_px: int) -> np.ndarray | None:
    """New labels, (P,), that divide parts holding another person at another depth; None if there is no such part."""
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
    is_body[0] = False  # label 0 is the background of `rest`
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


def _labels_by_hero(parts: Parts, hero: np.ndarray, min_px: int) -> np.ndarray | None:
    """New labels, (P,), that divide parts holding the hero beside somebody else; None if there is no such part.

    The parts must lie side by side: if a stranger's hair or top looks like the hero's, it lies above or below the rest
    of the stranger, not beside it.
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
        reach = (np.ptp(left) + np.ptp(right) + 2) / 2  # distance between the middles of two people side by side
        if abs(left.mean() - right.mean()) >= LEAST_APART * reach:
            result[pixels] = np.where(own, len(parts.areas) + part, part)
    return result if (result != parts.label).any() else None
