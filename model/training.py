"""Train a network, with validation and with checkpoints that survive a kill.

A run folder holds the settings, the checkpoint to resume from, a log with a line per epoch, and the network of the kept
epoch. At the end it also holds that network with its thresholds: the weights to use.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import keras

from model.batches import AugmentedBatches
from model.checkpoint import restore, save_checkpoint
from model.dataset import Frames
from model.distilling import Pupil, load_teacher, start_narrowed
from model.folders import write_whole
from model.hysteresis import Thresholds, best_thresholds, count, thresholds_of, with_thresholds
from model.loading import load_network
from model.losses import SegmentationLoss
from model.networks import build, layers_in, weights_for
from model.progress import Progress, tensorboard
from model.recipes import TrainingConfig
from model.run_folder import (
    CHECKPOINT,
    KEPT,
    LOG,
    TENSORBOARD,
    WEIGHTS,
    begin_run,
    check_begun,
    input_digests,
)
from model.scoring import HERO, HeroScore
from model.training_log import EpochLog, best_epoch, read_log, write_log
from model.validation import check_validation, predict, validate

logger = logging.getLogger(__name__)


class Trained(NamedTuple):
    """Result of a run.

    Args:
        weights: the `.keras` file.
        thresholds: thresholds of the network; None for p > 1/2.
        validation: score with these thresholds.
    """

    weights: Path
    thresholds: Thresholds | None
    validation: HeroScore


class RunKeeper(keras.callbacks.Callback):
    """After each epoch: score it if a score is due, keep its weights if they are wanted, log it, save the checkpoint.

    The checkpoint comes last. A run that is killed before that repeats the whole epoch.

    Args:
        out: the run folder.
        config: settings of the run.
        validation: frames to score.
        log: log of the epochs so far.
    """

    def __init__(self, out: Path, config: TrainingConfig, validation: Frames, log: list[EpochLog]) -> None:
        super().__init__()
        self._out, self._config, self._frames, self._log = out, config, validation, log

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Keras calls this with the epoch counted from 0 and its mean loss."""
        done, validation = epoch + 1, None
        if done % self._config.validate_every == 0 or done == self._config.epochs:
            with averaged_weights(self.model):
                validation = validate(self.model, self._frames)
                logger.info("validation after epoch %d: %s", done, validation)
                logs |= {"quality": validation.quality, "hero_iou": validation.hero_iou}  # for TensorBoard
                if self._is_kept(done, validation):
                    write_whole(self._out / KEPT, lambda path: save_float32(self.model, self._config, path))
        self._log.append(EpochLog(done, round(float(logs["loss"]), 6), validation))
        write_whole(self._out / LOG, lambda path: write_log(path, self._log))
        write_whole(self._out / CHECKPOINT, lambda path: save_checkpoint(self.model, path))

    def _is_kept(self, done: int, validation: HeroScore) -> bool:
        """Whether the network of the epoch with the number `done` and this score is to be kept."""
        if self._config.keep == "last":
            return done == self._config.epochs
        best = best_epoch(self._log)
        return best is None or validation.quality > best.quality


def save_float32(network: keras.Model, config: TrainingConfig, path: Path) -> None:
    """Save weights in a network of float32 layers, independent of the precision of the training."""
    with layers_in("float32"):
        plain = build(config.network, config.input_px, len(config.classes))
    plain.set_weights(network.get_weights())
    plain.save(path)


@contextmanager
def averaged_weights(network: keras.Model) -> Iterator[None]:
    """Replace a network's weights by their moving average, if its optimizer has one; restore them afterwards."""
    own = network.get_weights()
    network.optimizer.finalize_variable_values(network.trainable_variables)
    network.set_weights(network.get_weights())  # copies them, because on JAX predicting frees the arrays that it reads
    try:
        yield
    finally:
        network.set_weights(own)


def train(
    config: TrainingConfig,
    training: Frames,
    validation: Frames,
    out: Path,
    on_start: Callable[[AugmentedBatches], object] = lambda batches: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Trained:
    """Train, or resume training, in the run folder `out`, which `check_run` has accepted.

    Args:
        config: the settings.
        training: frames to learn from.
        validation: frames to score and to choose the thresholds on; with `sets` "both", frames to learn from.
        out: run folder; created if missing.
        on_start: called with the batches before the first step, after the run folder is created.
        callbacks: called after each epoch is logged and its checkpoint is saved.

    Raises:
        ValueError: if there are too few frames, the weights to start from do not fit, or the run was begun with other
            frames, profiles or weights, or if what it left is damaged; before anything is written.
        FileNotFoundError: if the weights to start from do not exist.
    """
    learned = training if config.sets == "train" else training.joined(validation)
    content = input_digests(config, learned, validation)
    check_begun(out, content)
    batches = draw_batches(config, learned)
    if config.validation_steps:
        validation = validation.spread(config.validation_steps * config.batch)
    check_validation(validation)
    given = given_thresholds(config)
    keras.utils.set_random_seed(config.seed)
    teacher = load_teacher(config) if config.teacher else None
    network = compiled_network(config, teacher)
    done = restore(network, config, out / CHECKPOINT)
    if config.start and not done:
        start_from(network, Path(config.start))
    elif teacher is not None and not done:
        start_narrowed(network, teacher, batches[0][0])

    log = finished_log(out, config, done)

    begin_run(out, config, content)
    on_start(batches)
    network.fit(
        batches,
        initial_epoch=done,
        epochs=config.epochs,
        verbose=0,
        shuffle=False,  # a resumed run must see the batches in the same order
        callbacks=[
            Progress(config, done),
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)),
            RunKeeper(out, config, validation, log),
            *tensorboard(out / TENSORBOARD),
            *callbacks,
        ],
    )
    return finish(config, validation, out, given)


def given_thresholds(config: TrainingConfig) -> Thresholds | None:
    """Thresholds of the weights that a run with `sets` "both" starts from; None if the run chooses its own or has none.

    Raises:
        ValueError: if these weights have no thresholds.
        FileNotFoundError: if these weights do not exist.
    """
    if config.sets == "train" or config.decision == "half":
        return None
    thresholds = thresholds_of(load_network(config.start))
    if thresholds is None:
        raise ValueError(f"expected a network with two thresholds to start from in {config.start}, got one without")
    return thresholds


def finish(config: TrainingConfig, validation: Frames, out: Path, given: Thresholds | None = None) -> Trained:
    """Save the network of the kept epoch with its thresholds as the weights of the run.

    Args:
        config: the settings.
        validation: frames to score and to choose the thresholds on.
        out: run folder with the network of the kept epoch.
        given: thresholds; None to choose them.
    """
    network, thresholds = load_network(out / KEPT), None
    if config.decision == "hysteresis":
        thresholds = given or best_thresholds(map(count, predict(network, validation), validation.masks >= HERO))
        network = with_thresholds(network, thresholds)
    write_whole(out / WEIGHTS, network.save)
    score = validate(network, validation)
    logger.info("thresholds %s: %s", "p > 1/2" if thresholds is None else thresholds, score)
    return Trained(out / WEIGHTS, thresholds, score)


def draw_batches(config: TrainingConfig, frames: Frames) -> AugmentedBatches:
    """The batches of a run.

    Raises:
        ValueError: as `AugmentedBatches` does.
    """
    return AugmentedBatches(
        frames,
        augmentation=config.augmentation,
        crop_px=config.crop_px,
        batch=config.batch,
        steps=config.steps,
        hero_share=config.hero_share,
        seed=config.seed,
        weights=frames.weights(near=config.near_weight, people=config.people_weight),
        workers=config.workers,
        profile=config.target,
        more_profiles=config.more_targets,
    )


def compiled_network(config: TrainingConfig, teacher: keras.Model | None = None) -> keras.Model:
    """Build the network to train, with its optimizer, schedule, loss and teacher."""
    with layers_in(config.precision):  # bfloat16 costs no measurable accuracy; the saved weights are float32
        network = build(config.network, None, len(config.classes))  # crops in training, whole frames in validation
        if teacher is not None:
            network = Pupil(network, teacher, config.hero_weight)
    total, warm_up = config.epochs * config.steps, min(200, config.epochs * config.steps // 10)
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, total - warm_up, warmup_target=config.learning_rate, warmup_steps=warm_up, alpha=0.005
        )
    average = {"use_ema": True, "ema_momentum": config.average} if config.average else {}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    # JAX is slow without compiling; TensorFlow's graphs are as fast, and start sooner.
    network.compile(optimizer, SegmentationLoss(config), jit_compile=keras.config.backend() == "jax")
    return network


def finished_log(out: Path, config: TrainingConfig, done: int) -> list[EpochLog]:
    """The log of the epochs that the checkpoint has behind it; one that was logged but not saved is repeated.

    Raises:
        FileNotFoundError: if the network of the kept epoch is missing.
        ValueError: if the log lacks epochs, or a file is damaged.
    """
    log = read_log(out / LOG)[:done]
    if len(log) < done:
        raise ValueError(f"expected the {done} epochs that {CHECKPOINT} has behind it in {out / LOG}, got {len(log)}")
    if done == config.epochs or (config.keep == "best" and best_epoch(log)):
        load_network(out / KEPT)
    return log


def start_from(network: keras.Model, weights: Path) -> None:
    """Copy the weights of a trained network of the same shapes, or of fewer targets (`weights_for`).

    Raises:
        FileNotFoundError, ValueError: as `load_network`; ValueError for a network of other shapes.
    """
    trained = load_network(weights)
    try:
        network.set_weights(weights_for(network, trained))
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"expected weights of a {network.name} to start from in {weights}, got those of a {trained.name}"
        ) from error
