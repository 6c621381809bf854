"""Conversions that are shipped beside weights, of a small network with random weights."""

import shutil

import keras
import numpy as np
import pytest

from model.engines import load_engine
from model.engines.shipped import shipped, shipped_folder
from model.fcn import Widths
from tools.convert import main
from tools.shipping import converting

PX = 32

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(3)
    image = keras.Input((PX, PX, 3))
    path = tmp_path_factory.mktemp("weights") / "network.keras"
    keras.Model(image, Widths((4,), 4, (4,)).probabilities(image, 3)).save(path)
    return path


@pytest.fixture
def network(saved, tmp_path):
    shutil.copy(saved, tmp_path)
    return tmp_path / saved.name


def test_a_network_is_converted_to_a_folder_beside_it(network, capsys):
    assert main([str(network.with_suffix(""))]) == 0
    assert "answers as Keras does to within" in capsys.readouterr().out
    assert shipped(network, "f32")
    assert sorted(file.name for file in network.parent.iterdir()) == ["network.keras", "network.openvino"]
    assert [file.name for file in (network.parent / "network.openvino").iterdir()] == ["f32"]
    assert load_engine("openvino", network, "f32").description.endswith("f32")


def test_converting_again_renews_what_was_there_and_names_an_int8_of_other_weights(network, capsys):
    assert main([str(network)]) == 0
    shutil.copytree(shipped_folder(network, "f32"), shipped_folder(network, "int8"))
    changed = keras.saving.load_model(network)
    changed.set_weights([2 * weights for weights in changed.get_weights()])
    changed.save(network)
    assert shipped(network, "f32") is None
    assert main([str(network)]) == 0
    assert shipped(network, "f32")
    assert "network.openvino/int8: of other weights; renew it with tools/quantize.py" in capsys.readouterr().out


def test_a_conversion_that_answers_otherwise_is_not_kept(network, capsys, monkeypatch):
    monkeypatch.setattr(converting, "coarse", lambda probabilities: np.zeros((8, 8, 3)))
    assert main([str(network)]) == 2
    assert "expected OpenVINO to answer as Keras does, got a difference of" in capsys.readouterr().err
    assert shipped(network, "f32") is None
