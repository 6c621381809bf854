"""Training settings with their ranges, and presets by name or in a TOML file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from model.batches import AUGMENTATIONS
from model.loading import MOST_INPUT_PX
from model.mask_colours import MOST_TARGETS
from model.networks import check_buildable
from model.options import option
from model.profile import Profile, hero_profile, read_profile
from model.toml_file import read_toml

SETS, SCHEDULES = ("train", "both"), ("cosine", "constant")
PRECISIONS = ("mixed_bfloat16", "float32")
KEPT_EPOCHS, DECISIONS = ("best", "last"), ("half", "hysteresis")


@dataclass(frozen=True)
class TrainingConfig:
    """Training settings.

    Raises:
        ValueError: if a setting is out of its range, or the network cannot be built.
    """

    network: str = option("fpn", "network: fcn1 to fcn5, inception, fpn, or fpn_narrow")
    input_px: int = option(256, "height and width of the network's input, px")
    sets: str = option(
        "train",
        "sets to train on; both: train on the validation set, too; then no epoch or threshold is chosen on it, and the "
        "thresholds of --start are kept",
        choices=SETS,
    )
    hold_out: tuple[str, ...] = option((), "recordings of train/ to validate on instead; r03 is r03_*.jpeg")
    hovering_frames: int = option(0, "most frames of each run of a hovering camera (r14s_*.jpeg); 0: all")
    crop_px: int = option(192, "height and width of the crops that training uses, px")
    augmentation: str = option(
        "far",
        "shift: move and pad; light: also mirror and change the light; far: also change the scale and paste in far "
        "people",
        choices=AUGMENTATIONS,
    )
    epochs: int = option(60, "number of epochs")
    steps: int = option(200, "batches per epoch")
    validate_every: int = option(4, "epochs between validations")
    batch: int = option(16, "image and mask pairs per batch")
    learning_rate: float = option(2e-3, "highest learning rate of Adam")
    schedule: str = option(
        "cosine", "learning rate over time; cosine: warm-up, then decay to almost 0", choices=SCHEDULES
    )
    weight_decay: float = option(0.02, "decoupled weight decay per unit of learning rate; 0: plain Adam")
    hero_share: float = option(0.4, "share of each batch with the hero; 0: as in the set")
    near_weight: float = option(1.0, "how often to draw a near hero (over 600 px at 256 px), relative to a far hero")
    people_weight: float = option(1.0, "how often to draw people without the hero, relative to frames with nobody")
    hero_weight: float = option(4.0, "class weight of hero pixels (surroundings 1, people its square root)")
    jaccard: float = option(1.0, "weight of the soft Jaccard loss of the hero; half of it for people")
    empty_pull: float = option(0.5, "weight of the Jaccard loss's penalty in images without the class")
    detection: float = option(0.5, "weight of the loss for missed heroes and false detections")
    average: float = option(
        0.0, "momentum of the moving average of the weights, which is validated and kept; 0: no average"
    )
    keep: str = option(
        "last", "epoch whose network is kept; best: by the validation score at p > 1/2", choices=KEPT_EPOCHS
    )
    decision: str = option(
        "hysteresis",
        "how the network decides; half: p > 1/2; hysteresis: two thresholds, chosen on the validation set",
        choices=DECISIONS,
    )
    validation_steps: int = option(0, "batches of the validation set to score, evenly spread; 0: all")
    precision: str = option(
        "mixed_bfloat16",
        "arithmetic of training; mixed_bfloat16 takes half the time of float32 on a CPU with AVX-512 BF16, and ten "
        "times the time on a CPU without",
        choices=PRECISIONS,
    )
    workers: int = option(1, "processes that prepare batches, for a GPU; 1: a thread")
    profile: str = option("", "TOML file of the target's profile, see docs/targets.md; empty: the hero's")
    more_profiles: tuple[str, ...] = option((), "TOML files of further targets: yellow, magenta and cyan in the masks")
    start: str = option("", "weights (.keras) of the same network to start from; empty: random weights")
    teacher: str = option(
        "",
        "weights (.keras) of a trained network to learn from beside the masks; without --start, a narrower fpn starts "
        "from its most important channels; empty: none",
    )
    seed: int = option(0, "seed of weights, batches and augmentation")

    def __post_init__(self) -> None:
        check_buildable(self.network, self.input_px)
        if self.input_px > MOST_INPUT_PX:  # `load_network` would refuse it, after the training
            raise ValueError(f"input_px must be at most {MOST_INPUT_PX}, got {self.input_px}")
        check_buildable(self.network, self.crop_px)
        if self.crop_px > self.input_px:
            raise ValueError(f"crop_px must be at most input_px, {self.input_px}, got {self.crop_px}")
        for setting in fields(self):
            choices, value = setting.metadata["choices"], getattr(self, setting.name)
            if choices is not None and value not in choices:
                raise ValueError(f"{setting.name} must be one of {', '.join(choices)}, got {value!r}")
        if self.sets == "both" and self.keep == "best":
            raise ValueError("keep must be last with sets both, which leaves no frames for choosing an epoch, got best")
        if self.sets == "both" and self.decision == "hysteresis" and not self.start:
            raise ValueError(
                "start must be given with sets both and hysteresis, because its thresholds are kept, got none"
            )
        if self.augmentation != "far" and self.crop_px != self.input_px:
            raise ValueError(
                f"crop_px must be input_px, {self.input_px}, with {self.augmentation} augmentation, got {self.crop_px}"
            )
        for name in ("epochs", "steps", "validate_every", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch < 2:
            raise ValueError(f"batch must be at least 2, for frames with and without the hero, got {self.batch}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must be in (0, 1), got {self.learning_rate}")
        if self.hero_share and not (0 < self.hero_share < 1 and 0 < round(self.hero_share * self.batch) < self.batch):
            raise ValueError(
                f"hero_share must be 0 or give frames with and without the hero in a batch of {self.batch}, "
                f"got {self.hero_share}"
            )
        for name in ("near_weight", "people_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not self.hero_share and (self.near_weight, self.people_weight) != (1, 1):
            raise ValueError("near_weight and people_weight must be 1 with hero_share 0, which draws all frames alike")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be in [0, 1), got {self.average}")
        not_negative = ("hero_weight", "jaccard", "empty_pull", "detection", "weight_decay")
        for name in (*not_negative, "validation_steps", "hovering_frames"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), got {self.seed}")

    @property
    def target(self) -> Profile:
        """Profile of the target that the network learns.

        Raises:
            OSError, ValueError: as `read_profile`.
        """
        return read_profile(Path(self.profile)) if self.profile else hero_profile()

    @property
    def more_targets(self) -> tuple[Profile, ...]:
        """Profiles of the further targets that the network learns.

        Raises:
            OSError, ValueError: as `read_profile`, or if there are too many, or two classes have the same name.
        """
        if len(self.more_profiles) >= MOST_TARGETS:
            raise ValueError(f"expected at most {MOST_TARGETS - 1} more_profiles, got {len(self.more_profiles)}")
        more = tuple(read_profile(Path(file)) for file in self.more_profiles)
        classes = (*self.target.classes, *(profile.name for profile in more))
        if len(set(classes)) < len(classes):
            raise ValueError(f"expected targets of different names, got {', '.join(classes)}")
        return more

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the network: the classes for the first target, then the further targets.

        Raises:
            OSError, ValueError: as `more_targets`.
        """
        return (*self.target.classes, *(profile.name for profile in self.more_targets))


# Common settings of the FCN4s: the original's input size, a single threshold, no special treatment of far heroes.
_FCN4 = TrainingConfig(
    network="fcn4", input_px=160, crop_px=160, weight_decay=0.0, detection=0.0, keep="best", decision="half"
)
PRESETS = {
    # First training of the shipped network; its card has the trainings and the average that followed.
    "fpn": TrainingConfig(),
    # The best FCN4 of this project, at 160 px.
    "fcn4": replace(_FCN4, augmentation="light", epochs=55, steps=100, validate_every=5, hero_share=0.5),
    # The best run of the original report.
    "writeup": replace(
        _FCN4,
        augmentation="shift",
        epochs=40,
        steps=128,
        batch=32,
        learning_rate=1e-4,
        schedule="constant",
        hero_share=0.0,
        hero_weight=1.0,
        jaccard=0.0,
    ),
}


def with_settings(base: TrainingConfig, settings: Mapping[str, Any]) -> TrainingConfig:
    """Replace settings by values from a file.

    Raises:
        ValueError: if there is no such setting, a value has the wrong type, or a setting is out of its range.
    """
    return replace(base, **{name: setting_value(name, value) for name, value in settings.items()})


def setting_value(name: str, value: Any) -> Any:
    """Convert a value from a file to the type of a setting.

    Raises:
        ValueError: if there is no such setting, or the value has the wrong type.
    """
    types = get_type_hints(TrainingConfig)
    if name not in types:
        raise ValueError(f"expected a setting of tools/train.py (see its --help, with _ for -), got {name}")
    try:
        return msgspec.convert(value, types[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}, {value!r}") from error


def preset_text(config: TrainingConfig) -> str:
    """All settings as a TOML file, which `find_preset` reads."""
    # JSON's strings, numbers and lists are valid TOML, too.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(config).items())


def find_preset(name: str) -> TrainingConfig:
    """The preset of a name, or of a TOML file of settings; settings that the file does not have are those of `fpn`.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if there is no such preset, the file is not TOML, or as `with_settings`.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not name.endswith(".toml"):
        raise ValueError(f"expected a preset, {', '.join(PRESETS)} or a file NAME.toml, got {name!r}")
    file = Path(name)
    try:
        return with_settings(TrainingConfig(), read_toml(file))
    except ValueError as error:
        raise ValueError(f"expected a preset in {file}, got: {error}") from error
