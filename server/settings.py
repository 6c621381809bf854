"""The server's options; those of its tracker are `server.tracker.TrackerConfig`."""

from dataclasses import dataclass, field
from pathlib import Path

from server.geometry import Camera
from server.session import WATCHDOG_S


@dataclass(frozen=True)
class Settings:
    """What a user may choose; `help` is what the command line says of each.

    Raises:
        ValueError: for a setting outside its range.
    """

    host: str = field(default="127.0.0.1", metadata={"help": "address to listen on; QuadSim only tries 127.0.0.1"})
    port: int = field(default=4567, metadata={"help": "port to listen on; QuadSim only tries 4567"})
    vertical_fov_deg: float = field(default=60.0, metadata={"help": "the camera's vertical field of view, degrees"})
    depth_far_m: float = field(
        default=100.0, metadata={"help": "depth that 255 stands for, metres; 50 in some releases of QuadSim"}
    )
    min_blob_px: int = field(
        default=0, metadata={"help": "smallest hero to believe, pixels of the network; 0 for what its card says"}
    )
    watchdog_s: float = field(
        default=WATCHDOG_S,
        metadata={"help": "longest time that a drone is left following without a fresh frame, seconds"},
    )
    pred_viz: bool = field(
        default=False,
        metadata={"help": "draw overlay images all the time, not only while somebody looks at the page"},
    )
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
