"""The card of a network: a JSON file beside the weights with the settings to run it, its history and its scores.

Imports neither Keras nor TensorFlow.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from model.command import error_text
from model.evidence import Doubt, Evidence
from model.images import MEAN, SCALE
from model.loading import MOST_INPUT_PX, is_legacy
from model.profile import LONGEST_NAME, Profile, hero_profile, profile_of
from model.scoring import CLASSES, THRESHOLD_255

MOST_CLASSES = 256
# Range of `Card.scale`, which divides differences of up to 255. Far outside, a network's inputs are infinite or all 0.
SCALES = (0.01, 10_000.0)
# More pixels than a person covers, even in the input of a large network; a larger minimum would hide every hero.
LARGEST_MIN_BLOB_PX = 10_000
# Older cards have the values of the doubt in the profile: key there → field of `Doubt`.
FORMER_DOUBT = {"near_doubt": "near", "doubt_per_m": "per_m"}


@dataclass(frozen=True)
class Target:
    """One more target of a network; the fields are as in `Card`."""

    profile: Profile
    evidence: Evidence = field(default_factory=Evidence)
    second_evidence: Evidence | None = None
    doubt: Doubt = field(default_factory=Doubt)


@dataclass(frozen=True)
class Card:
    """Settings to run a network; the defaults are those of the original tools, for weights without a card.

    Args:
        classes: classes of the output channels; the first is "surroundings", and one has the profile's name, such as
            "hero". Their names are logged.
        input_px: height and width of the input; None if only the network itself knows it.
        mean: value to subtract from each channel of an image, 0 to 255.
        scale: divisor of the difference.
        hero_threshold_255: a pixel is the hero if its probability is above this, in 255ths.
        min_blob_px: smallest person to believe, in pixels of the network.
        evidence: how much the network's output on a person speaks for the hero.
        second_evidence: the same for the second look at people whom the network takes for the hero; None without one.
        doubt: when the network is in doubt about a person.
        profile: the target's profile; QuadSim's hero if the card has none.
        more_targets: further targets, which `following` can choose. Until then, they count as others.

    Raises:
        ValueError: if a setting is out of its range.
    """

    classes: tuple[str, ...] = CLASSES
    input_px: int | None = None
    mean: float = MEAN
    scale: float = SCALE
    hero_threshold_255: int = THRESHOLD_255
    # At 160 px, 96 % of the heroes in the validation set have at least 8 pixels.
    min_blob_px: int = 8
    evidence: Evidence = field(default_factory=Evidence)
    second_evidence: Evidence | None = None
    doubt: Doubt = field(default_factory=Doubt)
    profile: Profile = field(default_factory=hero_profile)
    more_targets: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) > MOST_CLASSES:
            raise ValueError(f"classes must be at most {MOST_CLASSES}, got {len(self.classes)}")
        for name in self.classes:
            if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
                raise ValueError(
                    f"classes must have printable names of 1 to {LONGEST_NAME} characters, got {name[:LONGEST_NAME]!r}"
                )
        names = [self.profile.name, *(target.profile.name for target in self.more_targets)]
        for name in names:
            if self.classes.count(name) != 1:
                raise ValueError(f"classes must contain {name} once, got {', '.join(self.classes)}")
        if len(set(names)) < len(names):
            raise ValueError(f"targets must have different names, got {', '.join(names)}")
        if self.classes[0] != "surroundings":
            raise ValueError(f"the first of classes must be surroundings, got {', '.join(self.classes)}")
        if self.input_px is not None and not 1 <= self.input_px <= MOST_INPUT_PX:
            raise ValueError(f"input_px must be 1 to {MOST_INPUT_PX}, got {self.input_px}")
        smallest, largest = SCALES
        if not smallest <= self.scale <= largest:
            raise ValueError(f"scale must be {smallest:g} to {largest:g}, got {self.scale}")
        if not 0 <= self.mean <= 255:
            raise ValueError(f"mean must be 0 to 255, got {self.mean}")
        if not 0 <= self.hero_threshold_255 < 255:
            raise ValueError(f"hero_threshold_255 must be 0 to 254, got {self.hero_threshold_255}")
        if not 1 <= self.min_blob_px <= LARGEST_MIN_BLOB_PX:
            raise ValueError(f"min_blob_px must be 1 to {LARGEST_MIN_BLOB_PX}, got {self.min_blob_px}")

    def __str__(self) -> str:
        """What its inputs and outputs mean, in one line; the profile is told elsewhere."""
        return (
            f"classes {', '.join(self.classes)}; pixels (value - {self.mean:g}) / {self.scale:g}; "
            f"{self.profile.name} above probability {self.hero_threshold_255 / 255:.2f}"
        )

    @property
    def hero(self) -> int:
        """Output channel of the hero: of the class with the profile's name. Channel 0 is the surroundings."""
        return self.classes.index(self.profile.name)

    @property
    def others(self) -> list[int]:
        """Output channels of other people."""
        return [number for number in range(1, len(self.classes)) if number != self.hero]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all targets of the network, in the order of its classes."""
        names = {self.profile.name, *(target.profile.name for target in self.more_targets)}
        return tuple(name for name in self.classes if name in names)

    def known(self, name: str) -> str | None:
        """The name if the network has this target, else None; for `following`, where None is the present target."""
        return name if name in self.targets else None

    def following(self, name: str | None) -> "Card":
        """The card with the target of that name in place of the present target; unchanged for None.

        Raises:
            ValueError: if the network has no such target.
        """
        if name in (None, self.profile.name):
            return self
        found = next((target for target in self.more_targets if target.profile.name == name), None)
        if found is None:
            raise ValueError(f"expected a target of the network ({', '.join(self.targets)}), got {name}")
        former = Target(self.profile, self.evidence, self.second_evidence, self.doubt)
        return replace(
            self,
            profile=found.profile,
            evidence=found.evidence,
            second_evidence=found.second_evidence,
            doubt=found.doubt,
            more_targets=tuple(former if target is found else target for target in self.more_targets),
        )


def card_file(weights: Path) -> Path:
    """Path of the card of a resolved weights file."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> Card:
    """Read the card of a resolved weights file; missing settings and missing cards get the defaults.

    Raises:
        ValueError: if the card is invalid; a single line that names it.
    """
    file = card_file(weights)
    if is_legacy(weights) or not file.exists():
        return Card()
    try:
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"a JSON value of type {type(content).__name__}, not an object")
        for target in (content, *_tables(content.get("more_targets"))):
            _move_doubt(target)
            if "profile" in target:
                profile_of(target["profile"])  # has clearer errors, and refuses unknown values, which msgspec ignores
        return msgspec.convert({name: content[name] for name in Card.__dataclass_fields__ if name in content}, Card)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"expected a network's card in {file}, got: {error_text(error)}") from error


def _move_doubt(target: dict[str, Any]) -> None:
    """Move the doubt of an older card out of the profile."""
    profile = target.get("profile")
    if isinstance(profile, dict):
        former = {name: profile.pop(key) for key, name in FORMER_DOUBT.items() if key in profile}
        if former:
            target.setdefault("doubt", former)


def _tables(value: object) -> list[dict[str, Any]]:
    """The tables in a value, if it is a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
