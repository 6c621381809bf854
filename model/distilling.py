"""Teach a network what a wider, trained network says about the same images (distillation).

A narrow pyramid starts from the most important channels of a wide one (`narrowed`). Then it learns from the masks and
from the wide network's probabilities (`Pupil`).

Sources: G. Hinton et al., "Distilling the knowledge in a neural network", 2015; H. Li et al., "Pruning filters for
efficient ConvNets", 2017, here with the channels' activations besides their weights.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.fpn import Pyramid, Stage
from model.loading import load_network, resolve_weights
from model.losses import class_weights
from model.networks import NETWORKS, build, layers_in
from model.provenance import card_content
from model.recipes import TrainingConfig
from model.scoring import HERO

# Weight of the divergence in `disagreement`; the overlap has the weight 1.
# Set beforehand, not searched.
AGREEMENT = 2.0
# Of the overlap with the teacher's hero, px: so that images without a hero give no noise.
_SMOOTH_PX = 0.5

Weights = dict[str, list[np.ndarray]]


class Pupil(keras.Model):
    """A network whose training loss also says how far it is from its teacher.

    Args:
        network: to train; the layers are shared.
        teacher: trained, of the same classes; it is neither changed nor saved.
        hero_weight: class weight of hero pixels, as in `TrainingConfig`.
    """

    def __init__(self, network: keras.Model, teacher: keras.Model, hero_weight: float) -> None:
        super().__init__(inputs=network.inputs, outputs=network.outputs, name=network.name)
        self._taught = partial(teacher, training=False)  # Keras would save a layer's weights with the pupil's
        self._hero_weight = hero_weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        """Keras calls this with a batch's images, masks and probabilities."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + ops.mean(disagreement(self._taught(x), y_pred, self._hero_weight))


def load_teacher(config: TrainingConfig) -> keras.Model:
    """The trained network to learn from, without thresholds, for images of any size.

    Raises:
        FileNotFoundError, ValueError: as `load_network`; ValueError for a network of other classes, or none of `build`.
    """
    trained = load_network(Path(config.teacher))
    classes, found = len(config.classes), trained.output_shape[-1]
    if trained.name not in NETWORKS or found != classes:
        expected = f"a teacher of {classes} classes in {config.teacher}, one of {', '.join(NETWORKS)}"
        raise ValueError(f"expected {expected}, got {trained.name} with {found}")
    names = (card_content(resolve_weights(config.teacher)) or {}).get("classes", config.classes)
    if tuple(names) != config.classes:
        expected = f"a teacher of the classes {', '.join(config.classes)} in {config.teacher}"
        raise ValueError(f"expected {expected}, got one of {', '.join(names)}")
    with layers_in(config.precision):
        teacher = build(trained.name, None, classes)
    teacher.set_weights(trained.get_weights())
    teacher.trainable = False
    return teacher


def start_narrowed(network: keras.Model, teacher: keras.Model, images: np.ndarray) -> None:
    """Start from the teacher's most important channels, if both are pyramids; otherwise the weights stay random.

    Args:
        network: of `build`, to train.
        teacher: of `build`, trained.
        images: (N, H, W, 3) as the networks take them.

    Raises:
        ValueError: as `narrowed`.
    """
    wide, narrow = NETWORKS[teacher.name], NETWORKS[network.name]
    if isinstance(wide, Pyramid) and isinstance(narrow, Pyramid):
        for layer, weights in narrowed(teacher, wide, narrow, images).items():
            network.get_layer(layer).set_weights(weights)


def disagreement(taught: keras.KerasTensor, found: keras.KerasTensor, hero_weight: float) -> keras.KerasTensor:
    """How far a network's probabilities are from its teacher's: 0 if they are the same, for each image, (N,).

    The sum of the Kullback–Leibler divergence, with the class weights of `SegmentationLoss`, and of 1 − the soft
    overlap of both heroes.

    Args:
        taught, found: (N, H, W, classes) probabilities.
        hero_weight: class weight of hero pixels.
    """
    classes = found.shape[-1]
    taught, found = (ops.clip(ops.cast(each, "float32"), 1e-6, 1.0 - 1e-6) for each in (taught, found))
    weights = ops.convert_to_tensor(class_weights(classes, hero_weight))
    distance = ops.mean(ops.sum(weights * taught * (ops.log(taught) - ops.log(found)), axis=-1), axis=(1, 2))
    heroes = taught[..., HERO:], found[..., HERO:]
    both = ops.sum(heroes[0] * heroes[1], axis=(1, 2))
    either = ops.sum(heroes[0] ** 2 + heroes[1] ** 2, axis=(1, 2)) - both
    overlap = ops.sum(1.0 - (both + _SMOOTH_PX) / (either + _SMOOTH_PX), axis=-1)
    return AGREEMENT * distance + overlap


def narrowed(teacher: keras.Model, wide: Pyramid, narrow: Pyramid, images: np.ndarray) -> Weights:
    """The weights of a wide network's most important channels, for a narrow network of the same stages.

    A channel is the more important, the more its activation varies over the images and the larger the weights of the
    layers that read it.

    Args:
        teacher: of `wide`, as `networks.build` makes it.
        wide, narrow: widths of both networks.
        images: (N, H, W, 3) as the network takes them.

    Returns:
        The weights of each layer that has some, by the layer's name.

    Raises:
        ValueError: if the narrow network has other stages, or more channels.
    """
    _check_narrower(wide, narrow)
    own = {layer.name: layer.get_weights() for layer in teacher.layers if layer.weights}
    stages = range(1, len(wide.stages) + 1)
    chosen = _ChannelChooser(teacher, own, images)
    stream = {0: np.arange(3)}
    inner: dict[str, np.ndarray] = {}
    for number, stage in zip(stages, narrow.stages, strict=True):
        blocks = _blocks(number, stage)
        readers = [*(f"{block}_1_convolution" for block in blocks), f"pyramid{number}_lateral"]
        if number < len(stages):
            readers.append(f"stage{number + 1}_convolution")
        last = blocks[-1] if blocks else f"stage{number}"
        stream[number] = chosen.most_important(f"{last}_relu", readers, stage.filters)
        for block in blocks:
            inner[block] = chosen.most_important(f"{block}_1_relu", [f"{block}_2_convolution"], stage.filters)
    pyramid = chosen.most_important("pyramid1_relu", ["top_convolution"], narrow.channels)
    top = chosen.most_important("top_relu", ["logits"], narrow.channels)

    weights: Weights = {}
    for number, stage in zip(stages, narrow.stages, strict=True):
        weights |= _sliced(own, f"stage{number}", stream[number - 1], stream[number])
        for block in _blocks(number, stage):
            weights |= _sliced(own, f"{block}_1", stream[number], inner[block])
            weights |= _sliced(own, f"{block}_2", inner[block], stream[number])
        kernel, bias = own[f"pyramid{number}_lateral"]
        weights[f"pyramid{number}_lateral"] = [kernel[:, :, stream[number]][..., pyramid], bias[pyramid]]
    kernel, bias = own["logits"]
    return weights | _sliced(own, "top", pyramid, top) | {"logits": [kernel[..., top], bias]}


def _blocks(number: int, stage: Stage) -> list[str]:
    """Names of a stage's residual blocks, as `Pyramid.probabilities` gives them."""
    return [f"stage{number}_residual{block}" for block in range(1, stage.residual_blocks + 1)]


def _check_narrower(wide: Pyramid, narrow: Pyramid) -> None:
    def shape(pyramid: Pyramid) -> str:
        stages = ", ".join(f"{stage.filters} × {stage.residual_blocks}" for stage in pyramid.stages)
        return f"channels × residual blocks {stages}, and {pyramid.channels}"

    is_alike = [stage.residual_blocks for stage in wide.stages] == [stage.residual_blocks for stage in narrow.stages]
    widths = [(*(stage.filters for stage in each.stages), each.channels) for each in (wide, narrow)]
    if not is_alike or any(more > most for most, more in zip(*widths, strict=True)):
        raise ValueError(f"expected a network no wider than its teacher ({shape(wide)}), got {shape(narrow)}")


class _ChannelChooser:
    """Finds the most important channels of a network's layers."""

    def __init__(self, teacher: keras.Model, own: Weights, images: np.ndarray) -> None:
        self._teacher, self._own, self._images = teacher, own, images

    def most_important(self, layer: str, readers: Sequence[str], count: int) -> np.ndarray:
        """(count,) int, ascending: channels of a layer's output that the layers `readers` take in."""
        output = keras.Model(self._teacher.input, self._teacher.get_layer(layer).output)
        varies = np.asarray(output.predict_on_batch(self._images), np.float32).std(axis=(0, 1, 2))
        read = np.sqrt(sum(self._squares_read_by(reader) for reader in readers))
        return np.sort(np.argsort(-varies * read, kind="stable")[:count])

    def _squares_read_by(self, reader: str) -> np.ndarray:
        """Sum of the squared weights with which a layer reads each channel; those of batch norm are included."""
        kernel = self._own[reader][0]
        if reader == "logits":  # a transposed convolution: (height, width, out, in)
            return (kernel**2).sum(axis=(0, 1, 2))
        norm = reader.removesuffix("_convolution") + "_norm"
        if norm in self._own:  # the laterals have none
            gamma, _, _, variance = self._own[norm]
            kernel = kernel * (gamma / np.sqrt(variance + self._teacher.get_layer(norm).epsilon))
        return (kernel**2).sum(axis=(0, 1, 3))


def _sliced(own: Weights, block: str, read: np.ndarray, kept: np.ndarray) -> Weights:
    """The weights of a `fpn.convolution_block`, with some of its input channels and some of its output channels."""
    (kernel,), norm = own[f"{block}_convolution"], own[f"{block}_norm"]
    return {f"{block}_convolution": [kernel[:, :, read][..., kept]], f"{block}_norm": [each[kept] for each in norm]}
