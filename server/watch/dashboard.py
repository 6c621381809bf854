"""What the page shows: each simulator's latest minutes, and the stream of server-sent events that carries them.

Server-sent events rather than Socket.IO: the browser has the client built in and reconnects by itself, a viewer can
never be taken for a simulator, and each viewer's own loop takes the newest state when its connection has room again, so
that a slow viewer gets fewer pictures and nothing queues up.
"""

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from server.front import Front
from server.sight.geometry import Camera
from server.simulator import Simulator, Taken, Watch
from server.watch.about import MOST_LAG_S, describe, describe_briefly
from server.watch.mistakes import Mistakes
from server.watch.moments import Moment, before, since
from server.watch.overlay import Picture
from server.wire.messages import SensorFrame

# Pause between messages to a viewer, and to one of the wall; the longest time without a message.
PERIOD_S, WALL_PERIOD_S, HEARTBEAT_S = 0.1, 0.5, 1.0
HISTORY_S = 180.0
# Three minutes at 5 frames a second are 900; a simulator in lock-step may send ten times as many.
MOST_MOMENTS = 3000
# Of all simulators together: 50 of them for three minutes. Each has an equal share.
MOST_MOMENTS_TOGETHER = 50_000
# In one message of one simulator, 3 ms of work, and of all together, 0.1 MB. The rest of a new viewer's history comes
# with the next messages, the newest first: what comes first is shown as the present.
MOST_TOLD, MOST_TOLD_TOGETHER = 300, 2000
# What a viewer of the wall has in full: no simulator has this name.
NOBODY = ""


class Sent(NamedTuple):
    """What a viewer has of a simulator: the moments from `first` to `last`, and the picture, by their numbers."""

    first: int
    last: int
    picture: int = 0


class Shown(Watch):
    """One simulator as the page shows it; watches it.

    Args:
        simulator: as connected.
        dashboard: told of each change.
    """

    def __init__(self, simulator: Simulator, dashboard: "Dashboard") -> None:
        self.simulator, self._dashboard = simulator, dashboard
        self.moments: deque[Moment] = deque(maxlen=MOST_MOMENTS)
        self.frames = 0
        # Arrival of the newest frame that was understood, monotonic seconds.
        self.seen_s: float | None = None
        self.distance_m: float | None = None
        self.picture: Picture | None = None
        self.pictures = 0

    def frame_age_s(self, now_s: float) -> float | None:
        """How long ago the newest frame that was understood arrived; None if there is none."""
        return None if self.seen_s is None else now_s - self.seen_s

    @property
    def nothing_sent(self) -> Sent:
        """What a new viewer has."""
        return Sent(self.frames + 1, self.frames)

    def is_all_told(self, sent: Sent) -> bool:
        """Whether a viewer has all moments."""
        return not self.moments or (sent.first <= self.moments[0].number and sent.last == self.frames)

    @property
    def current_picture(self) -> Picture | None:
        """The latest picture; None if it is much older than the newest frame, for nobody has looked since."""
        if self.picture is None or self.seen_s is None or self.seen_s - self.picture.arrival_s > MOST_LAG_S:
            return None
        return self.picture

    def taken(self, taken: Taken) -> None:
        """Show what has changed by commands; a tick or a frame's arrival shows nothing new."""
        if taken.commands:
            self._dashboard.on_change()

    def answered(self, taken: Taken, now_s: float) -> None:
        """Note a frame that has been answered."""
        assert taken.frame is not None
        arrival_s = taken.frame.arrival_s
        situation = self.simulator.session.situation(now_s)
        pose = None
        if taken.view is not None and isinstance(taken.frame.content, SensorFrame):
            pose = taken.frame.content.gimbal_pose
            self.distance_m = situation.distance_m(pose)
            self.seen_s = arrival_s
        self.frames += 1
        self.moments.append(Moment.of(self.frames, arrival_s, now_s - arrival_s, situation, pose))
        while len(self.moments) > self._dashboard.share(MOST_MOMENTS_TOGETHER):
            self.moments.popleft()
        # By the time of the answer: a frame may have waited for longer than that while the server stood still.
        while now_s - self.moments[0].answered_s > HISTORY_S:
            self.moments.popleft()
        self._dashboard.on_change()

    def disconnected(self) -> None:
        """Show it no more."""
        self._dashboard.remove(self)


class Dashboard:
    """What viewers see; a listener. Only the event loop calls it.

    Args:
        camera: of all simulators.
        recording: what to tell of a simulator's latest recording at a time (monotonic seconds); None if there is none.
        trouble: why drones can't be led now, in words, or None.
        network: tells what network is used and loaded, as JSON.
        front: which one this server is of several; None if there are no others.
    """

    def __init__(
        self,
        camera: Camera,
        recording: Callable[[Simulator, float], dict[str, Any] | None],
        trouble: Callable[[], str | None],
        network: Callable[[], dict[str, Any]],
        front: Front | None = None,
    ) -> None:
        self._camera = camera
        self._front = None if front is None else {"name": str(front), "shared_port": front.shared_port}
        self._recording, self._trouble, self._network = recording, trouble, network
        self._shown: list[Shown] = []
        self._mistakes = Mistakes()
        self._changes = 0
        # How many viewers have which simulator in full; None stands for all of them.
        self._in_full: Counter[str | None] = Counter()

    @property
    def viewers(self) -> int:
        """How many look at the page."""
        return self._in_full.total()

    def is_seen(self, simulator: Simulator) -> bool:
        """Whether anybody looks at its picture."""
        return self._in_full[None] > 0 or self._in_full[simulator.name] > 0

    def connected(self, simulator: Simulator) -> Shown:
        """Show a simulator from now on."""
        shown = Shown(simulator, self)
        self._shown.append(shown)
        self.on_change()
        return shown

    def remove(self, shown: Shown) -> None:
        """Show it no more."""
        self._shown.remove(shown)
        self.on_change()

    def share(self, together: int) -> int:
        """Each simulator's share of what there may be of all together; at least a few."""
        return max(2, together // max(1, len(self._shown)))

    def on_change(self) -> None:
        """Have viewers told of the situation as it is now."""
        self._changes += 1

    def simulator(self, name: object) -> Simulator | None:
        """The simulator that the page calls by a name; None if there is none."""
        return next((shown.simulator for shown in self._shown if shown.simulator.name == name), None)

    def show(self, picture: Picture) -> None:
        """Show a new picture of a simulator, if it is still there."""
        for shown in self._shown:
            if shown.simulator is picture.simulator:
                shown.picture = picture
                shown.pictures += 1
                self.on_change()

    def on_complaint(self, name: str, field: str, expected: str, received: str) -> None:
        """Show a client's mistake: what was received in a field instead of what was expected."""
        self._mistakes.add(name, field, expected, received)
        self.on_change()

    def stream(self, sleep: Callable[[float], None], in_full: str | None = None) -> Iterator[bytes]:
        """The messages for one viewer, for as long as they look.

        Args:
            sleep: called between messages, and with 0 amid a message; lets others run.
            in_full: as in `news`.
        """

        def give_way() -> None:
            sleep(0.0)

        self._in_full[in_full] += 1
        try:
            sent: dict[Shown, Sent] = {}
            changes, told_at_s = -1, -math.inf
            while True:
                now_s = time.monotonic()
                if changes != self._changes or now_s - told_at_s >= HEARTBEAT_S:
                    changes, told_at_s = self._changes, now_s
                    message, sent = self.news(sent, now_s, give_way, in_full)
                    yield _as_event(message, give_way)
                    if not all(shown.is_all_told(has) for shown, has in sent.items()):
                        told_at_s = -math.inf  # there is more
                sleep(WALL_PERIOD_S if in_full == NOBODY else PERIOD_S)
        finally:
            self._in_full[in_full] -= 1
            if not self._in_full[in_full]:
                del self._in_full[in_full]  # names come from anybody

    def news(
        self,
        sent: dict[Shown, Sent],
        now_s: float,
        give_way: Callable[[], None] = lambda: None,
        in_full: str | None = None,
    ) -> tuple[dict[str, Any], dict[Shown, Sent]]:
        """The situation, and what is new since the last message.

        Args:
            sent: what the viewer has of each simulator; empty for a new viewer, who gets the whole history, in parts.
            now_s: monotonic seconds.
            give_way: called after each simulator; lets others run.
            in_full: name of the only simulator to describe in full, the others by name only; None for all in full,
                `NOBODY` for all in brief.

        Returns:
            The message, and what the viewer has with it.
        """
        abouts, told = [], {}
        for shown in tuple(self._shown):
            if in_full not in (None, shown.simulator.name):
                abouts.append(self._in_brief(shown, now_s) if in_full == NOBODY else {"name": shown.simulator.name})
                give_way()
                continue
            about, told[shown] = self._about(shown, sent.get(shown, shown.nothing_sent), now_s)
            abouts.append(about)
            give_way()
        names = {shown.simulator.name for shown in self._shown}
        message = {
            "now_s": round(now_s, 3),
            "trouble": self._trouble(),
            "network": self._network(),
            "front": self._front,
            "others": self._mistakes.latest(lambda client: client not in names, now_s),
            "simulators": abouts,
        }
        return message, told

    def _in_brief(self, shown: Shown, now_s: float) -> dict[str, Any]:
        situation = shown.simulator.session.situation(now_s)
        return describe_briefly(shown.simulator.name, situation, shown.distance_m, shown.frame_age_s(now_s))

    def _about(self, shown: Shown, sent: Sent, now_s: float) -> tuple[dict[str, Any], Sent]:
        """A simulator in full with what is new since the last message, and what the viewer has with it."""
        simulator, picture = shown.simulator, shown.current_picture
        most = min(MOST_TOLD, self.share(MOST_TOLD_TOGETHER))
        new = since(shown.moments, sent.last)[:most]
        old = before(shown.moments, sent.first, most - len(new))
        about = describe(
            simulator.name,
            simulator.target,
            simulator.session.situation(now_s),
            shown.distance_m,
            shown.frame_age_s(now_s),
            picture.spots if picture else (),
            self._camera,
        ) | {
            "recording": self._recording(simulator, now_s),
            "warnings": self._mistakes.latest(lambda client: client == simulator.name, now_s),
            "moments": [moment.as_json() for moment in (*old, *new)],
        }
        sent = sent._replace(first=old[0].number if old else sent.first, last=new[-1].number if new else sent.last)
        if picture is not None and shown.pictures != sent.picture:
            about["picture"], sent = picture.image, sent._replace(picture=shown.pictures)
        elif picture is None and sent.picture:  # the one that the page has must not look live
            about["picture"], sent = None, sent._replace(picture=0)
        return about, sent


def _as_event(message: dict[str, Any], give_way: Callable[[], None]) -> bytes:
    """A message as one server-sent event, made simulator by simulator."""
    head = _json({name: value for name, value in message.items() if name != "simulators"})
    abouts = []
    for about in message["simulators"]:
        abouts.append(_json(about))
        give_way()
    return b"".join((b"data: ", head[:-1], b',"simulators":[', b",".join(abouts), b"]}\n\n"))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
