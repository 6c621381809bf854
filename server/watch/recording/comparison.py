"""A recording beside its replay: what both made of each event, and where they differ."""

import math
import statistics
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
    """What has been replayed so far, beside the recording.

    Args:
        frames: received.
        pairs: of each event but those of receiving a frame, recorded and replayed, in order.
        moments: those pairs that differ.
    """

    frames: int = 0
    pairs: list[tuple[Outcome, Outcome]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        """Whether nothing changed."""
        return not self.moments

    def add(self, time_s: float, frame: int, recorded: Outcome, replayed: Outcome) -> None:
        """Take in an event; the arguments are as in `Moment`."""
        self.pairs.append((recorded, replayed))
        if (replayed.decision, replayed.commands) != (recorded.decision, recorded.commands):
            self.moments.append(Moment(time_s, frame, recorded, replayed))

    def summary(self) -> str:
        """The result for people: a line, or a table of what changed with the first moments at which it did."""
        recorded, replayed = (self._counts(is_replayed) for is_replayed in (False, True))
        if self.is_identical:
            commands = sum(len(replayed.commands) for _, replayed in self.pairs)
            seen = replayed["frames understood"]
            return f"identical: {self.frames} frames received, {seen} of them perceived, {commands} commands"
        lines = [f"{'':<36}{'recorded':>10}{'replayed':>10}"]
        lines += [f"{name:<36}{recorded[name]:>10}{replayed[name]:>10}" for name in recorded]
        decisions = [moment for moment in self.moments if not moment.is_of_coordinates]
        lines.append(
            f"moments that differ: {len(self.moments)} of {len(self.pairs)}, in more than coordinates: {len(decisions)}"
        )
        for name, distances_m in (
            ("coordinates sent by both", self._command_distances_m()),
            ("places of the likeliest hero of both", self._place_distances_m()),
        ):
            if distances_m:
                median_m, most_m = statistics.median(distances_m), max(distances_m)
                lines.append(f"{name}: {median_m:.3f} m apart (median of {len(distances_m)}), at most {most_m:.3f} m")
        shown = (decisions or self.moments)[:FIRST_MOMENTS]
        lines.append(f"the first {len(shown)}{' of these' if decisions else ''}, in seconds since the recording began:")
        for moment in shown:
            lines.append(f"{moment.time_s:9.2f}  frame {moment.frame}, recorded: {moment.recorded}")
            lines.append(f"{'':<9}  replayed: {moment.replayed}")
        return "\n".join(lines)

    def _counts(self, is_replayed: bool) -> dict[str, int]:
        """Figures of one side, by name."""
        outcomes = [pair[is_replayed] for pair in self.pairs]
        commands = [command.event for outcome in outcomes for command in outcome.commands]
        return {
            "frames understood": sum(isinstance(outcome.event, Seen) for outcome in outcomes),
            "frames not understood": sum(isinstance(outcome.event, NotUnderstood) for outcome in outcomes),
            "frames that perception failed on": sum(
                isinstance(outcome.event, Failed) and outcome.event.frame is not None for outcome in outcomes
            ),
            "frames with a hero found": sum(bool(outcome.candidates) for outcome in outcomes),
            "  … which the other did not find": sum(
                bool(pair[is_replayed].candidates) and not pair[not is_replayed].candidates for pair in self.pairs
            ),
            "frames answered with coordinates": commands.count(FOLLOW),
            "times told to go on patrol": commands.count(PATROL),
        }

    def _command_distances_m(self) -> list[float]:
        """Between the coordinates of the two, where both gave some."""
        return [
            math.dist(recorded.coordinates_m, replayed.coordinates_m)
            for recorded, replayed in self.pairs
            if recorded.coordinates_m is not None and replayed.coordinates_m is not None
        ]

    def _place_distances_m(self) -> list[float]:
        """Between the places of the likeliest heroes, where both found one and placed it."""
        firsts = [(recorded.places_m[:1], replayed.places_m[:1]) for recorded, replayed in self.pairs]
        return [math.dist(one[0], other[0]) for one, other in firsts if one and other and one[0] and other[0]]


def _in_words(command: Command) -> str:
    if command.event != FOLLOW:
        return command.event
    return f"{FOLLOW} ({', '.join(f'{value:.4f}' for value in command.payload['coords'])})"
