"""Which sessions are recorded: the event loop's side of recordings, one MCAP file each.

It is told everything that a session is told and answers, in that order, and hands it over to a thread (`scribe.py`),
which says it in messages (`topics.py`) and puts them on the disk (`mcap_file.py`). Nothing here waits. The thread is
woken once commands have left, so that its work falls between frames. A recording that can't go on ends, and says why;
nothing else is touched.

Whoever connects may be no simulator. A recording that nobody has asked for by hand is kept back until a frame is
understood; one that becomes too long before is begun anew, from the session's state then. There is no file until then.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.engines import Engine
from server.flight.session import Session, Situation
from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.sight.perception import Seen
from server.watch.recording.items import Answered, Arrived, Begun, Ended, Item, Noted, Recording, Saw, shorten_bad
from server.watch.recording.scribe import Scribe
from server.watch.recording.snapshot import freeze
from server.wire.messages import Command, SensorFrame

FOLDER_BY_HAND = Path("recordings")
SMALL_BYTES = 1000
# Kept back: items of one session, and bytes of all.
MOST_KEPT, MOST_KEPT_BYTES = 60, 50_000_000


@dataclass(eq=False)
class _Recorded:
    """What is known here of a session.

    Attributes:
        state: after what was noted last.
        recording: the latest one; None if there has been none.
        kept: of a recording that is kept back, each item with its size, bytes; None of any other.
        kept_bytes: what these items take in memory.
        in_perception: its frames there, by arrival, for a recording that begins meanwhile.
    """

    state: TrackState
    recording: Recording | None = None
    kept: list[tuple[Item, int]] | None = None
    kept_bytes: int = 0
    in_perception: dict[float, Arrived] = field(default_factory=dict)


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
        self._sessions: dict[Session, _Recorded] = {}

    def start(self) -> None:
        """Start the thread that writes."""
        self._scribe.start()

    def stop(self) -> None:
        """End all recordings in order."""
        for session in self._sessions:
            self.end(session, "the server was shut down")
        self._scribe.stop()

    def on_connected(self, session: Session) -> None:
        """Record a new session, if all are to be recorded, from its first frame on that is understood."""
        self._sessions[session] = _Recorded(session.tracker.state)
        if self._is_always:
            self._begin(session, snapshot=None)

    def on_disconnected(self, session: Session) -> None:
        """End its recording, if there is one, and forget it."""
        self.end(session, "the simulator disconnected")
        self._sessions.pop(session, None)

    def begin(self, session: Session) -> None:
        """Record a session from now on, whatever it has been told before; harmless if it is being recorded."""
        if not self.is_recorded(session):
            self._begin(session, freeze(session))
        self._keep_back_no_longer(self._sessions[session])
        self._scribe.wake()

    def end(self, session: Session, reason: str) -> None:
        """End a session's recording, if there is one."""
        recorded = self._sessions.get(session)
        if recorded is not None and recorded.recording is not None and recorded.recording.is_on:
            now_s = time.monotonic()
            if recorded.kept is None:
                self._put(session, Ended(now_s, reason))
            recorded.recording.ended_s, recorded.kept, recorded.kept_bytes = now_s, None, 0
            self._scribe.wake()

    def on_frame(self, session: Session, arrival_s: float, is_superseding: bool | None, argument: object) -> None:
        """Note a frame that has come.

        Args:
            session: whose it is.
            arrival_s: monotonic seconds.
            is_superseding: as in `Session.on_received`; None if it could not be parsed.
            argument: the event's.
        """
        if is_superseding is None:
            if not self.is_recorded(session):
                return  # it would only be shortened in vain
            arrived = Arrived(arrival_s, is_superseding, shorten_bad(argument))
        else:
            arrived = Arrived(arrival_s, is_superseding, argument)
            in_perception = self._sessions[session].in_perception
            if is_superseding and in_perception:
                in_perception.popitem()  # the one that waited is the latest
            in_perception[arrival_s] = arrived
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
        if self.is_recorded(session) and (kind != "tick" or commands or state is not self._sessions[session].state):
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
        recorded = self._sessions.get(session)
        if recorded is None:  # it has left while its commands were sent
            return
        recorded.in_perception.pop(arrival_s, None)  # and no older one, which may still be seen
        if self.is_recorded(session):
            distance_m = None if frame is None else situation.distance_m(frame.gimbal_pose)
            self._put(session, Answered(now_s, now_s - arrival_s, situation, session.is_told_to_follow, distance_m))
            self._scribe.wake()
        elif self._is_always and frame is not None and self._is_refused(recorded) and self._scribe.has_room:
            self.begin(session)

    def is_recorded(self, session: Session) -> bool:
        """Whether it is being recorded."""
        recorded = self._sessions.get(session)
        return recorded is not None and recorded.recording is not None and recorded.recording.is_on

    def about(self, session: Session, now_s: float) -> dict[str, Any] | None:
        """A session's latest recording for the page; None if there has been none.

        Args:
            session: whose it is.
            now_s: monotonic seconds.
        """
        recorded = self._sessions.get(session)
        if recorded is None or recorded.recording is None:
            return None
        recording = recorded.recording
        return {
            "is_on": recording.is_on,
            "file": None if recording.file is None else str(recording.file),
            "mb": round(recording.written_bytes / 1e6, 1),
            "duration_s": round(min(now_s, recording.ended_s) - recording.clock.monotonic_s),
            "trouble": recording.trouble,
        }

    def _begin(self, session: Session, snapshot: dict[str, Any] | None) -> None:
        recorded = self._sessions[session]
        recorded.recording = Recording(session.name, {**self._facts, "snapshot": snapshot})
        recorded.state = session.tracker.state
        arrivals = (arrived._replace(is_superseding=None) for arrived in recorded.in_perception.values())
        recorded.kept = [(arrived, arrived.size) for arrived in arrivals]
        recorded.kept_bytes = sum(size for _, size in recorded.kept)

    def _put(self, session: Session, item: Item, size: int = SMALL_BYTES) -> None:
        recorded = self._sessions[session]
        assert recorded.recording is not None
        recorded.state = session.tracker.state
        if recorded.kept is None:
            self._scribe.hand_over(recorded.recording, item, size)
            return
        recorded.kept.append((item, size))
        recorded.kept_bytes += size
        if isinstance(item, Saw):
            self._keep_back_no_longer(recorded)
        elif isinstance(item, Arrived) and item.is_superseding is None:
            pass  # what it is answered follows at once, and can't be without it
        elif (
            len(recorded.kept) > MOST_KEPT or sum(each.kept_bytes for each in self._sessions.values()) > MOST_KEPT_BYTES
        ):
            self._begin(session, freeze(session))

    def _keep_back_no_longer(self, recorded: _Recorded) -> None:
        if recorded.recording is not None and recorded.kept is not None:
            kept, recorded.kept, recorded.kept_bytes = recorded.kept, None, 0
            for item, size in [(Begun(), SMALL_BYTES), *kept]:
                self._scribe.hand_over(recorded.recording, item, size)

    @staticmethod
    def _is_refused(recorded: _Recorded) -> bool:
        return recorded.recording is not None and recorded.recording.is_refused


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
