"""The arguments of a fleet's application (`server/fleet.py`), and their check. Does not need Ray."""

import platform
from pathlib import Path
from typing import Any

import msgspec

from model.card import read_card
from model.command import error_text
from model.engines import ENGINES, PRECISIONS
from model.loading import resolve_weights


class FleetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of `server.fleet.app`.

    Args:
        weights: path of the network's weights, the same on every machine.
        shadow: weights of a second network that sees the same images and is only compared; None without a shadow.
        engine: a member of `ENGINES`.
        precision: a member of `PRECISIONS`.
        replicas: least number of replicas of the network.
        most_replicas: largest number of replicas, when images wait.
        token_file: file with the token that clients must show. It must be on every machine, because Ray Serve builds
            the application on any of them.
    """

    weights: str = "weights/model_weights"
    shadow: str | None = None
    engine: str = "auto"
    precision: str = "auto"
    replicas: int = 1
    most_replicas: int = 1
    token_file: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= self.most_replicas:
            raise ValueError(f"expected 1 <= replicas <= most_replicas, got {self.replicas} and {self.most_replicas}")
        for name, known, given in (("engine", ENGINES, self.engine), ("precision", PRECISIONS, self.precision)):
            if given not in known:  # else each replica would fail, again and again
                raise ValueError(f"expected {name} {', '.join(known)}, got {given!r}")


def read_settings(arguments: dict[str, Any]) -> FleetSettings:
    """Read the arguments of a fleet's application. The paths of networks become the absolute paths of their files.

    Links are not followed, because clients ask for a network by the name in the path.

    Raises:
        ValueError: if an argument is not as expected, or the shadow cannot be compared; a single line.
        FileNotFoundError: if there are no weights.
    """
    try:
        settings = msgspec.convert(arguments, FleetSettings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected arguments {', '.join(FleetSettings.__struct_fields__)}, got: {error}") from error
    weights = resolve_weights(settings.weights).absolute()
    if settings.shadow is None:
        return msgspec.structs.replace(settings, weights=str(weights))
    shadow = resolve_weights(settings.shadow).absolute()
    _check_shadow(weights, shadow)
    return msgspec.structs.replace(settings, weights=str(weights), shadow=str(shadow))


def read_token_of(settings: FleetSettings) -> str | None:
    """The token that clients must show; None if they need none.

    Raises:
        ValueError: if there is no token in its file; a single line that names this machine.
    """
    from server.wire.token import read_token  # imported here, because replicas need nothing of `server.wire`

    if settings.token_file is None:
        return None
    try:
        return read_token(Path(settings.token_file).absolute())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected token_file on every machine, got on {platform.node()}: {error_text(error)}"
        ) from error


def _check_shadow(weights: Path, shadow: Path) -> None:
    """Check by the two cards that the comparison is fair.

    Raises:
        ValueError: if the shadow looks for another target, or needs larger images than the network: images come in the
            network's size.
    """
    card, other = read_card(weights), read_card(shadow)
    if card.profile.name != other.profile.name:
        raise ValueError(
            f"expected a shadow whose first target is the network's, {card.profile.name}, "
            f"got {other.profile.name} in {shadow}"
        )
    if card.input_px is not None and other.input_px is not None and other.input_px > card.input_px:
        raise ValueError(
            f"expected a shadow whose input has at most the network's {card.input_px} px, "
            f"got {other.input_px} in {shadow}"
        )
