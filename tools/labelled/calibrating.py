"""Calibrate a network on labelled frames: fit the evidence of its output, and write it to the network's card."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from model.calibration import Example, Fitted, Reliability, fit, fit_doubt, held_out, log_loss, reliability
from model.card import card_file, read_card
from model.command import check_output_file
from model.engines import Engine, load_engine
from model.engines.second_look import SecondLook, second_look_file
from model.evidence import Doubt
from model.loading import is_legacy, resolve_weights
from model.pair_files import PathPair
from model.provenance import card_content, write_card
from server.sight.geometry import QUADSIM_CAMERA
from tools.labelled.people import people_in

# Area of a whole body over `Profile.least_body_m2`, about.
BODY_OF_LEAST = 5.0


class Calibrated(NamedTuple):
    """Result of a calibration; each figure is for recordings that were left out of its fit.

    Args:
        fitted, doubt: the values that are on the card now.
        reliability: evidence that the fit predicts, and evidence observed.
        loss: mean log loss, nats.
        loss_without: log loss without any evidence.
    """

    fitted: Fitted
    doubt: Doubt
    reliability: Reliability
    loss: float
    loss_without: float


def check_calibratable(network: Path, target: str | None = None) -> Path:
    """Check, before the work, that a network's card can be read and written, and has the target if it is given.

    Returns:
        The network's resolved weights.

    Raises:
        OSError, ValueError: if a check fails.
    """
    weights = resolve_weights(network)
    if is_legacy(weights):
        raise ValueError(f"expected a network with a card, a .keras file, got {weights}")
    read_card(weights).following(target)  # raises if the card is invalid
    check_output_file(card_file(weights))
    return weights


def calibrate(
    network: Path,
    chosen: Sequence[tuple[str, list[PathPair]]],
    of_similar: Sequence[tuple[str, list[PathPair]]] = (),
    precision: str = "auto",
    target: str | None = None,
) -> Calibrated:
    """Fit evidence and doubt to the people whom a network sees, and write both to the network's card.

    Args:
        network: as `model.loading.load_network` takes.
        chosen: name and pairs of each dataset folder; the network must not have been trained on these frames.
        of_similar: the same with lookalikes, for the second look only.
        precision: as `load_engine` takes it.
        target: target whose evidence to fit; None for the first target on the card. Others have no second look.

    Raises:
        OSError, ValueError: as `check_calibratable`, `load_engine` and `fit`.
    """
    weights = check_calibratable(network, target)
    engine, file = load_engine("auto", network, precision), second_look_file(weights)
    card = engine.card.following(target)
    is_first = card is engine.card
    if of_similar and not is_first:
        raise ValueError(
            f"expected no lookalikes of the {target}, which has no second look, got {len(of_similar)} sets"
        )
    second_look = SecondLook(file) if is_first and file.exists() else None
    if of_similar and second_look is None:
        raise ValueError(
            f"expected a second look in {file} for --similar, found none: tools/train_second_look.py makes it"
        )
    examples, similar = ([*examples_of(engine, second_look, some, target)] for some in (chosen, of_similar))
    from_px = card.profile.second_look_from_px
    fitted = fit(examples, similar, from_px=from_px)
    evidence, truth = held_out(examples, similar, from_px=from_px), np.array([example.is_hero for example in examples])
    loss, doubt = log_loss(evidence, truth), fit_doubt(examples, fitted.first)
    content = card_content(weights) or {}  # only now: another target may have been calibrated in the meantime
    of_target = content if is_first else _further_target(content, card.profile.name)
    of_target["evidence"] = asdict(fitted.first)
    of_target["second_evidence"] = None if fitted.second is None else asdict(fitted.second)
    of_target["doubt"] = asdict(doubt)
    of_target["calibration"] = {
        "recordings": sorted({example.recording for example in examples}),
        "similar": sorted({example.recording for example in similar}),
        "heroes": int(truth.sum()),
        "others": int((~truth).sum()),
        "held_out_log_loss": round(loss, 5),
    }
    write_card(weights, content)
    return Calibrated(fitted, doubt, reliability(evidence, truth), loss, log_loss(np.zeros(len(truth)), truth))


def _further_target(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The part of a card's content that is about one of its further targets."""
    return next(each for each in content["more_targets"] if each["profile"]["name"] == name)


def examples_of(
    engine: Engine,
    second_look: SecondLook | None,
    chosen: Sequence[tuple[str, list[PathPair]]],
    target: str | None = None,
) -> Iterator[Example]:
    """The people whom a network sees, for one of its targets; with the second look, if there is one and it applies."""
    profile = engine.card.following(target).profile
    from_px, body_m2 = profile.second_look_from_px, BODY_OF_LEAST * profile.least_body_m2
    for folder, pairs in chosen:
        for person in people_in(engine, folder, pairs, target):
            looks = person.looks
            if second_look is not None and looks.is_worth_second_look(from_px):
                looks = looks._replace(likeness=float(second_look.likeness(person.crop[None])[0]))
            # Estimated from the area because the frames have no depth images. Their size is that of QuadSim's frames.
            distance_m = QUADSIM_CAMERA.focal_px * math.sqrt(body_m2 / looks.area_px)
            yield Example(person.recording, looks, person.is_hero, distance_m)


def draw_reliability(found: Reliability, path: Path) -> None:
    """Draw the reliability diagram as PNG: observed evidence over predicted evidence."""
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    axes.plot([-6, 6], [-6, 6], "--", color="grey", label="ideal")
    shown = np.isfinite(found.observed)
    # The standard error of a log-likelihood ratio from counts is √(1/heroes + 1/others).
    errors = np.sqrt(1 / found.heroes[shown] + 1 / found.others[shown])
    axes.errorbar(found.evidence[shown], found.observed[shown], errors, fmt="o", label="on recordings left out")
    axes.set(xlabel="predicted evidence, nats", ylabel="evidence observed, nats")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
