"""The page that shows each simulator live, and the stream of server-sent events that feeds it.

Server-sent events rather than Socket.IO: the browser has the client built in and reconnects by itself, a viewer can
never be taken for a simulator, and each viewer's own loop takes the newest when its connection has room again, so that
a slow one gets fewer pictures and nothing queues up.
"""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, request, send_from_directory

from server.flight.session import Session, Situation
from server.sight.geometry import Camera
from server.watch.overlay import Picture
from server.wire.messages import SensorFrame

PAGE = Path(__file__).with_name("page")
# A viewer is sent what is new so often, and at least so often a sign of life.
PERIOD_S, HEARTBEAT_S = 0.1, 1.0
HISTORY_S = 180.0
# Three minutes at 5 frames a second are 900; a simulator in lock-step may send ten times as many.
MOST_MOMENTS = 3000
WARNING_SHOWN_S = 60.0
MOST_WARNINGS = 100
MOST_COMMAND_BYTES = 1000


class Moment(NamedTuple):
    """What the page draws of one answered frame.

    Args:
        number: counts up.
        arrival_s: monotonic seconds.
        latency_s: from arrival until the last of its commands had left.
        state: the tracker's, then.
        camera: x, y, z in metres and yaw in degrees, ROS world frame; None for a frame that was not understood.
        hero: x, y likewise; None without a track.
    """

    number: int
    arrival_s: float
    latency_s: float
    state: str
    camera: tuple[float, float, float, float] | None
    hero: tuple[float, float] | None

    def as_json(self) -> list[Any]:
        """The page's form: [seconds, milliseconds, state, [x, y, z, yaw] or null, [x, y] or null]."""
        return [
            round(self.arrival_s, 3),
            round(1e3 * self.latency_s, 1),
            self.state,
            self.camera and [round(value, 2) for value in self.camera],
            self.hero and [round(value, 2) for value in self.hero],
        ]


@dataclass
class Complaint:
    """What a client does wrong, in words, and how often and when last (monotonic seconds)."""

    words: str
    count: int
    at_s: float


@dataclass
class Shown:
    """One simulator as the page shows it."""

    session: Session
    fov_deg: float
    moments: deque[Moment] = field(default_factory=lambda: deque(maxlen=MOST_MOMENTS))
    frames: int = 0
    distance_m: float | None = None
    picture: Picture | None = None
    pictures: int = 0


class Sent(NamedTuple):
    """What a viewer has of a simulator: the latest moment and picture."""

    moment: int = 0
    picture: int = 0


class Dashboard:
    """What viewers see. Only the event loop calls it.

    Args:
        hold: holds (True) or releases (False) the simulator of a name; tells whether there is one.
        record: records it or ends that, likewise.
        recording: what to tell of a session's latest recording at a time (monotonic seconds); None if there is none.
        trouble: what is wrong with perception, in words, or None.
        engine: a description, for people.
    """

    def __init__(
        self,
        hold: Callable[[str, bool], bool],
        record: Callable[[str, bool], bool],
        recording: Callable[[Session, float], dict[str, Any] | None],
        trouble: Callable[[], str | None],
        engine: str,
    ) -> None:
        self._hold, self._record, self._recording = hold, record, recording
        self._trouble, self._engine = trouble, engine
        self._shown: dict[str, Shown] = {}
        self._complaints: dict[tuple[str, str], Complaint] = {}
        self._changes = 0
        self.viewers = 0

    def on_connected(self, session: Session, camera: Camera) -> None:
        """Show a simulator from now on."""
        self._shown[session.name] = Shown(session, _horizontal_fov_deg(camera))
        self.on_change()

    def on_disconnected(self, name: str) -> None:
        """Show it no more."""
        self._shown.pop(name, None)
        self.on_change()

    def on_change(self) -> None:
        """Have viewers told of the situation as it is now."""
        self._changes += 1

    def on_answered(
        self, name: str, arrival_s: float, now_s: float, situation: Situation, frame: SensorFrame | None = None
    ) -> None:
        """Note a frame that has been answered, if its simulator is still there.

        Args:
            name: the simulator's.
            arrival_s: monotonic seconds.
            now_s: likewise, once its commands had left.
            situation: then.
            frame: None for one that was not understood.
        """
        shown = self._shown.get(name)
        if shown is None:
            return  # gone while it was being answered
        shown.frames += 1
        camera = None if frame is None else (*frame.gimbal_pose[:3], frame.gimbal_pose.yaw_deg)
        hero_m = situation.position_m
        hero = None if hero_m is None else (float(hero_m[0]), float(hero_m[1]))
        shown.moments.append(Moment(shown.frames, arrival_s, now_s - arrival_s, situation.state.value, camera, hero))
        while now_s - shown.moments[0].arrival_s > HISTORY_S:
            shown.moments.popleft()
        if frame is not None:
            shown.distance_m = situation.distance_m(frame.gimbal_pose)
        self.on_change()

    def on_picture(self, picture: Picture) -> None:
        """Show a new picture of a simulator, if it is still there."""
        shown = self._shown.get(picture.session)
        if shown is not None:
            shown.picture = picture
            shown.pictures += 1
            self.on_change()

    def on_complaint(self, name: str, field: str, expected: str, received: str) -> None:
        """Show what a client has sent that is not what was expected."""
        words = f"{field.replace('_', ' ')}: got {received}, expected {expected}"
        before = self._complaints.pop((name, field), None)
        self._complaints[name, field] = Complaint(words, before.count + 1 if before else 1, time.monotonic())
        if len(self._complaints) > MOST_WARNINGS:
            del self._complaints[next(iter(self._complaints))]
        self.on_change()

    def stream(self, sleep: Callable[[float], None]) -> Iterator[bytes]:
        """What one viewer is sent, for as long as they look.

        Args:
            sleep: called between messages; lets others run.
        """
        self.viewers += 1
        try:
            sent: dict[str, Sent] = {}
            changes, told_at_s = -1, -math.inf
            while True:
                now_s = time.monotonic()
                if changes != self._changes or now_s - told_at_s >= HEARTBEAT_S:
                    changes, told_at_s = self._changes, now_s
                    message, sent = self.news(sent, now_s)
                    yield b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"
                sleep(PERIOD_S)
        finally:
            self.viewers -= 1

    def news(self, sent: dict[str, Sent], now_s: float) -> tuple[dict[str, Any], dict[str, Sent]]:
        """The situation, and what is new since the last message.

        Args:
            sent: what the viewer has, by the simulators' names; empty for a new viewer, who gets the whole history.
            now_s: monotonic seconds.

        Returns:
            The message, and what the viewer has with it.
        """
        message = {
            "now_s": round(now_s, 3),
            "trouble": self._trouble(),
            "engine": self._engine,
            "simulators": [
                self._about(name, shown, sent.get(name, Sent()), now_s) for name, shown in self._shown.items()
            ],
            "others": self._warnings(None, now_s),
        }
        return message, {name: Sent(shown.frames, shown.pictures) for name, shown in self._shown.items()}

    def blueprint(self, sleep: Callable[[float], None]) -> Blueprint:
        """The page, its stream of events, and its commands. Other sites' pages are refused.

        Args:
            sleep: as for `stream`.
        """
        blueprint = Blueprint("dashboard", __name__)

        @blueprint.before_request
        def refuse_other_sites() -> None:
            # A browser names the page's own site in each command and stream of another's making.
            origin = request.headers.get("Origin")
            if origin is not None and urlsplit(origin).netloc != request.host:
                abort(403, f"expected a page of {request.host}, got one of {origin[:60]}")

        @blueprint.after_request
        def guard(response: Response) -> Response:
            response.headers["Content-Security-Policy"] = (
                "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
            )
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-cache"
            return response

        @blueprint.get("/")
        def index() -> Response:
            return send_from_directory(PAGE, "index.html")

        @blueprint.get("/page/<name>")
        def file(name: str) -> Response:
            return send_from_directory(PAGE, name)

        @blueprint.get("/events")
        def events() -> Response:
            return Response(self.stream(sleep), mimetype="text/event-stream")

        @blueprint.post("/hold")
        def hold() -> Response:
            return self._obey(self._hold, "is_held")

        @blueprint.post("/record")
        def record() -> Response:
            return self._obey(self._record, "is_recorded")

        return blueprint

    def _obey(self, do: Callable[[str, bool], bool], wish: str) -> Response:
        # JSON, because a form of another site can't send that.
        request.max_content_length = MOST_COMMAND_BYTES
        command = request.get_json()
        if not isinstance(command, dict) or not isinstance(command.get(wish), bool):
            abort(400, f'expected {{"simulator": its name, "{wish}": true or false}}')
        if not do(str(command.get("simulator")), command[wish]):
            abort(404, "expected a connected simulator")
        self.on_change()
        return Response(status=204)

    def _about(self, name: str, shown: Shown, sent: Sent, now_s: float) -> dict[str, Any]:
        situation = shown.session.situation(now_s)
        velocity = situation.velocity_mps
        about: dict[str, Any] = {
            "name": name,
            "state": situation.state.value,
            "is_held": situation.is_held,
            "is_told_to_follow": shown.session.is_told_to_follow,
            "distance_m": None if situation.position_m is None else _rounded(shown.distance_m),
            "speed_mps": None if velocity is None else _rounded(math.hypot(velocity[0], velocity[1])),
            "age_s": _rounded(situation.age_s),
            "fov_deg": round(shown.fov_deg, 1),
            "counts": shown.session.counts._asdict(),
            "recording": self._recording(shown.session, now_s),
            "warnings": self._warnings(name, now_s),
            "moments": [moment.as_json() for moment in _since(shown.moments, sent.moment)],
        }
        if shown.picture is not None and shown.pictures != sent.picture:
            about["picture"] = shown.picture.image
        return about

    def _warnings(self, name: str | None, now_s: float) -> list[dict[str, Any]]:
        """The latest ones about a simulator, or with None those about other clients; the newest first."""
        return [
            {"client": client, "words": said.words, "count": said.count, "age_s": _rounded(now_s - said.at_s)}
            for (client, _), said in reversed(self._complaints.items())
            if (client == name or (name is None and client not in self._shown)) and now_s - said.at_s < WARNING_SHOWN_S
        ][:5]


def _since(moments: deque[Moment], number: int) -> list[Moment]:
    """Those after a number, oldest first; looked up from the end."""
    new = []
    for moment in reversed(moments):
        if moment.number <= number:
            break
        new.append(moment)
    return new[::-1]


def _horizontal_fov_deg(camera: Camera) -> float:
    return 2 * math.degrees(math.atan(camera.image_width_px / 2 / camera.focal_px))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
