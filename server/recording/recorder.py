"""Which sessions are recorded: the event loop's side of recordings, one MCAP file each.

It is told everything that a session is told and answers, in that order, and hands it over to a thread (`scribe.py`),
which says it in messages (`topics.py`) and puts them on the disk (`mcap_file.py`). Nothing here waits. The thread is
woken once commands have left, so that its work falls between frames. A recording that can't go on ends, and says why;
nothing else is touched.
"""

import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server.engine import Engine
from server.geometry import Camera
from server.messages import Command, SensorFrame
from server.perception import Seen
from server.recording.items import Answered, Arrived, Begun, Ended, Item, Noted, Recording, Saw
from server.recording.scribe import Scribe
from server.recording.snapshot import freeze
from server.session import Session, Situation
from server.tracker import TrackerConfig, TrackState

FOLDER_BY_HAND = Path("recordings")
SMALL_BYTES = 1000


class Recorder:
    """Records the sessions that it is told to. Only the event loop calls it.

    Args:
        folder: for the files of all sessions; None to record only on demand, into `FOLDER_BY_HAND`.
        engine: the loaded network.
        camera: the simulators'.
        min_blob_px: smallest blob that perception believes, in pixels of the network.
        watchdog_s: the sessions'.
        tracker: the sessions'.
    """

    def __init__(
        self,
        folder: Path | None,
        engine: Engine,
        camera: Camera,
        min_blob_px: int,
        watchdog_s: float,
        tracker: TrackerConfig,
    ) -> None:
        self._is_always = folder is not None
        self._scribe = Scribe(folder or FOLDER_BY_HAND, engine.card)
        self._facts = {
            "camera": asdict(camera),
            "min_blob_px": min_blob_px,
            "watchdog_s": watchdog_s,
            "tracker": asdict(tracker),
            "weights": engine.weights,
            "weights_sha256": engine.weights_sha256,
            "engine": engine.description,
        }
        # Of each session the latest one.
        self._recordings: dict[Session, Recording] = {}
        self._states: dict[Session, TrackState] = {}  # after what was handed over last
        # Of each session the frames in perception, for a recording that begins meanwhile: in work, and waiting.
        self._in_perception: dict[Session, deque[Arrived]] = {}

    def start(self) -> None:
        """Start the thread that writes."""
        self._scribe.start()

    def stop(self) -> None:
        """End all recordings in order."""
        for session in self._recordings:
            self.end(session, "the server was shut down")
        self._scribe.stop()

    def on_connected(self, session: Session) -> None:
        """Record a new session, if all are to be recorded."""
        self._in_perception[session] = deque(maxlen=2)
        if self._is_always:
            self._begin(session, snapshot=None)

    def on_disconnected(self, session: Session) -> None:
        """End its recording, if there is one, and forget it."""
        self.end(session, "the simulator disconnected")
        self._recordings.pop(session, None)
        self._states.pop(session, None)
        self._in_perception.pop(session, None)

    def begin(self, session: Session) -> None:
        """Record a session from now on, whatever it has been told before; harmless if it is being recorded."""
        if self.is_recorded(session):
            return
        self._begin(session, freeze(session))
        self._put(session, Begun())
        for arrived in self._in_perception[session]:
            self._put(session, arrived._replace(is_superseding=None), arrived.size)
        self._scribe.wake()

    def end(self, session: Session, reason: str) -> None:
        """End a session's recording, if there is one."""
        if self.is_recorded(session):
            now_s = time.monotonic()
            self._put(session, Ended(now_s, reason))
            self._recordings[session].ended_s = now_s
            self._scribe.wake()

    def on_frame(self, session: Session, arrival_s: float, is_superseding: bool | None, argument: object) -> None:
        """Note a frame that has come.

        Args:
            session: whose it is.
            arrival_s: monotonic seconds.
            is_superseding: as in `Session.on_received`; None if it could not be parsed.
            argument: the event's.
        """
        arrived = Arrived(arrival_s, is_superseding, argument)
        if is_superseding is not None:
            in_perception = self._in_perception[session]
            if is_superseding and in_perception:
                in_perception.pop()
            in_perception.append(arrived)
        if self.is_recorded(session):
            self._put(session, arrived, arrived.size)

    def on_seen(self, session: Session, seen: Seen, now_s: float, commands: Sequence[Command]) -> None:
        """Note what perception saw in a frame, and what the session answered to it."""
        if self.is_recorded(session):
            saw = Saw(seen, now_s, session.tracker.state.value, commands)
            self._put(session, saw, saw.size)

    def note(self, session: Session, kind: str, now_s: float, commands: Sequence[Command], **about: Any) -> None:
        """Note anything else that a session was told: bad, failed, tick, hold, release, shutdown.

        A tick that changes nothing is left out.
        """
        state = session.tracker.state
        if self.is_recorded(session) and (kind != "tick" or commands or state is not self._states[session]):
            self._put(session, Noted(kind, now_s, state.value, commands, about))

    def on_answered(
        self, session: Session, arrival_s: float, now_s: float, situation: Situation, frame: SensorFrame | None
    ) -> None:
        """Note that a frame's commands have left.

        Args:
            session: whose it is.
            arrival_s: the frame's, monotonic seconds.
            now_s: likewise.
            situation: then.
            frame: None for one that was not understood.
        """
        in_perception = self._in_perception.get(session, ())
        while in_perception and in_perception[0].arrival_s <= arrival_s:
            in_perception.popleft()
        if self.is_recorded(session):
            distance_m = None if frame is None else situation.distance_m(frame.gimbal_pose)
            self._put(session, Answered(now_s, now_s - arrival_s, situation, session.is_told_to_follow, distance_m))
            self._scribe.wake()

    def is_recorded(self, session: Session) -> bool:
        """Whether it is being recorded."""
        recording = self._recordings.get(session)
        return recording is not None and recording.is_on

    def about(self, session: Session, now_s: float) -> dict[str, Any] | None:
        """A session's latest recording for the page; None if there has been none.

        Args:
            session: whose it is.
            now_s: monotonic seconds.
        """
        recording = self._recordings.get(session)
        if recording is None:
            return None
        return {
            "is_on": recording.is_on,
            "file": None if recording.file is None else str(recording.file),
            "mb": round(recording.written_bytes / 1e6, 1),
            "duration_s": round(min(now_s, recording.ended_s) - recording.clock.monotonic_s),
            "trouble": recording.trouble,
        }

    def _begin(self, session: Session, snapshot: dict[str, Any] | None) -> None:
        self._recordings[session] = Recording(session.name, {**self._facts, "snapshot": snapshot})
        self._states[session] = session.tracker.state

    def _put(self, session: Session, item: Item, size: int = SMALL_BYTES) -> None:
        self._states[session] = session.tracker.state
        self._scribe.hand_over(self._recordings[session], item, size)


def prepare_folder(folder: Path) -> None:
    """Make a folder for recordings.

    Raises:
        OSError: if that can't be, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot record into {folder}: {error.strerror}") from error
