"""Run a recording through the same pipeline again, by its own clock, and tell what changed.

    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap
    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap --weights runs/new/model_weights

Each recorded frame is decoded, seen and answered as the server does it, at the recorded times. With the network and
the engine of the recording, the commands come out identical; with others, or with another version of this program, a
table tells what changed: heroes found or lost, other commands, other positions. A frame takes some 20 ms on two
busy cores.

A recording that was begun by hand begins with the state of a session in its middle. A version of this program that
keeps another state refuses it; replay it with the one that made it. To compare versions, record with --record: such
recordings begin with their sessions, unless long nothing came that was understood.

Exit status: 0, nothing changed; 1, something did; 2, refused for the reason given; 130, interrupted.
"""

import argparse
import logging
import math
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from tqdm import tqdm

from model.engines import ENGINES, Engine, load_engine
from model.loading import weights_sha256
from server.flight.session import Session
from server.flight.tracks import TrackState
from server.sight.people import Target
from server.sight.perception import Job, NotUnderstood, Seen, Sight, Waiting, decode_depth
from server.watch.recording.reader import Answer, Arrival, Recording, Start, UnreadableRecordingError
from server.watch.recording.snapshot import thaw
from server.wire.messages import BadFrameError, Command

FIRST_MOMENTS = 10
FOLLOW, PATROL = "object_detected", "object_lost"


class Outcome(NamedTuple):
    """What was made of a frame, or of another event: `kind` as in `Answer`.

    `places` has an (x, y, z), metres in the ROS world frame, for all that was found, the largest first; None for what
    can't be placed.
    """

    kind: str
    places: list[Sequence[float] | None]
    state: TrackState
    commands: list[Command]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """What the recording says."""
        places: list[Sequence[float] | None] = [sighted.position_m for sighted in answer.sighted]
        return cls(answer.kind, places, answer.state, answer.commands)

    @property
    def coordinates_m(self) -> list[float] | None:
        """Where the drone was told to follow to; None if it wasn't."""
        return next((command.payload["coords"] for command in self.commands if command.event == FOLLOW), None)

    @property
    def decision(self) -> tuple[str, bool, TrackState, list[str]]:
        """What was made of it but for the coordinates, among it whether a hero was found."""
        return self.kind, bool(self.places), self.state, [command.event for command in self.commands]

    def __str__(self) -> str:
        seen = {"seen": "hero found" if self.places else "no hero found", "bad": "not understood"}.get(self.kind)
        told = [_in_words(command) for command in self.commands if command.event != "create_box_marker"]
        return ", ".join([seen or self.kind, self.state.value, *(told or ["nothing told"])])


class Moment(NamedTuple):
    """An event at which the replay did something else than the recording.

    `time_s` is since the recording began; `frame` is the number, from 1, of the frame that was answered, or else of the
    newest one.
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
        pairs: of every answer, recorded and replayed, in order.
        moments: of those that differ.
    """

    frames: int = 0
    pairs: list[tuple[Outcome, Outcome]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        """Whether nothing changed."""
        return not self.moments

    def counts(self, is_replayed: bool) -> dict[str, int]:
        """Figures of one side, by what they count."""
        outcomes = [pair[is_replayed] for pair in self.pairs]
        commands = [command.event for outcome in outcomes for command in outcome.commands]
        return {
            "frames understood": sum(outcome.kind == "seen" for outcome in outcomes),
            "frames not understood": sum(outcome.kind == "bad" for outcome in outcomes),
            "frames that perception failed on": sum(outcome.kind == "failed" for outcome in outcomes),
            "frames with a hero found": sum(bool(outcome.places) for outcome in outcomes),
            "  … which the other did not find": sum(
                bool(pair[is_replayed].places) and not pair[not is_replayed].places for pair in self.pairs
            ),
            "frames answered with coordinates": commands.count(FOLLOW),
            "times told to go on patrol": commands.count(PATROL),
        }

    def command_distances_m(self) -> list[float]:
        """Between the coordinates of the two, wherever both gave some."""
        return [
            math.dist(recorded.coordinates_m, replayed.coordinates_m)
            for recorded, replayed in self.pairs
            if recorded.coordinates_m is not None and replayed.coordinates_m is not None
        ]

    def place_distances_m(self) -> list[float]:
        """Between the places of the largest blobs, wherever both found one and know where."""
        firsts = [(recorded.places[:1], replayed.places[:1]) for recorded, replayed in self.pairs]
        return [math.dist(one[0], other[0]) for one, other in firsts if one and other and one[0] and other[0]]


class Replay:
    """A session that lives through a recording again.

    Args:
        start: of the recording.
        engine: what sees this time.
        min_blob_px: smallest blob to believe, in pixels of the network; None for what the network's card says.

    Raises:
        ValueError: as `first_session`.
    """

    def __init__(self, start: Start, engine: Engine, min_blob_px: int | None) -> None:
        self.session = first_session(start)
        self._name = start.session
        self._sight = Sight(engine, start.camera, min_blob_px)
        self._pool = ThreadPoolExecutor(max_workers=1)
        # Of the recorded session: whether its drone was told to follow, and whether it would have been unless held.
        self._recorded = self._follows()

    def receive(self, arrival: Arrival) -> None:
        """A frame comes."""
        if arrival.is_superseding is not None:
            self.session.on_received(arrival.arrival_s, arrival.is_superseding)

    def answer(self, answer: Answer, arrival: Arrival | None) -> Outcome:
        """Do what the server did at a moment of the recording.

        Args:
            answer: the recorded one.
            arrival: the frame that it answers; None if it answers none.
        """
        session, now_s = self.session, answer.now_s
        # Of the server's ticks only those are recorded that changed something. Where the two differ, one of the others
        # may have to stop this drone.
        late = session.on_tick(now_s) if self._follows() != self._recorded else []
        told = [command.event == FOLLOW for command in answer.commands if command.event in (FOLLOW, PATROL)]
        self._recorded = ([self._recorded[0], *told][-1], answer.is_following)
        kind, targets, commands = answer.kind, list[Target](), list[Command]()
        if arrival is not None:
            kind, targets, commands = self._see(arrival, now_s)
        elif kind == "tick":
            commands = session.on_tick(now_s)
        elif kind == "hold":
            commands = session.hold()
        elif kind == "release":
            commands = session.release()
        elif kind == "shutdown":
            commands = session.on_shutdown(now_s)
        places = [None if target.position_m is None else target.position_m.tolist() for target in targets]
        return Outcome(kind, places, session.tracker.state, late + commands)

    def _follows(self) -> tuple[bool, bool]:
        return self.session.is_told_to_follow, self.session.tracker.is_following

    def _see(self, arrival: Arrival, now_s: float) -> tuple[str, list[Target], list[Command]]:
        try:
            job = Job(self._name, arrival.parse(), arrival.arrival_s)
            (result,) = self._sight.perceive([Waiting(job, self._pool.submit(decode_depth, job.frame.depth_image))])
            if isinstance(result, NotUnderstood):
                raise result.error
        except BadFrameError:
            return "bad", [], self.session.on_bad_frame(arrival.arrival_s, now_s)
        except Exception as error:  # as in the server: whatever goes wrong in a network
            tqdm.write(f"perception failed on a frame: {error!r}", file=sys.stderr)
            return "failed", [], self.session.on_failure(now_s)
        assert isinstance(result, Seen)
        return "seen", result.targets, self.session.on_seen(job, result.targets, now_s)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    logging.getLogger("server").setLevel(logging.ERROR)
    try:
        with Recording(options.recording) as recording:
            weights = find_weights(options.weights, recording.start)
            engine = load_engine(options.engine, weights)
            is_same_network = engine.weights_sha256 == recording.start.weights_sha256
            comparison = replay(recording, engine, recording.start.min_blob_px if is_same_network else None)
        if not comparison.pairs:
            raise ValueError(f"{options.recording}: expected frames to replay, got none that were answered")
        for line in differing_circumstances(recording, weights, is_same_network, engine):
            print(line)
    except (OSError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(summary(comparison))
    return 0 if comparison.is_identical else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("recording", type=Path, metavar="FILE", help="a recording of the server, *.mcap")
    parser.add_argument(
        "--weights", type=Path, help="the network to see with (default: the recording's, where it still is the same)"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what runs the network, as the server's (default: auto)"
    )
    return parser.parse_args(arguments)


def find_weights(chosen: Path | None, start: Start) -> Path:
    """The network to replay with.

    Args:
        chosen: by the user; None for the recording's.
        start: of the recording.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the recording's is not known, or has been replaced by another.
    """
    if chosen is None and start.weights is None:
        raise ValueError("expected a recording that names its network, got none; give one with --weights")
    path = chosen or Path(start.weights or "")
    try:
        sha256 = weights_sha256(path)
    except FileNotFoundError as error:
        if chosen is not None:
            raise
        raise FileNotFoundError(f"{error}; give the network of the recording, or another, with --weights") from error
    if chosen is None and sha256 != start.weights_sha256:
        raise ValueError(
            f"expected the network of the recording in {path} (SHA-256 {(start.weights_sha256 or 'none')[:12]}…), "
            f"got another one ({sha256[:12]}…); give that network with --weights, or this one, to compare the two"
        )
    return path


def first_session(start: Start) -> Session:
    """The session as it was when the recording began.

    Raises:
        ValueError: if this version of the program does not understand its state.
    """
    if start.snapshot is None:
        return Session(start.session, start.tracker, start.watchdog_s)
    try:
        return thaw(start.snapshot)
    except ValueError as error:
        raise ValueError(
            f"{error}: this recording begins in the middle of a session, as one begun by hand does, so replay it with "
            "the version of the program that made it; recordings made with --record replay across versions"
        ) from error


def replay(recording: Recording, engine: Engine, min_blob_px: int | None) -> Comparison:
    """Replay a recording, with a progress bar.

    Args:
        recording: of which only the start has been read.
        engine: what sees this time.
        min_blob_px: smallest blob to believe, in pixels of the network; None for what the network's card says.

    Raises:
        UnreadableRecordingError: if the recording answers a frame that it does not hold, or is damaged.
        ValueError: as `first_session`.
    """
    start, comparison = recording.start, Comparison()
    session = Replay(start, engine, min_blob_px)
    # In order, by arrival, with the frame's number. A frame that can't be parsed is answered at once, before older ones
    # that are in perception still.
    unanswered: dict[float, tuple[int, Arrival]] = {}
    for entry in recording.entries("replaying"):
        if isinstance(entry, Arrival):
            comparison.frames += 1
            if entry.is_superseding and unanswered:
                unanswered.popitem()  # what waits for perception is the newest
            unanswered[entry.arrival_s] = comparison.frames, entry
            session.receive(entry)
        elif isinstance(entry, Answer):
            frame, arrival = comparison.frames, None
            if entry.arrival_s is not None:
                if entry.arrival_s not in unanswered:
                    raise UnreadableRecordingError(
                        f"{recording.path}: expected the frame that is answered at "
                        f"{entry.now_s - start.monotonic_s:.2f} s before its answer, got none"
                    )
                frame, arrival = unanswered.pop(entry.arrival_s)
            recorded, replayed = Outcome.of(entry), session.answer(entry, arrival)
            comparison.pairs.append((recorded, replayed))
            if (replayed.decision, replayed.commands) != (recorded.decision, recorded.commands):
                moment = Moment(entry.now_s - start.monotonic_s, frame, recorded, replayed)
                comparison.moments.append(moment)
    return comparison


def differing_circumstances(recording: Recording, weights: Path, is_same_network: bool, engine: Engine) -> list[str]:
    """What explains differences, and what the recording lacks: a line for each, for people."""
    start, lines = recording.start, []
    if not is_same_network:
        lines.append(f"recorded with {start.weights}, replayed with {weights}, another network")
    if engine.description != start.engine:
        lines.append(f"recorded on {start.engine}, replayed on {engine.description}")
    if recording.end_reason is None:
        lines.append("the recording was cut off; replayed as far as it goes")
    return lines


def summary(comparison: Comparison) -> str:
    """What came of it, for people: a line, or a table of what changed and the first moments at which it did."""
    recorded, replayed = (comparison.counts(is_replayed) for is_replayed in (False, True))
    if comparison.is_identical:
        commands = sum(len(replayed.commands) for _, replayed in comparison.pairs)
        seen = replayed["frames understood"]
        return f"identical: {comparison.frames} frames received, {seen} of them perceived, {commands} commands"
    lines = [f"{'':<36}{'recorded':>10}{'replayed':>10}"]
    lines += [f"{name:<36}{recorded[name]:>10}{replayed[name]:>10}" for name in recorded]
    decisions = [moment for moment in comparison.moments if not moment.is_of_coordinates]
    lines.append(
        f"moments that differ: {len(comparison.moments)} of {len(comparison.pairs)}, "
        f"in more than coordinates: {len(decisions)}"
    )
    for name, distances_m in (
        ("coordinates sent by both", comparison.command_distances_m()),
        ("places of what both found", comparison.place_distances_m()),
    ):
        if distances_m:
            median_m, most_m = statistics.median(distances_m), max(distances_m)
            lines.append(f"{name}: {median_m:.3f} m apart (median of {len(distances_m)}), at most {most_m:.3f} m")
    shown = (decisions or comparison.moments)[:FIRST_MOMENTS]
    lines.append(f"the first {len(shown)}{' of these' if decisions else ''}, in seconds since the recording began:")
    for moment in shown:
        lines.append(f"{moment.time_s:9.2f}  frame {moment.frame}, recorded: {moment.recorded}")
        lines.append(f"{'':<9}  replayed: {moment.replayed}")
    return "\n".join(lines)


def _in_words(command: Command) -> str:
    if command.event != FOLLOW:
        return command.event
    return f"{FOLLOW} ({', '.join(f'{value:.4f}' for value in command.payload['coords'])})"


if __name__ == "__main__":
    sys.exit(main())
