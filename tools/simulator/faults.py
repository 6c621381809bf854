"""Simulated faults on the way from a simulator to a server: seeded changes of a stream of frames."""

import base64
import dataclasses
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from model.options import option

RECONNECT_S = 5.0
"""Time from the loss of a connection to the next attempt."""

_CLOCK_JUMP_S = (0.5, 3600.0)  # forwards or backwards; uniform on a logarithmic scale

Payload = dict[str, str]


@dataclass(frozen=True)
class FaultConfig:
    """Kinds of faults and how often they occur; none by default.

    Raises:
        ValueError: if a share is not in [0, 1], or a time not in [0, 3600].
    """

    drop: float = option(0.0, "share of the frames that are lost, 0 to 1")
    delay: float = option(0.0, "time from sending a frame to its arrival, s")
    duplicate: float = option(0.0, "share of the frames that arrive twice, 0 to 1")
    corrupt: float = option(0.0, "share of the frames that arrive corrupted, 0 to 1")
    clock_jump: float = option(0.0, "time between jumps of the frames' timestamps, s; 0 for no jumps")
    disconnect: float = option(0.0, "time between losses of the connection, s; 0 for no losses")

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            most = 1 if setting.name in ("drop", "duplicate", "corrupt") else 3600
            if not 0 <= value <= most:
                raise ValueError(f"expected {setting.name} from 0 to {most}, got {value}")


class Faults:
    """A faulty way to the server. It depends only on `rng` and the order of the calls, not on the clock.

    Args:
        config: kinds of faults.
        rng: decides which frames are affected, and how.
    """

    def __init__(self, config: FaultConfig, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        self._clock_offset_s = 0.0
        self._next_jump_s = config.clock_jump or math.inf
        self._next_cut_s = config.disconnect or math.inf

    @classmethod
    def none(cls) -> Self:
        """A way without faults."""
        return cls(FaultConfig(), np.random.default_rng(0))

    def pass_on(self, time_s: float, payload: Payload) -> list[tuple[float, Payload]]:
        """Send a frame to the server.

        Args:
            time_s: time since the start of the episode; never less than in the call before.
            payload: argument of the `sensor_frame` event; it is not modified.

        Returns:
            Arrival time and argument of each frame that arrives, earliest first; may be empty.
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
        """Whether the connection is to be cut now; true once for each loss."""
        if time_s < self._next_cut_s:
            return False
        self._next_cut_s += self._config.disconnect
        return True


def _later(timestamp: str, by_s: float) -> str:
    """A timestamp shifted by `by_s`, in the same locale, with five decimals."""
    moved = f"{float(timestamp.replace(',', '.')) + by_s:.5f}"
    return moved.replace(".", ",") if "," in timestamp else moved


def _corrupt(payload: Payload, rng: np.random.Generator) -> Payload:
    """A copy in which a field is corrupted or missing."""
    kind = rng.integers(6)
    if kind == 0:  # a truncated JPEG
        jpeg = base64.b64decode(payload["rgb_image"])
        return {**payload, "rgb_image": base64.b64encode(jpeg[: rng.integers(len(jpeg))]).decode("ascii")}
    if kind == 1:  # a PNG with random bytes in the middle
        png = bytearray(base64.b64decode(payload["depth_image"]))
        start = len(png) // 3
        png[start : start + 64] = rng.bytes(64)
        return {**payload, "depth_image": base64.b64encode(png).decode("ascii")}
    if kind == 2:  # truncated base64
        image = payload["rgb_image"]
        return {**payload, "rgb_image": image[: rng.integers(len(image) // 4) * 4 + 1]}
    if kind == 3:
        return {**payload, "gimbal_pose": "NaN," + payload["gimbal_pose"].partition(",")[2]}
    if kind == 4:
        return {**payload, "timestamp": "now"}
    return {name: value for name, value in payload.items() if name != "pose"}
