"""Fly with a taught network in the stand-in, and draw the errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tools.simulator.episodes import Episode, flights
from tools.simulator.faults import FaultConfig
from tools.simulator.flight import Flight
from tools.simulator.loop_score import score
from tools.simulator.loop_table import SERVER
from tools.simulator.targets import lookalikes_of

SEEDS = (700, 701, 702, 703)  # none of the seeds of `tools.teaching.recordings`
FLIGHT_S = 60.0
PEOPLE = 30
SHOWN_M = 10.0  # largest error in the picture


def fly_target(weights: Path, target: str, figures: Path, picture: Path) -> None:
    """Follow a target of the stand-in in the worlds of `SEEDS`; write the figures as JSON, draw the errors as PNG.

    Raises:
        OSError, ValueError: as `flights`.
    """
    others = lookalikes_of(target, None, PEOPLE)
    episodes = [
        Episode(SERVER, seed, PEOPLE, FLIGHT_S, FaultConfig(), lookalikes=others, target=target) for seed in SEEDS
    ]
    flown = list(flights(episodes, str(weights), "auto", jobs=1))
    draw_errors(flown, target, picture)
    figures.write_text(json.dumps(describe(flown), indent=1) + "\n")


def describe(flown: Sequence[Flight]) -> dict[str, Any]:
    """The figures of all flights together and of each, ready for JSON."""
    each = [{"seed": seed, **score([flight]).as_json()} for seed, flight in zip(SEEDS, flown, strict=True)]
    return {"together": score(flown).as_json(), "flights": each}


def draw_errors(flown: Sequence[Flight], target: str, path: Path) -> None:
    """Draw the distance of the coordinates to the target over the time of each flight as PNG.

    Where there is no line, the drone was on patrol; grey: the target was in view.
    """
    figure = Figure(figsize=(9, 1.6 * len(flown) + 0.8), layout="constrained")
    rows = figure.subplots(len(flown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, seed, flight in zip(rows, SEEDS, flown, strict=True):
        time_s = flight.period_s * np.arange(len(flight.hero_px))
        axes.fill_between(time_s, SHOWN_M, where=flight.is_visible, color="0.88", step="post", label="in view")
        errors_m = np.minimum(flight.errors_m, SHOWN_M)
        wrong = np.where(flight.is_on_wrong_person, errors_m, np.nan)
        axes.plot(time_s, errors_m, "C2", label=f"off the {target}, m")
        axes.plot(time_s, wrong, "C3.", markersize=4, label="on somebody else")
        axes.axhline(flight.on_target_m, color="0.5", linewidth=0.8, linestyle="--")
        axes.set(ylabel=f"seed {seed}", ylim=(0, SHOWN_M), xlim=(0, time_s[-1]))
    axes.set(xlabel="time, s")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)
