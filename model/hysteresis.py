"""Decide where the hero is with two thresholds: a strong threshold for detection, a weak threshold for the outline.

A high threshold avoids false detections but covers only a part of the hero; a low threshold covers the hero but gives
false detections. With two thresholds, a pixel belongs to the hero if it passes the weak threshold and a pixel nearby
passes the strong threshold. Source: J. Canny, "A computational approach to edge detection", 1986, section on
thresholding with hysteresis; here with a neighbourhood instead of connected paths, so that it can be a layer of the
network.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers, ops

from model.scoring import DETECTION_MORE_THAN_PX, HERO

# The neighbourhood is the 4×4 cell of the pixel and the eight cells around it. A far hero is 5 px wide and 14 px high.
CELL_PX, CELLS = 4, 3


class Thresholds(NamedTuple):
    """Two thresholds on the margin of a pixel: the hero's logit minus the larger of surroundings' and other people's.

    With several targets, each has its own margin. The thresholds are the same for all.

    Args:
        strong: a pixel above this threshold detects a hero in its neighbourhood.
        weak: pixels of that neighbourhood above this threshold belong to the hero.
    """

    strong: float
    weak: float


@keras.saving.register_keras_serializable("followme")
class Hysteresis(layers.Layer):
    """Change the hero's margin in logits (N, H, W, classes) to min(margin − weak, largest margin nearby − strong).

    So the hero is the most probable class where both thresholds are passed, and its probability grows with both
    margins. H and W are multiples of `CELL_PX`.

    Args:
        strong: as in `Thresholds`.
        weak: as in `Thresholds`.
    """

    def __init__(self, strong: float, weak: float, **options: object) -> None:
        super().__init__(**options)
        self.thresholds = Thresholds(strong, weak)

    def call(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        """See the class."""
        others = ops.max(logits[..., :HERO], axis=-1, keepdims=True)
        margin = logits[..., HERO:] - others
        strongest = ops.max_pool(margin, CELL_PX, strides=CELL_PX)
        strongest = ops.max_pool(strongest, CELLS, strides=1, padding="same")
        strongest = ops.image.resize(strongest, ops.shape(margin)[1:3], interpolation="nearest")
        margin = ops.minimum(margin - self.thresholds.weak, strongest - self.thresholds.strong)
        return ops.concatenate([logits[..., :HERO], others + margin], axis=-1)

    def get_config(self) -> dict:
        """Settings that Keras saves."""
        return super().get_config() | self.thresholds._asdict()


def with_thresholds(network: keras.Model, thresholds: Thresholds) -> keras.Model:
    """Add two thresholds to a network of `networks.build`; the result shares its layers."""
    logits = Hysteresis(*thresholds, dtype="float32", name="hysteresis")(network.get_layer("logits").output)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(network.input, probabilities, name=network.name)


def without_thresholds(network: keras.Model) -> keras.Model:
    """A network of `networks.build` with plain probabilities, to choose thresholds on; it shares its layers."""
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(network.get_layer("logits").output)
    return keras.Model(network.input, probabilities, name=network.name)


def thresholds_of(network: keras.Model) -> Thresholds | None:
    """Thresholds of a network; None if it decides by a probability of one half."""
    return next((layer.thresholds for layer in network.layers if isinstance(layer, Hysteresis)), None)


class Counts(NamedTuple):
    """Pixels of a frame for each pair of thresholds, `STRONG` × `WEAK`.

    Args:
        found: number of pixels predicted as the hero.
        right: number of these pixels that are the hero.
        true: number of pixels of the hero, a single number.
    """

    found: np.ndarray
    right: np.ndarray
    true: int


STRONG = np.arange(-2.0, 8.01, 0.25)
WEAK = np.arange(-4.0, 1.01, 0.5)


def count(probabilities: np.ndarray, truth: np.ndarray) -> Counts:
    """Count the pixels of a frame.

    Args:
        probabilities: (H, W, classes) float, from a network without thresholds.
        truth: (H, W) bool, the hero; with several targets, any of them.
    """
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), 1e-9))
    margin = logarithms[..., HERO:].max(axis=-1) - logarithms[..., :HERO].max(axis=-1)
    height, width = margin.shape
    cells = margin.reshape(height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX).max(axis=(1, 3))
    cells = cv2.dilate(cells, np.ones((CELLS, CELLS)))
    strongest = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
    chosen = (margin > WEAK[0]) & (strongest > STRONG[0])

    def above(pixels: np.ndarray) -> np.ndarray:
        # Number of pixels with both values above their thresholds: a 2-D histogram, summed from its far corner.
        edges = [np.append(STRONG, np.inf), np.append(WEAK, np.inf)]
        histogram, *_ = np.histogram2d(strongest[pixels], margin[pixels], bins=edges)
        return histogram[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1].astype(int)

    return Counts(above(chosen), above(chosen & truth), int(np.count_nonzero(truth)))


def best_thresholds(frames: Iterable[Counts]) -> Thresholds:
    """Choose the pair with the highest quality: hero IoU in frames with the hero × TP / (TP + FP + FN).

    Frames with and without the hero have the same total weight, independent of their numbers. Otherwise a set that was
    mostly recorded on patrol would give thresholds that are too high.

    Raises:
        ValueError: if no frame has more than `DETECTION_MORE_THAN_PX` pixels of the hero.
    """
    found, right, true = (np.array(part) for part in zip(*frames, strict=True))
    is_found, is_there = found > DETECTION_MORE_THAN_PX, true > DETECTION_MORE_THAN_PX
    if not is_there.any():
        raise ValueError(
            f"expected frames with more than {DETECTION_MORE_THAN_PX} pixels of the hero to choose thresholds by, "
            f"got none of {len(true)}"
        )
    union = found + true[:, None, None] - right
    iou = (right / np.maximum(union, 1))[true > 0].mean(axis=0)
    hits, false_alarms = is_found[is_there].sum(axis=0), is_found[~is_there].sum(axis=0)
    heroes, empty = np.count_nonzero(is_there), np.count_nonzero(~is_there)
    # TP + FN is the number of heroes.
    quality = iou * hits / (heroes + false_alarms * heroes / max(empty, 1))
    strong, weak = np.unravel_index(quality.argmax(), quality.shape)
    return Thresholds(float(STRONG[strong]), float(WEAK[weak]))
