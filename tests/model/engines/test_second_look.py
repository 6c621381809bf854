"""A second look made, saved, loaded beside a network, and asked."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.networks import save_pixel_network

from model.crops import CROP_PX
from model.engines import load_engine
from model.engines.conversion import openvino_model, write_network
from model.engines.second_look import SecondLook, second_look_file
from model.second_look import build, likeness

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A file, crops, and Keras's likenesses of the crops."""
    file, network = tmp_path_factory.mktemp("look") / "network.second_look.xml", build()
    write_network(openvino_model(network), file, is_half=True)
    crops = np.random.default_rng(0).integers(0, 256, (9, *CROP_PX, 4), dtype=np.uint8)
    return file, crops, likeness(network, crops)


def test_openvino_says_what_keras_says_of_any_number_of_crops(made):
    file, crops, expected = made
    look = SecondLook(file)
    for count in (0, 1, len(crops)):
        # Its weights are saved in half precision.
        np.testing.assert_allclose(look.likeness(crops[:count]), expected[:count], atol=0.02)


@pytest.fixture
def network(tmp_path) -> Path:
    return save_pixel_network(tmp_path, 32, np.zeros((1, 1, 3, 3)), np.zeros(3))


def test_it_is_loaded_if_the_networks_card_has_evidence_for_it(network, made):
    file = second_look_file(network)
    for ending in (".xml", ".bin"):
        file.with_suffix(ending).write_bytes(made[0].with_suffix(ending).read_bytes())
    assert load_engine("openvino", network).second_look is None
    network.with_suffix(".json").write_text(json.dumps({"second_evidence": {"likeness": 1.0}}))
    engine = load_engine("openvino", network)
    assert engine.second_look is not None
    np.testing.assert_allclose(engine.second_look.likeness(made[1]), made[2], atol=0.02)


def test_a_card_without_its_second_look_is_refused(network):
    network.with_suffix(".json").write_text(json.dumps({"second_evidence": {"likeness": 1.0}}))
    with pytest.raises(
        FileNotFoundError, match=r"expected a second look, as the network's card says, in .*xml, got none"
    ):
        load_engine("openvino", network)


@pytest.mark.parametrize("content", [b"", b"<net/>", b"nonsense"])
def test_a_damaged_file_is_refused_in_a_line(tmp_path, content):
    file = tmp_path / "network.second_look.xml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a second look of \(48, 24\) px in .*, got: ") as refused:
        SecondLook(file)
    assert "\n" not in str(refused.value)


def test_one_that_is_no_number_is_refused(tmp_path):
    broken = build()
    broken.layers[-1].set_weights([np.full((32, 1), np.nan), np.zeros(1)])
    file = tmp_path / "network.second_look.xml"
    write_network(openvino_model(broken), file, is_half=True)
    with pytest.raises(ValueError, match="expected a second look with one finite output"):
        SecondLook(file)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system doesn't tell")
def test_inference_does_not_pin_the_calling_thread(network, made):
    """OpenVINO would pin the calling thread to a core, in each process to the same core."""
    before = os.sched_getaffinity(0)
    load_engine("openvino", network, threads=1).infer(np.zeros((1, 32, 32, 3), np.uint8))
    SecondLook(made[0]).likeness(made[1])
    assert os.sched_getaffinity(0) == before
