"""Drones that send frames of a hero whose place is known, and judge the commands that they get.

The frames are drawn once. The camera is 2 m behind the hero and looks to one side and to the other in turn, so that the
answer to a wrong frame has clearly wrong coordinates. Each drone is one frame ahead of the previous drone, so that
answers which are mixed up between drones are detected, too.
"""

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from server.sight.geometry import QUADSIM_CAMERA
from server.wire.messages import FOLLOW, PATROL
from tools.simulator.frames import encode_depth_png, encode_jpeg
from tools.simulator.load import EncodedFrame, flight_behind_hero
from tools.simulator.wire import QuadSimClient
from tools.simulator.world import FRAMES_PER_S

SIDES_DEG = (-20.0, 0.0, 20.0, 0.0)
WRONG_M = 1.0


class Scene(NamedTuple):
    """A frame, and the place where it shows the hero: (2,) horizontal, metres, world frame."""

    frame: EncodedFrame
    hero_m: np.ndarray


class Sent(NamedTuple):
    """A frame that was sent: when (monotonic s), and where it shows the hero."""

    at_s: float
    hero_m: np.ndarray


class ReceivedCommand(NamedTuple):
    """A command: time of arrival (monotonic s), and (2,) the place it leads to, metres; None for an order to patrol."""

    at_s: float
    place_m: np.ndarray | None


class Judgement(NamedTuple):
    """Judgement of the commands that drones got in a time.

    Args:
        follow_commands: number of orders to follow.
        wrong: number of orders to follow that are wrong or stale; see `judge`.
        lost: number of drones that were told to patrol.
        longest_patrol_s: longest time from an order to patrol to the next order to follow.
        longest_silence_s: longest time from an order to follow to the next order.
    """

    follow_commands: int
    wrong: int
    lost: int
    longest_patrol_s: float
    longest_silence_s: float


def judge(
    sent: Sequence[Sent], received: Sequence[ReceivedCommand], begin_s: float, end_s: float, fresh_s: float
) -> Judgement:
    """Judge the commands that one drone got from `begin_s` to `end_s`.

    Of several orders to patrol in a row, `received` must hold the first only.
    An order to follow is wrong, or stale, if it leads more than `WRONG_M` away from the hero of each frame that was
    sent within `fresh_s` before it.
    """
    received = [each for each in received if each.at_s < end_s]
    ends_s = [*(later.at_s for later in received[1:]), end_s]
    # The latest order before `begin_s` still holds.
    lasting = [(each, until_s) for each, until_s in zip(received, ends_s, strict=False) if until_s > begin_s]
    follows = [each for each, _ in lasting if each.place_m is not None and each.at_s >= begin_s]
    return Judgement(
        len(follows),
        sum(_is_wrong(each, sent, fresh_s) for each in follows),
        int(any(each.place_m is None for each, _ in lasting)),
        max((until_s - each.at_s for each, until_s in lasting if each.place_m is None), default=0.0),
        max((until_s - each.at_s for each, until_s in lasting if each.place_m is not None), default=0.0),
    )


def _is_wrong(received: ReceivedCommand, sent: Sequence[Sent], fresh_s: float) -> bool:
    assert received.place_m is not None
    heroes_m = (frame.hero_m for frame in sent if received.at_s - fresh_s <= frame.at_s <= received.at_s)
    return all(math.dist(received.place_m, hero_m) > WRONG_M for hero_m in heroes_m)


def combined(judgements: Sequence[Judgement]) -> Judgement:
    """Combine the judgements of all drones."""
    follows, wrong, lost, patrols_s, silences_s = zip(*judgements, strict=True)
    return Judgement(sum(follows), sum(wrong), sum(lost), max(patrols_s), max(silences_s))


def draw_scenes() -> list[Scene]:
    """Draw a flight behind the hero and back again: 16 s at `FRAMES_PER_S`."""
    scenes = [
        Scene(EncodedFrame(encode_jpeg(view.rgb), encode_depth_png(view.depth_m, QUADSIM_CAMERA.far_m), pose), hero_m)
        for pose, view, hero_m in flight_behind_hero(SIDES_DEG)
    ]
    return scenes + scenes[-2:0:-1]


def scene_at(scenes: Sequence[Scene], drone: int, flown_s: float) -> Scene:
    """The scene that a drone sees after a time.

    Args:
        scenes: result of `draw_scenes`.
        drone: its number.
        flown_s: time since its first frame.
    """
    return scenes[(drone + round(flown_s * FRAMES_PER_S)) % len(scenes)]


class Drone:
    """Sends a frame in each period, until it is stopped. The period does not change the pace at which the hero walks.

    Args:
        port: the server's port.
        scenes: result of `draw_scenes`.
        number: the drone's number.
        period_s: time between frames.
        first_s: time of the first frame, monotonic s.
    """

    def __init__(self, port: int, scenes: Sequence[Scene], number: int, period_s: float, first_s: float) -> None:
        self._client, self._scenes, self._number = QuadSimClient(port=port), scenes, number
        self._period_s, self._first_s = period_s, first_s
        self._sent: list[Sent] = []
        self._is_over = threading.Event()
        self._client.connect()
        self._pilot = threading.Thread(target=self._fly, daemon=True)
        self._pilot.start()

    @property
    def is_following(self) -> bool:
        """Whether the latest order was to follow."""
        orders = (event.name for event in reversed(self._client.events) if event.name in (FOLLOW, PATROL))
        return next(orders, PATROL) == FOLLOW

    def judged(self, begin_s: float, end_s: float, fresh_s: float) -> Judgement:
        """Judge the commands that it got; see `judge`."""
        return judge(list(self._sent), self._received(), begin_s, end_s, fresh_s)

    def stop(self) -> None:
        """Disconnect."""
        self._is_over.set()
        self._pilot.join()
        self._client.close()

    def _received(self) -> list[ReceivedCommand]:
        received: list[ReceivedCommand] = []
        for event in self._client.events:
            if event.name == FOLLOW:
                received.append(ReceivedCommand(event.arrived_s, np.array(event.argument["coords"][:2], float)))
            elif event.name == PATROL and not (received and received[-1].place_m is None):
                received.append(ReceivedCommand(event.arrived_s, None))
        return received

    def _fly(self) -> None:
        for number in itertools.count():
            due_s = self._first_s + number * self._period_s
            if self._is_over.wait(max(0.0, due_s - time.monotonic())):
                return
            scene = scene_at(self._scenes, self._number, due_s - self._first_s)
            with contextlib.suppress(ConnectionError):  # the server's log has the reason
                at_s = self._client.send_frame(scene.frame.fields(time.time()))
                self._sent.append(Sent(at_s, scene.hero_m))


@contextlib.contextmanager
def flying(port: int, scenes: Sequence[Scene], drones: int, frames_per_s: float) -> Iterator[list[Drone]]:
    """Fly drones, whose frames are evenly spread in time, until the block ends."""
    begin_s, period_s = time.monotonic(), 1 / frames_per_s
    with contextlib.ExitStack() as stack:
        flown = []
        for number in range(drones):
            drone = Drone(port, scenes, number, period_s, begin_s + period_s * number / drones)
            stack.callback(drone.stop)
            flown.append(drone)
        yield flown
