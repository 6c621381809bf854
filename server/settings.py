"""The user's settings: `Settings` of the server, `TrackerConfig` of each simulator's tracker."""

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from model.card import LARGEST_MIN_BLOB_PX, Card
from model.options import check, option
from model.profile import MOTION, Profile, hero_profile, profile_of
from model.toml_file import read_toml
from server.sight.geometry import FAR_LIMITS_M, FARTHEST_GROUND_M, FIELDS_OF_VIEW_DEG, Camera
from server.wire.addresses import is_loopback

# A host name in the form in which browsers send it: bücher.example is xn--bcher-kva.example.
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
MOST_FRONTS = 64
LAST_PORT = 65535
LONGEST_WATCHDOG_S = 3.0
LARGEST_QUANTITY = 1e6  # the tracker's filter computes squares and cubes of quantities, which must stay finite


@dataclass(frozen=True)
class Settings:
    """The server's settings, which are the options of its command line.

    Raises:
        ValueError: for a setting outside its range.
    """

    host: str = option("127.0.0.1", "address to listen on; QuadSim only connects to 127.0.0.1")
    allow_host: tuple[str, ...] = option(
        (),
        "another name of this server; repeatable",
        metavar="NAME",
        is_repeated=True,
    )
    port: int = option(4567, "port to listen on; QuadSim only connects to 4567")
    fronts: int = option(1, "processes that share the port")
    vertical_fov_deg: float = option(60.0, "vertical field of view, degrees")
    depth_far_m: float = option(100.0, "depth that 255 stands for, metres; 50 in some releases of QuadSim")
    depth: str = option("image", "use depth images or not", choices=("image", "none"))
    ground_m: float = option(0.0, "height (z) of the ground, m")
    follow: str | None = option(None, "target to follow (default: the first)", metavar="NAME")
    min_blob_px: int = option(0, "smallest person, px; 0: the card's")
    watchdog_s: float = option(1.0, "seconds to follow without a frame")
    pred_viz: bool = option(False, "draw overlay images even if no page is open", aliases=("--pred_viz",))
    record: Path | None = option(None, "record every session, into this folder")
    foxglove: int | None = option(
        None, "serve the topics of recordings live to Foxglove, on this port of 127.0.0.1", metavar="PORT", alone=8765
    )
    networks: Path | None = option(None, "networks that the page and POST /network may load")
    token_file: Path | None = option(
        None, "file with the token that clients of other machines must show; --host needs it beyond loopback"
    )
    without_token: bool = option(False, "serve everybody who can connect, without a token")

    def __post_init__(self) -> None:
        # An empty address would mean all addresses of this machine.
        if not self.host.strip() or not self.host.isprintable():
            raise ValueError(f"expected --host with an address or a name, got {self.host!r}")
        try:
            self.host.encode("idna")  # sockets do the same
        except UnicodeError as error:
            raise ValueError(f"expected --host with an address or a name, got {self.host!r}: {error}") from error
        for name in self.allow_host:
            if not _NAME.fullmatch(name):
                raise ValueError(f"expected --allow-host with a name without scheme and port, got {name!r}")
        if self.token_file and self.without_token:
            raise ValueError("expected --token-file or --without-token, got both")
        if not (is_loopback(self.host) or self.token_file or self.without_token):
            raise ValueError(
                f"expected --token-file with --host {self.host}, because other machines may reach the server there; "
                "--without-token serves them all"
            )
        smallest_deg, largest_deg = FIELDS_OF_VIEW_DEG
        nearest_m, farthest_m = FAR_LIMITS_M
        check(
            self,
            ("port", 0 <= self.port <= LAST_PORT, f"from 0 to {LAST_PORT}"),
            ("foxglove", 0 <= (self.foxglove or 0) <= LAST_PORT, f"from 0 to {LAST_PORT}"),
            ("fronts", 1 <= self.fronts <= MOST_FRONTS, f"from 1 to {MOST_FRONTS}"),
            (
                "vertical_fov_deg",
                smallest_deg <= self.vertical_fov_deg <= largest_deg,
                f"from {smallest_deg:g} to {largest_deg:g}",
            ),
            ("depth_far_m", nearest_m <= self.depth_far_m <= farthest_m, f"from {nearest_m:g} to {farthest_m:g}"),
            ("ground_m", abs(self.ground_m) <= FARTHEST_GROUND_M, f"within ±{FARTHEST_GROUND_M:g}"),
            ("min_blob_px", 0 <= self.min_blob_px <= LARGEST_MIN_BLOB_PX, f"from 0 to {LARGEST_MIN_BLOB_PX}"),
            ("watchdog_s", 0 < self.watchdog_s <= LONGEST_WATCHDOG_S, f"above 0, at most {LONGEST_WATCHDOG_S:g}"),
        )
        if self.fronts > 1:
            self._check_fronts()
        if self.networks is not None and not self.networks.is_dir():
            raise ValueError(f"expected a folder of networks at {self.networks}, got none")

    def _check_fronts(self) -> None:
        if sys.platform != "linux":
            raise ValueError(
                "expected Linux with --fronts (other systems do not spread connections over processes), "
                f"got {sys.platform}"
            )
        last = LAST_PORT - self.fronts
        check(self, ("port", 1 <= self.port <= last, f"from 1 to {last} with {self.fronts} fronts"))
        if self.foxglove is not None:
            raise ValueError("expected --foxglove without --fronts, got both")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the server that the user has given; it knows others by itself."""
        return (self.host, *self.allow_host)

    @property
    def camera(self) -> Camera:
        """The camera of every simulator."""
        return Camera(
            vertical_fov_deg=self.vertical_fov_deg,
            far_m=self.depth_far_m,
            has_depth=self.depth == "image",
            ground_z_m=self.ground_m,
        )


@dataclass(frozen=True)
class TrackerConfig:
    """The tracker's settings: when to follow a person, and how people move.

    A user may set them in a TOML file (`read_tracker`), together with the values of the profile that are in `MOTION`.

    Why follow above 0.8: a second on a wrong person costs as much as four seconds of patrol while the hero is in sight.
    So following pays from a probability of 4 / (4 + 1) on. Chosen on flights of the stand-in, seeds 500 to 505.

    Why give up below 0.1 only: from afar, the looks vary from frame to frame. While the drone approaches a person, it
    soon sees the person better. To turn away costs many seconds until the person is found again. Chosen on seeds 530 to
    549: with 0.3, two of twenty heroes were given up during the approach, one of them twice; with 0.1, none.

    Args:
        follow_above: follow a person who is the hero with at least this probability.
        give_up_below: stop following a person who is the hero with less than this probability.
        lost_after_s: stop following a person who has not been seen for this many seconds.
        remember_s: forget people who have not been seen for this many seconds.
        hidden_for_s: follow a person for this many seconds more while the depth image shows something in front of them.
        gate_sigma: largest distance of a sighting from the prediction, standard deviations.
        profile: profile of the target.

    Raises:
        ValueError: if a probability is not in (0, 1), the second exceeds the first, or another quantity is not
            positive or exceeds 1e6.
    """

    follow_above: float = 0.8
    give_up_below: float = 0.1
    lost_after_s: float = 1.4
    hidden_for_s: float = 10.0
    remember_s: float = 20.0
    gate_sigma: float = 4.0
    profile: Profile = field(default_factory=hero_profile)

    def __post_init__(self) -> None:
        for name in OWN:
            value = getattr(self, name)
            if not (type(value) in (int, float) and 0 < value <= LARGEST_QUANTITY):
                raise ValueError(f"expected {name} in (0, {LARGEST_QUANTITY:g}], got {value!r}")
        for name in ("follow_above", "give_up_below"):
            if not getattr(self, name) < 1:
                raise ValueError(f"expected {name} in (0, 1), got {getattr(self, name)!r}")
        if self.give_up_below > self.follow_above:
            raise ValueError(
                f"expected give_up_below of at most follow_above = {self.follow_above}, got {self.give_up_below}"
            )


OWN = tuple(setting.name for setting in fields(TrackerConfig) if setting.name != "profile")
"""Settings of the tracker that are not of a profile."""


def tracker_for(profile: Profile, chosen: Mapping[str, Any]) -> TrackerConfig:
    """The settings of a tracker for a target.

    Args:
        profile: profile of the target.
        chosen: values that the user has changed, by name; see `read_tracker`.

    Raises:
        ValueError: if a value is out of its range.
    """
    motion = {name: value for name, value in chosen.items() if name in MOTION}
    if motion:
        profile = profile_of({**asdict(profile), **motion})
    return TrackerConfig(**{name: chosen[name] for name in OWN if name in chosen}, profile=profile)


def trackers_for(card: Card, chosen: Mapping[str, Any]) -> tuple[TrackerConfig, ...]:
    """The settings of a tracker for each target of a network; the card's present target comes first.

    Args:
        card: card of the network.
        chosen: as for `tracker_for`.
    """
    names = sorted(card.targets, key=lambda name: name != card.profile.name)
    return tuple(tracker_for(card.following(name).profile, chosen) for name in names)


def read_tracker(file: Path) -> dict[str, Any]:
    """Read the tracker settings that a user has changed from a TOML file, such as `lost_after_s = 2.0`.

    Returns:
        The values by name.

    Raises:
        OSError: if the file can't be read.
        ValueError: if its content is not as expected; the message names the file.
    """
    known = {*OWN, *MOTION}
    try:
        values = read_toml(file)
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ValueError(f"expected settings of the tracker ({', '.join(sorted(known))}), got {unknown[0]}")
        tracker_for(hero_profile(), values)
        return values
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
