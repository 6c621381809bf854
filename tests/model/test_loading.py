import io
import json
import logging
import os
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from model.loading import (
    GPU_MEMORY_MB,
    import_keras,
    input_px,
    is_converted,
    is_legacy,
    legacy_config,
    load_network,
    network_files,
    network_name,
    networks_in,
    resolve_weights,
)
from tools.simulator.server_process import REPOSITORY


def in_fresh_python(code, *arguments):
    """Run `code` in a new interpreter; returns the result with its output."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def network_of(*, px=4, output_layer=None, channels=3):
    image = keras.Input((px, px, channels))
    return keras.Model(image, (output_layer or keras.layers.Conv2D(3, 1, activation="softmax"))(image))


@pytest.fixture
def saved(tmp_path):
    """A small network saved by Keras 3."""
    path = tmp_path / "model_weights.keras"
    network_of().save(path)
    return path


@pytest.fixture
def legacy_pair(tmp_path):
    return save_legacy_pair(tmp_path)


def save_legacy_pair(folder):
    """A small network as the original tools saved it: upsampling by 2 after a pooling by 2."""
    specs = [
        ("InputLayer", "input_1", {"batch_input_shape": [None, 4, 4, 3]}, []),
        ("MaxPooling2D", "pool", {"pool_size": [2, 2]}, ["input_1"]),
        ("BilinearUpSampling2D", "up", {"size": [2, 2]}, ["pool"]),
    ]
    layers = [
        {"class_name": kind, "name": name, "config": config, "inbound_nodes": [[[s, 0, 0, {}] for s in sources]]}
        for kind, name, config, sources in specs
    ]
    config = {"layers": layers, "input_layers": [["input_1", 0, 0]], "output_layers": [["up", 0, 0]]}
    path = folder / "old_weights"
    (folder / "config_old_weights").write_text(json.dumps(json.dumps({"class_name": "Model", "config": config})))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([], "S1")
    return path


# --- finding


def test_a_keras_file_is_found_with_and_without_its_ending(saved):
    assert resolve_weights(saved) == saved
    assert resolve_weights(str(saved.with_suffix(""))) == saved
    assert not is_legacy(saved)


def test_an_ending_is_added_not_exchanged(tmp_path):
    (tmp_path / "run.2.keras").touch()
    assert resolve_weights(tmp_path / "run.2") == tmp_path / "run.2.keras"


def test_a_legacy_file_is_found_under_its_own_name_even_beside_a_keras_file(legacy_pair):
    legacy_pair.with_name("old_weights.keras").touch()
    assert resolve_weights(legacy_pair) == legacy_pair
    assert is_legacy(legacy_pair)


def test_the_files_of_a_network_are_all_that_it_depends_on(saved, legacy_pair):
    assert network_files(saved.with_suffix("")) == (saved,)
    assert network_files(legacy_pair) == (legacy_pair, legacy_config(legacy_pair))


def test_a_conversion_without_weights_stands_for_its_network(tmp_path):
    folder = tmp_path / "run.2.openvino"
    (folder / "int8").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):  # because it is empty
        resolve_weights(folder)
    (folder / "int8" / "network.bin").write_text("")
    assert resolve_weights(tmp_path / "run.2") == resolve_weights(folder) == folder
    assert (is_legacy(folder), is_converted(folder)) == (False, True)
    assert (network_name(folder), network_files(folder)) == ("run.2", (folder / "int8" / "network.bin",))
    with pytest.raises(ValueError, match="only OpenVINO can run") as caught:
        load_network(folder)
    assert str(caught.value).startswith(f"expected run.2.keras, the network itself, beside {folder}")
    folder.with_suffix(".keras").touch()
    assert resolve_weights(tmp_path / "run.2") == folder.with_suffix(".keras")


def test_nothing_found_says_where_and_what_was_expected(tmp_path):
    (tmp_path / "weights").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "weights"):
        with pytest.raises(FileNotFoundError) as caught:
            resolve_weights(path)
        assert str(caught.value) == (
            f"expected a network at {path}: a .keras file (with or without its ending), a legacy HDF5 file with "
            f"config_{path.name} beside it, or a folder {path.name}.openvino; found none of them"
        )


@pytest.mark.parametrize("path", [".", "/"])
def test_a_folder_without_a_name_is_no_network(path):
    with pytest.raises(ValueError, match=f"^expected a network, got the folder {path}$"):
        resolve_weights(path)


def test_a_legacy_file_without_its_config_says_which_is_missing(legacy_pair):
    legacy_config(legacy_pair).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        resolve_weights(legacy_pair)
    assert str(caught.value) == (
        f"expected config_old_weights, which describes the layers of old_weights, found no {legacy_config(legacy_pair)}"
    )


def test_the_config_of_a_legacy_pair_stands_for_its_weights(legacy_pair):
    assert resolve_weights(legacy_config(legacy_pair)) == legacy_pair


def test_a_legacy_file_that_holds_its_config_needs_no_other(legacy_pair):
    config = legacy_config(legacy_pair)
    with h5py.File(legacy_pair, "a") as file:
        file.attrs["model_config"] = json.loads(config.read_text())
    config.unlink()
    assert network_files(legacy_pair) == (legacy_pair,)
    assert load_network(legacy_pair).output_shape == (None, 4, 4, 3)


@pytest.mark.parametrize("name", ["model_weights.keras", "old_weights", "config_old_weights"])
def test_a_pointer_of_git_lfs_is_called_by_its_name(saved, legacy_pair, name):
    path = legacy_pair.with_name(name)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(ValueError, match="Git LFS") as caught:
        resolve_weights(legacy_pair if name == "config_old_weights" else path)
    assert str(caught.value) == f"{path}: expected a file, got its Git LFS pointer: fetch the file with git lfs pull"


@pytest.mark.parametrize("how", ["weights alone", "weights with a config", "the whole network", "both"])
def test_hdf5_files_of_todays_keras_are_refused_with_what_to_do(tmp_path, how):
    network = network_of()
    path = tmp_path / ("m.weights.h5" if how.startswith("weights") else "full.h5")
    network.save_weights(path) if how.startswith("weights") else network.save(path)
    if how in ("weights with a config", "both"):
        legacy_config(path).write_text(network.to_json())
    with pytest.raises(ValueError, match=r"a file of Keras 3: .* save it as \.keras, network\.save\('") as caught:
        load_network(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_network_at_all_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.txt: expected a whole HDF5 file, got "):
        resolve_weights(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("part", "network"),
    [
        ("dog.v2.json", "dog.v2"),
        ("dog.v2.second_look.json", "dog.v2"),
        ("dog.v2.second_look.xml", "dog.v2"),
        ("dog.openvino/int8/network.xml", "dog.openvino"),
        ("dog.openvino/int8", "dog.openvino"),
    ],
)
def test_a_file_that_belongs_to_a_network_is_refused_with_the_networks_name(tmp_path, part, network):
    (tmp_path / "dog.openvino" / "int8").mkdir(parents=True)
    if not (tmp_path / part).exists():
        (tmp_path / part).touch()
    with pytest.raises(ValueError, match="expected a network, got ") as caught:
        resolve_weights(tmp_path / part)
    assert str(caught.value) == (
        f"expected a network, got {tmp_path / part}, which belongs to one: give {tmp_path / network}"
    )


def test_finding_loads_neither_keras_nor_tensorflow(saved):
    result = in_fresh_python(
        f"import sys; from model.loading import network_files; network_files({str(saved)!r}); "
        "print(sorted({'keras', 'tensorflow', 'h5py'} & set(sys.modules)))"
    )
    assert result.stdout == "[]\n"


# --- opening


def test_a_keras_network_opens(saved):
    network = load_network(saved.with_suffix(""))
    assert input_px(network) == 4
    assert network.output_shape == (None, 4, 4, 3)


def test_a_legacy_network_opens_and_opens_again_once_saved_by_todays_keras(legacy_pair):
    network = load_network(legacy_pair)
    network.save(legacy_pair.with_name("new_weights.keras"))
    image = np.random.default_rng(0).uniform(-1, 1, (2, 4, 4, 3)).astype(np.float32)
    again = load_network(legacy_pair.with_name("new_weights"))
    np.testing.assert_array_equal(np.asarray(again(image)), np.asarray(network(image)))


OPEN_ALONE = """
import resource, sys
from model.loading import load_network
print(load_network(sys.argv[1]).output_shape)
import tensorflow as tf
faults = []
for _ in range(6):
    tf.fill((64, 1024, 1024), 0.5)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[1])
"""


@pytest.fixture(scope="module")
def opened_alone(tmp_path_factory) -> subprocess.CompletedProcess:
    """A program of its own, whose import of TensorFlow takes seconds, so several tests look at its output.

    It prints the shape of a network with legacy layers, then the page faults of four large tensors.
    """
    folder = tmp_path_factory.mktemp("alone")
    load_network(save_legacy_pair(folder)).save(folder / "new_weights.keras")
    return in_fresh_python(OPEN_ALONE, folder / "new_weights")


def test_a_network_with_legacy_layers_opens_in_a_program_that_knows_only_loading(opened_alone):
    assert opened_alone.stdout.splitlines()[0] == "(None, 4, 4, 3)"
    assert opened_alone.stderr == ""  # the libraries' notes at their start are kept from the user


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half a zip"])
def test_a_damaged_keras_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "model_weights.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a network saved by Keras 3, got ") as caught:
        load_network(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_keras_file_is_refused_without_waiting_for_keras(tmp_path):
    (tmp_path / "model_weights.keras").write_bytes(b"not a zip")
    program = (
        "import sys; from model.loading import load_network\n"
        "try: load_network(sys.argv[1])\n"
        "except ValueError: print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert in_fresh_python(program, tmp_path / "model_weights").stdout == "[]\n"


def test_a_truncated_keras_file_is_refused_in_one_line(saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="expected a network saved by Keras 3, got ") as caught:
        load_network(saved)
    assert "\n" not in str(caught.value)


def test_a_network_for_images_beyond_any_camera_is_refused(tmp_path):
    network_of(px=100_000).save(tmp_path / "model_weights.keras")
    with pytest.raises(ValueError, match="expected an input of at most 2048 px, got 100000 px"):
        load_network(tmp_path / "model_weights")


def changed_config(saved, change):
    """Change the text of the config in a `.keras` file."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = change(parts["config.json"].decode()).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def flip_a_bit(saved):
    data = bytearray(saved.read_bytes())
    data[data.index(b"config.json") + 200] ^= 4
    saved.write_bytes(data)


def set_in_headers(saved, local, value):
    """Set two bytes in all headers of the archive, `local` from the start of a local one."""
    data = bytearray(saved.read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", local + 2)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset : at + offset + 2] = value.to_bytes(2, "little")
            at = data.find(signature, at + 4)
    saved.write_bytes(data)


def claim_much(saved):
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        file.create_dataset("more", (2**41,), np.float32, chunks=(1024,))
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in (parts | {"model.weights.h5": weights.getvalue()}).items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flip_a_bit, "config.json"),
        (lambda saved: set_in_headers(saved, 6, 1), "encrypted"),
        (lambda saved: set_in_headers(saved, 8, 99), "compression"),
        (lambda saved: changed_config(saved, lambda text: "[" * 100_000), "recursion"),
        (lambda saved: changed_config(saved, lambda text: "[]"), ""),
        (lambda saved: changed_config(saved, lambda text: text + " " * 20_000_000), "more than 10,000,000"),
        (
            lambda saved: changed_config(saved, lambda text: text.replace('"filters": 3', '"filters": 1000000000')),
            "1000000000 filters, while the largest dimension of the weights is 3",
        ),
        (claim_much, "more than 200,000,000"),
    ],
    ids=["bit flip", "encrypted", "oddly compressed", "nested", "a list", "long", "large layer", "8 TiB"],
)
def test_a_spoiled_keras_file_is_refused_in_one_line(saved, spoil, reason):
    spoil(saved)
    with pytest.raises(ValueError, match="expected a network saved by Keras 3, got ") as caught:
        load_network(saved)
    assert str(caught.value).startswith(f"{saved}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (network_of(channels=4), "(None, 4, 4, 4) to (None, 4, 4, 3)"),
        (network_of(output_layer=keras.layers.Flatten()), "(None, 4, 4, 3) to (None, 48)"),
        (network_of(output_layer=keras.layers.MaxPooling2D()), "(None, 4, 4, 3) to (None, 2, 2, 3)"),
        (network_of(px=None), "(None, None, None, 3) to (None, None, None, 3)"),
    ],
    ids=["four channels", "no image out", "half size out", "open size"],
)
def test_a_network_that_does_not_map_frames_to_masks_is_refused(tmp_path, network, shapes):
    network.save(tmp_path / "model_weights.keras")
    with pytest.raises(ValueError, match="with a fixed px") as caught:
        load_network(tmp_path / "model_weights")
    assert str(caught.value).endswith(f"got {shapes}")


def test_the_networks_of_a_folder_are_found_by_their_names(tmp_path):
    for folder in ("run/best", ".copy"):
        (tmp_path / folder).mkdir(parents=True)
    hidden = ("._a.keras", ".copy/a.keras")
    for name in ("a.keras", "a.json", "model", "config_model", "config_alone", *hidden, "run/best/b.keras"):
        (tmp_path / name).write_text("")
    for name in ("a", "run/c"):
        (tmp_path / f"{name}.openvino" / "f32").mkdir(parents=True)
        (tmp_path / f"{name}.openvino" / "f32" / "network.bin").write_text("")
    names = [file.relative_to(tmp_path).as_posix() for file in networks_in(tmp_path)]
    assert names == ["a.keras", "model", "run/best/b.keras", "run/c.openvino"]


def test_tensorflow_is_told_before_it_loads_to_share_a_gpus_memory(tmp_path):
    (tmp_path / "keras.py").write_text("import os; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"}
    environment.pop("TF_FORCE_GPU_ALLOW_GROWTH", None)
    program = "from model.loading import import_keras; import_keras()"
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout == "true\n"


# --- memory


@pytest.mark.skipif(sys.platform == "win32", reason="NO resource: Windows does not count page faults")
def test_tensorflow_keeps_the_memory_of_large_tensors_for_the_next_ones(opened_alone):
    pages_of_a_tensor = 64 * 1024 * 1024 * 4 // 4096
    assert int(opened_alone.stdout.splitlines()[1]) < pages_of_a_tensor


def test_the_use_of_several_networks_gives_no_warning_of_retracing(caplog):
    import_keras()
    tensorflow = logging.getLogger("tensorflow")
    tensorflow.warning("5 out of the last 5 calls to <function> triggered tf.function retracing.")
    tensorflow.error("this is wrong")
    assert [line.getMessage() for line in caplog.records] == ["this is wrong"]


def test_a_gpus_memory_is_bounded_before_it_is_used(monkeypatch):
    import tensorflow as tf

    bounds = {"GPU:0": None, "GPU:1": "bounded before"}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [*bounds] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", bounds.get)
    monkeypatch.setattr(tf.config, "set_logical_device_configuration", bounds.__setitem__)
    monkeypatch.setenv(GPU_MEMORY_MB, "512")
    import_keras()
    ((bound,), other) = bounds.values()
    assert (bound.memory_limit, other) == (512, "bounded before")


@pytest.mark.parametrize("megabytes", ["0", "-1", "1.5", "all"])
def test_a_bound_of_memory_that_is_no_number_of_megabytes_is_refused(monkeypatch, megabytes):
    monkeypatch.setenv(GPU_MEMORY_MB, megabytes)
    with pytest.raises(ValueError, match=f"expected megabytes, .* in {GPU_MEMORY_MB}, got '{megabytes}'"):
        import_keras()
