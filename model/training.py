"""Train a network: loss, schedule, checkpoints that survive a kill, curves."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.dataset import HERO, AugmentedBatches, Frames, in_batches
from model.fcn import CLASSES, build
from model.scoring import SetScore, score_set

# A pixel of a hero counts more than one of the lawn, which is 97 % of all pixels.
CLASS_WEIGHTS = (1.0, 2.0, 4.0)
PEOPLE = CLASSES.index("people")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; `help` is what the command line says of each.

    Raises:
        ValueError: for a setting outside its range.
    """

    network: str = field(default="fcn4", metadata={"help": "network: fcn1 to fcn5"})
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
        for name in ("epochs", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must be in (0, 1), got {self.learning_rate}")
        if not 0 < self.hero_share < 1:
            raise ValueError(f"hero_share must be in (0, 1), got {self.hero_share}")


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


class ValidationScore(keras.callbacks.Callback):
    """Scores the validation set every few epochs and keeps the best weights.

    Args:
        frames: the validation set.
        best: where the best network so far is kept, as float32 `.keras`.
        config: what is being trained.
        every: epochs between scores; the last epoch is always scored.
    """

    def __init__(self, frames: Frames, best: Path, config: TrainingConfig, every: int = 5) -> None:
        super().__init__()
        self._frames, self._path, self._config, self._every = frames, best, config, every
        self._log = best.with_name("validation.csv")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Score, log, and save if the score is the best of the run, interruptions included."""
        if (epoch + 1) % self._every and epoch + 1 != self._config.epochs:
            return
        score = score_frames(self.model, self._frames)
        rows = read_scores(self._log)
        with self._log.open("a", newline="") as file:
            csv.writer(file).writerow([epoch + 1, f"{quality(score):.5f}", *(f"{iou:.5f}" for iou in score.iou)])
        print(f"\nvalidation after epoch {epoch + 1}: quality {quality(score):.4f}, {score}")
        if all(quality(score) > previous for _, previous in rows):
            save_float32(self.model, self._config, self._path)


def read_scores(log: Path) -> list[tuple[int, float]]:
    """(epoch, quality) of each score that a run has logged so far."""
    if not log.exists():
        return []
    with log.open(newline="") as file:
        return [(int(row[0]), float(row[1])) for row in csv.reader(file)]


def score_frames(network: keras.Model, frames: Frames) -> SetScore:
    """Score a network on frames at its own resolution."""
    probabilities = (
        image for batch in in_batches(frames.images) for image in np.asarray(network.predict_on_batch(batch))
    )
    return score_set(probabilities, frames.masks)


def quality(score: SetScore) -> float:
    """The final score's form on one set: hero IoU times the share of right detections."""
    return score.iou[HERO] * score.tp / max(1, score.tp + score.fp + score.fn)


def save_float32(network: keras.Model, config: TrainingConfig, path: Path) -> None:
    """Save weights in a network of plain float32 layers, whatever policy they were trained with."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    plain = build(config.network, config.input_px)
    keras.config.set_dtype_policy(policy)
    plain.set_weights(network.get_weights())
    plain.save(path)


def train(config: TrainingConfig, training: Frames, validation: Frames, out: Path) -> Path:
    """Train, or go on training, in the run folder `out`.

    Args:
        config: the settings, the same as before if `out` holds an interrupted run.
        training: frames to learn from.
        validation: frames that choose the epoch whose weights are kept.
        out: run folder: backup, best weights, `log.csv`, `validation.csv`.

    Returns:
        The best network's `.keras` file.
    """
    keras.utils.set_random_seed(config.seed)
    # Half the time of float32 on a CPU with bfloat16 and no measurable loss; the saved weights are float32.
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build(config.network, config.input_px)
    batches = AugmentedBatches(
        training, batch=config.batch, steps=config.steps, hero_share=config.hero_share, seed=config.seed
    )
    total, warm_up = config.epochs * config.steps, min(200, config.epochs * config.steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, total - warm_up, warmup_target=config.learning_rate, warmup_steps=warm_up, alpha=0.005
    )
    network.compile(keras.optimizers.Adam(schedule), SegmentationLoss(config.empty_pull), jit_compile=False)
    best = out / "model_weights.keras"
    network.fit(
        batches,
        epochs=config.epochs,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)),
            keras.callbacks.BackupAndRestore(out / "backup", delete_checkpoint=False),
            keras.callbacks.CSVLogger(out / "log.csv", append=True),
            ValidationScore(validation, best, config),
        ],
    )
    return best
