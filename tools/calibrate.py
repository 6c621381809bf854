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
from tqdm import tqdm

from model.calibration import Example, Reliability, fit, held_out, log_loss, reliability
from model.card import card_file, read_card
from model.command import check_output_file, command, print_text, run_command
from model.dataset import read_pairs, recording_of
from model.engines import Engine, add_precision_option, load_engine
from model.loading import is_legacy, resolve_weights
from model.pair_files import PathPair, list_pairs, partial_file
from model.scoring import HERO, PEOPLE
from server.sight.parts import find_parts
from server.sight.people import looks_of, person_mask

# A part is the hero where this share of its people's pixels is the hero's, and somebody else where none of it is.
HERO_SHARE = 0.5


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
    content = json.loads(card.read_bytes()) if card.exists() else {}
    check_output_file(card)
    pairs = chosen_pairs(options.data, options.recordings)
    engine = load_engine("auto", options.weights, options.precision)
    examples = [example for some in pairs for example in examples_of(engine, *some)]
    fitted = fit(examples)
    evidence, truth = held_out(examples), np.array([example.is_hero for example in examples])
    found, loss = reliability(evidence, truth), log_loss(evidence, truth)
    print_text(table(found))
    print_text(
        f"log loss on recordings left out: {loss:.4f} of {log_loss(np.zeros(len(truth)), truth):.4f} without any"
    )
    content["evidence"] = asdict(fitted)
    content["calibration"] = {
        "recordings": sorted({example.recording for example in examples}),
        "heroes": int(truth.sum()),
        "others": int((~truth).sum()),
        "held_out_log_loss": round(loss, 5),
    }
    partial = partial_file(card)
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(card)
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
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the reliability diagram into this PNG")
    return parser.parse_args(arguments)


def chosen_pairs(folders: Sequence[Path], recordings: Sequence[str]) -> list[tuple[str, list[PathPair]]]:
    """The name and the pairs of each dataset folder, of some recordings or of all.

    Raises:
        ValueError: if there are none in a folder.
    """
    chosen = []
    for folder in folders:
        pairs = list_pairs(folder / "train")
        if recordings:
            pairs = [pair for pair in pairs if recording_of(pair[0].name) in recordings]
        if not pairs:
            raise ValueError(f"expected frames of {', '.join(recordings) or 'any recording'} in {folder}, got none")
        chosen.append((folder.name, pairs))
    return chosen


def examples_of(engine: Engine, folder: str, pairs: Sequence[PathPair]) -> Iterator[Example]:
    """Everybody whom a network sees in pairs of a folder, who is the hero or is nobody of the hero at all."""
    card, px = engine.card, engine.input_px
    no_depth = np.zeros((px, px), np.uint8)
    frames = read_pairs(pairs, px, folder)
    shown = tqdm(zip(pairs, frames.images, frames.masks, strict=True), desc=f"seeing {folder}", total=len(pairs))
    for pair, image, mask in shown:
        probabilities = engine.infer(image[None])[0]
        parts = find_parts(person_mask(probabilities, card), no_depth, window=1, min_px=card.min_blob_px)
        if parts is None:
            continue
        under = mask[parts.rows, parts.columns]
        heroes, others = parts.sum(under == HERO), parts.sum(under == PEOPLE)
        for looks, hero_px, other_px in zip(
            looks_of(parts, probabilities, image, card), heroes.tolist(), others.tolist(), strict=True
        ):
            if hero_px == 0 or hero_px >= HERO_SHARE * (hero_px + other_px):
                yield Example(f"{folder}/{recording_of(pair[0].name)}", looks, hero_px > 0)


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
