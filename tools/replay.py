"""Run a recording through the server's pipeline again, by its own clock, and tell what changed.

    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap
    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap --weights runs/new/model_weights
    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap --page

Each recorded frame is decoded, seen and answered as the server does it, at the recorded times; all other events are fed
back as they were. With the network and the engine of the recording, the commands are identical. With others, or with
another version of this program, a table tells what changed: heroes found or lost, other commands, other positions. A
hero counts as found in a frame if anybody in it may be the hero, by that frame alone.
A frame takes some 20 ms on two busy cores.

Recordings of older versions are read if they begin with their session, as those made with --record do. Their commands
may differ, because today's tracker is another one.

With --page nothing is run again: the recording is shown in the browser as the server's page showed the flight, with a
timeline, at http://127.0.0.1:4568/, until Ctrl-C.

Exit status: 0, nothing changed; 1, something did; 2, refused for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import logging
import sys
from pathlib import Path

from tqdm import tqdm

from model.command import command, harmless, print_text, run_command
from model.engines import ENGINES, Engine, add_precision_option, load_engine
from model.loading import weights_sha256
from server.flight.events import Answer, Received, Seen, Tick, answer
from server.flight.glance import expecting
from server.sight.sight import Sight, View
from server.watch.recording.comparison import Comparison, Outcome
from server.watch.recording.film import Film
from server.watch.recording.format import Happened, InWork, Start
from server.watch.recording.items import Answered
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.restore import InconsistentError, check_numbers, restored, restored_frame
from server.wire.addresses import is_loopback
from server.wire.messages import FOLLOW, PATROL, BadFrameError, Command, Frame


class Replay:
    """A session that lives through a recording again.

    Args:
        start: of the recording.
        engine: what sees this time.
        min_blob_px: smallest person to believe, in pixels of the network; None for the one on the network's card.

    Attributes:
        session: as it is now.

    Raises:
        InconsistentError: if no session can have had the state at the start.
    """

    def __init__(self, start: Start, engine: Engine, min_blob_px: int | None) -> None:
        self.session = restored(start)
        self._sight = Sight(engine, start.camera, min_blob_px)
        # Frames without an answer, by number.
        self._frames: dict[int, Frame] = {}
        # Of the recorded session, as `_follows` tells of this one.
        self._recorded = self._follows()

    def resume(self, in_work: InWork) -> None:
        """Keep a frame that perception was working on when the recording began, until its answer.

        Raises:
            InconsistentError: if its argument is not JSON, or its arrival or the place expected is none of a session.
        """
        frame = restored_frame(in_work.frame, in_work.arrival_s, in_work.argument, in_work.expected_m)
        # If it was looked through for another target, this session does not answer it (`SessionState.bad_at_s`).
        target = self.session.state.tracker.config.profile.name
        # Whether the whole was due is not recorded. Then the answer tells what was looked at.
        self._frames[frame.number] = frame._replace(target=target, is_whole_due=True)

    def _receive(self, event: Received, argument: str) -> None:
        """Keep a frame until its answer, instead of the one that it superseded; seen as this session would have it."""
        frame = expecting(restored_frame(event.frame, event.arrival_s, argument), self.session.state)
        self._frames[frame.number] = frame
        if event.superseded is not None:
            self._frames.pop(event.superseded, None)

    def take(self, happened: Happened) -> Outcome:
        """Take in a recorded event; one that answers a frame is made anew from the frame.

        Raises:
            InconsistentError: if the recording answers a frame that it does not hold, or no session can have had the
                event.
        """
        event, late = happened.event, list[Command]()
        check_numbers(event)
        if isinstance(event, Received):
            self._receive(event, happened.argument or "")
        else:
            late = self._watch(happened)
            if isinstance(event, Answer) and event.frame is not None:
                event = self._answer(event, event.frame)
        commands = self.session.take(event)
        return Outcome(event, self.session.state.tracker.state, late + commands)

    def _answer(self, recorded: Answer, number: int) -> Answer:
        """Answer a frame, of which only a part is looked at if the server was too busy for the whole."""
        frame = self._frames.pop(number, None)
        if frame is None:
            raise InconsistentError(f"expected frame {number} before its answer, got none that waits for one")
        outcome: View | BadFrameError | None = None
        try:
            outcome = self._sight.look(frame, is_busy=isinstance(recorded, Seen) and recorded.is_part)
        except Exception as error:  # as in the server: a network may raise anything
            tqdm.write(harmless(f"perception failed on a frame: {error!r}"), file=sys.stderr)
        return answer(frame, outcome, recorded.at_s)

    def _watch(self, happened: Happened) -> list[Command]:
        """Let the watchdog look at the time if the recorded one cannot have done so for this session.

        Only those of the server's ticks are recorded that changed something. Where the two sessions differ, one that is
        left out may have to stop this drone.
        """
        is_different = self._follows() != self._recorded
        told = [command.event == FOLLOW for command in happened.commands if command.event in (FOLLOW, PATROL)]
        self._recorded = ([self._recorded[0], *told][-1], happened.state.is_following)
        return self.session.take(Tick(happened.event.at_s)) if is_different else []

    def _follows(self) -> tuple[bool, bool]:
        """Whether the drone was told to follow, and whether the tracker follows."""
        return bool(self.session.state.is_told_to_follow), self.session.state.tracker.is_following


@command("replay")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    if options.page:
        return show(options)
    logging.getLogger("server").setLevel(logging.ERROR)
    with Recording(options.recording) as recording:
        weights = find_weights(options.weights, recording.start)
        engine = load_engine(options.engine, weights, options.precision)
        is_same_network = engine.weights_sha256 == recording.start.weights_sha256
        comparison = replay(recording, engine, recording.start.min_blob_px if is_same_network else None)
    if not comparison.pairs:
        raise ValueError(f"{options.recording}: expected frames to replay, got none that were answered")
    for line in differing_circumstances(recording, weights, is_same_network, engine):
        print_text(line)
    print_text(comparison.summary())
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
    add_precision_option(parser)
    page = parser.add_argument_group("in the browser")
    page.add_argument("--page", action="store_true", help="show the recording in the browser instead, as it was")
    page.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    page.add_argument("--port", type=int, default=4568, help="port to listen on, 0 for any (default: %(default)s)")
    page.add_argument("--token-file", type=Path, help="file with the token that browsers of other machines must show")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"expected --port of 0 to 65535, got {options.port}")
    if options.page and (options.weights, options.engine, options.precision) != (None, "auto", "auto"):
        parser.error("expected --page without --weights, --engine and --precision: it shows what was recorded")
    if options.token_file is None and not is_loopback(options.host):
        parser.error(f"expected --token-file with --host {options.host}, because other machines may see the page there")
    return options


def show(options: argparse.Namespace) -> int:
    """Show a recording in the browser until Ctrl-C; returns the exit status."""
    # Not above: these import eventlet, which warns whenever a process forks after it, as engines do.
    from server.playback import PlaybackServer
    from server.wire.token import read_token

    token = None if options.token_file is None else read_token(options.token_file)
    with Recording(options.recording, with_states=True) as recording:
        film = Film(recording)
        server = PlaybackServer(film, options.host, options.port, token)
        print_text(f"{options.recording}: {film.duration_s:.0f} s")
        print_text(f"open {server.url} in a browser; Ctrl-C ends")
        server.run()
    return 0


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


def replay(recording: Recording, engine: Engine, min_blob_px: int | None) -> Comparison:
    """Replay a recording, with a progress bar.

    Args:
        recording: of which only the start has been read.
        engine: what sees this time.
        min_blob_px: smallest person to believe, in pixels of the network; None for the one on the network's card.

    Raises:
        UnreadableRecordingError: if the recording answers a frame that it does not hold, holds a state or an event
            that no session can have had, or is damaged.
    """
    start, comparison, newest = recording.start, Comparison(), 0
    try:
        subject = Replay(start, engine, min_blob_px)
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


def differing_circumstances(recording: Recording, weights: Path, is_same_network: bool, engine: Engine) -> list[str]:
    """Reasons for differences, and what the recording lacks: a line for each, for people."""
    start, lines = recording.start, []
    if not is_same_network:
        lines.append(f"recorded with {start.weights}, replayed with {weights}, another network")
    if engine.description != start.engine:
        lines.append(f"recorded on {start.engine}, replayed on {engine.description}")
    if (target := start.tracker.profile.name) not in engine.card.targets:
        lines.append(
            f"recorded for the {target}, replayed for the {engine.card.profile.name}: the network knows no other"
        )
    if recording.end_reason is None:
        lines.append("the recording was cut off; replayed as far as it goes")
    return lines


if __name__ == "__main__":
    run_command(main)
