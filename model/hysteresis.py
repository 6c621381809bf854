"""Decide where the hero is by two thresholds: a strong one for whether, a weak one for how far.

A network that must not take others for the hero says so of few pixels; one that must cover the hero, of many. With a
single threshold it is one or the other. With two, a pixel is the hero's if it is one at least weakly, and one close by
is strongly. Source: J. Canny, "A computational approach to edge detection", 1986, section on thresholding with
hysteresis; here with a neighbourhood in the place of connected paths, so that it is a layer of the network.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers, ops

from model.scoring import DETECTION_MORE_THAN_PX, HERO

# The neighbourhood: the pixel's cell of 4×4 and the eight around it. A far hero is 5 wide and 14 high.
CELL_PX, CELLS = 4, 3


class Thresholds(NamedTuple):
    """Two thresholds on a pixel's margin: the hero's logit less the larger of the others'.

    Args:
        strong: above it a pixel makes its neighbourhood the hero's …
        weak: … where the margin is above this.
    """

    strong: float
    weak: float


@keras.saving.register_keras_serializable("followme")
class Hysteresis(layers.Layer):
    """Logits (N, H, W, classes) to logits: the hero's margin becomes min(margin − weak, strongest nearby − strong).

    So the hero is the likeliest class where both thresholds are passed, and its probability grows with either. H and W
    are multiples of `CELL_PX`.

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
        """What Keras saves of it."""
        return super().get_config() | self.thresholds._asdict()


def with_thresholds(network: keras.Model, thresholds: Thresholds) -> keras.Model:
    """A network of `networks.build` that decides by two thresholds; its layers are shared."""
    logits = Hysteresis(*thresholds, dtype="float32", name="hysteresis")(network.get_layer("logits").output)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(network.input, probabilities, name=network.name)


def thresholds_of(network: keras.Model) -> Thresholds | None:
    """What a network decides by; None for a probability of one half."""
    return next((layer.thresholds for layer in network.layers if isinstance(layer, Hysteresis)), None)


class Counts(NamedTuple):
    """One frame under each pair of thresholds; `STRONG` × `WEAK`.

    Args:
        found: pixels taken for the hero.
        right: those of them that are.
        true: pixels of the hero, one number.
    """

    found: np.ndarray
    right: np.ndarray
    true: int


STRONG = np.arange(-2.0, 8.01, 0.25)
WEAK = np.arange(-4.0, 1.01, 0.5)


def count(probabilities: np.ndarray, truth: np.ndarray) -> Counts:
    """Count one frame's pixels.

    Args:
        probabilities: (H, W, classes) float, of a network without thresholds.
        truth: (H, W) bool, the hero.
    """
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), 1e-9))
    margin = logarithms[..., HERO] - logarithms[..., :HERO].max(axis=-1)
    height, width = margin.shape
    cells = margin.reshape(height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX).max(axis=(1, 3))
    cells = cv2.dilate(cells, np.ones((CELLS, CELLS)))
    strongest = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
    chosen = (margin > WEAK[0]) & (strongest > STRONG[0])

    def above(pixels: np.ndarray) -> np.ndarray:
        # In how many pixels both are above their threshold: a histogram, summed from its far corner.
        edges = [np.append(STRONG, np.inf), np.append(WEAK, np.inf)]
        histogram, *_ = np.histogram2d(strongest[pixels], margin[pixels], bins=edges)
        return histogram[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1].astype(int)

    return Counts(above(chosen), above(chosen & truth), int(np.count_nonzero(truth)))


def best_thresholds(frames: Iterable[Counts]) -> Thresholds:
    """The pair with the highest quality: the hero's IoU in frames that show it, times TP / (TP + FP + FN).

    Frames with and without the hero weigh alike in sum, however many of each there are: a set that was mostly recorded
    on patrol must not make the network shy.

    Raises:
        ValueError: if no frame shows the hero.
    """
    found, right, true = (np.array(part) for part in zip(*frames, strict=True))
    if not true.any():
        raise ValueError(f"expected frames with the hero to choose thresholds by, got none of {len(true)}")
    union = found + true[:, None, None] - right
    iou = (right / np.maximum(union, 1))[true > 0].mean(axis=0)
    is_found, is_there = found > DETECTION_MORE_THAN_PX, true > DETECTION_MORE_THAN_PX
    hits, false_alarms = is_found[is_there].sum(axis=0), is_found[~is_there].sum(axis=0)
    heroes, empty = np.count_nonzero(is_there), np.count_nonzero(~is_there)
    # TP + FN is the number of heroes.
    quality = iou * hits / (heroes + false_alarms * heroes / max(empty, 1))
    strong, weak = np.unravel_index(quality.argmax(), quality.shape)
    return Thresholds(float(STRONG[strong]), float(WEAK[weak]))
