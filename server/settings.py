"""What a user may choose: `Settings` of the server, `TrackerConfig` of each simulator's tracker.

`metadata["help"]` of each field is what the command line says of it.
"""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

from model.options import option
from server.sight.geometry import Camera


@dataclass(frozen=True)
class Settings:
    """How the server is reached, and what it takes a simulator for.

    Raises:
        ValueError: for a setting outside its range.
    """

    host: str = option("127.0.0.1", "address to listen on; QuadSim only tries 127.0.0.1")
    port: int = option(4567, "port to listen on; QuadSim only tries 4567")
    vertical_fov_deg: float = option(60.0, "the camera's vertical field of view, degrees")
    depth_far_m: float = option(100.0, "depth that 255 stands for, metres; 50 in some releases of QuadSim")
    min_blob_px: int = option(0, "smallest hero to believe, pixels of the network; 0 for what its card says")
    watchdog_s: float = option(1.0, "longest time that a drone is left following without a fresh frame, seconds")
    pred_viz: bool = option(False, "draw overlay images all the time, not only while somebody looks at the page")
    record: Path | None = field(
        default=None,
        metadata={
            "help": "folder to record every session into; None: only those chosen on the page, into recordings/",
            "type": Path,  # which the default does not tell
        },
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0 to 65535, got {self.port}")
        _ = self.camera  # checks its own two
        if not 0 < self.watchdog_s <= 3:
            raise ValueError(f"watchdog_s must be in (0, 3], got {self.watchdog_s}")
        if self.min_blob_px < 0:
            raise ValueError(f"min_blob_px must not be negative, got {self.min_blob_px}")

    @property
    def camera(self) -> Camera:
        """The camera of every simulator."""
        return Camera(vertical_fov_deg=self.vertical_fov_deg, far_m=self.depth_far_m)


@dataclass(frozen=True)
class TrackerConfig:
    """When to follow, and how the hero moves.

    Why 3 of 5: with a hero seen in 60 % of the frames, as far ones are, and 5 frames a second, it takes 1.1 s on
    average, and 2 of 3 takes 0.7 s. False alarms in 10 % of the frames, all in one place, start a track every 49 s, and
    every 13 s with 2 of 3. A followed track is given up for another only on stronger evidence than it takes to start
    one. 4 of 8, with more doubt allowed in each, would find more of the heroes that a patrol's camera sweeps past, but
    follow others for three times as long: see docs/writeup.md.

    Why 1.4 s of doubt: whoever looks like the hero from afar stops being convincing close by. In 20 flights (seeds 300
    to 319) others were followed for 0.08 % of the time, and for 0.59 % with 3 s; no hero was lost in either.

    Raises:
        ValueError: if a count is not an integer of at least 1 or exceeds its window, or a quantity is not positive
            and finite.
    """

    confirm_hits: int = option(3, "sightings that must agree, of the latest confirm_window frames, to follow")
    confirm_window: int = option(5, "latest frames that confirm_hits looks at")
    switch_hits: int = option(
        4, "sightings away from a followed track that must agree to move it there, of switch_window"
    )
    switch_window: int = option(5, "latest frames that switch_hits looks at")
    lost_after_s: float = option(1.4, "time without a sighting after which the drone goes back to patrol, s")
    doubt_after_s: float = option(1.4, "time of sightings of which none is convincing after which it does so, too, s")
    reacquire_within_s: float = option(4.0, "time since the last sighting in which one nearby resumes the track, s")
    reacquire_within_m: float = option(4.0, "distance from the predicted position that counts as nearby, m")
    walk_on_s: float = option(1.0, "time for which an unseen hero is predicted to walk on, s")
    gate_sigma: float = option(4.0, "sightings further from the prediction don't fit, standard deviations")
    walking_std_mps: float = option(1.0, "standard deviation of a new track's velocity along each axis, m/s")
    drift_mps: float = option(0.8, "standard deviation of the change of velocity in one second, m/s")
    max_speed_mps: float = option(3.0, "speed that the hero never exceeds, m/s")

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type is int and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"expected {setting.name} an integer of at least 1, got {value!r}")
            if not 0 < value < math.inf:
                raise ValueError(f"expected {setting.name} positive and finite, got {value!r}")
        for hits, window in (("confirm_hits", "confirm_window"), ("switch_hits", "switch_window")):
            if getattr(self, hits) > getattr(self, window):
                raise ValueError(
                    f"expected {hits} of at most {window} = {getattr(self, window)}, got {getattr(self, hits)}"
                )
