"""The steps of a recording: the times at which the page changed, and the places of the data. First pass of `film`."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from model.profile import Profile
from server.flight.events import (
    Choose,
    Event,
    Failed,
    Hold,
    NotUnderstood,
    Received,
    Refuse,
    Release,
    Retarget,
    Seen,
    Shutdown,
    Tick,
)
from server.flight.tracks import TrackState
from server.watch.moments import Moment
from server.watch.recording.format import Happened, InWork
from server.watch.recording.items import Answered
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import Place
from server.watch.recording.restore import InconsistentError, Waiting, check_numbers, restored, restored_frame
from server.wire.messages import FOLLOW, PATROL, BadFrameError, Command, Pose, SensorFrame

# Most steps, decisions and complaints in total, which are kept. A day has 432,000 steps at five frames a second.
MOST_NOTED = 600_000
# Most characters of a complaint or a decision. Those that the server writes are shorter.
LONGEST_WORDS = 500


# The fields of a situation that are lost when the operator ends following a person, and when the target is changed.
NOT_FOLLOWED: dict[str, Any] = {"followed": None, "position_m": None, "velocity_mps": None, "age_s": None}
NOBODY: dict[str, Any] = {"people": (), **NOT_FOLLOWED}


class Decision(NamedTuple):
    """A decision and its reason in words, with the number of its step and the tracker's state after it."""

    step: int
    state: TrackState
    words: str


class ReceivedFrame(NamedTuple):
    """A received frame. `place` is that of its first message; `pose` is the camera's, None for a malformed frame."""

    number: int
    place: Place
    arrival_s: float
    pose: Pose | None


class Shot(NamedTuple):
    """A picture: its frame, and the places of its mask and of the situation after it."""

    frame: ReceivedFrame
    mask: Place
    answered: Place


class Step(NamedTuple):
    """A moment at which the page changed.

    `target` is the target that the session followed, `shot` the latest picture, `answered` the place of the latest
    situation, and `changes` the fields of the situation that have changed since.
    """

    at_s: float
    target: Profile
    shot: Shot | None
    answered: Place | None
    changes: dict[str, Any]


class Steps:
    """Reads a recording, and notes each step.

    Args:
        recording: opened with states; only its start has been read.

    Attributes:
        steps: in order.
        moments: of the answered frames.
        decisions: in order; a decision that repeats the one before it is left out.
        complaints: about frames that were not understood: time, and what was wrong.

    Raises:
        InconsistentError: if the recording cannot be of any session, or has too many steps.
        UnreadableRecordingError: if it is damaged.
    """

    def __init__(self, recording: Recording) -> None:
        self.steps: list[Step] = []
        self.moments: list[Moment] = []
        self.decisions: list[Decision] = []
        self.complaints: list[tuple[float, str]] = []
        self._recording = recording
        state = restored(recording.start).state
        self._state, self._is_held = state.tracker.state, state.is_held
        self._is_told_to_follow, self._chosen = bool(state.is_told_to_follow), state.tracker.chosen
        self._followed = state.tracker.followed
        self._target = state.tracker.config.profile
        # Frames without an answer, by number.
        self._waiting = Waiting[int, ReceivedFrame]()
        # The frame answered last, until its situation comes; and the place of its mask, if it was seen.
        self._latest: ReceivedFrame | None = None
        self._mask: Place | None = None
        self._read()

    def _read(self) -> None:
        for entry in self._recording.entries("reading"):
            match entry:
                case InWork():
                    self._receive(entry.frame, entry.arrival_s, entry.argument)
                case Mask():
                    self._mask = self._recording.place
                case Answered():
                    self._answer(entry)
                case Happened(event=Received() as event):
                    check_numbers(event)
                    self._receive(event.frame, event.arrival_s, entry.argument or "")
                    if event.superseded is not None:
                        self._waiting.pop(event.superseded, None)
                case Happened():
                    check_numbers(entry.event)
                    self._take(entry)
            if len(self.steps) + len(self.decisions) + len(self.complaints) > MOST_NOTED:
                raise InconsistentError(f"expected at most {MOST_NOTED:,} steps, decisions and complaints, got more")

    def _receive(self, number: int, arrival_s: float, argument: str) -> None:
        content = restored_frame(number, arrival_s, argument).content
        pose = content.gimbal_pose if isinstance(content, SensorFrame) else None
        self._waiting[number] = ReceivedFrame(number, self._recording.place, arrival_s, pose)

    def _take(self, happened: Happened) -> None:
        event, former = happened.event, self._state
        self._state = happened.state
        lost = self._lost_by(event)
        self._note_order(event)
        told = self._note_commands(happened.commands)
        changed = None if self._state is former else self._state.value
        words = [each for each in (_words(event), changed, *told) if each is not None]
        if words:
            self._add_decision(", ".join(words)[:LONGEST_WORDS])
        if isinstance(event, NotUnderstood):
            complaint = str(BadFrameError(event.field, event.expected, event.received))
            self.complaints.append((event.at_s, complaint[:LONGEST_WORDS]))
        if isinstance(event, Seen | NotUnderstood | Failed) and event.frame is not None:
            self._latest, self._mask = self._waiting.pop(event.frame, None), None
            if self._latest is None:
                raise InconsistentError(f"expected frame {event.frame} before its answer, got none that waits for one")
            return
        changes = {
            "state": self._state,
            "is_held": self._is_held,
            "is_told_to_follow": self._is_told_to_follow,
            "chosen": self._chosen,
        }
        if lost:
            changes |= lost
            self._followed = None
        before = self.steps[-1] if self.steps else Step(0.0, self._target, None, None, {})
        self._add(before._replace(at_s=event.at_s, target=self._target, changes=before.changes | changes))

    def _lost_by(self, event: Event) -> dict[str, Any]:
        """The fields of the situation that an order loses; to be called before the order is noted."""
        match event:
            case Retarget():
                return NOBODY
            case Refuse(person=person) if person == self._followed:
                return NOT_FOLLOWED
            case Choose(person=None) if self._followed == self._chosen and self._state is TrackState.PATROL:
                return NOT_FOLLOWED
        return {}

    def _note_order(self, event: Event) -> None:
        """Note what an order of the operator changes."""
        if isinstance(event, Hold | Release):
            self._is_held = isinstance(event, Hold)
        elif isinstance(event, Choose):
            self._chosen = event.person
        elif isinstance(event, Refuse) and event.person == self._chosen:
            self._chosen = None
        elif isinstance(event, Retarget):
            self._chosen, self._target = None, event.tracker.profile

    def _note_commands(self, commands: Iterable[Command]) -> list[str]:
        """Note what the drone is told; returns a description of each change."""
        told = []
        for command in commands:
            if command.event == FOLLOW and not self._is_told_to_follow:
                self._is_told_to_follow = True
                told.append("the drone is told to follow")
            elif command.event == PATROL:
                self._is_told_to_follow = False
                told.append("the drone is told to patrol")
        return told

    def _add_decision(self, words: str) -> None:
        if not self.decisions or self.decisions[-1][1:] != (self._state, words):  # else many bad frames would repeat it
            self.decisions.append(Decision(len(self.steps), self._state, words))

    def _answer(self, answered: Answered) -> None:
        frame, mask, place = self._latest, self._mask, self._recording.place
        if frame is None:  # answered before the recording began
            return
        self._latest = self._mask = None
        situation = answered.situation
        shot = self.steps[-1].shot if self.steps else None
        pose = None if mask is None else frame.pose
        if mask is not None and pose is not None:
            shot = Shot(frame, mask, place)
        self._followed = situation.followed
        self._chosen = situation.chosen  # a choice ends without an event when the chosen person is lost
        self._add(Step(answered.now_s, self._target, shot, place, {}))
        number, arrival_s = len(self.moments) + 1, answered.now_s - answered.latency_s
        self.moments.append(Moment.of(number, arrival_s, answered.latency_s, situation, pose))

    def _add(self, step: Step) -> None:
        at_s = max(step.at_s, self.steps[-1].at_s) if self.steps else step.at_s
        self.steps.append(step._replace(at_s=at_s))


def _words(event: Event) -> str | None:
    """A description of an event; None for an event that is not of interest by itself."""
    match event:
        case Hold():
            return "held by hand"
        case Release():
            return "released by hand"
        case Choose(person=None):
            return "told by hand to follow the target again"
        case Choose(person=person):
            return f"person {person} chosen by hand"
        case Refuse(person=person):
            return f"person {person} refused by hand"
        case Retarget(tracker=tracker):
            return f"the target is the {tracker.profile.name}"
        case NotUnderstood(field=field):
            return f"a frame was not understood ({field})"
        case Failed(frame=None):
            return "internal error"
        case Failed():
            return "perception failed"
        case Tick():
            return "no fresh frame for too long"
        case Shutdown():
            return "the server shut down"
    return None
