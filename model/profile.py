"""The profile of a network's target: its body, its motion, its evidence, and how training may change its images.

A profile is data. A person writes it as TOML (`model/profiles/hero.toml` is the hero's, docs/targets.md explains each
figure). `tools/train.py --profile` trains with it and puts it on the network's card, from which the server reads it.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from model.scoring import CLASSES, SURROUNDINGS
from model.toml_file import read_toml

HERO_FILE = Path(__file__).with_name("profiles") / "hero.toml"
LONGEST_NAME = 40
# Range of each number, and of each number in a list. The ranges are wide enough for a mouse and for a ship. They refuse
# mistakes, such as centimetres, and values that the tracker's filter cannot compute with.
_RANGES = {
    "height_m": (0.02, 50.0),
    "depth_m": (0.02, 500.0),
    "height_std": (0.001, 1.0),
    "centroid_std_m": (0.001, 50.0),
    "least_body_m2": (1e-6, 1000.0),
    "marker_m": (0.01, 500.0),
    "walking_std_mps": (0.001, 1000.0),
    "drift_mps": (0.001, 1000.0),
    "max_speed_mps": (0.001, 1000.0),
    "brisk_mps": (0.001, 1000.0),
    "vertical_share": (0.001, 10.0),
    "walk_on_s": (0.001, 1000.0),
    "spread_mps": (0.001, 1000.0),
    "in_front_m": (0.01, 500.0),
    "second_look_from_px": (1.0, 65_536.0),
    "pasted_px": (1.0, 65_536.0),
    "pasted_stretch": (0.0, 2.0),
}
MOTION = ("walking_std_mps", "drift_mps", "max_speed_mps", "walk_on_s")
"""Values that a server's user may override with `--tracker`."""


@dataclass(frozen=True)
class Profile:
    """A target. Lengths are in metres, speeds in m/s.

    In the code, `hero` means the target, and `person` means the target or one of its others.

    Args:
        name: name of the target's class.
        others: name of the class of others, who are like the target.
        height_m, depth_m: size of the body; the depth is its longest horizontal extent.
        is_upright: whether it is taller than wide in every image.
        height_std: standard deviation of the apparent height, as a share of the height.
        centroid_std_m: standard deviation of the centre of the visible part within the body.
        least_body_m2: a smaller visible area gives no evidence for the target.
        marker_m: x, y, z size of the box that marks the target.
        walking_std_mps: standard deviation of a newcomer's velocity along each axis.
        drift_mps: standard deviation of the change of velocity in one second.
        max_speed_mps: top speed.
        brisk_mps: if most people in view move faster than this, the simulator is assumed to run fast.
        vertical_share: vertical speed as a share of the horizontal speed.
        walk_on_s: how long an unseen person is predicted to go straight on.
        spread_mps: how fast the place of an unseen person becomes uncertain after that.
        in_front_m: an object hides a person if it is nearer than the predicted place by at least this.
        second_look_from_px: least area for a second look, pixels in an image of 256 × 256.
        is_mirrored: whether training may mirror the target.
        pasted_px: smallest and largest area of far figures that training pastes in, pixels.
        pasted_stretch: log of the largest factor by which training makes these figures taller and narrower.

    Raises:
        ValueError: if a name is not printable or is not between 1 and 40 characters, both names are alike, or a
            number is out of its range.
    """

    name: str
    others: str
    height_m: float
    depth_m: float
    is_upright: bool
    height_std: float
    centroid_std_m: float
    least_body_m2: float
    marker_m: tuple[float, float, float]
    walking_std_mps: float
    drift_mps: float
    max_speed_mps: float
    brisk_mps: float
    vertical_share: float
    walk_on_s: float
    spread_mps: float
    in_front_m: float
    second_look_from_px: float
    is_mirrored: bool
    pasted_px: tuple[float, float]
    pasted_stretch: float

    def __post_init__(self) -> None:
        for key in ("name", "others"):
            name = getattr(self, key)
            if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
                shown = repr(name[:LONGEST_NAME])
                raise ValueError(f"expected {key} of 1 to {LONGEST_NAME} printable characters, got {shown}")
        if len(set(self.classes)) < 3:
            raise ValueError(
                f"expected a name, a name of others, and neither of them surroundings, got {self.name}, {self.others}"
            )
        for key, (least, most) in _RANGES.items():
            value = getattr(self, key)
            for number in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(number) and least <= number <= most):
                    raise ValueError(f"expected {key} of {least:g} to {most:g}, got {number!r}")
        if self.pasted_px[0] > self.pasted_px[1]:
            raise ValueError(f"expected pasted_px from the smallest to the largest, got {list(self.pasted_px)}")

    @property
    def classes(self) -> tuple[str, str, str]:
        """Classes of a network for this target, in the order of `CLASSES`."""
        return CLASSES[SURROUNDINGS], self.others, self.name

    def __str__(self) -> str:
        posture = "upright" if self.is_upright else "not upright"
        return (
            f"{self.name}, {self.height_m:g} m high, {self.depth_m:g} m deep, {posture}, "
            f"up to {self.max_speed_mps:g} m/s; others: {self.others}"
        )


def profile_of(values: object) -> Profile:
    """A profile from a table of all its values, as TOML and JSON give it.

    Raises:
        ValueError: if a value is missing, unknown, of another type or out of its range.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a profile, a table of values, got {type(values).__name__}")
    known = [field.name for field in fields(Profile)]
    unknown = [key[:LONGEST_NAME] for key in sorted(map(str, values.keys() - set(known)))]
    if missing := [key for key in known if key not in values]:
        misspelt = f" but the unknown {unknown[0]}" if unknown else ""
        raise ValueError(f"expected {missing[0]} in a profile, got none{misspelt}")
    if unknown:
        raise ValueError(f"expected values of a profile ({', '.join(known)}), got {unknown[0]}")
    return msgspec.convert(values, Profile)


def read_profile(file: Path) -> Profile:
    """Read a profile from a TOML file.

    Raises:
        OSError: if the file can't be read.
        ValueError: if it is not a complete profile; a single line that names the file.
    """
    try:
        return profile_of(read_toml(file))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


@functools.cache
def hero_profile() -> Profile:
    """The hero's profile, `model/profiles/hero.toml`."""
    return read_profile(HERO_FILE)
