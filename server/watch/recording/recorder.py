"""Which simulators are recorded: the event loop's side of recordings, and a listener of the server's events.

Each simulator's watch takes down every event with its commands, in order, and hands them to a thread (`scribe.py`).
Nothing here waits. The thread is woken once commands have left, so that its work falls between frames. A recording that
cannot go on ends and says why; the simulator is led on.

A client may turn out to be no simulator. A recording that was not begun by hand is therefore kept back until a frame is
understood; if it becomes too long before that, it is begun anew, from the session's state at that moment. Until a frame
is understood there is no file.
"""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.folders import make_writable
from server.flight.events import Received, Seen
from server.flight.session import SessionState
from server.sight.geometry import Camera
from server.sight.sight import Sight
from server.simulator import Simulator, Taken, Watch
from server.supervision import Faults
from server.watch.recording.format import Start
from server.watch.recording.items import (
    SMALL_BYTES,
    Answered,
    Begun,
    Ended,
    Item,
    Pending,
    Recording,
    Told,
    answered,
    is_empty_tick,
    item_bytes,
    told,
)
from server.watch.recording.scribe import Scribe

FOLDER_BY_HAND = Path("recordings")
# Limits of what is kept back: items of one simulator, and bytes of all.
MOST_KEPT, MOST_KEPT_BYTES = 60, 50_000_000


class Recorder:
    """Records simulators: all of them, or those chosen by hand. Only the event loop calls it.

    Args:
        folder: for the files of all simulators; None to record only by hand, into `FOLDER_BY_HAND`.
        sight: what sees their frames.
        camera: the simulators'.
        watchdog_s: their sessions'.
        chosen: settings of their trackers that the user has changed, by name.
        faults: where errors of our own are reported.
        on_fault: called, from any thread, with a simulator whose recording has failed for such an error.
    """

    def __init__(
        self,
        folder: Path | None,
        sight: Sight,
        camera: Camera,
        watchdog_s: float,
        chosen: Mapping[str, Any],
        faults: Faults,
        on_fault: Callable[[Simulator], None],
    ) -> None:
        self.is_always = folder is not None
        self.faults, self._on_fault = faults, on_fault
        self.scribe = Scribe(folder or FOLDER_BY_HAND, faults, self.fail)
        self._start = functools.partial(Start, camera=camera, watchdog_s=watchdog_s, chosen=dict(chosen))
        self._sight = sight
        self._watches: list[_Watch] = []

    @property
    def recorded(self) -> int:
        """How many simulators are being recorded now."""
        return sum(watch.is_on for watch in self._watches)

    @property
    def kept_bytes(self) -> int:
        """What all recordings that are kept back take in memory."""
        return sum(watch.kept_bytes for watch in self._watches)

    def start(self) -> None:
        """Start the thread that writes."""
        self.scribe.start()

    def stop(self) -> None:
        """End all recordings in order."""
        for watch in self._watches:
            watch.end("the server was shut down")
        self.scribe.stop()

    def connected(self, simulator: Simulator) -> "_Watch":
        """See `Listener.connected`; if all are recorded, its recording is kept back until a frame is understood."""
        watch = _Watch(self, simulator)
        self._watches.append(watch)
        if self.is_always:
            watch.begin_anew(state=None)
        return watch

    def begin(self, simulator: Simulator) -> None:
        """Record a simulator from now on; does nothing if it is being recorded."""
        if watch := _watch_of(simulator):
            watch.begin()

    def end(self, simulator: Simulator, reason: str) -> None:
        """End a simulator's recording, if there is one."""
        if watch := _watch_of(simulator):
            watch.end(reason)

    def about(self, simulator: Simulator, now_s: float) -> dict[str, Any] | None:
        """A simulator's latest recording for the page; None if there has been none.

        Args:
            simulator: that is asked for.
            now_s: monotonic seconds.
        """
        watch = _watch_of(simulator)
        recording = watch and watch.recording
        if not recording:
            return None
        return {
            "is_on": recording.is_on,
            "file": None if recording.file is None else str(recording.file),
            "mb": round(recording.written_bytes / 1e6, 1),
            "duration_s": round(min(now_s, recording.ended_s) - recording.clock.monotonic_s),
            "trouble": recording.trouble,
        }

    def new_recording(self, simulator: Simulator, state: SessionState | None) -> Recording:
        """A recording from now on; `state` is the session's, None at its beginning."""
        engine = self._sight.engine
        start = self._start(
            session=simulator.name,
            tracker=simulator.session.state.tracker.config,
            started_s=time.time(),
            monotonic_s=time.monotonic(),
            state=state,
            min_blob_px=self._sight.card.min_blob_px,
            weights=engine.weights,
            weights_sha256=engine.weights_sha256,
            parts_sha256=dict(engine.parts_sha256),
            engine=engine.description,
        )
        return Recording(simulator, start)

    def fail(self, recording: Recording) -> None:
        """End a recording for an error of our own, and have its simulator told. Any thread may call it."""
        recording.fail("internal error; the server's log says more")
        self._on_fault(recording.simulator)

    def see(self, sight: Sight) -> None:
        """Go on with another network, in new recordings, because each recording is of a single network."""
        self._sight = sight
        for watch in self._watches:
            with self.faults.contained("recorder", watch.fail):
                watch.restart("another network sees from here on")

    def forget(self, watch: "_Watch") -> None:
        """Leave out the watch of a simulator that has gone."""
        self._watches.remove(watch)


class _Watch(Watch):
    """Records one simulator; see `server.simulator.Watch`.

    Attributes:
        recording: the latest one; None if there has been none.
        kept_bytes: what its items that are kept back take in memory.
    """

    def __init__(self, recorder: Recorder, simulator: Simulator) -> None:
        self._recorder, self._scribe, self._simulator = recorder, recorder.scribe, simulator
        self.recording: Recording | None = None
        # Of a recording that is kept back, each item with its size, bytes; None of any other.
        self._kept: list[tuple[Item, int]] | None = None
        self.kept_bytes = 0
        # The session's state after the latest event, for ticks that leave it as it was.
        self._latest = simulator.session.state

    @property
    def is_on(self) -> bool:
        """Whether it records now."""
        return self.recording is not None and self.recording.is_on

    def taken(self, taken: Taken) -> None:
        """See `Watch.taken`. A tick that changes nothing is left out."""
        with self._recorder.faults.contained("recorder", self.fail):
            state = self._simulator.session.state
            if self.is_on and not is_empty_tick(taken, self._latest, state):
                self._put(told(taken, state.tracker.state))
            self._latest = state

    def answered(self, taken: Taken, now_s: float) -> None:
        """See `Watch.answered`."""
        with self._recorder.faults.contained("recorder", self.fail):
            if self.is_on and taken.frame is not None:
                self._put(answered(taken.frame, taken.view, self._simulator.session.situation(now_s), now_s))
                self._scribe.wake()
            elif taken.view is not None and self._is_refused and self._recorder.is_always and self._scribe.has_room:
                self.begin()

    def disconnected(self) -> None:
        """See `Watch.disconnected`."""
        self.end("the simulator disconnected")
        self._recorder.forget(self)

    def begin(self) -> None:
        """Record from now on, by hand; does nothing while it records."""
        if not self.is_on:
            self.begin_anew(self._simulator.session.state)
        self._keep_back_no_longer()
        self._scribe.wake()

    def begin_anew(self, state: SessionState | None) -> None:
        """Begin a recording that is kept back for now; `state` is the session's, None at its beginning."""
        self.recording = self._recorder.new_recording(self._simulator, state)
        pending = [Pending(in_work.frame) for in_work in self._simulator.in_work.values()]
        self._kept = [(item, item_bytes(item)) for item in pending]
        self.kept_bytes = sum(size for _, size in self._kept)

    def restart(self, reason: str) -> None:
        """End the recording, if there is one, and begin another at the same moment."""
        if self.is_on:
            is_kept_back = self._kept is not None
            self.end(reason)
            self.begin_anew(self._simulator.session.state)
            if not is_kept_back:
                self._keep_back_no_longer()
                self._scribe.wake()

    def end(self, reason: str) -> None:
        """End the recording, if there is one."""
        if self.recording is not None and self.recording.is_on:
            now_s = time.monotonic()
            if self._kept is None:
                self._put(Ended(now_s, reason))
            self.recording.ended_s, self._kept, self.kept_bytes = now_s, None, 0
            self._scribe.wake()

    def fail(self) -> None:
        """End the recording for an error of our own."""
        self._kept, self.kept_bytes = None, 0
        if self.recording is not None:
            self._recorder.fail(self.recording)
            self._scribe.wake()

    @property
    def _is_refused(self) -> bool:
        return self.recording is not None and self.recording.is_refused

    def _put(self, item: Told | Answered | Ended) -> None:
        assert self.recording is not None
        if self._kept is None:
            self._scribe.hand_over(self.recording, item, item_bytes(item))
            return
        self._kept.append((item, item_bytes(item)))
        self.kept_bytes += self._kept[-1][1]
        if isinstance(item, Told) and isinstance(item.event, Seen):
            self._keep_back_no_longer()
        elif isinstance(item, Told) and isinstance(item.event, Received):
            pass  # its answer follows, and needs it
        elif len(self._kept) > MOST_KEPT or self._recorder.kept_bytes > MOST_KEPT_BYTES:
            self.begin_anew(self._simulator.session.state)

    def _keep_back_no_longer(self) -> None:
        if self.recording is not None and self._kept is not None:
            kept, self._kept, self.kept_bytes = self._kept, None, 0
            for item, size in [(Begun(), SMALL_BYTES), *kept]:
                self._scribe.hand_over(self.recording, item, size)


def _watch_of(simulator: Simulator) -> _Watch | None:
    return next((watch for watch in simulator.watches if isinstance(watch, _Watch)), None)


def prepare_folder(folder: Path) -> None:
    """Make a folder for recordings.

    Raises:
        OSError: if it cannot be made, or no file can be written there.
    """
    try:
        make_writable(folder)
    except OSError as error:
        raise OSError(f"cannot record into {folder}: {error.strerror}") from error
