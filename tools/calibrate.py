"""Fit how much a network's output on a person speaks for the hero, and keep that on the network's card.

    python tools/calibrate.py weights/model_weights --data ../shared/data_extra --recordings r03 r07 r11 r16

Everybody whom the network sees in frames of known truth is an example: the hero, or not. The frames must be such as the
network has not learned from, for it is too sure of those. The fit is judged on recordings that were left out of it, in
turn; the table and the diagram (--plot) show, for each class of evidence, how often it was the hero indeed. Then the
fit to all of them is written to the card. Takes a minute for a thousand frames.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from model.calibration import Example, Reliability, fit, held_out, log_loss, reliability
from model.card import card_file, read_card
from model.command import check_output_file, command, print_text, run_command
from model.engines import Engine, add_precision_option, load_engine
from model.engines.second_look import SecondLook, second_look_file
from model.loading import is_legacy, resolve_weights
from model.pair_files import PathPair, replace_file
from model.provenance import card_content
from tools.labelled.people import chosen_pairs, people_in


@command("calibrate")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    check_output_file(options.plot)
    weights = resolve_weights(options.weights)
    if is_legacy(weights):
        raise ValueError(f"expected a network with a card, a .keras file, got {weights}")
    read_card(weights)  # refuses one that makes no sense
    card = card_file(weights)
    content = card_content(weights) or {}
    check_output_file(card)
    chosen, of_similar = chosen_pairs(options.data, options.recordings), chosen_pairs(options.similar)
    engine, file = load_engine("auto", options.weights, options.precision), second_look_file(weights)
    second_look = SecondLook(file) if file.exists() else None
    examples, similar = ([*examples_of(engine, second_look, some)] for some in (chosen, of_similar))
    from_px = engine.card.profile.second_look_from_px
    fitted = fit(examples, similar, from_px=from_px)
    evidence, truth = held_out(examples, similar, from_px=from_px), np.array([example.is_hero for example in examples])
    found, loss = reliability(evidence, truth), log_loss(evidence, truth)
    print_text(table(found))
    print_text(
        f"log loss on recordings left out: {loss:.4f} of {log_loss(np.zeros(len(truth)), truth):.4f} without any"
    )
    content["evidence"] = asdict(fitted.first)
    content["second_evidence"] = None if fitted.second is None else asdict(fitted.second)
    content["calibration"] = {
        "recordings": sorted({example.recording for example in examples}),
        "similar": sorted({example.recording for example in similar}),
        "heroes": int(truth.sum()),
        "others": int((~truth).sum()),
        "held_out_log_loss": round(loss, 5),
    }
    replace_file(card, (json.dumps(content, indent=1) + "\n").encode())
    if options.plot:
        draw(found, options.plot)
    print_text(f"{card}: {fitted}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("weights", type=Path, help="the network, whose card is rewritten")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="dataset folders with train/")
    parser.add_argument("--recordings", nargs="+", default=[], help="recordings to take of them (default: all)")
    add_precision_option(parser)
    parser.add_argument(
        "--similar", type=Path, nargs="+", default=[], help="dataset folders with lookalikes, for the second look only"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the reliability diagram into this PNG")
    return parser.parse_args(arguments)


def examples_of(
    engine: Engine, second_look: SecondLook | None, chosen: Sequence[tuple[str, list[PathPair]]]
) -> Iterator[Example]:
    """Everybody whom a network sees; who is worth a second look, after it, if there is one."""
    for folder, pairs in chosen:
        for person in people_in(engine, folder, pairs):
            looks = person.looks
            if second_look is not None and looks.is_worth_second_look(engine.card.profile.second_look_from_px):
                looks = looks._replace(likeness=float(second_look.likeness(person.crop[None])[0]))
            yield Example(person.recording, looks, person.is_hero)


def table(found: Reliability) -> str:
    """A line for each class of evidence."""
    lines = [f"{'evidence':>9}{'observed':>10}{'hero':>7}{'others':>8}"]
    for evidence, observed, heroes, others in zip(
        found.evidence, found.observed, found.heroes, found.others, strict=True
    ):
        lines.append(f"{evidence:>9.2f}{observed:>10.2f}{heroes:>7}{others:>8}")
    return "\n".join(lines)


def draw(found: Reliability, path: Path) -> None:
    """Draw the reliability diagram as PNG: the evidence said against the evidence observed."""
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    axes.plot([-6, 6], [-6, 6], "--", color="grey", label="as it should be")
    shown = np.isfinite(found.observed)
    # Of counts, the standard error of a log-likelihood ratio is √(1/heroes + 1/others).
    errors = np.sqrt(1 / found.heroes[shown] + 1 / found.others[shown])
    axes.errorbar(found.evidence[shown], found.observed[shown], errors, fmt="o", label="on recordings left out")
    axes.set(xlabel="evidence said, nats", ylabel="evidence observed, nats")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    run_command(main)
