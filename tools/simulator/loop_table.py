"""The figures of the loop's score as a table, and the goals for the server's score."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tools.simulator.loop_score import Score

SERVER = "server"
"""The pilot to which the goals apply."""


class Goal(NamedTuple):
    """Bound on one figure of the server's score: at least or at most `bound`."""

    figure: str
    bound: float
    at_least: bool = False

    def is_met_by(self, got: Score) -> bool:
        """Whether a score meets the goal; a time to re-acquire is also met if there was no loss."""
        value = getattr(got, self.figure)
        if math.isnan(value):
            return self.figure == "reacquire_s" and got.acquired > 0
        return value >= self.bound if self.at_least else value <= self.bound


# The goals of this project; docs/results.md has the same.
ERROR = Goal("error_m", 0.5)
REACQUIRED = Goal("reacquire_s", 1.5)
OF_THE_HERO = (
    Goal("acquire_shown_s", 0.6),
    Goal("acquire_shown_p90_s", 6.0),
    Goal("on_target", 0.995, at_least=True),
    Goal("wrong_person", 0.0005),
    ERROR,
    REACQUIRED,
)
WITH_LOOKALIKES = (Goal("wrong_person", 0.003), ERROR)
WITH_HIDING = (Goal("on_target", 0.85, at_least=True), ERROR, REACQUIRED)
WITH_FAULTS = (Goal("on_target", 0.99, at_least=True), ERROR)
AT_A_FASTER_PACE = (Goal("on_target", 0.99, at_least=True), Goal("error_p95_m", 0.5))
OF_ANOTHER_TARGET = (Goal("on_target", 0.95, at_least=True), Goal("wrong_person", 0.01))


# Title, unit and number format of each figure.
FIGURES = {
    "acquired": ("episodes with the hero acquired", "", "d"),
    "acquire_s": ("time to acquire once visible, median", "s", ".1f"),
    "acquire_p90_s": ("… 90th percentile", "s", ".1f"),
    "shown": ("episodes with the hero visible for a second", "", "d"),
    "acquired_of_shown": ("… and acquired", "", "d"),
    "acquire_shown_s": ("time to acquire from that second on, median", "s", ".1f"),
    "acquire_shown_p90_s": ("… 90th percentile", "s", ".1f"),
    "acquire_from_start_s": ("time to acquire from the start, median", "s", ".1f"),
    "acquire_from_start_p90_s": ("… 90th percentile", "s", ".1f"),
    "on_target": ("time on target after acquisition", "", ".1%"),
    "losses": ("losses", "", "d"),
    "reacquire_s": ("time to re-acquire once visible, median", "s", ".1f"),
    "wrong_person": ("time on a wrong person", "", ".2%"),
    "chases_per_h": ("chases of strangers of 1 s or more", "/h", ".1f"),
    "second_chases": ("… second chases of the same stranger", "", "d"),
    "switches": ("switches to another person while following", "", "d"),
    "idf1": ("people tracked, IDF1", "", ".1%"),
    "error_m": ("position error while following, median", "m", ".2f"),
    "error_p95_m": ("… 95th percentile", "m", ".2f"),
    "velocity_error_mps": ("velocity error while following, median", "m/s", ".2f"),
    "roughness_m": ("roughness of the commands", "m", ".3f"),
}


def table(scores: dict[str, Score], goals: Sequence[Goal]) -> str:
    """Table with a line per figure and a column per pilot, and whether the server meets each goal."""
    lines = [" " * 44 + "".join(f"{pilot:>12}" for pilot in scores)]
    for name, (title, _, _) in FIGURES.items():
        values = "".join(f"{shown(name, getattr(got, name)):>12}" for got in scores.values())
        lines.append(f"{title:<44}{values}{_verdict(name, scores, goals)}")
    return "\n".join(lines)


def shown(name: str, value: float) -> str:
    """Value of a figure with its unit, as text; a dash for NaN."""
    _, unit, form = FIGURES[name]
    return "–" if math.isnan(value) else f"{value:{form}} {unit}".rstrip()


def _verdict(name: str, scores: dict[str, Score], goals: Sequence[Goal]) -> str:
    goal = next((goal for goal in goals if goal.figure == name), None)
    if goal is None or SERVER not in scores:
        return ""
    sign = "≥" if goal.at_least else "≤"
    return f"   {sign} {shown(name, goal.bound)}: {'met' if goal.is_met_by(scores[SERVER]) else 'MISSED'}"
