"""What goes wrong between a simulator and a server, on purpose and by a seed: a transformer of a stream of frames."""

import base64
import dataclasses
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from model.options import option

RECONNECT_S = 5.0
"""From the loss of a connection to the next attempt."""

_CLOCK_JUMP_S = (0.5, 3600.0)  # either way; drawn evenly on a logarithmic scale

Payload = dict[str, str]


@dataclass(frozen=True)
class FaultConfig:
    """What goes wrong, how often; `metadata["help"]` of each field has its meaning and unit. By default nothing does.

    Raises:
        ValueError: if a share is not in [0, 1], or a time negative or not finite.
    """

    drop: float = option(0.0, "share of the frames that are lost, 0 to 1")
    delay: float = option(0.0, "time from sending a frame to its arrival, s")
    duplicate: float = option(0.0, "share of the frames that arrive twice, 0 to 1")
    corrupt: float = option(0.0, "share of the frames that arrive corrupted, 0 to 1")
    clock_jump: float = option(0.0, "time between jumps of the frames' timestamps, s; 0 for no jumps")
    disconnect: float = option(0.0, "time between losses of the connection, s; 0 for no losses")

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            value, is_share = getattr(self, setting.name), setting.name in ("drop", "duplicate", "corrupt")
            if not 0 <= value <= (1 if is_share else 3600):
                raise ValueError(f"expected {setting.name} from 0 to {1 if is_share else 3600}, got {value}")


class Faults:
    """A lossy way to the server. What it does is decided by `rng` and the order of calls alone, not by the clock.

    Args:
        config: what goes wrong.
        rng: decides which frames it hits, and how.
    """

    def __init__(self, config: FaultConfig, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        self._clock_offset_s = 0.0
        self._next_jump_s = config.clock_jump or math.inf
        self._next_cut_s = config.disconnect or math.inf

    @classmethod
    def none(cls) -> Self:
        """A way on which nothing is lost."""
        return cls(FaultConfig(), np.random.default_rng(0))

    def pass_on(self, time_s: float, payload: Payload) -> list[tuple[float, Payload]]:
        """Send one frame on its way.

        Args:
            time_s: of the episode; never less than in the call before.
            payload: the argument of its `sensor_frame`, left as it is.

        Returns:
            When what arrives at the server, earliest first; may be empty.
        """
        config = self._config
        is_dropped, is_corrupt, is_duplicated = self._rng.random(3) < (config.drop, config.corrupt, config.duplicate)
        if time_s >= self._next_jump_s:
            self._next_jump_s += config.clock_jump
            size_s = math.exp(self._rng.uniform(*np.log(_CLOCK_JUMP_S)))
            self._clock_offset_s += size_s if self._rng.random() < 0.5 else -size_s
        if self._clock_offset_s:
            payload = {**payload, "timestamp": _later(payload["timestamp"], self._clock_offset_s)}
        if is_corrupt:
            payload = _corrupt(payload, self._rng)
        if is_dropped:
            return []
        return [(time_s + config.delay, payload)] * (2 if is_duplicated else 1)

    def cuts(self, time_s: float) -> bool:
        """Whether the connection is lost now; said once of each loss."""
        if time_s < self._next_cut_s:
            return False
        self._next_cut_s += self._config.disconnect
        return True


def _later(timestamp: str, by_s: float) -> str:
    """A timestamp moved by `by_s`, in its own locale, with five decimals."""
    moved = f"{float(timestamp.replace(',', '.')) + by_s:.5f}"
    return moved.replace(".", ",") if "," in timestamp else moved


def _corrupt(payload: Payload, rng: np.random.Generator) -> Payload:
    """A copy with one field broken, or without it."""
    kind = rng.integers(6)
    if kind == 0:  # a JPEG that breaks off
        jpeg = base64.b64decode(payload["rgb_image"])
        return {**payload, "rgb_image": base64.b64encode(jpeg[: rng.integers(len(jpeg))]).decode("ascii")}
    if kind == 1:  # a PNG with other bytes in the middle
        png = bytearray(base64.b64decode(payload["depth_image"]))
        start = len(png) // 3
        png[start : start + 64] = rng.bytes(64)
        return {**payload, "depth_image": base64.b64encode(png).decode("ascii")}
    if kind == 2:  # base64 that breaks off
        image = payload["rgb_image"]
        return {**payload, "rgb_image": image[: rng.integers(len(image) // 4) * 4 + 1]}
    if kind == 3:
        return {**payload, "gimbal_pose": "NaN," + payload["gimbal_pose"].partition(",")[2]}
    if kind == 4:
        return {**payload, "timestamp": "now"}
    return {name: value for name, value in payload.items() if name != "pose"}
