"""The second look's network and its training; `model.engines.second_look` runs it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers

from model.augment import light, tint
from model.crops import CROP_PX

# Filters and strides of the layers. These and the settings below are the first that were tried. They were good enough
# on held-out recordings, and no others were compared.
_LAYERS = ((24, 1), (32, 2), (48, 2), (64, 2))
LEARNING_RATE, WEIGHT_DECAY, BATCH = 2e-3, 0.01, 64
# Others are drawn with a weight of exp(_DRAW_BY_MARGIN × `Looks.strongest_margin`), with the margin limited to
# ± _LARGEST_MARGIN nats: more often if the large network takes them for the hero.
_DRAW_BY_MARGIN, _LARGEST_MARGIN = 0.35, 6.0
MOST_SHIFT_PX, COARSE_SHARE, COARSEST = 3, 0.4, 0.15


class Examples(NamedTuple):
    """People to learn from.

    Args:
        crops: (n, *CROP_PX, 4) uint8, see `model.crops.crop`.
        is_hero: (n,) bool.
        margins: (n,) float, `Looks.strongest_margin`.
        folders: (n,) int, number of the dataset folder of each.
    """

    crops: np.ndarray
    is_hero: np.ndarray
    margins: np.ndarray
    folders: np.ndarray


def build() -> keras.Model:
    """The untrained network: (n, *CROP_PX, 4) in 0 to 255 → (n, 1), nats."""
    image = keras.Input((*CROP_PX, 4))
    at = layers.Rescaling(1 / 127.5, -1.0)(image)
    for filters, stride in _LAYERS:
        at = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(at)
        at = layers.ReLU()(layers.BatchNormalization()(at))
    at = layers.Dropout(0.3)(layers.Flatten()(at))
    return keras.Model(image, layers.Dense(1)(layers.Dense(32, activation="relu")(at)))


def train(
    examples: Examples, steps: int, seed: int, tell: Callable[[int, float], object], *, is_mirrored: bool
) -> keras.Model:
    """Train a network.

    Every batch has equal numbers of heroes and of others, and equal numbers from each folder.

    Args:
        examples: to learn from.
        steps: number of batches.
        seed: of weights, batches and augmentation.
        tell: called after each step, with its number from 1 on and its loss.
        is_mirrored: whether training may mirror the target; see `model.profile`.

    Raises:
        ValueError: if a folder has no examples of the hero, or none of others.
    """
    draws = Draws(examples, seed, is_mirrored)
    keras.utils.set_random_seed(seed)
    network = build()
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    network.compile(
        keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.01),
    )
    for step in range(1, steps + 1):
        tell(step, float(network.train_on_batch(*draws.batch())))
    return network


class Draws:
    """Draws augmented batches."""

    def __init__(self, examples: Examples, seed: int, is_mirrored: bool) -> None:
        self._examples, self._rng, self._is_mirrored = examples, np.random.default_rng(seed), is_mirrored
        self._kinds = []
        for folder in np.unique(examples.folders):
            for is_hero in (True, False):
                members = np.flatnonzero((examples.folders == folder) & (examples.is_hero == is_hero))
                if not len(members):
                    kind = "the hero" if is_hero else "others"
                    raise ValueError(f"expected examples of {kind} in each dataset folder, got none in one")
                margins = np.clip(examples.margins[members], -_LARGEST_MARGIN, _LARGEST_MARGIN)
                weights = np.ones(len(members)) if is_hero else np.exp(_DRAW_BY_MARGIN * margins)
                self._kinds.append((members, weights / weights.sum()))

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, *CROP_PX, 4) float32 and (n,) float32."""
        each = max(1, BATCH // len(self._kinds))
        chosen = np.concatenate([self._rng.choice(members, each, p=weights) for members, weights in self._kinds])
        crops = np.stack([self._augmented(self._examples.crops[number]) for number in chosen])
        return crops.astype(np.float32), self._examples.is_hero[chosen].astype(np.float32)

    def _augmented(self, crop: np.ndarray) -> np.ndarray:
        """Mirror, move and blur (as from far away), and change the light."""
        rng = self._rng
        if rng.random() < 0.5 and self._is_mirrored:
            crop = crop[:, ::-1]
        shift = rng.integers(-MOST_SHIFT_PX, MOST_SHIFT_PX + 1, 2)
        crop = np.roll(crop, shift, (0, 1))
        if rng.random() < COARSE_SHARE:
            height, width = CROP_PX
            scale = rng.uniform(COARSEST, 1.0)
            small = cv2.resize(crop, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
            crop = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.concatenate([tint(light(crop[..., :3], rng), rng), crop[..., 3:]], axis=-1)


def likeness(network: keras.Model, crops: np.ndarray) -> np.ndarray:
    """Output of a Keras network on crops: (n,) float, nats."""
    return np.concatenate([np.zeros(0), *(network(some, training=False).numpy()[:, 0] for some in _pieces(crops))])


def _pieces(crops: np.ndarray, most: int = 512) -> Sequence[np.ndarray]:
    return [crops[begin : begin + most].astype(np.float32) for begin in range(0, len(crops), most)]
