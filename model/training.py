"""Train a network: validation, checkpoints that survive a kill.

A run folder holds the run's settings, the state to go on from, a log of one line per epoch, the kept epoch's network
and, in the end, that network with its thresholds: the weights to use.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import keras
from keras import ops

from model.batches import AugmentedBatches
from model.dataset import Frames
from model.hysteresis import Thresholds, best_thresholds, count, thresholds_of, with_thresholds
from model.loading import load_network
from model.losses import SegmentationLoss
from model.networks import build
from model.progress import Progress
from model.recipes import TrainingConfig
from model.scoring import HERO, HeroScore
from model.training_log import EpochLog, best_epoch, read_log, write_log
from model.validation import predict, validate

logger = logging.getLogger(__name__)

# In a run folder.
SETTINGS, LOG, TENSORBOARD = "settings.json", "log.csv", "tensorboard"
CHECKPOINT, KEPT, WEIGHTS = "checkpoint.weights.h5", "kept_epoch.keras", "model_weights.keras"


class Trained(NamedTuple):
    """What a run left.

    Args:
        weights: the `.keras` file.
        thresholds: what it decides by; None for a probability of one half.
        validation: how well it does so.
    """

    weights: Path
    thresholds: Thresholds | None
    validation: HeroScore


class RunKeeper(keras.callbacks.Callback):
    """After each epoch: score it if it is due, keep its weights if they are wanted, log it, save the state.

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
        if done % self._config.validate_every == 0 or done == self._config.epochs:
            with averaged_weights(self.model):
                validation = validate(self.model, self._frames)
                logger.info("validation after epoch %d: %s", done, validation)
                logs |= {"quality": validation.quality, "hero_iou": validation.hero_iou}  # for TensorBoard
                best, is_last = best_epoch(self._log), done == self._config.epochs
                is_best = best is None or validation.quality > best[1].quality
                if is_last if self._config.keep == "last" else is_best:
                    write_whole(self._out / KEPT, lambda path: save_float32(self.model, self._config, path))
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
def averaged_weights(network: keras.Model) -> Iterator[None]:
    """Give a network the moving average of its weights, if its optimizer has one, and put its own back afterwards."""
    own = network.get_weights()
    network.optimizer.finalize_variable_values(network.trainable_variables)
    try:
        yield
    finally:
        network.set_weights(own)


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
    recorded, given = json.loads(settings.read_text()), json.loads(json.dumps(asdict(config)))
    for name, value in given.items():
        if value != recorded.get(name):
            raise ValueError(f"expected {name} {recorded.get(name)}, as {settings} has it, to resume, got {value}")


def train(
    config: TrainingConfig,
    training: Frames,
    validation: Frames,
    out: Path,
    on_start: Callable[[AugmentedBatches], object] = lambda batches: None,
) -> Trained:
    """Train, or go on training, in the run folder `out`, which `check_run` has found fit.

    Args:
        config: the settings.
        training: frames to learn from.
        validation: frames that tell how well it goes, and choose the thresholds; with `sets` "both" they are learned
            from instead.
        out: run folder; created where there is none.
        on_start: called with the batches before the first step, when the run folder is there.

    Raises:
        ValueError: if the frames do not suffice or the weights to start from do not fit, before anything is written, or
            the state to go on from is damaged.
        FileNotFoundError: if there are no weights to start from.
    """
    batches = draw_batches(config, training if config.sets == "train" else training.joined(validation))
    if config.validation_steps:
        validation = validation.spread(config.validation_steps * config.batch)
    if not validation.shows_hero().any():
        raise ValueError(f"expected frames with the hero for validation, got none of {len(validation.images)}")
    given = given_thresholds(config)
    keras.utils.set_random_seed(config.seed)
    network = compiled_network(config)
    done = restore(network, config, out / CHECKPOINT)
    if config.start and not done:
        start_from(network, Path(config.start))

    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / SETTINGS, lambda path: path.write_text(json.dumps(asdict(config), indent=1) + "\n"))
    on_start(batches)
    log = read_log(out / LOG)[:done]  # an epoch that was logged, but not saved, is repeated
    network.fit(
        batches,
        initial_epoch=done,
        epochs=config.epochs,
        verbose=0,
        shuffle=False,  # so that a resumed run sees the batches in the order of an uninterrupted one
        callbacks=[
            Progress(config, done),
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)),
            RunKeeper(out, config, validation, log),
            keras.callbacks.TensorBoard(out / TENSORBOARD, write_graph=False),
        ],
    )
    return finish(config, validation, out, given)


def given_thresholds(config: TrainingConfig) -> Thresholds | None:
    """The thresholds that a run takes over from the weights it starts from; None if it chooses its own or has none.

    Raises:
        ValueError: if those weights have none.
        FileNotFoundError: if there are no such weights.
    """
    if config.sets == "train" or config.decision == "half":
        return None
    thresholds = thresholds_of(load_network(config.start))
    if thresholds is None:
        raise ValueError(f"expected a network with two thresholds to start from in {config.start}, got one without")
    return thresholds


def finish(config: TrainingConfig, validation: Frames, out: Path, given: Thresholds | None = None) -> Trained:
    """Give the kept epoch's network its thresholds, those given or else chosen, and save it as the run's weights."""
    network, thresholds = keras.saving.load_model(out / KEPT, compile=False), None
    if config.decision == "hysteresis":
        thresholds = given or best_thresholds(map(count, predict(network, validation), validation.masks == HERO))
        network = with_thresholds(network, thresholds)
    write_whole(out / WEIGHTS, network.save)
    score = validate(network, validation)
    logger.info("thresholds %s: %s", "p > 1/2" if thresholds is None else thresholds, score)
    return Trained(out / WEIGHTS, thresholds, score)


def draw_batches(config: TrainingConfig, frames: Frames) -> AugmentedBatches:
    """The batches of a run.

    Raises:
        ValueError: if the frames do not suffice.
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
    )


def compiled_network(config: TrainingConfig) -> keras.Model:
    """Build the network to train, with its optimizer, schedule and loss."""
    with layers_in(config.precision):  # bfloat16 costs no measurable accuracy; the saved weights are float32
        network = build(config.network, input_px=None)  # learns from crops, is validated on whole frames
    total, warm_up = config.epochs * config.steps, min(200, config.epochs * config.steps // 10)
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, total - warm_up, warmup_target=config.learning_rate, warmup_steps=warm_up, alpha=0.005
        )
    average = {"use_ema": True, "ema_momentum": config.average} if config.average else {}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    network.compile(optimizer, SegmentationLoss(config), jit_compile=False)
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


def start_from(network: keras.Model, weights: Path) -> None:
    """Give a network the weights of a trained one of the same shapes.

    Raises:
        FileNotFoundError, ValueError: as `load_network`; ValueError for a network of other shapes.
    """
    trained = load_network(weights)
    try:
        network.set_weights(trained.get_weights())
    except ValueError as error:
        raise ValueError(f"expected weights of a {network.name} to start from in {weights}, got {error}") from error
