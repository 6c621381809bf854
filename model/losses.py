"""The loss: wrong pixels, poor overlap with the hero, missed heroes and false detections."""

import keras
from keras import ops

from model.recipes import TrainingConfig
from model.scoring import DETECTION_MORE_THAN_PX, HERO, PEOPLE


def class_weights(classes: int, hero_weight: float) -> tuple[float, ...]:
    """Weights of the classes' pixels: surroundings 1, targets `hero_weight`, other people its square root."""
    return 1.0, hero_weight**0.5, *(hero_weight for _ in range(HERO, classes))


class SegmentationLoss(keras.losses.Loss):
    """Weighted cross-entropy per pixel, soft Jaccard per image, and detection per image.

    The Jaccard term gives each image's hero the same weight, whether it has 20 pixels or 2000. An image without the
    class has no overlap. For it, the term penalises the false probability instead.

    With several targets, each is treated like the hero.

    The detection term follows the score, which expects more than three pixels of the hero in an image that shows the
    hero, and at most three in other images. The term is the binary cross-entropy of two groups of four pixels: the
    pixels of the hero with the highest probability, and the pixels with the highest probability among those farther
    than three pixels from the hero.

    Args:
        config: settings, of which the weights `hero_weight`, `jaccard`, `empty_pull` and `detection` are used.
    """

    # Sum of false probability, in pixels, at which the penalty has half of its greatest value.
    HALF_PULL_PX = 20.0
    # Smallest number of pixels that the score counts as a detection.
    DETECTING_PX = DETECTION_MORE_THAN_PX + 1
    NEIGHBOURHOOD_PX = 7

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__(name="segmentation_loss")
        self._config = config

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Loss of each image, (N,), from (N, H, W) class indices and (N, H, W, classes) probabilities."""
        config, classes = self._config, y_pred.shape[-1]
        targets = range(HERO, classes)
        truth = ops.one_hot(ops.cast(y_true, "int32"), classes)
        y_pred = ops.clip(y_pred, 1e-6, 1.0 - 1e-6)
        weights = ops.convert_to_tensor(class_weights(classes, config.hero_weight))
        loss = ops.mean(-ops.sum(truth * ops.log(y_pred) * weights, axis=-1), axis=(1, 2))
        if config.jaccard:
            people, *heroes = (self._jaccard(truth[..., number], y_pred[..., number]) for number in (PEOPLE, *targets))
            loss += config.jaccard * (sum(heroes) + 0.5 * people)
        if config.detection:
            loss += config.detection * sum(self._detection(truth[..., each], y_pred[..., each]) for each in targets)
        return loss

    def _jaccard(self, truth: keras.KerasTensor, probability: keras.KerasTensor) -> keras.KerasTensor:
        pixels = (1, 2)
        both = ops.sum(truth * probability, axis=pixels)
        seen, there = ops.sum(probability, axis=pixels), ops.sum(truth, axis=pixels)
        present = 1.0 - both / (seen + there - both + 1e-6)
        absent = self._config.empty_pull * seen / (seen + self.HALF_PULL_PX)
        return ops.where(there > 0, present, absent)

    def _detection(self, truth: keras.KerasTensor, probability: keras.KerasTensor) -> keras.KerasTensor:
        there = ops.sum(truth, axis=(1, 2))
        near = ops.max_pool(truth[..., None], self.NEIGHBOURHOOD_PX, strides=1, padding="same")[..., 0]
        found = self._best(probability * truth)
        mistaken = self._best(probability * (1.0 - near))
        miss = -ops.mean(ops.log(ops.maximum(found, 1e-6)), axis=-1)
        false_alarm = -ops.mean(ops.log(1.0 - mistaken), axis=-1)
        return false_alarm + ops.where(there >= self.DETECTING_PX, miss, 0.0)

    def _best(self, probability: keras.KerasTensor) -> keras.KerasTensor:
        return ops.top_k(ops.reshape(probability, (ops.shape(probability)[0], -1)), self.DETECTING_PX)[0]
