"""Replay a recording: a session takes the recorded events again, with today's network and engine."""

from collections.abc import Mapping
from dataclasses import replace

from model.bars import print_beside_bars
from model.card import Card
from model.engines import Engine
from model.profile import Profile
from server.flight.events import Answer, Received, Retarget, Seen, Tick, answer
from server.flight.glance import with_expected_place
from server.settings import TrackerConfig, tracker_for
from server.sight.sight import Sight, View
from server.watch.recording.comparison import Comparison, Outcome
from server.watch.recording.format import Happened, InWork, Start
from server.watch.recording.items import Answered
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.restore import InconsistentError, Waiting, check_numbers, restored, restored_frame
from server.wire.messages import FOLLOW, PATROL, BadFrameError, Command, Frame


class Replay:
    """A session that takes the events of a recording again.

    Args:
        start: of the recording.
        engine: the engine of the replay.
        is_same_network: whether the engine has the recorded network. Another network has its own `min_blob_px` and its
            own profile of the target, and the session tracks by this profile.

    Attributes:
        session: the session in its present state.

    Raises:
        InconsistentError: if the state at the start is impossible for a session.
    """

    def __init__(self, start: Start, engine: Engine, is_same_network: bool) -> None:
        self._sight = Sight(engine, start.camera, start.min_blob_px if is_same_network else None)
        self._is_same_network, self._chosen = is_same_network, start.chosen
        # Frames without an answer, by number.
        self._frames = Waiting[int, Frame]()
        tracker = self._with_own_profile(start.tracker)
        # A new session begins with these settings. A `Retarget` would make it drop a frame that arrived before.
        self.session = restored(replace(start, tracker=tracker) if start.state is None else start)
        # The result of `_follows` for the recorded session.
        self._recorded = self._follows()
        # Commands for the first outcome.
        self._first: list[Command] = []
        if start.state is not None and tracker != start.tracker:
            self._first = self.session.take(Retarget(start.monotonic_s, tracker))

    def _with_own_profile(self, recorded: TrackerConfig) -> TrackerConfig:
        """Recorded settings of the tracker, with the profile of the replay's network."""
        if self._is_same_network:
            return recorded
        return replace(recorded, profile=profile_of_another(self._sight.card, recorded.profile.name, self._chosen))

    def resume(self, in_work: InWork) -> None:
        """Keep a frame that perception was working on when the recording began, until its answer.

        Raises:
            InconsistentError: if its argument is not JSON, or its arrival or expected place is impossible.
        """
        frame = restored_frame(in_work.frame, in_work.arrival_s, in_work.argument, in_work.expected_m)
        # If the frame was inferred for another target, this session does not answer it (`SessionState.bad_at_s`).
        target = self.session.state.tracker.config.profile.name
        # The recording does not say whether the whole frame was due. The recorded answer decides (see `_answer`).
        self._frames[frame.number] = frame._replace(target=target, is_whole_due=True)

    def _receive(self, event: Received, argument: str) -> None:
        """Keep a frame until its answer, with the place that this session expects; drop the one that it superseded."""
        frame = with_expected_place(restored_frame(event.frame, event.arrival_s, argument), self.session.state)
        self._frames[frame.number] = frame
        if event.superseded is not None:
            self._frames.pop(event.superseded, None)

    def take(self, happened: Happened) -> Outcome:
        """Take in a recorded event; an answer to a frame is computed again from the frame.

        Raises:
            InconsistentError: if the recording answers a frame that it does not hold, or the event is impossible for a
                session.
        """
        event, late = happened.event, list[Command]()
        check_numbers(event)
        if isinstance(event, Received):  # its outcome is not compared
            self._receive(event, happened.argument or "")
        else:
            late, self._first = self._first + self._tick_if_different(happened), []
            if isinstance(event, Answer) and event.frame is not None:
                event = self._answer(event, event.frame)
            elif isinstance(event, Retarget):
                event = replace(event, tracker=self._with_own_profile(event.tracker))
        commands = self.session.take(event)
        return Outcome(event, self.session.state.tracker.state, late + commands)

    def _answer(self, recorded: Answer, number: int) -> Answer:
        """Answer a frame; a whole look that is due is skipped if the server, too, looked at a part only."""
        frame = self._frames.pop(number, None)
        if frame is None:
            raise InconsistentError(f"expected frame {number} before its answer, got none that waits for one")
        outcome: View | BadFrameError | None = None
        try:
            outcome = self._sight.look(frame, is_busy=isinstance(recorded, Seen) and recorded.is_part)
        except Exception as error:  # as in the server: a network may raise anything
            print_beside_bars(f"perception failed on a frame: {error!r}")
        return answer(frame, outcome, recorded.at_s)

    def _tick_if_different(self, happened: Happened) -> list[Command]:
        """Give this session a tick of the watchdog if it differs from the recorded session.

        The recording has only the ticks that changed something in the recorded session. If the two sessions differ, a
        tick that is missing may have to stop the drone of this session.
        """
        is_different = self._follows() != self._recorded
        is_told_to_follow, _ = self._recorded
        for command in happened.commands:
            if command.event in (FOLLOW, PATROL):
                is_told_to_follow = command.event == FOLLOW
        self._recorded = is_told_to_follow, happened.state.is_following
        return self.session.take(Tick(happened.event.at_s)) if is_different else []

    def _follows(self) -> tuple[bool, bool]:
        """Whether the drone was told to follow, and whether the tracker follows."""
        return bool(self.session.state.is_told_to_follow), self.session.state.tracker.is_following


def profile_of_another(card: Card, target: str, chosen: Mapping[str, float]) -> Profile:
    """The profile for tracking with another network.

    Args:
        card: of that network.
        target: name of the recorded target; if the network does not know it, the network's first target is used.
        chosen: as in `Start`.
    """
    return tracker_for(card.following(card.known(target)).profile, chosen).profile


def replay(recording: Recording, engine: Engine, is_same_network: bool) -> Comparison:
    """Replay a recording, with a progress bar.

    Args:
        recording: only its start has been read.
        engine: the engine of the replay.
        is_same_network: as for `Replay`.

    Raises:
        UnreadableRecordingError: if the recording answers a frame that it does not hold, holds a state or an event
            that is impossible for a session, or is damaged.
    """
    start, comparison, newest = recording.start, Comparison(), 0
    try:
        subject = Replay(start, engine, is_same_network)
    except InconsistentError as error:
        raise UnreadableRecordingError(f"{recording.path}: {error}") from error
    for entry in recording.entries("replaying"):
        if isinstance(entry, Mask | Answered):
            continue
        try:
            if isinstance(entry, InWork):
                comparison.frames += 1
                subject.resume(entry)
                continue
            replayed = subject.take(entry)
        except InconsistentError as error:
            raise UnreadableRecordingError(f"{recording.path}: {error}") from error
        event = entry.event
        if isinstance(event, Received):
            comparison.frames += 1
            newest = event.frame
            continue
        number = event.frame if isinstance(event, Answer) and event.frame is not None else newest
        recorded = Outcome(event, entry.state, entry.commands)
        comparison.add(event.at_s - start.monotonic_s, number, recorded, replayed)
    return comparison
