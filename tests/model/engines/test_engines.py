import hashlib
import json
import logging
import math
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from PIL import Image

from model.engines import beside as beside_module
from model.engines import cache, load_engine
from model.engines import openvino as openvino_module
from model.engines.beside import load_beside
from model.engines.conversion import NOTE, read_conversion
from model.engines.openvino import OpenVinoEngine
from model.engines.parts import parts_sha256
from model.engines.second_look import second_look_files
from model.engines.self_test import coarse, known_frame
from model.engines.shipped import shipped, shipped_folder
from model.engines.tensorflow import TensorFlowEngine
from model.images import resize_rgb
from model.loading import weights_sha256
from model.pair_files import replace_file
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
    exact = load_engine("openvino", network, "f32")
    assert exact.description.endswith("f32")
    np.testing.assert_allclose(exact.infer(images(1)), TensorFlowEngine(network).infer(images(1)), atol=1e-3)


def test_an_engine_tells_its_weights_as_a_recording_names_them(network):
    engine = load_engine("openvino", network.with_suffix(""))
    assert engine.weights == str(network.with_suffix(""))
    assert engine.weights_sha256 == hashlib.sha256(network.read_bytes()).hexdigest() == weights_sha256(network)
    other = network.with_name("other.keras")
    other.write_bytes(network.read_bytes() + b"\0")
    assert weights_sha256(other) != engine.weights_sha256


def test_an_engine_tells_what_else_its_answers_depend_on(tmp_path):
    for file in WEIGHTS.parent.glob(f"{WEIGHTS.stem}.*"):
        copy = shutil.copytree if file.is_dir() else shutil.copy
        copy(file, tmp_path / file.name)
    weights = tmp_path / WEIGHTS.name
    engine = load_engine("openvino", weights, "int8")
    former = engine.parts_sha256
    assert former.keys() == {"card", "second look", "int8 conversion"}
    assert load_engine("openvino", weights, "f32").parts_sha256.keys() == {"card", "second look"}
    for part, file in (
        ("card", weights.with_suffix(".json")),
        ("second look", second_look_files(weights)[1]),
        ("int8 conversion", shipped_folder(weights, "int8") / "network.bin"),
    ):
        replace_file(file, file.read_bytes() + b" ")
        now = parts_sha256(weights, engine)
        assert [name for name in now if now[name] != former[name]] == [part]
        former = now


def test_an_engine_without_a_card_and_a_second_look_says_so(network):
    nothing = hashlib.sha256().hexdigest()
    assert load_engine("openvino", network, "f32").parts_sha256 == {"card": nothing, "second look": nothing}


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


def test_a_precision_that_this_cpu_does_not_compute_is_refused(network):
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert load_engine("openvino", network, "bf16").description.endswith("bf16")
    else:
        with pytest.raises(ValueError, match="expected a device that computes in bfloat16 for precision bf16, got CPU"):
            load_engine("openvino", network, "bf16")


def test_openvino_chooses_a_device_by_itself_if_asked_to(network):
    engine = load_engine("auto", network, device="AUTO")
    assert "OpenVINO" in engine.description
    assert " on the AUTO" in engine.description
    np.testing.assert_allclose(engine.infer(images(1)), TensorFlowEngine(network).infer(images(1)), atol=0.05)


@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        ("auto", "GPU.7", r"expected a device that OpenVINO finds here \(CPU.*\), got GPU\.7"),
        ("openvino", "cpu", r"expected a device that OpenVINO finds here \(CPU.*\), got cpu"),
        ("tensorflow", "GPU", "expected no device for TensorFlow, which finds a GPU by itself, got GPU"),
    ],
)
def test_a_device_that_is_not_there_is_told_in_one_line(network, engine, device, message):
    with pytest.raises(ValueError, match=message):
        load_engine(engine, network, device=device)


def test_a_cache_that_cannot_be_written_costs_a_warning(network, tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert load_engine("openvino", network).input_px == PX
    assert "cannot cache converted networks" in caplog.text


def test_the_card_beside_the_weights_names_the_classes(network, tmp_path):
    carded = tmp_path / network.name
    carded.write_bytes(network.read_bytes())
    carded.with_suffix(".json").write_text(json.dumps({"classes": ["surroundings", "hero", "people"]}))
    assert load_engine("openvino", carded).card.classes == ("surroundings", "hero", "people")


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_what_is_assumed_of_a_network_without_a_card_is_told_once(network, tmp_path, caplog, engine):
    caplog.set_level(logging.INFO)
    bare = Path(shutil.copy(network, tmp_path))
    load_engine(engine, bare)
    assert [line for line in caplog.messages if "no card" in line] == [
        f"no card {bare.with_suffix('.json')}, so these settings are assumed: classes surroundings, people, hero; "
        "pixels (value - 127.5) / 127.5; hero above probability 0.50"
    ]
    caplog.clear()
    bare.with_suffix(".json").write_text("{}")
    load_engine(engine, bare)
    assert "no card" not in caplog.text


def test_auto_takes_openvino_where_there_is_no_gpu(network):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU that TensorFlow sees")
    assert "OpenVINO" in load_engine("auto", network).description


@pytest.mark.parametrize(
    ("engine", "weights", "precision", "message"),
    [
        ("torch", "any", "auto", "engine must be one of auto, openvino, tensorflow, got 'torch'"),
        ("openvino", "no/such/weights", "auto", "expected a network at no/such/weights"),
        ("openvino", "any", "f16", "precision must be one of auto, int8, bf16, f32, got 'f16'"),
        ("tensorflow", WEIGHTS, "int8", "expected precision f32 or auto for TensorFlow, got int8"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(engine, weights, precision, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_engine(engine, weights, precision)
    assert "\n" not in str(caught.value)


def test_a_network_of_other_classes_is_refused(tmp_path):
    import keras

    path = tmp_path / "two.keras"
    image = keras.Input((PX, PX, 3))
    keras.Model(image, keras.layers.Conv2D(2, 1, activation="softmax")(image)).save(path)
    with pytest.raises(ValueError, match="expected a network with classes surroundings, people, hero, got 2 outputs"):
        load_engine("openvino", path)


@pytest.fixture(scope="module")
def sealed(network, tmp_path_factory) -> Path:
    """A cache that holds the network."""
    cache = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        load_engine("openvino", network)
    return cache


@pytest.fixture
def cached(sealed, tmp_path, monkeypatch) -> Path:
    """The folder of the network in a cache of the test's own."""
    shutil.copytree(sealed, tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder,) = (tmp_path / "cache" / "drone-follow-me").iterdir()
    return folder


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for at in range(len(data) // 3, len(data), max(1, len(data) // 50)):
        data[at] ^= 0x55
    file.write_bytes(data)


DAMAGES = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "missing": Path.unlink,
    "flipped": flip,
}


@pytest.mark.parametrize("name", ["network.xml", "network.bin", NOTE])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_of_a_converted_network_is_noticed(cached, name, damage):
    assert sorted(file.name for file in cached.iterdir()) == [NOTE, "network.bin", "network.xml"]
    assert read_conversion(cached)
    DAMAGES[damage](cached / name)
    assert read_conversion(cached) is None


def damage_answer(folder: Path, answer: list) -> None:
    note = json.loads((folder / NOTE).read_text())
    (folder / NOTE).write_text(json.dumps({**note, "answer": answer}))


@pytest.mark.parametrize("answer", [[[[0.5, 0.5], [1.0]]], [[[math.nan]]], []])
def test_a_known_answer_that_is_no_even_array_of_numbers_is_damage(cached, answer):
    damage_answer(cached, answer)
    assert read_conversion(cached) is None


def test_a_damaged_conversion_is_made_anew_and_leaves_nothing_over(network, cached, caplog):
    flip(cached / "network.bin")
    load_engine("openvino", network)
    assert "is damaged: it is made anew" in caplog.text
    assert read_conversion(cached)
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]


def test_a_cache_that_is_whole_but_gives_another_answer_is_made_anew(network, cached, caplog):
    note = json.loads((cached / NOTE).read_text())
    damage_answer(cached, (1 - np.array(note["answer"])).tolist())
    load_engine("openvino", network)
    assert "does not give its known answer: it is made anew" in caplog.text
    assert json.loads((cached / NOTE).read_text())["answer"] == note["answer"]


def test_an_engine_that_never_gives_the_known_answer_is_refused(network, cached, monkeypatch):
    monkeypatch.setattr(openvino_module, "agrees", lambda *_: False)
    with pytest.raises(ValueError, match=r"network\.keras: expected the network's known answer on a known frame"):
        load_engine("openvino", network)


PROGRAM_THAT_CONVERTS = """
import sys
reports = []
sys.addaudithook(lambda event, _: event in ("os.fork", "socket.getaddrinfo") and reports.append(event))
from model.engines import load_engine
load_engine("openvino", sys.argv[1])
sys.exit(" ".join(reports) or None)  # a text makes the exit status 1
"""


def test_what_is_converted_without_a_cache_leaves_nothing_in_temporary_folders_and_is_reported_to_nobody(
    network, tmp_path
):
    blocked, temporary = tmp_path / "file", tmp_path / "tmp"
    blocked.write_text("not a folder")
    temporary.mkdir()
    environment = {**os.environ, "XDG_CACHE_HOME": str(blocked), "TMPDIR": str(temporary)}
    program = [sys.executable, "-c", PROGRAM_THAT_CONVERTS, network]
    subprocess.run(program, env=environment, check=True)
    assert list(temporary.iterdir()) == []


def test_a_network_loaded_beside_another_is_as_if_loaded_alone(network):
    beside, alone = load_beside("openvino", str(network), "auto", "CPU"), load_engine("openvino", network)
    frame = known_frame(alone.input_px)
    np.testing.assert_array_equal(beside.infer(frame), alone.infer(frame))
    assert (beside.weights, beside.weights_sha256) == (alone.weights, alone.weights_sha256)


def test_a_network_that_cannot_be_loaded_beside_another_is_told_in_one_line(tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK\x03\x04 no more of it")
    with pytest.raises(ValueError, match=r"^[^\n]*damaged\.keras[^\n]*$"):
        load_beside("openvino", str(damaged), "auto", "CPU")
    with pytest.raises(ValueError, match="expected a network at no/such/network"):
        load_beside("openvino", "no/such/network", "auto", "CPU")
    monkeypatch.setattr(beside_module, "_PROGRAM", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ValueError, match="got a file that crashes the program that opens it: Segmentation fault"):
        load_beside("openvino", str(damaged), "auto", "CPU")


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_a_network_of_nan_is_refused(network, tmp_path, engine):
    import keras

    broken = keras.saving.load_model(network)
    broken.set_weights([weights * np.nan for weights in broken.get_weights()])
    broken.save(tmp_path / "nan.keras")
    with pytest.raises(ValueError, match=r"nan\.keras: expected probabilities on a camera image, got values from nan"):
        load_engine(engine, tmp_path / "nan.keras")


@pytest.fixture
def beside(network, sealed, tmp_path) -> Path:
    """The network with its conversion shipped beside it; nothing is in the cache."""
    weights = tmp_path / network.name
    shutil.copy(network, weights)
    (converted,) = (sealed / "drone-follow-me").iterdir()
    shutil.copytree(converted, shipped_folder(weights, "f32"))
    return weights


@pytest.fixture
def no_conversions(monkeypatch):
    def convert(weights, folder):
        raise AssertionError(f"{weights} is converted")

    monkeypatch.setattr(cache, "convert", convert)


def test_a_conversion_beside_the_weights_is_used_as_it_is(beside, no_conversions):
    before = {file: file.read_bytes() for file in beside.parent.rglob("*") if file.is_file()}
    assert load_engine("openvino", beside).input_px == PX
    assert {file: file.read_bytes() for file in beside.parent.rglob("*") if file.is_file()} == before


def test_a_conversion_of_other_weights_is_not_used(beside, caplog):
    import keras

    changed = keras.saving.load_model(beside)
    changed.set_weights([2 * weights for weights in changed.get_weights()])
    changed.save(beside)
    engine = load_engine("openvino", beside)
    assert (
        f"{shipped_folder(beside, 'f32')} was made from other weights and is not used: tools/convert.py" in caplog.text
    )
    np.testing.assert_allclose(engine.infer(images(1)), TensorFlowEngine(beside).infer(images(1)), atol=0.05)


def test_a_conversion_with_another_normalisation_is_not_used(beside):
    assert shipped(beside, "f32")
    beside.with_suffix(".json").write_text(json.dumps({"scale": 100.0}))
    assert shipped(beside, "f32") is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_conversion_beside_the_weights_is_not_used(beside, damage, caplog):
    DAMAGES[damage](shipped_folder(beside, "f32") / "network.bin")
    load_engine("openvino", beside)
    assert "is damaged and not used: tools/convert.py makes it anew" in caplog.text


def test_a_conversion_beside_the_weights_with_an_uneven_known_answer_is_not_used(beside, caplog):
    damage_answer(shipped_folder(beside, "f32"), [[[0.5, 0.5], [1.0]]])
    load_engine("openvino", beside)
    assert "is damaged and not used: tools/convert.py makes it anew" in caplog.text


def test_a_conversion_is_served_without_its_weights(beside, no_conversions):
    with_weights = load_engine("auto", beside).infer(images(1))
    beside.unlink()
    engine = load_engine("auto", beside.with_suffix(""))
    np.testing.assert_array_equal(engine.infer(images(1)), with_weights)
    assert engine.weights_sha256 == weights_sha256(beside.with_suffix(".openvino"))
    with pytest.raises(ValueError, match=r"expected a conversion that can be used for precision int8, got f32$"):
        load_engine("openvino", beside.with_suffix(""), "int8")
    DAMAGES["cut"](shipped_folder(beside, "f32") / "network.bin")
    with pytest.raises(ValueError, match=r"expected a conversion that can be used for precision auto, got f32$"):
        load_engine("openvino", beside.with_suffix(""))


def test_int8_that_is_not_there_is_refused_and_auto_does_without(beside, no_conversions):
    with pytest.raises(
        ValueError, match=r"expected its int8 conversion in .*network\.openvino/int8, which tools/quanti"
    ):
        load_engine("openvino", beside, "int8")
    assert not load_engine("openvino", beside).description.endswith("int8")


@pytest.mark.parametrize("precision", ["int8", "f32"])
def test_a_part_of_an_image_gives_what_the_whole_gives_there(precision):
    """Except for its outermost pixels, because their surroundings are missing."""
    engine = load_engine("openvino", WEIGHTS, precision)
    assert engine.part_px == (160, 96)
    frame = known_frame(engine.input_px)
    whole, part = engine.infer(frame)[:, :160, :96], engine.infer(np.ascontiguousarray(frame[:, :160, :96]))
    assert part.shape == (1, 160, 96, 3)
    inside = np.s_[0, :144, :80]
    people = whole[inside][..., 1:].sum(axis=-1) > 0.5
    assert people.sum() > 1000
    assert (threshold(part[inside]) == threshold(whole[inside])).mean() > 0.99
    # As before: the two sizes do not disturb each other.
    np.testing.assert_array_equal(engine.infer(frame)[:, :160, :96], whole)


@pytest.mark.parametrize("precision", ["int8", "f32"])
def test_images_at_the_same_time_give_what_each_gives_alone(precision):
    """So a replay, which infers one image at a time, decides like the server: answers are the same to the digit."""
    engine = load_engine("openvino", WEIGHTS, precision)
    whole = known_frame(engine.input_px)
    images = [whole, whole[:, ::-1].copy(), whole[:, :160, :96].copy()] * 4
    alone = [engine.infer(image) for image in images]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(engine.infer, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=0 if len(one[0]) == engine.input_px else 1e-5)


def test_a_network_whose_part_gives_something_else_takes_whole_images_only(network, monkeypatch):
    assert load_engine("openvino", network).part_px == (PX * 5 // 8, PX * 3 // 8)
    monkeypatch.setattr(openvino_module, "TOLERANCE", -1.0)
    assert load_engine("openvino", network).part_px is None


def test_auto_takes_int8_where_it_was_measured_to_be_the_fastest():
    engine = load_engine("openvino", WEIGHTS)
    assert engine.description.endswith("int8") == (platform.machine().lower() in ("x86_64", "amd64"))


@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_engines_of_lower_precision_pass_the_self_test_with_room(precision):
    """The difference of the shipped network's answers to those in float32; a tenth is allowed."""
    fast, exact = (load_engine("openvino", WEIGHTS, each) for each in (precision, "f32"))
    frame = known_frame(exact.input_px)
    one, other = coarse(fast.infer(frame)), coarse(exact.infer(frame))
    assert np.abs(one - other).max() < 0.02
    assert other[..., exact.card.classes.index("hero")].max() > 0.2, "the frame shows the hero"


@pytest.fixture(scope="module")
def real_frames(data_dir) -> list[tuple[np.ndarray, np.ndarray]]:
    """A few frames of `validation`, each as an engine takes it, and TensorFlow's mask of it."""
    tensorflow, frames = load_engine("tensorflow", WEIGHTS), []
    for file in sorted((data_dir / "validation" / "images").glob("*.jpeg"))[::20]:
        with Image.open(file) as image:
            batch = resize_rgb(image, tensorflow.input_px)[None]
        frames.append((batch, threshold(tensorflow.infer(batch)[0])))
    return frames


@pytest.mark.parametrize(("precision", "agreement", "overlap"), [("f32", 1.0, 0.999), ("int8", 0.98, 0.97)])
def test_the_engines_agree_on_real_frames(real_frames, precision, agreement, overlap):
    """int8 agrees on 99 % of all frames of `validation`, see `tests/test_weights.py`."""
    engine = load_engine("openvino", WEIGHTS, precision)
    agreements, overlaps = [], []
    for batch, other in real_frames:
        one = threshold(engine.infer(batch)[0])
        agreements.append(has_hero(one) == has_hero(other))
        if has_hero(one) and has_hero(other):
            overlaps.append(intersection_over_union(one, other)[HERO])
    assert len(agreements) > 50
    assert np.mean(agreements) >= agreement
    assert np.mean(overlaps) >= overlap
