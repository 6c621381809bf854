"""Run a recording through the server's pipeline again, by its own clock, and tell what changed.

    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap
    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap --weights runs/new/model_weights
    python tools/replay.py recordings/20260101T120000Z_quadsim.mcap --page

Each recorded frame is decoded, inferred and answered as in the server, at the recorded times. All other events are
repeated as they were recorded. With the network and the engine of the recording, the commands are identical. With
another network, engine or version of this program, a table shows what changed: heroes found or lost, other commands,
other positions. A hero counts as found in a frame if a person in it may be the hero, by that frame alone. A frame takes
some 20 ms on two busy cores.

Recordings of older versions can be replayed, too. Those of formats 1 and 2 must begin with their session, as recordings
made with --record do. Their commands may differ because the tracker has changed since.

With --page nothing is run again: the recording is shown in the browser as the server's page showed the flight, with a
timeline, at http://127.0.0.1:4568/, until Ctrl-C.

Exit status: 0, nothing changed; 1, something changed; 2, refused for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import logging
from pathlib import Path

from model.command import command, command_parser, print_text, run_command
from model.engines import ENGINES, Engine, add_precision_option, load_engine
from model.loading import weights_sha256
from model.options import check
from server.settings import LAST_PORT
from server.watch.recording.film import Film
from server.watch.recording.format import Start
from server.watch.recording.reader import Recording
from server.wire.addresses import is_loopback
from tools.replaying.again import profile_of_another, replay

HOST, PORT = "127.0.0.1", 4568  # of the page


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
        comparison = replay(recording, engine, is_same_network)
    if not comparison.events:
        raise ValueError(f"{options.recording}: expected frames to replay, got none that were answered")
    for line in differing_circumstances(recording, weights, is_same_network, engine):
        print_text(line)
    print_text(comparison.summary())
    return 0 if comparison.is_identical else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("recording", type=Path, metavar="FILE", help="a recording of the server, *.mcap")
    parser.add_argument(
        "--weights", type=Path, help="network for the replay (default: the recording's, if its file has not changed)"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what runs the network, as the server's (default: auto)"
    )
    add_precision_option(parser)
    page = parser.add_argument_group("in the browser")
    page.add_argument("--page", action="store_true", help="show the recording in the browser instead, as it was")
    page.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    page.add_argument("--port", type=int, default=PORT, help="port to listen on, 0 for any (default: %(default)s)")
    page.add_argument("--token-file", type=Path, help="file with the token that browsers of other machines must show")
    options = parser.parse_args(arguments)
    check(options, ("port", 0 <= options.port <= LAST_PORT, f"of 0 to {LAST_PORT}"))
    if options.page and (options.weights, options.engine, options.precision) != (None, "auto", "auto"):
        raise ValueError("expected --page without --weights, --engine and --precision: it shows what was recorded")
    if not options.page and (options.host, options.port, options.token_file) != (HOST, PORT, None):
        raise ValueError("expected --host, --port and --token-file with --page only")
    if options.token_file is None and not is_loopback(options.host):
        raise ValueError(
            f"expected --token-file with --host {options.host}, because other machines may see the page there"
        )
    return options


def show(options: argparse.Namespace) -> int:
    """Show a recording in the browser until Ctrl-C; returns the exit status."""
    # Imported here: they import eventlet, which warns if the process forks later, and engines fork.
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
        chosen: the user's choice; None for the recording's network.
        start: of the recording.

    Raises:
        FileNotFoundError: if there is no such network.
        ValueError: if the recording does not name its network, or the file now holds another network.
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


def differing_circumstances(recording: Recording, weights: Path, is_same_network: bool, engine: Engine) -> list[str]:
    """Reasons why the replay may differ from the recording, and whether it was cut off: lines for people."""
    start, lines = recording.start, []
    if not is_same_network:
        lines.append(f"recorded with {start.weights}, replayed with {weights}, another network")
    for part, sha256 in engine.parts_sha256.items() if is_same_network else ():
        if (start.parts_sha256 or {}).get(part, sha256) != sha256:
            lines.append(f"the network's {part} is another one than recorded")
    if engine.description != start.engine:
        lines.append(f"recorded on {start.engine}, replayed on {engine.description}")
    recorded, card = start.tracker.profile, engine.card
    if card.known(recorded.name) is None:
        lines.append(
            f"recorded for the {recorded.name}, replayed for the {card.profile.name}: the network knows no other"
        )
    elif not is_same_network and recorded != profile_of_another(card, recorded.name, start.chosen):
        lines.append(f"the {recorded.name} is tracked as that network's profile says, not as recorded")
    if recording.end_reason is None:
        lines.append("the recording was cut off; replayed as far as it goes")
    return lines


if __name__ == "__main__":
    run_command(main)
