"""Quantise a network to int8, into the folder beside it, if it agrees with the float32 network. Needs NNCF."""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino as ov

from model.card import card_file, read_card
from model.command import make_output_folder, print_text
from model.dataset import evenly_spread
from model.engines.cache import cached
from model.engines.conversion import annotate, save
from model.engines.second_look import second_look_files
from model.engines.self_test import coarse, known_input
from model.engines.shipped import ship, shipped, shipped_folder
from model.evaluation import VALIDATION, Evaluation, evaluate, find_sets, read_image
from model.loading import network_files, resolve_weights
from model.pair_files import list_pairs
from model.scoring import DETECTION_MORE_THAN_PX, HeroScore

FRAMES = 300
LEAST_AGREEMENT, LARGEST_LOSS = 0.99, 0.01
# Which layers become int8, by `outer` of `quantize`. If a bound is missed with the first, the second is tried.
LAYERS = {True: "all but the last", False: "all but the first and the last two"}


class Quantised(NamedTuple):
    """A network that was quantised.

    Args:
        comparisons: with the network in float32, by target; the network's first target first.
        folder: where it is shipped; None if it misses a bound for a target and is not kept.
    """

    comparisons: dict[str, "Comparison"]
    folder: Path | None


def ship_quantised(network: Path, data: Path) -> Quantised:
    """Quantise a network, and ship it if it keeps the bounds; only then is an earlier int8 network replaced.

    If it misses a bound with all layers quantised, it is quantised again with its outer layers in float32.

    Args:
        network: as the server takes it.
        data: dataset folder with train/ to calibrate on and validation/ to compare on.

    Raises:
        OSError, ValueError: if the network, its conversion or the data can't be read, or nothing can be written.
    """
    weights = resolve_weights(network)
    training, sets = list_pairs(data / "train"), find_sets(data, VALIDATION)
    chosen = [training[number][0] for number in evenly_spread(len(training), FRAMES)]
    make_output_folder(weights.parent)
    # Hidden, because a server that offers the networks of the folder must not offer the copy.
    with tempfile.TemporaryDirectory(prefix=".", dir=weights.parent) as folder:
        # A copy of the network, beside which engines find the new int8 network.
        staged = stage(weights, Path(folder))
        made = shipped_folder(staged, "int8")
        card = read_card(staged)
        first = card.profile.name
        further = [name for name in card.targets if name != first]
        names = [first, *further]
        exact = {name: evaluate(staged, sets, "native", "f32", name) for name in names}
        for name, evaluation in exact.items():
            score = HeroScore.of(evaluation.sets[VALIDATION])
            if not score.tp + score.fn:
                raise ValueError(
                    f"expected frames with the {name} in {sets[VALIDATION]}, to compare int8 with float32, got none of "
                    f"{len(evaluation.all_frames)}"
                )
        for outer in LAYERS:
            make(staged, chosen, made, outer)
            comparisons = {name: compare(exact[name], evaluate(staged, sets, "native", "int8", name)) for name in names}
            if all(comparison.is_good for comparison in comparisons.values()):
                break
            shutil.rmtree(made)
        else:
            return Quantised(comparisons, None)
        annotate(
            made,
            {
                "calibration": f"{len(chosen)} evenly spread frames of {data.name}/train",
                "layers": LAYERS[outer],
                "validation": comparisons[first].as_json(),
                **{f"validation, {name}": comparisons[name].as_json() for name in further},
            },
        )
        return Quantised(comparisons, ship(made, weights, "int8"))


class Comparison(NamedTuple):
    """int8 and float32 on the same frames.

    Args:
        exact: score of the network in float32.
        quantised: score of the network in int8.
        agreement: share of the frames in which both find a hero, or neither does.
        frames: number of frames.
    """

    exact: HeroScore
    quantised: HeroScore
    agreement: float
    frames: int

    @property
    def is_good(self) -> bool:
        """Whether the bounds are kept."""
        return self.agreement >= LEAST_AGREEMENT and self.quantised.quality >= self.exact.quality - LARGEST_LOSS

    def as_json(self) -> dict[str, Any]:
        """The figures for a report."""
        scores = {"f32": self.exact, "int8": self.quantised}
        figures = {
            name: {**each._asdict(), "hero_iou": round(each.hero_iou, 4), "quality": round(each.quality, 4)}
            for name, each in scores.items()
        }
        return {"frames": self.frames, "agreement": round(self.agreement, 4), **figures}

    def __str__(self) -> str:
        return (
            f"float32: {self.exact}\nint8:    {self.quantised}\n"
            f"agreement on hero or none: {self.agreement:.2%} of {self.frames} frames of validation"
        )


def compare(exact: Evaluation, quantised: Evaluation) -> Comparison:
    """Compare the evaluations of a network in float32 and in int8."""
    found, found_quantised = (
        [frame.found_px > DETECTION_MORE_THAN_PX for frame in evaluation.all_frames]
        for evaluation in (exact, quantised)
    )
    same = [one == other for one, other in zip(found, found_quantised, strict=True)]
    score, score_quantised = (HeroScore.of(evaluation.sets[VALIDATION]) for evaluation in (exact, quantised))
    return Comparison(score, score_quantised, float(np.mean(same)), len(same))


def stage(weights: Path, folder: Path) -> Path:
    """Copy a resolved network, all that belongs to it and its conversion to float32 into a folder; returns the copy."""
    for file in (*network_files(weights), card_file(weights), *second_look_files(weights)):
        if file.exists():
            shutil.copy(file, folder)
    staged = folder / weights.name
    converted = shipped(weights, "f32") or cached(weights)
    shutil.copytree(converted.folder, shipped_folder(staged, "f32"))
    return staged


def make(weights: Path, images: Sequence[Path], folder: Path, outer: bool) -> None:
    """Quantise a network's float32 conversion, with or without its outer layers (`LAYERS`), into a new folder."""
    from model.engines.quantization import quantize

    exact = shipped(weights, "f32")
    if exact is None:
        raise ValueError(f"{weights}: expected its conversion to float32, found none that is whole")
    network, card = ov.Core().read_model(exact.file), read_card(weights)
    px = network.input(0).partial_shape[1].get_length()
    frames = [(read_image(image, px)[None].astype(np.float32) - card.mean) / card.scale for image in images]
    print_text(f"quantising {LAYERS[outer]} of the layers, calibrated on {len(frames)} frames; takes some minutes")
    quantised = quantize(network, frames, outer)
    # Its own answer: how far it may be from that of float32, the comparison decides.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(quantised, "CPU", settings)
    answer = coarse(compiled(known_input(px, card))[0]).astype(float).round(6).tolist()
    made_with = f"{exact.conversion.made_with}, NNCF {version('nncf')}"
    conversion = dataclasses.replace(exact.conversion, precision="int8", made_with=made_with, answer=answer)
    save(quantised, folder, conversion)
