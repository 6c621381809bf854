"""The report of a search in one HTML file that opens offline: table, curves, importances, parallel coordinates."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState, create_trial
from plotly.subplots import make_subplots

from model.folders import write_whole
from model.recipes import preset_text
from tools.tuning.runner import distributions
from tools.tuning.space import Space
from tools.tuning.table import SCORE, best_trial, rows, score_of, shown, write_csv
from tools.tuning.trials import Trial

TABLE, PAGE, BEST = "trials.csv", "report.html", "best.toml"
# Importances are computed from differences between trials, so they need some trials with different scores.
LEAST_FOR_IMPORTANCE = 4

STYLE = """
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; font-size: small; }
td, th { border: 1px solid #ccc; padding: 0.2em 0.5em; text-align: right; }
tr:nth-child(even) { background: #f4f4f4; }
"""


def write_report(trials: Sequence[Trial], space: Space, out: Path) -> None:
    """Write the table, the page, and the settings of the best trial as a preset into the folder of a search.

    Args:
        trials: at least one.
        space: the space that they are from.
        out: the folder.
    """
    table, best = rows(trials, space), best_trial(trials, space)
    write_whole(out / TABLE, lambda path: write_csv(table, path))
    write_whole(out / PAGE, lambda path: path.write_text(page(trials, space, table)))
    if best is not None:
        text = preset_text(space.config(best.record.parameters))
        write_whole(out / BEST, lambda path: path.write_text(text))


def page(trials: Sequence[Trial], space: Space, table: Sequence[dict[str, Any]]) -> str:
    """The page as HTML."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Search</title>",
        f"<style>{STYLE}</style></head><body><h1>Search</h1>",
        f"<p>{len(trials)} trials of {space.trials}. The validation score is hero IoU × TP / (TP + FP + FN) on the "
        "validation frames at p &gt; 1/2, of the epoch that is kept. "
        "The best trial was chosen by it, so its score is too optimistic.</p>",
        html_table(table),
    ]
    for number, (title, figure) in enumerate(figures(trials, space)):
        # The first figure brings plotly's program into the page.
        parts.append(f"<h2>{title}</h2>")
        parts.append(
            figure
            if isinstance(figure, str)
            else figure.to_html(full_html=False, include_plotlyjs=number == 0, include_mathjax=False)
        )
    return "\n".join([*parts, "</body></html>\n"])


def html_table(table: Sequence[dict[str, Any]]) -> str:
    """The rows as an HTML table."""
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in table[0])
    lines = (
        "".join(f"<td>{'' if value is None else html.escape(shown(value))}</td>" for value in row.values())
        for row in table
    )
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def figures(trials: Sequence[Trial], space: Space) -> Iterator[tuple[str, go.Figure | str]]:
    """Title of each figure, and the figure or a sentence about why there is none."""
    yield "Loss and validation score", curves(trials)
    study = study_of(trials, space)
    values = {trial.value for trial in study.trials if trial.state == TrialState.COMPLETE}
    if len(values) < LEAST_FOR_IMPORTANCE:
        few = f"<p>It takes {LEAST_FOR_IMPORTANCE} trials with different scores; there are {len(values)}.</p>"
        yield "Importance of each setting", few
        yield "Parallel coordinates", few
        return
    importance = optuna.visualization.plot_param_importances(study)
    yield "Importance of each setting", importance.update_layout(title="for the validation score")
    parallel = optuna.visualization.plot_parallel_coordinate(study, target_name=SCORE)
    yield "Parallel coordinates", parallel.update_layout(title="")


def curves(trials: Sequence[Trial]) -> go.Figure:
    """Training loss and validation score over the epochs, a line per trial; a click on its name hides it."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("training loss", SCORE))
    for trial in trials:
        scores = {line.epoch: line.validation.quality for line in trial.log if line.validation}
        name, colour = f"trial {trial.number}", f"hsl({trial.number * 67 % 360}, 70%, 45%)"
        shared = {"name": name, "legendgroup": name, "line": {"color": colour}, "mode": "lines+markers"}
        losses = {line.epoch: line.loss for line in trial.log}
        figure.add_scatter(x=[*losses], y=[*losses.values()], **shared, row=1, col=1)
        figure.add_scatter(x=[*scores], y=[*scores.values()], showlegend=False, **shared, row=1, col=2)
    figure.update_xaxes(title="epoch")
    return figure


def study_of(trials: Sequence[Trial], space: Space) -> optuna.Study:
    """The trials that are over as a study of Optuna's."""
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        score = score_of(trial, space)
        if trial.is_over and score is not None:
            study.add_trial(
                create_trial(params=trial.record.parameters, distributions=distributions(space), value=score)
            )
    return study
