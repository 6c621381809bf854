"""Check the frames of one client: whether the server understands them, their rate, and the client's clock."""

import itertools
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from model.pair_files import IMAGE_PX
from server.sight.images import Size, decode_depth, decode_rgb
from server.sight.sight import compare_sizes
from server.wire.messages import BadFrameError, Frame, Pose, SensorFrame, decimal_separator, shorten
from tools.diagnosis.advice import from_complaint
from tools.diagnosis.finding import Finding, Mark
from tools.simulator.drone import SWEEP_DEG_S

# Rate and clock are judged after 10 frames, or 5 s after the first frame, but not before 1 s after it.
ENOUGH_FRAMES, ENOUGH_S, LEAST_S = 10, 5.0, 1.0
# Longest period of frames, s: the drone patrols after 1 s without a frame, and a frame may be lost now and then.
RAREST_S = 0.5
# A client's clock may run at most by this factor faster or slower than this machine's.
FASTEST = 1.5
# A drone that moves less from frame to frame hovers; a gimbal that turns less is still.
HOVERING_M, STILL_DEG, ENOUGH_STEPS = 0.05, 1.0, 5
NOTHING_NEAR = 255
MOST_MOMENTS = 1000


class Moment(NamedTuple):
    """A frame's time of arrival, its own timestamp, and its poses."""

    arrival_s: float
    timestamp_s: float | None
    pose: Pose
    gimbal_pose: Pose


class FrameCheck:
    """Judges the frames of one client.

    Attributes:
        frames: number of frames received.
        understood: number of frames that the server understands.
    """

    def __init__(self) -> None:
        self.frames = self.understood = 0
        self._is_judged = False
        self._first_s: float | None = None
        self._moments: list[Moment] = []
        self._with_depth = self._without_image = 0
        self._timestamp: object = None

    def take(self, arrival_s: float, argument: object) -> list[Finding]:
        """Look at one frame.

        Args:
            arrival_s: when it came, monotonic seconds.
            argument: the argument of its event.
        """
        self.frames += 1
        self._first_s = arrival_s if self._first_s is None else self._first_s
        frame = Frame.read(self.frames, arrival_s, argument)
        try:
            if isinstance(frame.content, BadFrameError):
                raise frame.content
            found = self._check_images(frame.content)
        except BadFrameError as error:
            return [from_complaint(error.field, error.expected, error.received, sample(argument))]
        self.understood += 1
        if len(self._moments) < MOST_MOMENTS:
            content = frame.content
            self._moments.append(Moment(arrival_s, content.timestamp_s, content.pose, content.gimbal_pose))
        assert isinstance(argument, Mapping)
        self._timestamp = argument.get("timestamp")
        return found + _numbers(argument)

    def judge(self, now_s: float) -> list[Finding]:
        """Judge rate, clock, depth and the world's time, once and as soon as enough frames have come."""
        if self._is_judged or self._first_s is None:
            return []
        age_s = now_s - self._first_s
        if age_s < LEAST_S or (self.frames < ENOUGH_FRAMES and age_s < ENOUGH_S):
            return []
        self._is_judged = True
        return [_rate(self.frames, age_s), *self._clock(), *self._depth(), *_world(self._moments)]

    def _check_images(self, content: SensorFrame) -> list[Finding]:
        _, size = decode_rgb(content.rgb_image, IMAGE_PX)
        if content.depth_image is None:
            self._without_image += 1
            return _compare_with_quadsim(size)
        depth_255 = decode_depth(content.depth_image)
        self._with_depth += bool(np.any(depth_255 != NOTHING_NEAR))
        return [*_compare_with_quadsim(size), *_compare_with_depth(size, depth_255)]

    def _depth(self) -> list[Finding]:
        if self._with_depth or not self.understood:
            return []
        if self._without_image == self.understood:
            text = "none: people are placed as if they stood on flat ground, at height 0 or what --ground-m says"
            return [Finding(Mark.NOTE, "depth_image", text, expected="a PNG beside the picture, as QuadSim sends")]
        return [
            Finding(
                Mark.WRONG,
                "depth_image",
                f"no depth: {NOTHING_NEAR} everywhere in all {self.understood} frames, so nobody can be placed",
                expected="R = round(255 · depth / far), smaller where something is near",
                fix="send the distance along the optical axis, not a mask or an empty picture; far is 100 m, or what "
                "--depth-far-m says",
            )
        ]

    def _clock(self) -> list[Finding]:
        timed = [moment for moment in self._moments if moment.timestamp_s is not None]
        expected = 'seconds since 1970, such as "1504814505.23149"'
        if len(timed) < min(2, len(self._moments)):
            text = "not understood: the server takes the frames' times of arrival instead"
            return [Finding(Mark.NOTE, "timestamp", text, shorten(self._timestamp), expected)]
        if len(timed) < 2:
            return []
        assert timed[-1].timestamp_s is not None and timed[0].timestamp_s is not None
        by_client_s = timed[-1].timestamp_s - timed[0].timestamp_s
        by_arrival_s = timed[-1].arrival_s - timed[0].arrival_s
        received = f"{by_client_s:.1f} s in {by_arrival_s:.1f} s"
        if by_client_s <= 0:
            fix = "take the time of each frame anew"
            return [Finding(Mark.WRONG, "timestamp", "the clock stands still or goes back", received, expected, fix)]
        rate = by_client_s / max(by_arrival_s, 1e-6)
        if 1 / FASTEST < rate < FASTEST:
            return [Finding(Mark.OK, "timestamp", f"the clock runs like this machine's: {received}")]
        fix = (
            "send the time of the simulated world, in seconds: with any other time, people seem to move faster or "
            "slower than they do. Only a simulator in lock-step may run faster than this machine's clock"
        )
        return [Finding(Mark.WRONG, "timestamp", f"the clock runs at {rate:.3g}×", received, expected, fix)]


def sample(argument: object) -> str:
    """An event's argument as a line of text."""
    if not isinstance(argument, Mapping):
        return shorten(argument)
    fields = [f"{shorten(str(key), 20)}: {shorten(value, 50)}" for key, value in list(argument.items())[:8]]
    return ", ".join(fields) or "an empty object"


def _numbers(argument: Mapping[str, object]) -> list[Finding]:
    pose = str(argument["gimbal_pose"])
    if decimal_separator(pose) == ".":
        return []
    text = "decimal commas: understood; the answers use numbers that this machine reads correctly"
    return [Finding(Mark.NOTE, "numbers", text, pose)]


def _compare_with_quadsim(size: Size) -> list[Finding]:
    if (size.width_px, size.height_px) == (IMAGE_PX, IMAGE_PX):
        return []
    fix = (
        "nothing, if the vertical field of view is 60° as QuadSim's; another one: --vertical-fov-deg. Far people are "
        "seen best at the network's own size"
    )
    text = "another size than QuadSim's: it is resized for the network"
    return [Finding(Mark.NOTE, "rgb_image", text, str(size), f"{IMAGE_PX}×{IMAGE_PX}", fix)]


def _compare_with_depth(size: Size, depth_255: np.ndarray) -> list[Finding]:
    remark = compare_sizes(size, depth_255)
    if remark is None:
        return []
    fix = "render both images with the same camera and size"
    return [Finding(Mark.NOTE, remark.field, f"got {remark.received}", expected=remark.expected, fix=fix)]


def _rate(frames: int, age_s: float) -> Finding:
    period_s = age_s / max(frames - 1, 1)
    received = f"{frames} in {age_s:.1f} s"
    if period_s <= RAREST_S:
        return Finding(Mark.OK, "frames", f"{1 / period_s:.1f} a second")
    return Finding(
        Mark.WRONG,
        "frames",
        f"too few: one every {period_s:.1f} s",
        received,
        "5 a second, as QuadSim sends them; at least 2",
        "send more: a drone follows for 1 s after its latest frame (--watchdog-s), then it patrols",
    )


def _world(moments: list[Moment]) -> list[Finding]:
    """Whether QuadSim's world runs faster than its clock, by the gimbal's sweep while the drone hovers."""
    rates = []
    for before, after in itertools.pairwise(moments):
        step_s = after.arrival_s - before.arrival_s
        turned_deg = abs((after.gimbal_pose.yaw_deg - before.gimbal_pose.yaw_deg + 180) % 360 - 180)
        moved_m = max(abs(np.subtract(after.pose[:3], before.pose[:3])))
        if step_s > 0 and moved_m < HOVERING_M and turned_deg > STILL_DEG:
            rates.append(turned_deg / step_s)
    if len(rates) < ENOUGH_STEPS or (speed := statistics.median(rates) / SWEEP_DEG_S) < FASTEST:
        return []
    received = f"the gimbal of a hovering drone turns at {statistics.median(rates):.0f}°/s"
    fix = "if this is QuadSim, press 1: its digit keys set the speed of the world; its timestamps do not show this"
    expected = f"{SWEEP_DEG_S:g}°/s"
    return [Finding(Mark.NOTE, "time scale", f"the world runs at about {speed:.1f}×", received, expected, fix)]
