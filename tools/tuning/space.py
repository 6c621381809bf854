"""The space of a search: a TOML file with ranges and choices for settings of `tools/train.py`.

    preset = "writeup"          # the settings that are not searched; a name or a TOML file
    trials = 40
    frames_per_epoch = 4096     # steps = frames_per_epoch / batch: each trial sees as many frames as any other

    [fixed]                     # settings that differ from the preset
    epochs = 10

    [search]
    network = ["fcn1", "fcn4"]                                  # one of these
    learning_rate = { from = 1e-4, to = 1e-2, scale = "log" }   # a range
    batch = { from = 32, to = 200, step = 8 }

    [[first]]                   # settings to try before the sampler chooses
    network = "fcn4"
    learning_rate = 1e-4
    batch = 32

    [stop]                      # of each `reduction` trials, the best one goes on
    grace_epochs = 2
    reduction = 3

Imports neither Ray nor Optuna.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from model.recipes import TrainingConfig, find_preset, setting_value, with_settings
from model.toml_file import read_toml

# These settings decide which frames are scored, and how. Scores of trials that differ in them cannot be compared. The
# best of several seeds is only luck.
NOT_SEARCHED = (
    *("input_px", "sets", "hold_out", "hovering_frames", "validate_every", "validation_steps", "keep", "decision"),
    *("seed", "profile", "more_profiles"),
)
MOST_TRIALS = 10_000
# Most combinations of settings to try until a value is valid in one of them.
MOST_COMBINATIONS = 10_000

Parameters = dict[str, Any]
"""A value for each searched setting."""


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of numbers.

    Args:
        low: smallest value; `from` in the file.
        high: largest value; `to` in the file.
        scale: the scale on which all values are equally likely at first.
        step: distance of neighbouring values; None: 1 for whole numbers, any number otherwise.
    """

    low: int | float = msgspec.field(name="from")
    high: int | float = msgspec.field(name="to")
    scale: Literal["linear", "log"] = "linear"
    step: int | float | None = None

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """Smallest and largest value."""
        return self.low, self.high


Choice = tuple[Any, ...]
"""Values to choose from."""


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a trial is stopped early (asynchronous successive halving, ASHA).

    Args:
        grace_epochs: epochs that every trial gets.
        reduction: of this many trials, one goes on after the epochs `grace_epochs · reductionⁿ`.
    """

    grace_epochs: int = 1
    reduction: int = 3


class SpaceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file; see the module's description."""

    search: dict[str, Range | list[Any]]
    trials: int
    preset: str = "fpn"
    frames_per_epoch: int = 0
    seed: int = 0
    fixed: dict[str, Any] = {}
    first: list[dict[str, Any]] = []
    stop: Stop = Stop()


@dataclass(frozen=True)
class Space:
    """A space of settings to search.

    Args:
        base: settings that are not searched.
        search: range or choice of each setting that is searched.
        trials: how many combinations to try.
        first: combinations to try first.
        frames_per_epoch: frames of an epoch; the steps follow from it and the batch. 0: the steps are a setting.
        stop: when trials are stopped early.
        seed: of the sampler.

    Raises:
        ValueError: if a value is invalid, alone or with every combination of the others.
    """

    base: TrainingConfig
    search: Mapping[str, Range | Choice]
    trials: int
    first: tuple[Parameters, ...] = ()
    frames_per_epoch: int = 0
    stop: Stop = field(default_factory=Stop)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.search:
            raise ValueError("expected a setting to search in [search], got none")
        for expected, is_valid, value in (
            (f"trials of 1 to {MOST_TRIALS}", 1 <= self.trials <= MOST_TRIALS, self.trials),
            ("frames_per_epoch of at least 0", self.frames_per_epoch >= 0, self.frames_per_epoch),
            ("a seed from 0 to 4294967295", 0 <= self.seed < 2**32, self.seed),
            ("stop.grace_epochs of at least 1", self.stop.grace_epochs >= 1, self.stop.grace_epochs),
            ("stop.reduction of at least 2", self.stop.reduction >= 2, self.stop.reduction),
            (
                "validation_steps 0 where batch is searched, because validation_steps counts batches",
                not (self.base.validation_steps and "batch" in self.search),
                self.base.validation_steps,
            ),
            ("sets train, because validation chooses the trial", self.base.sets == "train", self.base.sets),
        ):
            if not is_valid:
                raise ValueError(f"expected {expected}, got {value}")
        if self.frames_per_epoch and "steps" in self.search:
            raise ValueError("expected steps to follow from frames_per_epoch, got them in [search], too")
        for parameters in self.first:
            self._check_first(parameters)
        for name in self.search:
            self._check_values(name)

    @property
    def most_epochs(self) -> int:
        """Epochs of the longest trial."""
        searched = self.search.get("epochs", (self.base.epochs,))
        return int(max(values_of(searched)))

    def config(self, parameters: Parameters) -> TrainingConfig:
        """Settings of a trial.

        Raises:
            ValueError: if they contradict each other.
        """
        settings = dict(parameters)
        if self.frames_per_epoch:
            batch = parameters.get("batch", self.base.batch)
            settings["steps"] = max(1, round(self.frames_per_epoch / max(batch, 1)))  # `replace` refuses a batch of 0
        return replace(self.base, **settings)

    def _check_first(self, parameters: Parameters) -> None:
        if parameters.keys() != self.search.keys():
            raise ValueError(
                f"expected a value for each of {', '.join(self.search)} in [[first]], got {', '.join(parameters)}"
            )
        for name, value in parameters.items():
            if not is_in(value, self.search[name]):
                raise ValueError(f"expected {name} in [[first]] to be in its range or choice, got {value!r}")
        self.config(parameters)

    def _check_values(self, name: str) -> None:
        """Check that each end of a range, and each choice, is valid in some combination with the others."""
        for value in values_of(self.search[name]):
            try:
                _first_valid({**self.search, name: (value,)}, self.config)
            except ValueError as error:
                raise ValueError(
                    f"expected a value of {name} that is valid with some of the others, got {value!r}: {error}"
                ) from error


def _first_valid(
    search: Mapping[str, Range | Choice], config: Callable[[Parameters], TrainingConfig]
) -> TrainingConfig:
    """Settings of the first valid combination.

    Raises:
        ValueError: if no combination is valid; it gives the reason of the first.
    """
    values = [[(name, value) for value in values_of(among)] for name, among in search.items()]
    reason: ValueError | None = None
    for combination in itertools.islice(itertools.product(*values), MOST_COMBINATIONS):
        try:
            return config(dict(combination))
        except ValueError as error:
            reason = reason or error
    raise ValueError(reason)


def values_of(among: Range | Choice) -> tuple[Any, ...]:
    """The ends of a range, or the choices."""
    return among.ends if isinstance(among, Range) else among


def is_in(value: Any, among: Range | Choice) -> bool:
    """Whether a value is in a range, at one of its steps, or is a choice."""
    if not isinstance(among, Range):
        return value in among
    steps = (value - among.low) / among.step if among.step else 0
    return bool(among.low <= value <= among.high and math.isclose(steps, round(steps), abs_tol=1e-9))


def read_space(file: Path) -> Space:
    """Read a space.

    Raises:
        OSError: if the file, or that of its preset, cannot be read.
        ValueError: if it is not a valid space; a single line that names the file.
    """
    try:
        return _space(msgspec.convert(read_toml(file), SpaceFile))
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"expected a search space in {file}, got: {error}") from error


def _space(written: SpaceFile) -> Space:
    preset = find_preset(written.preset)
    search = {name: _among(name, among) for name, among in written.search.items()}
    if both := search.keys() & written.fixed.keys():
        raise ValueError(f"expected a setting in [fixed] or in [search], got {', '.join(sorted(both))} in both")
    return Space(
        # Some fixed settings, such as a size, are valid only together with searched ones.
        base=_first_valid(search, lambda searched: with_settings(preset, {**searched, **written.fixed})),
        search=search,
        trials=written.trials,
        first=tuple({name: setting_value(name, value) for name, value in each.items()} for each in written.first),
        frames_per_epoch=written.frames_per_epoch,
        stop=written.stop,
        seed=written.seed,
    )


def _among(name: str, among: Range | Iterable[Any]) -> Range | Choice:
    """A range or choice whose values have the type of the setting."""
    if name in NOT_SEARCHED:
        raise ValueError(
            f"expected in [search] no setting that changes the score's definition ({', '.join(NOT_SEARCHED)}), "
            f"got {name}"
        )
    if not isinstance(among, Range):
        choice = tuple(setting_value(name, value) for value in among)
        if not choice or len(set(choice)) < len(choice):
            raise ValueError(f"expected different values of {name} to choose from, got {list(among)}")
        return choice
    low, high = (setting_value(name, end) for end in among.ends)
    step = None if among.step is None else setting_value(name, among.step)
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (low, high)) or not low < high:
        raise ValueError(f"expected a range of {name} from a number to a larger one, got {low!r} to {high!r}")
    if among.scale == "log" and (low <= 0 or step is not None):
        raise ValueError(f"expected a range of {name} above 0 and without step for the scale log, got {low!r}")
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"expected a step of {name} above 0 and up to {high - low}, got {step!r}")
    return Range(low, high, among.scale, step)
