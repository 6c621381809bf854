"""The event loop's side of recordings: decides which simulators are recorded; a listener.

Each simulator's watch notes every event with its commands, in order, and hands them to a thread (`scribe.py`). Nothing
here waits. The thread is woken after commands were sent, so that it works between frames. A recording that cannot go on
ends and tells the reason; the simulator is still led.

A client may turn out not to be a simulator. Therefore a recording that the operator has not begun is kept back in
memory, without a file, until a frame is understood. If it becomes too long before that, it begins anew with the
session's state at that moment.
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
# Limits of recordings that are kept back: items of one simulator, and bytes of all.
MOST_KEPT, MOST_KEPT_BYTES = 60, 50_000_000


class Recorder:
    """Records all simulators, or those that the operator chooses. Only the event loop calls it.

    Args:
        folder: folder for the files of all simulators; None to record only by hand, into `FOLDER_BY_HAND`.
        sight: the sight that sees their frames.
        camera: camera of the simulators.
        watchdog_s: time of their sessions' watchdogs.
        chosen: settings of their trackers that the user has changed, by name.
        faults: where errors of our own are reported.
        on_fault: called, from any thread, with a simulator whose recording has failed by an error of our own.
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
        """Number of simulators that are being recorded now."""
        return sum(watch.is_on for watch in self._watches)

    @property
    def kept_bytes(self) -> int:
        """Size in memory of all recordings that are kept back."""
        return sum(watch.kept_bytes for watch in self._watches)

    def start(self) -> None:
        """Start the thread that writes."""
        self.scribe.start()

    def stop(self) -> None:
        """End all recordings properly."""
        for watch in self._watches:
            watch.end("the server was shut down")
        self.scribe.stop()

    def connected(self, simulator: Simulator) -> "_Watch":
        """See `Listener.connected`. If all are recorded, its recording is kept back until a frame is understood."""
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
            simulator: the simulator.
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
        """A recording that begins now; `state` is the session's state, None at the beginning of the session."""
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
        """End a recording after an error of our own, and stop its drone. Any thread may call it."""
        recording.fail("internal error; the server's log says more")
        self._on_fault(recording.simulator)

    def use_network(self, sight: Sight) -> None:
        """Continue with another network, in new recordings, because each recording is of a single network."""
        self._sight = sight
        for watch in self._watches:
            with self.faults.contained("recorder", watch.fail):
                watch.restart("the network was changed")

    def forget(self, watch: "_Watch") -> None:
        """Remove the watch of a simulator that has disconnected."""
        self._watches.remove(watch)


class _Watch(Watch):
    """Records one simulator; see `server.simulator.Watch`.

    Attributes:
        recording: the latest recording; None if there has been none.
        kept_bytes: size in memory of the items that are kept back.
    """

    def __init__(self, recorder: Recorder, simulator: Simulator) -> None:
        self._recorder, self._scribe, self._simulator = recorder, recorder.scribe, simulator
        self.recording: Recording | None = None
        # The items of a recording that is kept back, each with its size, bytes; None for any other recording.
        self._kept: list[tuple[Item, int]] | None = None
        self.kept_bytes = 0
        # The session's state after the latest event, to detect ticks without effect.
        self._latest = simulator.session.state

    @property
    def is_on(self) -> bool:
        """Whether it records now."""
        return self.recording is not None and self.recording.is_on

    def taken(self, taken: Taken) -> None:
        """See `Watch.taken`. A tick without effect is left out."""
        with self._recorder.faults.contained("recorder", self.fail):
            state = self._simulator.session.state
            if self.is_on and not is_empty_tick(taken, self._latest, state):
                self._put(told(taken, state.tracker.state))
            elif self._is_kept_too_long:  # frames come, but none of them is answered
                self.begin_anew(state)
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
        """Record from now on, without keeping the recording back; continues a recording in progress."""
        if not self.is_on:
            self.begin_anew(self._simulator.session.state)
        self._keep_back_no_longer()
        self._scribe.wake()

    def begin_anew(self, state: SessionState | None) -> None:
        """Begin a recording that is kept back for now; `state` is the session's, None if the session begins."""
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
        """End the recording after an error of our own."""
        self._kept, self.kept_bytes = None, 0
        if self.recording is not None:
            self._recorder.fail(self.recording)
            self._scribe.wake()

    @property
    def _is_refused(self) -> bool:
        return self.recording is not None and self.recording.is_refused

    @property
    def _is_kept_too_long(self) -> bool:
        return self._kept is not None and (len(self._kept) > MOST_KEPT or self._recorder.kept_bytes > MOST_KEPT_BYTES)

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
            pass  # kept, because the frame's answer follows and needs it
        elif self._is_kept_too_long:
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
