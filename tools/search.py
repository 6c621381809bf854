"""Search for training settings with Ray Tune: Optuna chooses them, and ASHA stops trials with a low score.

    python tools/search.py --space tools/spaces/original.toml --data ../shared/data --out runs/search
    python tools/search.py --space tools/spaces/fpn.toml --data ../shared/data --out runs/search_fpn --cluster auto
    python tools/train.py --preset runs/search/best.toml --epochs 40 --data ../shared/data --out runs/best

It needs the packages of `requirements-search.lock`. A space is a TOML file; docs/search.md says what it holds, how long
a search takes and what to expect. A trial is judged by its score on the validation frames; `sample_evaluation_data` is
not read.

The output folder gets `trials.csv`, `report.html` (table, curves, importance of each setting, parallel coordinates;
opens offline), `best.toml` (a preset for `tools/train.py`) and `trials/`, the run folder of each trial with TensorBoard
logs. A trial that fails, runs out of memory or is killed is a row of the table. Ctrl-C or a kill costs at most an epoch
of the trials in progress: the same command goes on. A finished search goes on if the space gets more `trials`.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import importlib.util
import logging
import math
from dataclasses import replace
from pathlib import Path

from model.command import command, command_parser, make_output_folder, run_command
from model.loading import import_keras

import_keras()  # first, so that the imports below do not print start-up messages

from model.dataset import Frames, read_dataset
from model.options import check
from model.pair_files import is_litter, replace_file
from model.run_folder import frames_digests
from tools.tuning.space import Parameters, Space, read_space
from tools.tuning.table import SCORE, best_trial, rows, shown
from tools.tuning.trials import Trial, check_trials, read_trials

SPACE = "space.toml"
PACKAGES = ("optuna", "plotly", "ray")


@command("search", interrupted="interrupted; the same command goes on")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    space, content = read_space(options.space), options.space.read_bytes()
    check_packages()
    check_folder(options.out, space)
    config = space.base
    data = read_dataset(
        options.data, config.input_px, config.hold_out, config.hovering_frames, 1 + len(config.more_targets)
    )
    trials = read_trials(options.out)
    if trials:
        check_trials(trials, space, frames_digests(data.training, data.all_validation))
    make_output_folder(options.out)
    replace_file(options.out / SPACE, content)
    run(space, data.training, data.all_validation, options)
    return summary(space, options.out)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--space", type=Path, required=True, help="TOML file that says what to search")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="dataset folders with train/ and possibly validation/"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the trials and the report; of a cluster: on a shared disk"
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Ray cluster to run on; auto: the one of this machine (default: no cluster)",
    )
    parser.add_argument("--at-once", type=int, metavar="INT", help="most trials at a time (default: as CPUs permit)")
    parser.add_argument("--cpus", type=float, default=1.0, help="CPUs of a trial (default: %(default)s)")
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs of a trial, such as 0.5 (default: %(default)s)")
    options = parser.parse_args(arguments)
    check(
        options,
        ("at_once", options.at_once is None or options.at_once >= 1, "of at least 1"),
        ("cpus", 0 < options.cpus < math.inf, "above 0 and finite"),
        ("gpus", 0 <= options.gpus < math.inf, "of at least 0 and finite"),
    )
    return options


def check_packages() -> None:
    """Check that the packages of a search are installed.

    Raises:
        ValueError: if one is not; says how to install it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} not installed: '.venv/bin/pip install --require-hashes --requirement "
            "requirements-search.lock' installs what a search needs"
        )


def check_folder(out: Path, space: Space) -> None:
    """Check that a search can start in a folder, or go on there.

    Raises:
        ValueError: if the folder has other files, or a search of another space.
    """
    if not (out / SPACE).exists():
        if out.is_dir() and not all(is_litter(file.name) for file in out.iterdir()):
            raise ValueError(f"expected a new or empty folder or that of a search, but {out} holds other files")
        return
    if replace(read_space(out / SPACE), trials=space.trials) != space:
        raise ValueError(
            f"expected the space of {out / SPACE} to go on with that search (only trials may differ), got another one"
        )


class Console:
    """Prints how the search proceeds, and renews the report after each trial.

    Args:
        space: what is searched.
        out: folder of the search.
    """

    def __init__(self, space: Space, out: Path) -> None:
        self._space, self._out = space, out

    def begin(self, number: int, parameters: Parameters) -> None:
        """Print what a trial tries."""
        settings = ", ".join(f"{name} {shown(value)}" for name, value in parameters.items())
        print(f"trial {number}: {settings}", flush=True)

    def score(self, number: int, epoch: int, score: float) -> None:
        """Print a trial's score so far."""
        print(f"trial {number}, epoch {epoch}: {SCORE} {score:.3f}", flush=True)

    def end(self, number: int) -> None:
        """Print how a trial ended, and renew the report."""
        trials = renew_report(self._space, self._out)
        (row,) = (row for row in rows(trials, self._space) if row["trial"] == number)
        over = sum(trial.is_over for trial in trials)
        how = f"trial {number} {row['state']} after epoch {row['epochs trained']}"
        reason = f": {row['error']}" if row["error"] else ""
        print(f"{over} of {self._space.trials}: {how}{reason}", flush=True)


def run(space: Space, training: Frames, validation: Frames, options: argparse.Namespace) -> None:
    """Run the trials that are missing, and keep the report up to date."""
    from tools.tuning.runner import Resources, search  # here, because it takes seconds and needs Ray

    resources = Resources(options.cluster, options.at_once, options.cpus, options.gpus)
    search(space, training, validation, options.out, resources, Console(space, options.out))
    renew_report(space, options.out)


def renew_report(space: Space, out: Path) -> list[Trial]:
    """Write the report of the trials so far, and return them."""
    from tools.tuning.report import write_report  # here, because it takes seconds and needs Optuna

    trials = read_trials(out)
    write_report(trials, space, out)
    return trials


def summary(space: Space, out: Path) -> int:
    """Print the results of the search; returns the exit status."""
    trials = read_trials(out)
    best = best_trial(trials, space)
    if best is None:
        raise ValueError(f"expected a trial with a score, got none of {len(trials)}; {out}/trials.csv says why")
    failed = sum(trial.record.state == "failed" for trial in trials)
    print(
        f"best: trial {best.number}, {best.record.parameters}; {failed} of {len(trials)} trials failed\n"
        f"report: {out}/report.html\n"
        f"train it: .venv/bin/python tools/train.py --preset {out}/best.toml --data DATA --out RUN"
    )
    return 0


if __name__ == "__main__":
    logging.getLogger("model").setLevel(logging.WARNING)
    run_command(main)
