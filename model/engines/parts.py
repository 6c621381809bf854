"""The files besides the weights on which a network's answers depend: card, second look, int8 conversion."""

from pathlib import Path

from model.card import card_file
from model.engines.engine import Engine
from model.engines.second_look import second_look_files
from model.loading import files_sha256, is_legacy


def parts_sha256(weights: Path, engine: Engine) -> dict[str, str]:
    """SHA-256 of each part by its name. Card and second look are always listed, the int8 conversion only if it is used.

    Args:
        weights: a resolved file of weights.
        engine: engine that runs them, with its card.
    """
    card = card_file(weights)
    parts = {
        "card": files_sha256([] if is_legacy(weights) or not card.exists() else [card]),
        "second look": files_sha256([] if engine.card.second_evidence is None else second_look_files(weights)),
    }
    return parts | ({"int8 conversion": files_sha256(engine.int8_files)} if engine.int8_files else {})
