"""What a user may choose: `Settings` of the server, `TrackerConfig` of each simulator's tracker."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from model.card import LARGEST_MIN_BLOB_PX
from model.options import option
from server.sight.geometry import Camera

MOST_FRAMES = 1000  # of a tracker's window; three minutes
LARGEST_QUANTITY = 1e6  # the tracker's filter computes with squares and cubes of them, which must stay finite


@dataclass(frozen=True)
class Settings:
    """How the server is reached, and what it takes a simulator for: the options of its command line.

    Raises:
        ValueError: for a setting outside its range.
    """

    host: str = option("127.0.0.1", "address to listen on; QuadSim only connects to 127.0.0.1")
    port: int = option(4567, "port to listen on; QuadSim only connects to 4567")
    vertical_fov_deg: float = option(60.0, "vertical field of view of the camera, degrees")
    depth_far_m: float = option(100.0, "depth that 255 stands for, metres; 50 in some releases of QuadSim")
    min_blob_px: int = option(0, "smallest hero to believe, pixels of the network; 0 for the value on its card")
    watchdog_s: float = option(1.0, "longest time for which a drone follows without a fresh frame, seconds")
    pred_viz: bool = option(False, "draw overlay images even while nobody looks at the page", aliases=("--pred_viz",))
    record: Path | None = option(
        None, "folder to record every session into (default: record only on demand, into recordings/)"
    )

    def __post_init__(self) -> None:
        # An empty address would mean all of this machine's.
        if not self.host.strip() or not self.host.isprintable():
            raise ValueError(f"host must be an address or a name, got {self.host!r}")
        try:
            self.host.encode("idna")  # as sockets do
        except UnicodeError as error:
            raise ValueError(f"host must be an address or a name, got {self.host!r}: {error}") from error
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0 to 65535, got {self.port}")
        _ = self.camera  # checks its own two
        if not 0 < self.watchdog_s <= 3:
            raise ValueError(f"watchdog_s must be in (0, 3], got {self.watchdog_s}")
        if not 0 <= self.min_blob_px <= LARGEST_MIN_BLOB_PX:
            raise ValueError(f"min_blob_px must be 0 to {LARGEST_MIN_BLOB_PX}, got {self.min_blob_px}")

    @property
    def camera(self) -> Camera:
        """The camera of every simulator."""
        return Camera(vertical_fov_deg=self.vertical_fov_deg, far_m=self.depth_far_m)


@dataclass(frozen=True)
class TrackerConfig:
    """When to follow, and how the hero moves.

    A user may set them in a TOML file (`read_tracker`).

    Why 3 of 5: a far hero is seen in 60 % of the frames. At 5 frames a second, 3 of 5 then takes 1.1 s on average, and
    2 of 3 takes 0.7 s. False alarms in 10 % of the frames, all in one place, start a track every 49 s with 3 of 5, and
    every 13 s with 2 of 3. A followed track is given up for another only on stronger evidence than it takes to start
    one. A rule of 4 of 8 that allows more doubt in each frame would find more of the heroes that a patrol's camera
    sweeps past, but follow others for three times as long: see docs/writeup.md.

    Why 1.4 s of doubt: a lookalike stops being convincing close by. In 20 flights (seeds 300 to 319) others were
    followed for 0.08 % of the time, and for 0.59 % with 3 s; no hero was lost in either.

    Args:
        confirm_hits: sightings that must agree, of the latest `confirm_window` frames, to follow.
        confirm_window: latest frames that `confirm_hits` looks at.
        switch_hits: sightings away from a followed track that must agree, of the latest `switch_window` frames, to move
            the track there.
        switch_window: latest frames that `switch_hits` looks at.
        lost_after_s: give up a track after this many seconds without a sighting.
        doubt_after_s: give up a track after this many seconds of sightings none of which is convincing.
        reacquire_within_s: resume a track by one sighting for this many seconds after the last one.
        reacquire_within_m: largest distance of that sighting from the predicted position, metres.
        walk_on_s: an unseen hero is predicted to walk on for this many seconds, and then to wait.
        gate_sigma: a sighting further from the prediction does not fit, standard deviations.
        walking_std_mps: standard deviation of a new track's velocity along each axis, m/s.
        drift_mps: standard deviation of the change of velocity in one second, m/s.
        max_speed_mps: largest speed of the hero, m/s.

    Raises:
        ValueError: if a count is not an integer of 1 to 1000 or exceeds its window, or a quantity is not positive or
            exceeds 1e6.
    """

    confirm_hits: int = 3
    confirm_window: int = 5
    switch_hits: int = 4
    switch_window: int = 5
    lost_after_s: float = 1.4
    doubt_after_s: float = 1.4
    reacquire_within_s: float = 4.0
    reacquire_within_m: float = 4.0
    walk_on_s: float = 1.0
    gate_sigma: float = 4.0
    walking_std_mps: float = 1.0
    drift_mps: float = 0.8
    max_speed_mps: float = 3.0

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type is int and not (type(value) is int and 1 <= value <= MOST_FRAMES):
                raise ValueError(f"expected {setting.name} an integer of 1 to {MOST_FRAMES}, got {value!r}")
            if not (type(value) in (int, float) and 0 < value <= LARGEST_QUANTITY):
                raise ValueError(f"expected {setting.name} in (0, {LARGEST_QUANTITY:g}], got {value!r}")
        for hits, window in (("confirm_hits", "confirm_window"), ("switch_hits", "switch_window")):
            if getattr(self, hits) > getattr(self, window):
                raise ValueError(
                    f"expected {hits} of at most {window} = {getattr(self, window)}, got {getattr(self, hits)}"
                )


def read_tracker(file: Path) -> TrackerConfig:
    """Read a tracker's settings from a TOML file, such as `lost_after_s = 2.0`; the others keep their defaults.

    Raises:
        OSError: if the file can't be read.
        ValueError: if it is not such a file; the message names it.
    """
    known = {setting.name for setting in fields(TrackerConfig)}
    try:
        values = tomllib.loads(file.read_text("utf-8"))
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ValueError(f"expected settings of the tracker ({', '.join(sorted(known))}), got {unknown[0]}")
        return TrackerConfig(**values)
    except RecursionError as error:
        raise ValueError(f"{file}: expected settings of the tracker, got TOML that is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
