"""Train each network with the same budget of CPU time, and compare their scores.

    python tools/compare.py --data ../shared/data ../shared/data_extra --out runs/compare --minutes 15

Each of the eight networks, or of --networks, gets --minutes of CPU time, which takes half as long on two cores. The
budget is CPU time, so that other load on the machine does not affect the comparison. All settings except the network
and its resolution are those of the `fpn` preset: FCN1 to FCN5 and `inception` train at the report's 160 px, the FPNs on
192-px crops of 256 px. The number of steps in the budget is measured first, so that each learning rate reaches the end
of its schedule. The table is printed and saved as `comparison.json`; networks in --out are not trained again.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.command import command, command_parser, make_output_folder, run_command
from model.loading import import_keras

import_keras()  # first, so that the imports below do not print start-up messages

from model.budget import step_s
from model.dataset import Frames, read_dataset
from model.evaluation import evaluate, find_sets
from model.fpn import Pyramid
from model.networks import NETWORKS, build, multiply_adds
from model.options import check
from model.pair_files import replace_file
from model.recipes import PRESETS, TrainingConfig
from model.run_folder import SETTINGS, WEIGHTS, check_begun, frames_digests, read_notes
from model.scoring import EVALUATION_SETS, HERO
from model.training import train
from model.training_run import exam_sets

SCORED_AT_PX = 160
BUDGET = "minutes.json"


@command("compare", interrupted="interrupted; the same command goes on with the networks that are missing")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    sets = exam_sets(options.data) or find_sets(options.data[0])  # raises, and says what is missing
    make_output_folder(options.out)
    check_budget(options.out / BUDGET, options.minutes)
    results = []
    for px in sorted({base_config(name).input_px for name in options.networks}):
        names = [name for name in options.networks if base_config(name).input_px == px]
        data = read_dataset(options.data, px)
        training, validation = data.training, data.all_validation
        finished = [name for name in names if (options.out / name / WEIGHTS).exists()]
        if finished:
            digests = frames_digests(training, validation)
            for name in finished:
                check_begun(options.out / name, digests)
        for name in names:
            if name in finished:
                continue
            config = interrupted_config(options.out / name) or in_budget(
                base_config(name), training, 60 * options.minutes
            )
            print(f"{name}: {config.epochs * config.steps} batches of {config.batch}")
            train(config, training, validation, options.out / name)
        results += [describe(name, options.out / name, sets) for name in names]
    (options.out / "comparison.json").write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        nargs="+",
        help="dataset folders with train/ and possibly validation/; the exam is that of the first that has one",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the run folders of the networks and for the table"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="CPU time for the training of each network, minutes (default: %(default)s)",
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=tuple(NETWORKS),
        default=tuple(NETWORKS),
        help="networks to train (default: all)",
    )
    options = parser.parse_args(arguments)
    check(options, ("minutes", 0 < options.minutes < math.inf, "above 0 and finite"))
    options.networks = tuple(dict.fromkeys(options.networks))  # each once
    return options


def base_config(name: str) -> TrainingConfig:
    """Settings of a network in the comparison, without the number of steps."""
    if isinstance(NETWORKS[name], Pyramid):
        return replace(PRESETS["fpn"], network=name)
    return replace(PRESETS["fpn"], network=name, input_px=SCORED_AT_PX, crop_px=SCORED_AT_PX)


def check_budget(file: Path, minutes: float) -> None:
    """Write the budget of a folder's trainings into the file, minutes, or compare it with the file's.

    Raises:
        ValueError: if the trainings were begun with another budget, or the file is damaged.
    """
    if not file.exists():
        replace_file(file, f"{minutes}\n".encode())
    elif (noted := file.read_text(errors="replace").strip()) != f"{minutes}":
        raise ValueError(f"expected --minutes {noted}, the budget in {file}, got {minutes}: choose another --out")


def interrupted_config(run: Path) -> TrainingConfig | None:
    """Settings of an interrupted training, with the steps measured at its start; None if it has not begun."""
    file = run / SETTINGS
    if not file.exists():
        return None
    settings = read_notes(file)
    return replace(
        base_config(settings["network"]), **{name: settings[name] for name in ("epochs", "steps", "validate_every")}
    )


def in_budget(config: TrainingConfig, training: Frames, budget_s: float) -> TrainingConfig:
    """Set one epoch with as many steps as fit the budget of CPU time; the time of a step is measured first."""
    steps = max(1, round(budget_s / step_s(config, training, time.process_time)))
    return replace(config, epochs=1, steps=steps, validate_every=1)


def describe(name: str, run: Path, folders: dict[str, Path]) -> dict[str, Any]:
    """Size, inference time and scores of a trained network."""
    evaluation = evaluate(run / WEIGHTS, folders, str(SCORED_AT_PX))
    network, sets = build(name, base_config(name).input_px), evaluation.sets
    assert evaluation.final is not None  # the sets are the exam's
    settings = json.loads((run / SETTINGS).read_text())
    return {
        "network": name,
        "parameters": network.count_params(),
        "multiply_adds": multiply_adds(network),
        "ms_per_frame": evaluation.ms_per_frame,
        "batches": settings["epochs"] * settings["steps"],
        "final_score": evaluation.final.score,
        **{f"{part} hero IoU": sets[part].iou[HERO] for part in EVALUATION_SETS},
        "false_alarms": sum(score.fp for score in sets.values()),
        "missed": sum(score.fn for score in sets.values()),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Format the results as a Markdown table."""
    heads = (
        *("network", "parameters", "multiply-adds", "ms/frame", "batches"),
        *("score", "hero IoU near / far", "false alarms", "missed"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    near, _, far = (f"{part} hero IoU" for part in EVALUATION_SETS)
    lines += [
        f"| {row['network']} | {row['parameters']:,} | {row['multiply_adds'] / 1e9:.2f} G | {row['ms_per_frame']:.1f} "
        f"| {row['batches']} | {row['final_score']:.3f} | {row[near]:.3f} / {row[far]:.3f} "
        f"| {row['false_alarms']} | {row['missed']} |"
        for row in results
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
