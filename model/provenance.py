"""The origin of a network, for its card; reading and writing a card's whole content."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from model.card import card_file
from model.pair_files import replace_file
from model.profile import Profile


def targets_content(profile: Profile, *more: Profile) -> dict:
    """The targets on a new network's card."""
    further = {"more_targets": [{"profile": asdict(each)} for each in more]} if more else {}
    return {"profile": asdict(profile), **further}


def commit() -> str:
    """Commit of this code, with a note if files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty=, changed"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not in a git repository"


def card_content(weights: Path) -> dict | None:
    """The whole content of the card of these weights; None if they have no card.

    Raises:
        ValueError: if the card is no JSON; names it.
    """
    card = card_file(weights)
    try:
        return json.loads(card.read_bytes()) if card.exists() else None
    except ValueError as error:
        raise ValueError(f"expected a network's card in {card}, got: {error}") from error


def write_card(weights: Path, content: dict) -> None:
    """Write the whole content of the card of these weights.

    Raises:
        OSError: if it can't be written.
    """
    replace_file(card_file(weights), (json.dumps(content, indent=1) + "\n").encode())
