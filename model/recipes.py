"""Training settings with their ranges, and the presets by name."""

from dataclasses import dataclass, replace

from model.batches import AUGMENTATIONS
from model.networks import check_buildable
from model.options import option

SETS, SCHEDULES = ("train", "both"), ("cosine", "constant")
PRECISIONS = ("mixed_bfloat16", "float32")
KEPT_EPOCHS, DECISIONS = ("best", "last"), ("half", "hysteresis")


@dataclass(frozen=True)
class TrainingConfig:
    """Training settings; the command line shows their descriptions.

    Raises:
        ValueError: for a setting outside its range, or a network that cannot be built.
    """

    network: str = option("fpn", "network: fcn1 to fcn5, or fpn")
    input_px: int = option(256, "height and width of the network's input, px")
    sets: str = option(
        "train",
        "sets to learn from: train, or both to include the validation frames; both keeps the thresholds of --start, "
        "because no frames are left to choose them",
    )
    hold_out: tuple[str, ...] = option(
        (), "recordings of train/ to use for validation instead, for example r03 for r03_*.jpeg"
    )
    hovering_frames: int = option(
        0, "largest number of frames from each run of a hovering camera (r14s_*.jpeg); 0 for all"
    )
    crop_px: int = option(192, "height and width of the training crops, px")
    augmentation: str = option(
        "far",
        "shift: move and pad; light: also mirror and change the light; far: crop at other scales, mirror, change the "
        "light, paste far people in",
    )
    epochs: int = option(60, "number of epochs")
    steps: int = option(200, "batches per epoch")
    validate_every: int = option(4, "epochs between validations")
    batch: int = option(16, "frames per batch")
    learning_rate: float = option(2e-3, "highest learning rate of Adam")
    schedule: str = option("cosine", "learning rate schedule: cosine (warm-up, then down to 0.5 %), or constant")
    weight_decay: float = option(0.02, "decoupled weight decay per unit of learning rate; 0 is plain Adam")
    hero_share: float = option(0.4, "share of frames with the hero in each batch; 0 draws from all frames alike")
    near_weight: float = option(
        1.0, "sampling weight of frames with a near hero (more than 600 px of 256 × 256), relative to a far hero"
    )
    people_weight: float = option(
        1.0, "sampling weight of frames with people and without the hero, relative to empty frames"
    )
    hero_weight: float = option(4.0, "class weight of hero pixels (surroundings 1, people its square root)")
    jaccard: float = option(1.0, "weight of the soft Jaccard loss of the hero in each image; people half of it")
    empty_pull: float = option(
        0.5, "weight of the loss of false probability in images without a class, relative to --jaccard"
    )
    detection: float = option(0.5, "weight of the detection loss: missed heroes and false alarms")
    average: float = option(
        0.0, "momentum of the moving average of the weights; the average is validated and kept; 0 for no average"
    )
    keep: str = option("last", "epoch to keep: best on validation at p > 1/2, or last")
    decision: str = option(
        "hysteresis",
        "how a pixel becomes the hero's: half: p > 1/2; hysteresis: by two thresholds chosen on validation",
    )
    validation_steps: int = option(0, "number of validation batches to score, evenly spread; 0 for all")
    precision: str = option(
        "mixed_bfloat16",
        "number format: mixed_bfloat16 takes half the time of float32 on a CPU with bfloat16 instructions, and nine "
        "times as long on a CPU without; or float32",
    )
    workers: int = option(1, "threads that prepare batches")
    start: str = option("", "weights (.keras) of the same network to start from; empty for random weights")
    seed: int = option(0, "random seed of weights, batches and augmentation")

    def __post_init__(self) -> None:
        check_buildable(self.network, self.input_px)
        check_buildable(self.network, self.crop_px)
        if self.crop_px > self.input_px:
            raise ValueError(f"crop_px must be at most input_px, {self.input_px}, got {self.crop_px}")
        for name, choices in {
            "sets": SETS,
            "augmentation": AUGMENTATIONS,
            "schedule": SCHEDULES,
            "keep": KEPT_EPOCHS,
            "decision": DECISIONS,
            "precision": PRECISIONS,
        }.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.sets == "both" and self.keep == "best":
            raise ValueError("keep must be last with sets both, which leaves no frames to choose an epoch, got best")
        if self.sets == "both" and self.decision == "hysteresis" and not self.start:
            raise ValueError("start must be a network whose thresholds to keep with sets both and hysteresis, got none")
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
                f"hero_share must be 0 or leave frames with and without the hero in a batch of {self.batch}, "
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


# Common settings of the FCN4 presets: the original input size, one threshold, no detection loss.
_FCN4 = TrainingConfig(
    network="fcn4", input_px=160, crop_px=160, weight_decay=0.0, detection=0.0, keep="best", decision="half"
)
PRESETS = {
    # First training of the shipped network; its card lists the trainings that followed.
    "fpn": TrainingConfig(),
    # Best FCN4 of this project, at 160 px.
    "fcn4": replace(_FCN4, augmentation="light", epochs=55, steps=100, validate_every=5, hero_share=0.5),
    # Best run of the write-up.
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
