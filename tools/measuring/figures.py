"""Figures of a benchmark: what was measured, its goal, and the ratio to the same figure of another version."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """A line of the table; `goal` is None for a figure that only explains another.

    Attributes:
        key: name of the figure for programs; it stays the same when `name` changes.
        name: name of the figure for people.
        value: the measured value.
        unit: its unit.
        goal: the value to reach, in the same unit.
        at_least: whether the goal is the least value, not the greatest.
    """

    key: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return bool(self.value >= self.goal if self.at_least else self.value <= self.goal)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        return f"{self.name:<58}{self.value:>9.2f} {self.unit:<7}{goal:<13}{verdict}"


def values_of(figures: Sequence[Figure]) -> dict[str, float]:
    """The values by key."""
    return {figure.key: figure.value for figure in figures}


def comparison_table(figures: Sequence[Figure], other: Mapping[str, float], other_name: str) -> str:
    """A table of the figures that `other` has, too: the value here, the value there, and the ratio here / there."""
    lines = [f"{'':<58}{'here':>9}{other_name[:16]:>18}{'ratio':>9}"]
    for figure in figures:
        there = other.get(figure.key)
        if there:
            ratio = figure.value / there
            lines.append(f"{figure.name:<58}{figure.value:>9.2f}{there:>18.2f}{ratio:>8.2f}× {figure.unit}")
    return "\n".join(lines)


def write_figures(file: Path, figures: Sequence[Figure]) -> None:
    """Write the figures as JSON: a list of objects with the fields of `Figure`, and `is_met`."""
    content = [{**f._asdict(), "value": float(f.value), "is_met": f.is_met} for f in figures]
    file.write_text(json.dumps(content, indent=1) + "\n")


def read_values(file: Path) -> dict[str, float]:
    """Read the values by key from a file of `write_figures`.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no such file.
    """
    try:
        return {figure["key"]: float(figure["value"]) for figure in json.loads(file.read_bytes())}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected figures that benchmark.py wrote with --json, got {file}: {error!r}") from error
