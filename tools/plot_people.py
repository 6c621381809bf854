"""Draw a recording's people as probabilities over time: who may have been the hero, and who was followed.

    python tools/plot_people.py recordings/NAME.mcap --out people.png

The tracker processes the recorded sightings again, without the network. Takes some seconds. A person whose probability
of being the hero never reaches `--least` is left out.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from model.command import check_picture_file, command, command_parser, print_text, printable, run_command
from model.options import check
from server.flight.events import Seen
from server.watch.recording.format import Happened
from server.watch.recording.reader import Recording
from server.watch.recording.restore import check_numbers, restored

# Memory holds this many, for all people together: ten in view for more than twenty hours, at five frames a second.
MOST_POINTS = 4_000_000


class BeliefHistory(NamedTuple):
    """What a tracker believed over time.

    Args:
        times_s: (F,) times of the frames that were understood, since the recording began.
        probabilities: of each person, by number: (time, probability of being the hero) for each frame in view.
        followed: (F,) number of the person followed; 0 on patrol.
    """

    times_s: np.ndarray
    probabilities: dict[int, list[tuple[float, float]]]
    followed: np.ndarray


@command("plot_people")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    logging.getLogger("server").setLevel(logging.ERROR)
    check(options, ("least", 0 <= options.least <= 1, "from 0 to 1"))
    check_picture_file(options.out)
    with Recording(options.recording) as recording:
        history = read_history(recording)
    draw(history, options.least, options.out)
    print_text(f"{len(history.probabilities)} people in {len(history.times_s)} frames: {options.out}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("recording", type=Path, metavar="FILE", help="a recording of the server, *.mcap")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture")
    parser.add_argument(
        "--least",
        type=float,
        default=0.05,
        help="draw people whose probability once was at least this (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def read_history(recording: Recording) -> BeliefHistory:
    """Take a recording's events through its session again.

    Raises:
        ValueError: if no frame of the recording was understood, if its state at the start or an event is impossible for
            a session, or if there are too many points to draw.
    """
    start, points = recording.start, 0
    session = restored(start)
    times_s, followed, probabilities = [], [], defaultdict(list)
    for entry in recording.entries(printable(f"{recording.path.name}: tracking")):
        if not isinstance(entry, Happened):
            continue
        check_numbers(entry.event)
        session.take(entry.event)
        if not isinstance(entry.event, Seen):
            continue
        at_s, situation = entry.event.at_s - start.monotonic_s, session.situation(entry.event.at_s)
        times_s.append(at_s)
        followed.append(0 if situation.is_held or situation.followed_now is None else situation.followed_now)
        for person in situation.people:
            if person.is_in_view:
                probabilities[person.number].append((at_s, person.probability))
                points += 1
        if points > MOST_POINTS:
            raise ValueError(f"expected at most {MOST_POINTS:,} points to draw in {recording.path}, got more")
    if not times_s:
        raise ValueError(f"expected frames that were understood in {recording.path}, got none")
    return BeliefHistory(np.array(times_s), dict(probabilities), np.array(followed))


def draw(history: BeliefHistory, least: float, path: Path) -> None:
    """Draw a history of beliefs as PNG: a line for each person, thick while they are followed."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = [number for number, line in history.probabilities.items() if max(chance for _, chance in line) >= least]
    for colour, number in enumerate(shown):
        times_s, chances = np.array(history.probabilities[number]).T
        gap = np.diff(times_s, prepend=times_s[0]) > 1.0  # out of view meanwhile
        times_s, chances = (np.insert(values, np.flatnonzero(gap), np.nan) for values in (times_s, chances))
        axes.plot(times_s, chances, ".-", color=f"C{colour}", linewidth=0.8, markersize=3, label=f"person {number}")
        is_followed = np.isin(times_s, history.times_s[history.followed == number])
        axes.plot(np.where(is_followed, times_s, np.nan), chances, color=f"C{colour}", linewidth=4, alpha=0.5)
    axes.set(xlabel="seconds", ylabel="probability of being the hero", ylim=(-0.03, 1.03))
    axes.set_title("thick: followed")
    axes.grid(alpha=0.3)
    if shown:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    run_command(main)
