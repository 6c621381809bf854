"""A recording beside its replay: what both made of each event, and where they differ."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from server.flight.events import Event, Failed, NotUnderstood, Seen
from server.flight.tracks import TrackState
from server.sight.people import Sighting
from server.watch.recording.format import kind_of
from server.wire.messages import FOLLOW, PATROL, Command

FIRST_MOMENTS = 10


class Outcome(NamedTuple):
    """What came of an event: the event itself, the tracker's state after it, and the commands."""

    event: Event
    state: TrackState
    commands: Sequence[Command]

    @property
    def kind(self) -> str:
        """The event's; of a frame it tells whether it was understood."""
        return kind_of(type(self.event))

    @property
    def candidates(self) -> list[Sighting]:
        """The sightings that may be the hero, the likeliest first."""
        sightings = self.event.sightings if isinstance(self.event, Seen) else ()
        candidates = [sighting for sighting in sightings if sighting.is_candidate]
        return sorted(candidates, key=lambda sighting: -sighting.evidence)

    @property
    def places_m(self) -> list[Sequence[float] | None]:
        """(x, y, z) of each of `candidates`, ROS world frame; None for one without a place."""
        return [sighting.place and sighting.place.position_m for sighting in self.candidates]

    @property
    def coordinates_m(self) -> list[float] | None:
        """Where the drone was told to follow to; None if it was not."""
        return next((command.payload["coords"] for command in self.commands if command.event == FOLLOW), None)

    @property
    def decision(self) -> tuple[str, bool, TrackState, list[str]]:
        """All but the coordinates: the kind, whether somebody may be the hero, the state, the commands' names."""
        return self.kind, bool(self.candidates), self.state, [command.event for command in self.commands]

    def __str__(self) -> str:
        match self.event:
            case Seen():
                what = "hero found" if self.candidates else "no hero found"
            case NotUnderstood():
                what = "not understood"
            case _:
                what = self.kind
        told = [_in_words(command) for command in self.commands if command.event != "create_box_marker"]
        return ", ".join([what, self.state.value, *(told or ["nothing told"])])


class Moment(NamedTuple):
    """An event at which the replay did something else than the recording.

    `time_s` is since the recording began; `frame` is the number of the frame that was answered, or of the newest one
    if the event answers none.
    """

    time_s: float
    frame: int
    recorded: Outcome
    replayed: Outcome

    @property
    def is_of_coordinates(self) -> bool:
        """Whether it is only the coordinates that differ."""
        return self.recorded.decision == self.replayed.decision


@dataclass
class Comparison:
    """What has been replayed so far, beside the recording. It keeps little, however long the recording is.

    Args:
        frames: received.
        events: all but those of receiving a frame.
        commands: of the replay.
        figures: of the recording and of the replay, by name.
        differing: how many events differ.
        differing_decisions: how many of these differ in more than coordinates.
        moments: the first that differ.
        decisions: the first that differ in more than coordinates.
        command_distances_m: between the coordinates of the two, where both gave some.
        place_distances_m: between the places of the likeliest heroes, where both found one and placed it.
    """

    frames: int = 0
    events: int = 0
    commands: int = 0
    figures: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    differing: int = 0
    differing_decisions: int = 0
    moments: list[Moment] = field(default_factory=list)
    decisions: list[Moment] = field(default_factory=list)
    command_distances_m: list[float] = field(default_factory=list)
    place_distances_m: list[float] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        """Whether nothing changed."""
        return not self.differing

    def add(self, time_s: float, frame: int, recorded: Outcome, replayed: Outcome) -> None:
        """Take in an event; the arguments are as in `Moment`."""
        self.events += 1
        self.commands += len(replayed.commands)
        self.figures[0].update(_figures(recorded, replayed))
        self.figures[1].update(_figures(replayed, recorded))
        if recorded.coordinates_m is not None and replayed.coordinates_m is not None:
            self.command_distances_m.append(math.dist(recorded.coordinates_m, replayed.coordinates_m))
        one, other = (next(iter(outcome.places_m), None) for outcome in (recorded, replayed))
        if one is not None and other is not None:
            self.place_distances_m.append(math.dist(one, other))
        if (replayed.decision, replayed.commands) != (recorded.decision, recorded.commands):
            self._differ(Moment(time_s, frame, recorded, replayed))

    def _differ(self, moment: Moment) -> None:
        self.differing += 1
        if len(self.moments) < FIRST_MOMENTS:
            self.moments.append(moment)
        if not moment.is_of_coordinates:
            self.differing_decisions += 1
            if len(self.decisions) < FIRST_MOMENTS:
                self.decisions.append(moment)

    def summary(self) -> str:
        """The result for people: a line, or a table of what changed with the first moments at which it did."""
        recorded, replayed = self.figures
        if self.is_identical:
            seen = replayed["frames understood"]
            return f"identical: {self.frames} frames received, {seen} of them perceived, {self.commands} commands"
        lines = [f"{'':<36}{'recorded':>10}{'replayed':>10}"]
        lines += [f"{name:<36}{recorded[name]:>10}{replayed[name]:>10}" for name in recorded]
        lines.append(
            f"moments that differ: {self.differing} of {self.events}, "
            f"not only in coordinates: {self.differing_decisions}"
        )
        for name, distances_m in (
            ("coordinates sent by both", self.command_distances_m),
            ("places of the likeliest hero of both", self.place_distances_m),
        ):
            if distances_m:
                median_m, most_m = statistics.median(distances_m), max(distances_m)
                lines.append(f"{name}: {median_m:.3f} m apart (median of {len(distances_m)}), at most {most_m:.3f} m")
        shown = self.decisions or self.moments
        lines.append(
            f"the first {len(shown)}{' of these' if self.decisions else ''}, in seconds since the recording began:"
        )
        for moment in shown:
            lines.append(f"{moment.time_s:9.2f}  frame {moment.frame}, recorded: {moment.recorded}")
            lines.append(f"{'':<9}  replayed: {moment.replayed}")
        return "\n".join(lines)


def _figures(one: Outcome, other: Outcome) -> dict[str, int]:
    """What an outcome adds to the figures of its side, by name; the other side's is beside it."""
    event, commands = one.event, [command.event for command in one.commands]
    return {
        "frames understood": int(isinstance(event, Seen)),
        "frames not understood": int(isinstance(event, NotUnderstood)),
        "frames that perception failed on": int(isinstance(event, Failed) and event.frame is not None),
        "frames with a hero found": int(bool(one.candidates)),
        "  … which the other did not find": int(bool(one.candidates) and not other.candidates),
        "frames answered with coordinates": commands.count(FOLLOW),
        "times told to go on patrol": commands.count(PATROL),
    }


def _in_words(command: Command) -> str:
    if command.event != FOLLOW:
        return command.event
    return f"{FOLLOW} ({', '.join(f'{value:.4f}' for value in command.payload['coords'])})"
