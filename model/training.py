"""Train a network: loss, schedule, checkpoints that survive a kill, log.

A run folder holds the run's settings, the state to go on from, a log of one line per epoch and the best weights.
"""

import csv
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from model.dataset import AugmentedBatches, Frames
from model.images import normalise
from model.networks import build, check_buildable
from model.scoring import CLASSES, HERO, score_set

logger = logging.getLogger(__name__)

# A pixel of a hero counts more than one of the lawn, which is 97 % of all pixels.
CLASS_WEIGHTS = (1.0, 2.0, 4.0)
PEOPLE = CLASSES.index("people")

# In a run folder.
SETTINGS, CHECKPOINT, LOG, WEIGHTS = "settings.json", "checkpoint.weights.h5", "log.csv", "model_weights.keras"
# Scoring the validation set takes a third as long as an epoch of the shipped network.
EPOCHS_PER_VALIDATION = 5
FRAMES_PER_PREDICTION = 32


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; `help` is what the command line says of each.

    Raises:
        ValueError: for a setting outside its range, or a network that cannot be built.
    """

    network: str = field(default="fcn4", metadata={"help": "network: fcn1 to fcn5, or fpn"})
    input_px: int = field(default=160, metadata={"help": "height and width of the network's input, px"})
    epochs: int = field(default=55, metadata={"help": "epochs"})
    steps: int = field(default=100, metadata={"help": "batches per epoch"})
    batch: int = field(default=16, metadata={"help": "pairs per batch"})
    learning_rate: float = field(default=2e-3, metadata={"help": "highest learning rate of Adam"})
    hero_share: float = field(default=0.5, metadata={"help": "share of each batch that shows the hero"})
    empty_pull: float = field(
        default=0.5, metadata={"help": "weight of the loss that pulls to nothing where a class is absent"}
    )
    seed: int = field(default=0, metadata={"help": "seed of weights, batches and augmentation"})

    def __post_init__(self) -> None:
        check_buildable(self.network, self.input_px)
        for name in ("epochs", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch < 2:
            raise ValueError(f"batch must be at least 2, for frames with and without the hero, got {self.batch}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must be in (0, 1), got {self.learning_rate}")
        if not 0 < self.hero_share < 1 or not 0 < round(self.hero_share * self.batch) < self.batch:
            raise ValueError(
                f"hero_share must leave frames with and without the hero in a batch of {self.batch}, "
                f"got {self.hero_share}"
            )
        if not 0 <= self.empty_pull < float("inf"):
            raise ValueError(f"empty_pull must be finite and not negative, got {self.empty_pull}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), got {self.seed}")


class SegmentationLoss(keras.losses.Loss):
    """Weighted cross-entropy plus a soft Jaccard per image for hero and people.

    The Jaccard counts each image's hero equally, whether it has 20 pixels or 2000. Where a class is absent
    there is no overlap to measure; there the share of false probability is pulled to nothing instead.

    Args:
        empty_pull: weight of that pull; 0 finds far heroes and sees them everywhere, 1 the opposite.
    """

    # False probability, in pixels, at which the pull to nothing is half of its greatest value.
    HALF_PULL_PX = 20.0

    def __init__(self, empty_pull: float) -> None:
        super().__init__(name="segmentation_loss")
        self._empty_pull = empty_pull

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Per-image loss (N,) of (N, H, W) class numbers and (N, H, W, classes) probabilities."""
        truth = ops.one_hot(ops.cast(y_true, "int32"), len(CLASSES))
        y_pred = ops.clip(y_pred, 1e-6, 1.0)
        entropy = -ops.sum(truth * ops.log(y_pred) * ops.convert_to_tensor(CLASS_WEIGHTS), axis=-1)
        return (
            ops.mean(entropy, axis=(1, 2))
            + self._jaccard(truth[..., HERO], y_pred[..., HERO])
            + 0.5 * self._jaccard(truth[..., PEOPLE], y_pred[..., PEOPLE])
        )

    def _jaccard(self, truth: keras.KerasTensor, probability: keras.KerasTensor) -> keras.KerasTensor:
        pixels = (1, 2)
        both = ops.sum(truth * probability, axis=pixels)
        seen, there = ops.sum(probability, axis=pixels), ops.sum(truth, axis=pixels)
        present = 1.0 - both / (seen + there - both + 1e-6)
        absent = self._empty_pull * seen / (seen + self.HALF_PULL_PX)
        return ops.where(there > 0, present, absent)


class Validation(NamedTuple):
    """How well a network finds the hero in the validation set.

    Args:
        hero_iou: intersection over union of the hero, averaged over the frames that show it.
        tp: frames with the hero in which the network found one.
        fp: frames without the hero in which the network found one.
        fn: frames with the hero in which the network found none.
    """

    hero_iou: float
    tp: int
    fp: int
    fn: int

    @property
    def quality(self) -> float:
        """What chooses the best epoch, in the form of the final score: hero IoU times the share of right detections."""
        return self.hero_iou * self.tp / max(1, self.tp + self.fp + self.fn)

    def __str__(self) -> str:
        return f"quality {self.quality:.4f}, hero IoU {self.hero_iou:.4f}, tp {self.tp}, fp {self.fp}, fn {self.fn}"


def validate(network: keras.Model, frames: Frames) -> Validation:
    """Score a network at its own resolution on frames of which at least one shows the hero."""

    def probabilities() -> Iterator[np.ndarray]:
        starts = range(0, len(frames.images), FRAMES_PER_PREDICTION)
        for start in tqdm(starts, desc="validation", unit=" batches", leave=False):
            images = normalise(frames.images[start : start + FRAMES_PER_PREDICTION])
            yield from np.asarray(network.predict_on_batch(images))

    score = score_set(probabilities(), frames.masks)
    # The original counts an IoU of 0 where there is no hero.
    hero_iou = score.iou[HERO] * score.n / np.count_nonzero(frames.shows_hero())
    return Validation(float(hero_iou), score.tp, score.fp, score.fn)


class EpochLog(NamedTuple):
    """What an epoch left: a line of the log.

    Args:
        epoch: counted from 1.
        loss: mean of the epoch's batches.
        validation: the score after it; None where it was not scored.
    """

    epoch: int
    loss: float
    validation: Validation | None = None


def read_log(path: Path) -> list[EpochLog]:
    """Read a run's log; one that does not exist yet is empty."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            EpochLog(
                int(row["epoch"]),
                float(row["loss"]),
                Validation(float(row["hero_iou"]), int(row["tp"]), int(row["fp"]), int(row["fn"]))
                if row["quality"]
                else None,
            )
            for row in csv.DictReader(file)
        ]


def write_log(path: Path, log: list[EpochLog]) -> None:
    """Write a run's log as CSV: a line per epoch, its score left out where there is none."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("epoch", "loss", "quality", *Validation._fields))
        writer.writeheader()
        for epoch, loss, validation in log:
            score = {"quality": round(validation.quality, 6), **validation._asdict()} if validation else {}
            writer.writerow({"epoch": epoch, "loss": loss, **score})


def best_epoch(log: list[EpochLog]) -> tuple[int, Validation] | None:
    """The first epoch of the highest quality and its score; None if no epoch was scored."""
    scored = [(line.epoch, line.validation) for line in log if line.validation]
    return max(scored, key=lambda epoch_and_score: epoch_and_score[1].quality, default=None)


class RunKeeper(keras.callbacks.Callback):
    """After each epoch: score it if it is due, keep the best weights, log it, save the state to go on from.

    In this order: a run killed meanwhile repeats the epoch as if it had not been.

    Args:
        out: the run folder.
        config: what is being trained.
        validation: the validation set.
        log: the epochs so far.
    """

    def __init__(self, out: Path, config: TrainingConfig, validation: Frames, log: list[EpochLog]) -> None:
        super().__init__()
        self._out, self._config, self._frames, self._log = out, config, validation, log

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Keras calls this with the epoch counted from 0 and its mean loss."""
        done, validation = epoch + 1, None
        if done % EPOCHS_PER_VALIDATION == 0 or done == self._config.epochs:
            validation = validate(self.model, self._frames)
            logger.info("validation after epoch %d: %s", done, validation)
            best = best_epoch(self._log)
            if best is None or validation.quality > best[1].quality:
                write_whole(self._out / WEIGHTS, lambda path: save_float32(self.model, self._config, path))
        self._log.append(EpochLog(done, round(float(logs["loss"]), 6), validation))
        write_whole(self._out / LOG, lambda path: write_log(path, self._log))
        write_whole(self._out / CHECKPOINT, self.model.save_weights)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a kill leaves the old one or the new one, never a part of it."""
    part = path.with_name(f"part-{path.name}")
    write(part)
    part.replace(path)


def save_float32(network: keras.Model, config: TrainingConfig, path: Path) -> None:
    """Save weights in a network of plain float32 layers, whatever policy they were trained with."""
    with layers_in("float32"):
        plain = build(config.network, config.input_px)
    plain.set_weights(network.get_weights())
    plain.save(path)


@contextmanager
def layers_in(policy: str) -> Iterator[None]:
    """Build layers of a dtype policy, and leave the caller's as it was."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_run(out: Path, config: TrainingConfig, resume: bool) -> None:
    """Check that a run may start in the folder `out`, or go on there with the settings it started with.

    Raises:
        ValueError: if it may not.
    """
    settings = out / SETTINGS
    if not resume:
        if settings.exists():
            raise ValueError(f"expected a new run folder, but {out} holds a run; --resume goes on with it")
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"expected a new or empty run folder, but {out} holds other files")
        return
    if not settings.exists():
        raise ValueError(f"expected an interrupted run in {out} to resume, found no {SETTINGS}")
    recorded, given = json.loads(settings.read_text()), asdict(config)
    for name, value in given.items():
        if value != recorded.get(name):
            raise ValueError(f"expected {name} {recorded.get(name)}, as {settings} has it, to resume, got {value}")


def train(config: TrainingConfig, training: Frames, validation: Frames, out: Path) -> Path:
    """Train, or go on training, in the run folder `out`, which `check_run` has found fit.

    Args:
        config: the settings.
        training: frames to learn from.
        validation: frames that choose the epoch whose weights are kept.
        out: run folder; created where there is none.

    Returns:
        The best network's `.keras` file.

    Raises:
        ValueError: if the frames do not suffice, before anything is written, or the state to go on from is damaged.
    """
    if not validation.shows_hero().any():
        raise ValueError(f"expected frames with the hero for validation, got none of {len(validation.images)}")
    batches = AugmentedBatches(
        training,
        augmentation="light",
        crop_px=config.input_px,
        batch=config.batch,
        steps=config.steps,
        hero_share=config.hero_share,
        seed=config.seed,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / SETTINGS, lambda path: path.write_text(json.dumps(asdict(config), indent=1) + "\n"))

    keras.utils.set_random_seed(config.seed)
    network = compiled_network(config)
    done = restore(network, config, out / CHECKPOINT)
    log = read_log(out / LOG)[:done]  # an epoch that was logged, but not saved, is repeated
    network.fit(
        batches,
        initial_epoch=done,
        epochs=config.epochs,
        callbacks=[
            keras.callbacks.ProgbarLogger(),  # first, so that an epoch's bar is whole before its score is printed
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)),
            RunKeeper(out, config, validation, log),
        ],
    )
    return out / WEIGHTS


def compiled_network(config: TrainingConfig) -> keras.Model:
    """Build the network to train, with its optimizer, schedule and loss."""
    # Half the time of float32 on a CPU with bfloat16 and no measurable loss; the saved weights are float32.
    with layers_in("mixed_bfloat16"):
        network = build(config.network, config.input_px)
    total, warm_up = config.epochs * config.steps, min(200, config.epochs * config.steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, total - warm_up, warmup_target=config.learning_rate, warmup_steps=warm_up, alpha=0.005
    )
    network.compile(keras.optimizers.Adam(schedule), SegmentationLoss(config.empty_pull), jit_compile=False)
    return network


def restore(network: keras.Model, config: TrainingConfig, checkpoint: Path) -> int:
    """Take weights and optimizer from a checkpoint, if there is one; returns the epochs that are done.

    Raises:
        ValueError: if the file is damaged.
    """
    if not checkpoint.exists():
        return 0
    network.optimizer.build(network.trainable_variables)
    try:
        network.load_weights(checkpoint)
    except OSError as error:
        raise ValueError(f"expected the state of a {config.network} in {checkpoint}, got: {error}") from error
    return int(ops.convert_to_numpy(network.optimizer.iterations)) // config.steps
