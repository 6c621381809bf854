"""The arguments of a fleet's application: what is taken and what is refused."""

import platform
from pathlib import Path

import pytest

from model.loading import network_name, resolve_weights
from server.fleet_settings import FleetSettings, read_settings, read_token_of
from tools.simulator.server_process import SHIPPED_WEIGHTS

SMALL = SHIPPED_WEIGHTS.with_name("fcn4")  # 160 px; the shipped network has 256


def test_paths_of_networks_become_those_of_their_files():
    settings = read_settings({"weights": str(SHIPPED_WEIGHTS), "shadow": str(SMALL), "most_replicas": "2"})
    assert settings == FleetSettings(f"{SHIPPED_WEIGHTS}.keras", f"{SMALL}.keras", most_replicas=2)


def test_a_network_that_is_named_by_a_link_has_the_name_of_the_link(tmp_path):
    (tmp_path / "current.keras").symlink_to(f"{SHIPPED_WEIGHTS}.keras")
    settings = read_settings({"weights": str(tmp_path / "current")})
    # A server asks for the model of this name, see `model.engines.remote.connect`.
    assert network_name(Path(settings.weights)) == network_name(resolve_weights(tmp_path / "current")) == "current"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"replica": 2}, "expected arguments weights, shadow, .*, got: .*replica"),
        ({"engine": "opnvino"}, "expected arguments .*, got: expected engine auto, .*, got 'opnvino'"),
        ({"precision": "int4"}, "expected arguments .*, got: expected precision auto, .*, got 'int4'"),
        ({"replicas": 2}, "expected arguments .*, got: expected 1 <= replicas <= most_replicas, got 2 and 1"),
        (
            {"weights": str(SMALL), "shadow": str(SHIPPED_WEIGHTS)},
            r"expected a shadow whose input has at most the network's 160 px, got 256 in .*model_weights\.keras",
        ),
        (
            {"weights": str(SHIPPED_WEIGHTS), "shadow": str(SHIPPED_WEIGHTS.with_name("dog"))},
            r"expected a shadow whose first target is the network's, hero, got dog in .*dog\.openvino",
        ),
    ],
)
def test_what_makes_no_fleet_is_refused_in_one_line(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}.*$"):
        read_settings(arguments)


def test_the_token_is_read_on_the_machine_that_builds_the_application(tmp_path):
    file = tmp_path / "token"
    settings = FleetSettings(token_file=str(file))
    expected = f"^expected token_file on every machine, got on {platform.node()}: .*"
    with pytest.raises(ValueError, match=f"{expected}expected {file}, which does not exist$"):
        read_token_of(settings)
    file.write_text("short")
    with pytest.raises(ValueError, match=f"{expected}expected a token of 16 to 200 letters"):
        read_token_of(settings)
    file.write_text("0123456789abcdef\n")
    assert read_token_of(settings) == "0123456789abcdef"
    assert read_token_of(FleetSettings()) is None
