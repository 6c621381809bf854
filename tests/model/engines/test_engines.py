import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.engines import load_engine
from model.engines.openvino import OpenVinoEngine
from model.engines.tensorflow import TensorFlowEngine
from model.images import resize_rgb
from model.loading import weights_sha256
from model.scoring import HERO, has_hero, intersection_over_union, threshold

WEIGHTS = Path(__file__).resolve().parents[3] / "weights" / "model_weights.keras"
PX = 32


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """An FCN of 4 filters with random weights, from a seed."""
    import keras

    from model.fcn import Widths

    keras.utils.set_random_seed(3)
    image = keras.Input((PX, PX, 3))
    path = tmp_path_factory.mktemp("weights") / "network.keras"
    keras.Model(image, Widths((4,), 4, (4,)).probabilities(image, 3)).save(path)
    return path


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, PX, PX, 3), np.uint8)


def test_both_engines_give_the_probabilities_of_the_same_network(network):
    openvino, tensorflow = OpenVinoEngine(network).infer(images(1)), TensorFlowEngine(network).infer(images(1))
    assert openvino.shape == tensorflow.shape == (1, PX, PX, 3)
    np.testing.assert_allclose(tensorflow.sum(axis=-1), 1, atol=1e-5)
    # bfloat16 has 8 bits.
    np.testing.assert_allclose(openvino, tensorflow, atol=0.05)


def test_an_exact_engine_computes_in_float32_on_every_cpu(network):
    exact = load_engine("openvino", network, is_exact=True)
    assert exact.description.endswith("f32")
    np.testing.assert_allclose(exact.infer(images(1)), TensorFlowEngine(network).infer(images(1)), atol=1e-3)


def test_an_engine_tells_its_weights_as_a_recording_names_them(network):
    engine = load_engine("openvino", network.with_suffix(""))
    assert engine.weights == str(network.with_suffix(""))
    assert engine.weights_sha256 == hashlib.sha256(network.read_bytes()).hexdigest() == weights_sha256(network)
    other = network.with_name("other.keras")
    other.write_bytes(network.read_bytes() + b"\0")
    assert weights_sha256(other) != engine.weights_sha256


def test_a_batch_gives_what_its_images_give_one_by_one(network):
    engine = TensorFlowEngine(network)
    one_by_one = np.concatenate([engine.infer(image[None]) for image in images()])
    np.testing.assert_allclose(engine.infer(images()), one_by_one, atol=1e-5)


def test_a_start_with_the_network_in_the_cache_needs_no_tensorflow(network):
    load_engine("openvino", network)
    code = (
        "import sys; from model.engines import load_engine; load_engine('openvino', sys.argv[1]);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, network], env=os.environ, check=False).returncode == 0


def test_a_cache_that_cannot_be_written_costs_a_warning(network, tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert load_engine("openvino", network).input_px == PX
    assert "cannot cache converted networks" in caplog.text


def test_the_card_beside_the_weights_names_the_classes(network, tmp_path):
    carded = tmp_path / network.name
    carded.write_bytes(network.read_bytes())
    carded.with_suffix(".json").write_text(json.dumps({"classes": ["hero", "people", "surroundings"]}))
    assert load_engine("openvino", carded).card.classes == ("hero", "people", "surroundings")


def test_auto_takes_openvino_where_there_is_no_gpu(network):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU that TensorFlow sees")
    assert "OpenVINO" in load_engine("auto", network).description


@pytest.mark.parametrize(
    ("engine", "weights", "message"),
    [
        ("torch", "any", "engine must be one of auto, openvino, tensorflow, got 'torch'"),
        ("openvino", "no/such/weights", "expected a network at no/such/weights"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(engine, weights, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_engine(engine, weights)
    assert "\n" not in str(caught.value)


def test_a_network_of_other_classes_is_refused(tmp_path):
    import keras

    path = tmp_path / "two.keras"
    image = keras.Input((PX, PX, 3))
    keras.Model(image, keras.layers.Conv2D(2, 1, activation="softmax")(image)).save(path)
    with pytest.raises(ValueError, match="expected a network with classes surroundings, people, hero, got 2 outputs"):
        load_engine("openvino", path)


@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no shipped weights at {WEIGHTS}")
def test_the_engines_agree_on_real_frames(data_dir):
    openvino, tensorflow = OpenVinoEngine(WEIGHTS), TensorFlowEngine(WEIGHTS)
    agreements, overlaps = [], []
    for name in ("following_images", "patrol_non_targ", "patrol_with_targ"):
        files = sorted((data_dir / "sample_evaluation_data" / name / "images").glob("*.jpeg"))[::20]
        for file in files:
            with Image.open(file) as image:
                batch = resize_rgb(image, openvino.input_px)[None]
            one, other = (threshold(engine.infer(batch)[0]) for engine in (openvino, tensorflow))
            agreements.append(has_hero(one) == has_hero(other))
            if name == "following_images" and has_hero(one) and has_hero(other):
                overlaps.append(intersection_over_union(one, other)[HERO])
    assert len(agreements) > 50
    assert all(agreements)
    assert np.mean(overlaps) >= 0.99
