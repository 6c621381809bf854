"""The data of the page: the latest minutes of each simulator, and the stream of server-sent events with them.

Reasons for server-sent events rather than Socket.IO: browsers have a client built in, which reconnects by itself. A
viewer cannot be confused with a simulator. Each viewer has a loop of its own, which takes the newest state when the
connection has room again; so a slow viewer gets fewer pictures, and nothing queues up.
"""

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from server.front import Front
from server.sight.geometry import Camera
from server.simulator import Simulator, Taken, Watch
from server.watch.about import MOST_LAG_S, describe, describe_briefly
from server.watch.mistakes import Mistakes
from server.watch.moments import Moment, before, since
from server.watch.overlay import Picture
from server.wire.messages import SensorFrame

# Pause between messages to a viewer; pause for a viewer of the wall; longest time without a message.
PERIOD_S, WALL_PERIOD_S, HEARTBEAT_S = 0.1, 0.5, 1.0
HISTORY_S = 180.0
# Most moments of a simulator. Three minutes at 5 frames a second have 900; in lock-step there may be ten times as many.
MOST_MOMENTS = 3000
# Most moments of all simulators in total: 50 simulators for three minutes. Each simulator has an equal share.
MOST_MOMENTS_TOGETHER = 50_000
# Most moments in one message: of one simulator (3 ms of work), and of all in total (0.1 MB). The rest of a new viewer's
# history comes with the next messages, newest first, because the page shows the first ones as the present.
MOST_IN_MESSAGE, MOST_OF_ALL_IN_MESSAGE = 300, 2000
# Value of `in_full` for viewers of the wall, who see no simulator in full. No simulator has this name.
NOBODY = ""


class Sent(NamedTuple):
    """What a viewer has received of a simulator: the numbers of the first and last moment, and of the picture.

    The picture's number is 0 for none, and -1 if the viewer may still show that of a former simulator of the same name.
    """

    first: int
    last: int
    picture: int = -1


class PageWatch(Watch):
    """The page's data of one simulator, and its watch.

    Args:
        simulator: as connected.
        dashboard: told of each change.
    """

    def __init__(self, simulator: Simulator, dashboard: "Dashboard") -> None:
        self.simulator, self._dashboard = simulator, dashboard
        self.moments: deque[Moment] = deque(maxlen=MOST_MOMENTS)
        self.frames = 0
        # Of the newest frame that was understood: arrival (monotonic seconds), distance of the hero, camera.
        self.seen_s: float | None = None
        self.distance_m: float | None = None
        self.camera = dashboard.camera
        self.picture: Picture | None = None
        self.pictures = 0

    def frame_age_s(self, now_s: float) -> float | None:
        """Seconds since the newest frame that was understood arrived; None if there is none."""
        return None if self.seen_s is None else now_s - self.seen_s

    @property
    def nothing_sent(self) -> Sent:
        """The `Sent` of a new viewer."""
        return Sent(self.frames + 1, self.frames)

    def has_sent_all(self, sent: Sent) -> bool:
        """Whether a viewer has received all moments."""
        return not self.moments or (sent.first <= self.moments[0].number and sent.last == self.frames)

    @property
    def current_picture(self) -> Picture | None:
        """The latest picture; None if it is much older than the newest frame, because nobody has looked since."""
        if self.picture is None or self.seen_s is None or self.seen_s - self.picture.arrival_s > MOST_LAG_S:
            return None
        return self.picture

    def taken(self, taken: Taken) -> None:
        """Note a change if there are commands; a tick or a frame's arrival changes nothing on the page."""
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
            self.seen_s, self.camera = arrival_s, taken.view.camera
        self.frames += 1
        self.moments.append(Moment.of(self.frames, arrival_s, now_s - arrival_s, situation, pose))
        while len(self.moments) > self._dashboard.share(MOST_MOMENTS_TOGETHER):
            self.moments.popleft()
        # By the time of the answer, because a frame may have waited longer than HISTORY_S while the server stood still.
        while now_s - self.moments[0].answered_s > HISTORY_S:
            self.moments.popleft()
        self._dashboard.on_change()

    def disconnected(self) -> None:
        """Remove the simulator from the page."""
        self._dashboard.remove(self)


class Dashboard:
    """The data of all simulators for viewers; a listener. Only the event loop calls it.

    Args:
        camera: camera of simulators whose images are square.
        recording: describes a simulator's latest recording at a time (monotonic seconds); None if there is none.
        trouble: returns why drones can't be led now, or None.
        network: describes the network in use and the network being loaded, as JSON.
        front: this server among several fronts; None if it is the only one.
    """

    def __init__(
        self,
        camera: Camera,
        recording: Callable[[Simulator, float], dict[str, Any] | None],
        trouble: Callable[[], str | None],
        network: Callable[[], dict[str, Any]],
        front: Front | None = None,
    ) -> None:
        self.camera = camera
        self._front = None if front is None else {"name": str(front), "shared_port": front.shared_port}
        self._recording, self._trouble, self._network = recording, trouble, network
        self._shown: list[PageWatch] = []
        self._mistakes = Mistakes()
        self._changes = 0
        # Number of viewers by the name of the simulator that they see in full; None stands for all simulators.
        self._in_full: Counter[str | None] = Counter()

    @property
    def viewers(self) -> int:
        """Number of viewers of the page."""
        return self._in_full.total()

    def is_seen(self, simulator: Simulator) -> bool:
        """Whether anybody looks at a simulator's picture."""
        return self._in_full[None] > 0 or self._in_full[simulator.name] > 0

    def connected(self, simulator: Simulator) -> PageWatch:
        """Show a simulator from now on."""
        shown = PageWatch(simulator, self)
        self._shown.append(shown)
        self.on_change()
        return shown

    def remove(self, shown: PageWatch) -> None:
        """Remove a simulator from the page."""
        self._shown.remove(shown)
        self.on_change()

    def share(self, total: int) -> int:
        """Each simulator's share of a total, at least 2."""
        return max(2, total // max(1, len(self._shown)))

    def on_change(self) -> None:
        """Note that viewers are to get a new message."""
        self._changes += 1

    def simulator(self, name: object) -> Simulator | None:
        """The simulator with a name; None if there is none."""
        return next((shown.simulator for shown in self._shown if shown.simulator.name == name), None)

    def show(self, picture: Picture) -> None:
        """Show a new picture of a simulator, if it is still connected."""
        for shown in self._shown:
            if shown.simulator is picture.simulator:
                shown.picture, shown.pictures = picture, shown.pictures + 1
                self.on_change()

    def on_complaint(self, name: str, field: str, expected: str, received: str) -> None:
        """Show a client's mistake: what was received in a field instead of what was expected."""
        self._mistakes.add(name, field, expected, received)
        self.on_change()

    def stream(self, sleep: Callable[[float], None], in_full: str | None = None) -> Iterator[bytes]:
        """The messages for one viewer, until the viewer disconnects.

        Args:
            sleep: called between messages, and with 0 while a message is made; lets other green threads run.
            in_full: as for `news`.
        """
        give_way = partial(sleep, 0.0)
        self._in_full[in_full] += 1
        try:
            sent: dict[PageWatch, Sent] = {}
            changes, told_at_s = -1, -math.inf
            while True:
                now_s = time.monotonic()
                if changes != self._changes or now_s - told_at_s >= HEARTBEAT_S:
                    changes, told_at_s = self._changes, now_s
                    message, sent = self.news(sent, now_s, give_way, in_full)
                    yield _as_event(message, give_way)
                    if not all(shown.has_sent_all(has) for shown, has in sent.items()):
                        told_at_s = -math.inf  # there is more
                sleep(WALL_PERIOD_S if in_full == NOBODY else PERIOD_S)
        finally:
            self._in_full[in_full] -= 1
            if not self._in_full[in_full]:
                del self._in_full[in_full]  # clients can send any names, which must not accumulate

    def news(
        self,
        sent: dict[PageWatch, Sent],
        now_s: float,
        give_way: Callable[[], None] = lambda: None,
        in_full: str | None = None,
    ) -> tuple[dict[str, Any], dict[PageWatch, Sent]]:
        """The situation, and the news since the last message.

        Args:
            sent: what the viewer has received of each simulator; empty for a new viewer, who gets the whole history in
                parts.
            now_s: monotonic seconds.
            give_way: called after each simulator; lets other green threads run.
            in_full: name of the only simulator to describe in full, the others by name only; None for all in full,
                `NOBODY` for all in brief.

        Returns:
            The message, and what the viewer has received after it.
        """
        abouts, told = [], {}
        for shown in tuple(self._shown):
            if in_full in (None, shown.simulator.name):
                about, told[shown] = self._about(shown, sent.get(shown, shown.nothing_sent), now_s)
            elif in_full == NOBODY:
                about = self._in_brief(shown, now_s)
            else:
                about = {"name": shown.simulator.name}
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

    def _in_brief(self, shown: PageWatch, now_s: float) -> dict[str, Any]:
        situation = shown.simulator.session.situation(now_s)
        return describe_briefly(shown.simulator.name, situation, shown.distance_m, shown.frame_age_s(now_s))

    def _about(self, shown: PageWatch, sent: Sent, now_s: float) -> tuple[dict[str, Any], Sent]:
        """A simulator in full with the news since the last message, and what the viewer has received after it."""
        simulator, picture = shown.simulator, shown.current_picture
        most = min(MOST_IN_MESSAGE, self.share(MOST_OF_ALL_IN_MESSAGE))
        new = since(shown.moments, sent.last)[:most]
        old = before(shown.moments, sent.first, most - len(new))
        about = describe(
            simulator.name,
            simulator.target,
            simulator.session.situation(now_s),
            shown.distance_m,
            shown.frame_age_s(now_s),
            picture.spots if picture else (),
            shown.camera,
        ) | {
            "recording": self._recording(simulator, now_s),
            "warnings": self._mistakes.latest(lambda client: client == simulator.name, now_s),
            "moments": [moment.as_json() for moment in (*old, *new)],
        }
        sent = sent._replace(first=old[0].number if old else sent.first, last=new[-1].number if new else sent.last)
        if picture is not None and shown.pictures != sent.picture:
            about["picture"], sent = picture.image, sent._replace(picture=shown.pictures)
        elif picture is None and sent.picture:  # the page must not show its old picture as live
            about["picture"], sent = None, sent._replace(picture=0)
        return about, sent


def _as_event(message: dict[str, Any], give_way: Callable[[], None]) -> bytes:
    """A message as one server-sent event; others run after each simulator."""
    head = _json({name: value for name, value in message.items() if name != "simulators"})
    abouts = []
    for about in message["simulators"]:
        abouts.append(_json(about))
        give_way()
    return b"".join((b"data: ", head[:-1], b',"simulators":[', b",".join(abouts), b"]}\n\n"))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
