"""The report: a single HTML page with its pictures inside, so that it can be sent."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.profile import Profile
from model.recipes import TrainingConfig
from model.training_run import CURVES, SAMPLES
from tools.simulator.loop_table import shown
from tools.teaching.flights import FLIGHT_S
from tools.teaching.planning import describe_plan, plan_advice

SMALL_BYTES = 2_000_000  # goal for a network in int8
FLIGHT_FIGURES = {
    "acquired": "found",
    "acquire_s": "found after it came into view",
    "on_target": "on target from then on",
    "losses": "losses",
    "wrong_person": "on another one",
    "error_m": "median error",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd;
text-align: right } td:first-child, th:first-child { text-align: left } img { max-width: 100%; margin: .5rem 0 }
figcaption { color: #555 } figure { margin: 1rem 0 } code { background: #f2f2f2; padding: .1rem .3rem }
"""


class Results(NamedTuple):
    """Results of the stages; mappings have the content of the stages' JSON files.

    Args:
        profile: the target.
        plan: settings of the training.
        command: the command that serves the network.
        run: folder of the training, with its pictures.
        pictures: folder of the other pictures.
        check, calibration, int8, score, flights: results of the stages that write these files.
    """

    profile: Profile
    plan: TrainingConfig
    command: str
    run: Path
    pictures: Path
    check: Mapping[str, Any]
    calibration: Mapping[str, Any]
    int8: Mapping[str, Any]
    score: Mapping[str, Any]
    flights: Mapping[str, Any]


def write_report(results: Results, file: Path) -> None:
    """Write the page.

    Raises:
        OSError: if a picture can't be read, or the page can't be written.
    """
    name = results.profile.name
    parts = [
        f"<h1>A network that follows: {_text(name)}</h1>",
        _paragraph(str(results.profile)),
        *_summary(results),
        *_data(results),
        *_training(results),
        *_evidence(results),
        *_int8(results),
        *_flights(results),
        "<h2>Use it</h2>",
        f"<p><code>python {_text(results.command)}</code></p>",
    ]
    title = f"<title>{_text(name)}</title>"
    page = ["<!doctype html>", '<html lang="en"><meta charset="utf-8">', title, f"<style>{_STYLE}</style>", *parts]
    file.write_text("\n".join([*page, "</html>", ""]), encoding="utf-8")


def _summary(results: Results) -> list[str]:
    score, name = results.score, results.profile.name
    seen = score["tp"] + score["fn"]
    lines = [
        f"Held-out frames: it found the {name} in {score['tp']} of {seen} frames that show it, and saw one in "
        f"{score['fp']} of the other {score['frames'] - seen}; mean IoU {score['hero_iou']:.2f}.",
    ]
    if "together" in results.flights:
        got = results.flights["together"]
        lines.append(
            f"Flights in the stand-in: {got['acquired']} of {got['episodes']} times found, then "
            f"{_figure('on_target', got)} of the time on target, {_figure('wrong_person', got)} of all time on another."
        )
    else:
        lines.append(f"Not flown: {results.flights['why_not']}.")
    return _list(lines)


def _data(results: Results) -> list[str]:
    name, check = results.profile.name, results.check
    heads = ("recording", "use", "frames", f"with the {name}", "others only", "sizes, px: 5 %", "50 %", "95 %")
    rows = [
        (
            each["recording"],
            "held out" if each["is_held_out"] else "to learn from",
            *(each[key] for key in ("frames", "with_target", "others_only")),
            *("–" if each[key] is None else f"{each[key]:.0f}" for key in ("px_5", "px_50", "px_95")),
        )
        for each in check["rows"]
    ]
    samples = "The first frames that it learned from, changed at random."
    return [
        "<h2>The recordings</h2>",
        _table(heads, rows),
        *_list(check["advice"] or ["Nothing is missing."]),
        _picture(results.run / SAMPLES, f"{samples} Green: the {name}; blue: {results.profile.others}."),
    ]


def _training(results: Results) -> list[str]:
    worst = {
        "misses.jpeg": f"The {results.profile.name} missed, the largest first. Yellow: the truth.",
        "false_alarms.jpeg": "False alarms, highest probability first. Green: what the network found.",
        "masks.jpeg": "Found and near, the worst masks first.",
        "recall_by_size.png": "How many it finds, by their size in the picture.",
    }
    score = results.score
    return [
        "<h2>The network</h2>",
        _paragraph(f"{describe_plan(results.plan)}. Thresholds and scores are of the held-out recordings, so the "
                   "scores are a little too good."),
        *_list(plan_advice(results.plan)),
        _paragraph("The benefit of starting from a trained network is not measured: that would take a second "
                   "training of the same length, from random weights."),
        _picture(results.run / CURVES, "The loss in training."),
        "<h2>On the held-out recordings</h2>",
        _paragraph(f"Quality {score['quality']:.3f} (mean IoU × share of right detections) at {score['px']} px; "
                   f"{score['ms_per_frame']:.0f} ms for a frame on the machine that scored it. "
                   f"In the pictures, “hero” is the {results.profile.name}."),
        *(_picture(results.pictures / picture, caption) for picture, caption in worst.items()),
    ]  # fmt: skip


def _evidence(results: Results) -> list[str]:
    found = results.calibration
    if "why_not" in found:
        return ["<h2>Calibration</h2>", _paragraph(f"Not calibrated, usual values are used: {found['why_not']}.")]
    told = f"Log loss {found['log_loss']:.3f}, and {found['without']:.3f} without any evidence: "
    verdict = "the evidence helps." if found["log_loss"] < found["without"] else "the evidence does not help yet."
    caption = "The evidence after calibration, against the evidence observed in recordings left out of the fit."
    return [
        "<h2>Calibration</h2>",
        _paragraph(told + verdict),
        *_list([warning.capitalize() + "."] if (warning := found.get("warning")) else []),
        _picture(results.pictures / "reliability.png", caption),
    ]


def _int8(results: Results) -> list[str]:
    size, compared = results.int8["bytes"], results.int8["validation"]
    agreement = f"It agrees with float32 in {compared['agreement']:.1%} of {compared['frames']} frames"
    qualities = f"quality {compared['int8']['quality']:.3f} against {compared['f32']['quality']:.3f}"
    if size is None:
        words = f"{agreement}, {qualities}: that is too little, so the network is served without int8, more slowly."
    else:
        verdict = "under" if size < SMALL_BYTES else "over"
        words = f"{size / 1e6:.2f} MB, {verdict} the {SMALL_BYTES / 1e6:g} MB aimed at. {agreement}; {qualities}."
    return ["<h2>In int8</h2>", _paragraph(words)]


def _flights(results: Results) -> list[str]:
    if "why_not" in results.flights:
        return ["<h2>Flights</h2>", _paragraph(f"Not flown: {results.flights['why_not']}.")]
    flown = [(f"seed {each['seed']}", each) for each in results.flights["flights"]]
    flown.append(("together", results.flights["together"]))
    rows = [(title, *(_figure(figure, got) for figure in FLIGHT_FIGURES)) for title, got in flown]
    caption = "The drone's distance from the target that it was told; no line: on patrol."
    return [
        "<h2>Flights</h2>",
        _paragraph(f"Of {FLIGHT_S:.0f} s each, in worlds that it has not learned from."),
        _table(("flight", *FLIGHT_FIGURES.values()), rows),
        _picture(results.pictures / "flights.png", caption),
    ]


def _figure(figure: str, got: Mapping[str, Any]) -> str:
    return shown(figure, float("nan") if got[figure] is None else got[figure])


def _text(text: object) -> str:
    return html.escape(str(text))


def _paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _list(lines: Sequence[str]) -> list[str]:
    return ["<ul>", *(f"<li>{_text(line)}</li>" for line in lines), "</ul>"] if lines else []


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["".join(f"<th>{_text(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def _picture(file: Path, caption: str) -> str:
    kind = file.suffix.removeprefix(".")
    data = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{_text(caption)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>"
