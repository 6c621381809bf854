"""The loop without sockets and in lock-step: a world, its frames as QuadSim sends them, a pilot, the drone.

Simulated time stands still while the pilot computes, so that the machine's speed does not change a flight.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from model.engines import Engine
from server.flight.events import Received, Tick, answer
from server.flight.glance import with_expected_place
from server.flight.session import Session
from server.settings import Settings, tracker_for
from server.sight.geometry import QUADSIM_CAMERA, world_from_camera
from server.sight.sight import Sight
from server.wire.messages import FOLLOW, PATROL, Command, Frame
from tools.simulator.drone import BODY_MIDDLE_M, Drone
from tools.simulator.faults import Faults
from tools.simulator.flight import Flight, Tracked
from tools.simulator.scene import NOBODY
from tools.simulator.world import FRAMES_PER_S, Observation, World, frame_fields

FRAME_PERIOD_MS = 1000 // FRAMES_PER_S

IN_VIEW_FROM_PX = 12
IN_VIEW_WITHIN_M = 40.0


class Pilot(Protocol):
    """Tells the drone what to do; `now_s` is simulated time in seconds, which never goes back."""

    def on_frame(self, fields: Mapping[str, str], now_s: float) -> list[Command]:
        """The commands that answer a `sensor_frame` with this argument."""

    def on_tick(self, now_s: float) -> list[Command]:
        """Commands that answer no frame; called once for each frame of the camera."""

    def tracked(self) -> tuple[Tracked, ...]:
        """The people whom the pilot believes to be in view, at the time of the latest call of the other methods."""


class ServerPilot:
    """The server's own parser, sight and session, without its threads.

    Args:
        engine: the loaded network.
        target: name of the target, of a network with several; None: the first.

    Attributes:
        session: the session that a server would have for this drone.
    """

    def __init__(self, engine: Engine, target: str | None = None) -> None:
        self._sight = Sight(engine, QUADSIM_CAMERA, target=target)
        tracker = tracker_for(self._sight.card.profile, {})
        self.session = Session.begin("drone", tracker, Settings().watchdog_s)
        self._frames = 0
        self._now_s = 0.0

    def on_frame(self, fields: Mapping[str, str], now_s: float) -> list[Command]:
        """See `Pilot`.

        Raises:
            Exception: if perception fails, which a server would survive.
        """
        self._frames += 1
        self._now_s = now_s
        frame = with_expected_place(Frame.read(self._frames, now_s, fields), self.session.state)
        received = self.session.take(Received(now_s, frame.number))
        return received + self.session.take(answer(frame, self._sight.look(frame), now_s))

    def on_tick(self, now_s: float) -> list[Command]:
        """See `Pilot`."""
        self._now_s = now_s
        return self.session.take(Tick(now_s))

    def tracked(self) -> tuple[Tracked, ...]:
        """See `Pilot`: all people in view, with the numbers of the session."""
        tracker, time_s = self.session.state.tracker, self.session.state.clock.time_at(self._now_s)
        motion = tracker.motion
        shown = [person for person in tracker.crowd.people if tracker.is_in_view(person)]
        return tuple(Tracked(person.number, *motion.predict(person.track, time_s)[:2]) for person in shown)


class _CommandedDrone:
    """Passes commands to a drone, and keeps the coordinates told latest: (2,) metres, NaN on patrol."""

    def __init__(self, drone: Drone) -> None:
        self._drone = drone
        self.told_m = np.full(2, np.nan)

    def obey(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self._drone.on_command(command.event, command.payload)
            if command.event == FOLLOW:
                self.told_m = np.array(command.payload["coords"][:2])
            elif command.event == PATROL:
                self.told_m = np.full(2, np.nan)


def fly(world: World, pilot: Pilot, duration_s: float, faults: Faults | None = None, pace: int = 1) -> Flight:
    """Fly one episode.

    Args:
        world: at its start.
        pilot: gets the frames.
        duration_s: duration in the pilot's time, at five frames a second; at least one frame.
        faults: on the way of the frames; None for none. Answers arrive at once.
        pace: how many times as fast the world moves, as QuadSim's number keys make it; frames and their timestamps
            stay as they are.
    """
    faults = faults or Faults.none()
    leash = _CommandedDrone(world.drone)
    on_their_way: deque[tuple[int, dict[str, str]]] = deque()
    heroes_m, others_m, hero_px, told_m, in_view, tracked = [], [], [], [], [], []

    def deliver(now_ms: int) -> None:
        while on_their_way and on_their_way[0][0] <= now_ms:
            leash.obey(pilot.on_frame(on_their_way.popleft()[1], now_ms / 1000))

    for begin_ms in range(0, max(1, round(1000 * duration_s)), FRAME_PERIOD_MS):
        observation = world.observe()
        ahead_s = observation.truth.time_s * (1 - 1 / pace)  # of the world's clock, over that of the frames
        fields_now = frame_fields(observation._replace(timestamp_s=observation.timestamp_s - ahead_s))
        for due_s, fields in faults.pass_on(begin_ms / 1000, fields_now):
            on_their_way.append((round(1000 * due_s), fields))
        world.drone.on_link()
        deliver(begin_ms)
        leash.obey(pilot.on_tick(begin_ms / 1000))
        heroes_m.append(observation.truth.hero_position_m[:2])
        others_m.append(observation.truth.people_positions_m[:, :2])
        hero_px.append(observation.truth.hero_px)
        told_m.append(leash.told_m)
        in_view.append(people_in_view(observation))
        tracked.append(pilot.tracked())
        now_ms, end_ms = begin_ms, begin_ms + FRAME_PERIOD_MS
        while now_ms < end_ms:
            next_ms = min(end_ms, on_their_way[0][0]) if on_their_way else end_ms
            world.step(pace * (next_ms - now_ms) / 1000)
            now_ms = next_ms
            if now_ms < end_ms:
                deliver(now_ms)
    return Flight(
        period_s=FRAME_PERIOD_MS / 1000,
        hero_m=np.array(heroes_m),
        others_m=np.array(others_m),
        hero_px=np.array(hero_px),
        told_m=np.array(told_m),
        in_view=np.array(in_view),
        tracked=tuple(tracked),
        on_target_m=world.on_target_m,
        alike=world.lookalikes,
    )


def people_in_view(observation: Observation) -> np.ndarray:
    """Whether each person is in view and near enough to be placed, (people,) bool, the hero first.

    The person must have at least `IN_VIEW_FROM_PX` visible pixels, and a planar depth below `IN_VIEW_WITHIN_M`.
    """
    truth = observation.truth
    middles_m = np.vstack([truth.hero_position_m, truth.people_positions_m])
    middles_m[:, 2] += BODY_MIDDLE_M
    camera = world_from_camera(observation.gimbal_pose)
    depth_m = (middles_m - camera[:3, 3]) @ camera[:3, 0]
    shown_px = np.bincount(observation.view.person.ravel(), minlength=NOBODY + 1)[: len(middles_m)]
    return (shown_px >= IN_VIEW_FROM_PX) & (depth_m < IN_VIEW_WITHIN_M)
