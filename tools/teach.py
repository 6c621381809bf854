"""Teach a network another target: one command from recordings to flight.

    python tools/teach.py model/profiles/dog.toml --stand-in --hours 2
    python tools/teach.py dog.toml --raw data/raw_sim_data --out runs/dog

The first argument is the target's profile (docs/targets.md). The recordings are raw recordings of QuadSim, at least
three in `<raw>/train/<name>/IMG`, with the target in the hero's layer. With `--stand-in`, the stand-in for QuadSim
makes the recordings, if it has the target (docs/simulator.md). The stages make a dataset with whole recordings held
out, check it and say what it lacks, and choose a training that fits the hours. They then train the shipped network
further, convert, quantise, calibrate and score the result, fly with it in the stand-in, and write a report.

`--out` gets everything: `report.html` is a single page with pictures, `run/model_weights` is the network for the
server. Besides the hours of the training, the stages take about a quarter of an hour on two CPU cores. Ctrl-C or a kill
costs at most one epoch: the same command continues. After a change of an input, such as a new recording or a changed
profile, the command repeats the stages that depend on it.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import logging
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from model.command import command, command_parser, make_output_folder, print_text, run_command
from model.loading import import_keras
from model.options import check

import_keras()  # first, without its start-up notes; imports below need it

from tools.teaching.course import Course
from tools.teaching.stages import run_stages


@command("teach", interrupted="interrupted; the same command continues")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("model").setLevel(logging.INFO)
    course = parse(arguments)
    make_output_folder(course.out)
    run_stages(course.stages(), course.state)
    serve = shlex.join([".venv/bin/python", "server/follower.py", str(course.weights)])
    print_text(f"report: {course.out / 'report.html'}\nserve it: {serve}")
    return 0


def parse(arguments: Sequence[str] | None) -> Course:
    """Parse the command line.

    Raises:
        OSError, ValueError: as `Course`.
    """
    parser = command_parser(__doc__)
    parser.add_argument("profile", type=Path, help="TOML file of the target's profile")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--raw", type=Path, help="folder of raw recordings, with train/<name>/IMG in it")
    source.add_argument("--stand-in", action="store_true", help="let the stand-in record")
    parser.add_argument("--hours", type=float, default=2.0, help="time for the training, hours (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for everything that is made (default: runs/PROFILE)")
    options = parser.parse_args(arguments)
    check(options, ("hours", 0 < options.hours < math.inf, "above 0 and finite"))
    out = options.out or Path("runs") / options.profile.stem
    return Course(options.profile, options.raw, options.hours, out)


if __name__ == "__main__":
    run_command(main)
