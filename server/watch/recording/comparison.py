"""Compares a recording with its replay: the outcomes of each event in both, and the differences."""

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
    """The outcome of an event: the event itself, the tracker's state after it, and the commands."""

    event: Event
    state: TrackState
    commands: Sequence[Command]

    @property
    def kind(self) -> str:
        """The kind of the event; for an answered frame it says whether the frame was understood."""
        return kind_of(type(self.event))

    @property
    def candidates(self) -> list[Sighting]:
        """The sightings that may be the hero, the likeliest first."""
        sightings = self.event.sightings if isinstance(self.event, Seen) else ()
        candidates = [sighting for sighting in sightings if sighting.is_candidate]
        return sorted(candidates, key=lambda sighting: -sighting.evidence)

    @property
    def places_m(self) -> list[Sequence[float] | None]:
        """(x, y, z) of each of `candidates`, ROS world frame; None for a candidate without a place."""
        return [sighting.place and sighting.place.position_m for sighting in self.candidates]

    @property
    def coordinates_m(self) -> list[float] | None:
        """The coordinates of the command to follow; None without such a command."""
        return next((command.payload["coords"] for command in self.commands if command.event == FOLLOW), None)

    @property
    def decision(self) -> tuple[str, bool, TrackState, list[str]]:
        """The outcome without coordinates: kind, whether somebody may be the hero, state, names of commands."""
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
    """An event whose outcome in the replay differs from the recording.

    `time_s` is the time since the recording began. `frame` is the number of the frame that the event answers, or of the
    newest frame if the event does not answer a frame.
    """

    time_s: float
    frame: int
    recorded: Outcome
    replayed: Outcome

    @property
    def is_of_coordinates(self) -> bool:
        """Whether only the coordinates differ."""
        return self.recorded.decision == self.replayed.decision


@dataclass
class Comparison:
    """The comparison of the replay so far with the recording. It needs little memory also for a long recording.

    Args:
        frames: number of frames received.
        events: number of events, except those of receiving a frame.
        commands: number of commands of the replay.
        figures: counts of the recording and of the replay, by name.
        differing: number of events that differ.
        differing_decisions: number of events that differ in more than coordinates.
        moments: the first events that differ.
        decisions: the first events that differ in more than coordinates.
        command_distances_m: distances between the coordinates of the two, if both have a command to follow.
        place_distances_m: distances between the places of the likeliest heroes, if both found and placed one.
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
        """Take in an event; the arguments are as for `Moment`."""
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
        """The result as text: a line, or a table of the changes with the first moments that differ."""
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
    """The increments of one side's figures by an outcome, by name; `other` is the outcome of the other side."""
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
