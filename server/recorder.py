"""Recordings: one MCAP file for each session that is recorded, with all that its session was told and answered.

The event loop hands over what happened, in the order in which the session got it, and never waits; a thread of its own
says it in messages (`topics.py`) and puts them on the disk (`mcap_file.py`). It is woken once commands have left, so
that its work falls between frames. A recording that can't go on ends, and says why; nothing else is touched.
"""

import logging
import math
import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from server.engine import Engine
from server.geometry import Camera
from server.messages import Command, SensorFrame
from server.perception import Seen
from server.session import Session, Situation
from server.snapshot import freeze
from server.tracker import TrackerConfig, TrackState

if TYPE_CHECKING:  # they take 50 ms and 10 MB, which a server that records nothing is spared
    from server.mcap_file import McapFile
    from server.topics import Topics

logger = logging.getLogger(__name__)

FORMAT = 1
# What a kill costs is at most their sum, a second with the disk's own time.
FLUSH_S, LONGEST_SLEEP_S = 0.5, 0.2
# A client that connects and leaves 200 times a second must not fill the disk with files.
MOST_FILES = 32
HELD_BEFORE_OPENING = 20
# Players sort messages by their times, and the first must stay the first.
BEFORE_ALL_S = 0.001
# Of all recordings, in memory. One simulator makes 5 MB a second, most of it the network's output.
MOST_WAITING_BYTES = 200_000_000
# What an event's argument may take in memory that is not what QuadSim sends.
ODD_ARGUMENT_BYTES = 10_000_000
IN_FOLDER_BY_HAND = Path("recordings")
CLOSING_S = 5.0


class Clock(NamedTuple):
    """The wall-clock time of monotonic moments: `wall_ns` since 1970 at `monotonic_s`."""

    wall_ns: int
    monotonic_s: float

    def ns(self, moment_s: float) -> int:
        """Nanoseconds since 1970."""
        return self.wall_ns + round(1e9 * (moment_s - self.monotonic_s))


class Arrived(NamedTuple):
    """A frame as it came: the event's argument, and whether it replaced one that waited for perception.

    `is_superseding` is None for one that was not handed to perception, or had been before the recording began.
    """

    arrival_s: float
    is_superseding: bool | None
    argument: object


class Saw(NamedTuple):
    """A frame that perception understood, when the session took it in, its state then and what it answered."""

    seen: Seen
    now_s: float
    state: str
    commands: Sequence[Command]


class Noted(NamedTuple):
    """Anything else that a session was told; `about` is what belongs to its kind."""

    kind: str
    now_s: float
    state: str
    commands: Sequence[Command]
    about: Mapping[str, Any]


class Answered(NamedTuple):
    """The situation once a frame's commands had left."""

    now_s: float
    latency_s: float
    situation: Situation
    is_told_to_follow: bool
    distance_m: float | None


class Ended(NamedTuple):
    """The end, in order, and why."""

    now_s: float
    reason: str


Item = Arrived | Saw | Noted | Answered | Ended


class Recording:
    """One recording: what the event loop and the writing thread know of it together.

    Args:
        name: the simulator's.
        start: what its first message says, but for the times.
        is_urgent: open the file at once, rather than with the first frame that is understood.

    Attributes:
        file: its path, once there is one.
        written_bytes: in it.
        trouble: why it has ended before its time; None while it goes on and after it has ended in order.
    """

    def __init__(self, name: str, start: dict[str, Any], is_urgent: bool) -> None:
        self.name, self.is_urgent = name, is_urgent
        self.clock = Clock(time.time_ns(), time.monotonic())
        times = {"started_s": self.clock.wall_ns / 1e9, "monotonic_s": self.clock.monotonic_s}
        self.start = {"kind": "start", "format": FORMAT, "session": name, **start, **times}
        self.file: Path | None = None
        self.written_bytes = 0
        self.trouble: str | None = None
        # The event loop's own.
        self.state = TrackState.PATROL
        self.ended_s = math.inf
        # The thread's own: items before there is a file, and the file.
        self.held: list[Item] = []
        self.mcap: McapFile | None = None
        self.topics: Topics | None = None
        self.flush_at_s = math.inf

    @property
    def is_on(self) -> bool:
        """Whether it still records."""
        return self.trouble is None and self.ended_s == math.inf


class Recorder:
    """Records the sessions that it is told to. All but the thread's own methods are for the event loop.

    Args:
        folder: for the files of all sessions; None to record only on demand, into `IN_FOLDER_BY_HAND`.
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
        self._folder, self._is_always = folder or IN_FOLDER_BY_HAND, folder is not None
        self._card = engine.card
        self._facts = {
            "camera": asdict(camera),
            "min_blob_px": min_blob_px,
            "watchdog_s": watchdog_s,
            "tracker": asdict(tracker),
            "weights": engine.weights,
            "weights_sha256": engine.weights_sha256,
            "engine": engine.description,
        }
        self._recordings: dict[Session, Recording] = {}
        # Of each session the frames in perception, for a recording that begins meanwhile: in work, and waiting.
        self._in_perception: dict[Session, deque[Arrived]] = {}
        self._queue: deque[tuple[Recording, int, Item] | None] = deque()
        # Only the event loop counts the first, only the thread the second.
        self._handed_over_bytes = self._worked_off_bytes = 0
        self._wake = threading.Event()
        self._open: list[Recording] = []
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self._is_always:
            _import_writers()
        self._thread.start()

    def stop(self) -> None:
        """End all recordings in order, and the thread."""
        for session in list(self._recordings):
            self.end(session, "the server was shut down")
        self._queue.append(None)
        self._wake.set()
        self._thread.join(CLOSING_S)

    def on_connected(self, session: Session) -> None:
        """Record a new session, if all are to be recorded."""
        self._in_perception[session] = deque(maxlen=2)
        if self._is_always:
            self._begin(session, snapshot=None)

    def on_disconnected(self, session: Session) -> None:
        """End its recording, if there is one, and forget it."""
        self.end(session, "the simulator disconnected")
        self._recordings.pop(session, None)
        self._in_perception.pop(session, None)

    def begin(self, session: Session) -> None:
        """Record a session from now on, whatever it has been told before; harmless if it is being recorded."""
        recording = self._recordings.get(session)
        if recording is not None and recording.is_on:
            return
        self._begin(session, freeze(session))
        for arrived in self._in_perception.get(session, ()):
            self._put(session, arrived._replace(is_superseding=None), _size(arrived.argument))
        self._wake.set()

    def end(self, session: Session, reason: str) -> None:
        """End a session's recording, if there is one."""
        recording = self._recordings.get(session)
        if recording is not None and recording.is_on:
            now_s = time.monotonic()
            self._put(session, Ended(now_s, reason))
            recording.ended_s = now_s
            self._wake.set()

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
        if session in self._recordings:
            self._put(session, arrived, _size(argument))

    def on_seen(self, session: Session, seen: Seen, now_s: float, commands: Sequence[Command]) -> None:
        """Note what perception saw in a frame, and what the session answered to it."""
        if session in self._recordings:
            frame = seen.job.frame
            size = seen.probabilities.nbytes + len(frame.rgb_image) + len(frame.depth_image)
            self._put(session, Saw(seen, now_s, session.tracker.state.value, commands), size)

    def note(self, session: Session, kind: str, now_s: float, commands: Sequence[Command], **about: Any) -> None:
        """Note anything else that a session was told: bad, failed, tick, hold, release, shutdown.

        A tick that changes nothing is left out.
        """
        recording, state = self._recordings.get(session), session.tracker.state
        if recording is not None and (kind != "tick" or commands or state is not recording.state):
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
        if session in self._recordings:
            distance_m = None if frame is None else situation.distance_m(frame.gimbal_pose)
            self._put(session, Answered(now_s, now_s - arrival_s, situation, session.is_told_to_follow, distance_m))
            self._wake.set()

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
        recording = Recording(session.name, {**self._facts, "snapshot": snapshot}, is_urgent=snapshot is not None)
        recording.state = session.tracker.state
        self._recordings[session] = recording

    def _put(self, session: Session, item: Item, size: int = 1000) -> None:
        recording = self._recordings[session]
        if not recording.is_on:
            return
        recording.state = session.tracker.state
        if self._handed_over_bytes - self._worked_off_bytes + size > MOST_WAITING_BYTES:
            # A gap would make a replay lie.
            self._tell_trouble(recording, f"{MOST_WAITING_BYTES / 1e6:.0f} MB wait for the disk, which is too slow")
            recording.ended_s = time.monotonic()
            return
        self._handed_over_bytes += size
        self._queue.append((recording, size, item))

    # From here on the thread's.

    def _run(self) -> None:
        is_over = False
        while not is_over:
            self._wake.wait(LONGEST_SLEEP_S if self._open else None)
            self._wake.clear()
            while self._queue:
                entry = self._queue.popleft()
                if entry is None:
                    is_over = True
                    continue
                recording, size, item = entry
                if recording.trouble is None:
                    self._guarded(recording, lambda recording=recording, item=item: self._take(recording, item))
                self._worked_off_bytes += size
            for recording in list(self._open):
                self._guarded(recording, lambda recording=recording: self._flush_if_due(recording))

    def _guarded(self, recording: Recording, step: Any) -> None:
        try:
            step()
        except OSError as error:
            self._abandon(recording, f"{error.filename or recording.file}: {error.strerror or error}")
        except Exception as error:
            logger.exception("[%s] cannot record", recording.name)
            self._abandon(recording, repr(error))

    def _take(self, recording: Recording, item: Item) -> None:
        if recording.mcap is None:
            recording.held.append(item)
            is_wanted = recording.is_urgent or isinstance(item, Saw) or len(recording.held) >= HELD_BEFORE_OPENING
            if is_wanted:
                self._open_file(recording)
                held, recording.held = recording.held, []
                for earlier in held:
                    self._write(recording, earlier)
        else:
            self._write(recording, item)

    def _open_file(self, recording: Recording) -> None:
        mcap_file, topics = _import_writers()
        if len(self._open) >= MOST_FILES:
            raise OSError(None, f"{MOST_FILES} recordings are going on, which is the most at once")
        self._folder.mkdir(parents=True, exist_ok=True)
        begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(recording.clock.wall_ns / 1e9))
        stem = f"{begun}_{re.sub(r'[^A-Za-z0-9.-]+', '_', recording.name)}"
        recording.file = self._folder / f"{stem}.mcap"
        number = 1
        while recording.mcap is None:
            try:
                recording.mcap = mcap_file.McapFile(recording.file)
            except FileExistsError:
                number += 1
                recording.file = self._folder / f"{stem}_{number}.mcap"
        self._open.append(recording)
        recording.topics = topics.Topics(recording.mcap.context, recording.clock, recording.name, self._card)
        recording.topics.log_event(recording.clock.monotonic_s - BEFORE_ALL_S, **recording.start)
        recording.flush_at_s = 0.0
        logger.info("[%s] recording into %s", recording.name, recording.file)

    def _write(self, recording: Recording, item: Item) -> None:
        assert recording.mcap is not None and recording.topics is not None
        if isinstance(item, Ended):
            recording.topics.log_event(item.now_s, kind="end", reason=item.reason)
            self._close(recording)
            return
        recording.topics.log(item)
        self._flush_if_due(recording)

    def _flush_if_due(self, recording: Recording) -> None:
        if recording.mcap is None:
            return
        if recording.trouble is not None:
            self._abandon(recording, recording.trouble)
        elif time.monotonic() >= recording.flush_at_s:
            recording.mcap.flush()
            recording.written_bytes = recording.mcap.written_bytes
            recording.flush_at_s = time.monotonic() + FLUSH_S

    def _close(self, recording: Recording) -> None:
        mcap, recording.mcap = recording.mcap, None
        self._open.remove(recording)
        assert mcap is not None
        mcap.close()
        recording.written_bytes = mcap.written_bytes
        logger.info("[%s] recorded %.1f MB into %s", recording.name, recording.written_bytes / 1e6, recording.file)

    def _abandon(self, recording: Recording, trouble: str) -> None:
        if recording.trouble is None:
            self._tell_trouble(recording, trouble)
        recording.held.clear()
        mcap, recording.mcap = recording.mcap, None
        if recording in self._open:
            self._open.remove(recording)
        if mcap is not None:
            mcap.abandon()

    @staticmethod
    def _tell_trouble(recording: Recording, trouble: str) -> None:
        recording.trouble = trouble
        logger.warning("[%s] recording stopped, following goes on: %s", recording.name, trouble)


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


def _import_writers() -> Any:
    from server import mcap_file, topics

    return mcap_file, topics


def _size(argument: object) -> int:
    """What an event's argument takes in memory, in bytes: quickly, and rather too much."""
    if not isinstance(argument, Mapping) or len(argument) > 20:
        return ODD_ARGUMENT_BYTES
    return sum(
        len(value) if isinstance(value, str) else 100 if isinstance(value, float | None) else ODD_ARGUMENT_BYTES
        for value in argument.values()
    )
