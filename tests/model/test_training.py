import json
import shutil
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from support.eager import eager_steps
from support.networks import save_colour_network
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from model import training
from model.batches import AugmentedBatches
from model.checkpoint import restore
from model.dataset import Frames
from model.fcn import Widths
from model.folders import write_whole
from model.hysteresis import best_thresholds, count
from model.loading import networks_in
from model.networks import NETWORKS, build, layers_in
from model.profile import HERO_FILE, hero_profile
from model.recipes import PRECISIONS, TrainingConfig
from model.run_folder import BEGUN_WITH, CHECKPOINT, KEPT, LOG, SETTINGS, TENSORBOARD, WEIGHTS, check_run
from model.scoring import HERO, PEOPLE, HeroScore
from model.training import (
    RunKeeper,
    Trained,
    averaged_weights,
    compiled_network,
    finish,
    save_float32,
    train,
)
from model.training_log import EpochLog, best_epoch, read_log
from model.validation import predict, validate


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    """Networks of 4 filters with one or no encoder and decoder block: these tests are about the training only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", Widths((4,), 4, (4,)))
        patch.setitem(NETWORKS, "tiniest", Widths((), 4, ()))
        yield


@pytest.fixture(autouse=True, scope="module")
def without_graphs():
    """`tests/tools/test_train.py` trains with graphs."""
    with eager_steps():
        yield


TINY = {
    "network": "tiniest",
    "input_px": 8,
    "crop_px": 8,
    "augmentation": "light",
    "epochs": 4,
    "steps": 2,
    "validate_every": 2,
    "batch": 4,
    "hero_share": 0.5,
    "keep": "best",
    "decision": "half",
}


def tiny(**changes):
    return TrainingConfig(**(TINY | changes))


def frames(seed=0):
    """Six frames of noise; in every other one the hero, 4 px, is brighter."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 128, (6, 8, 8, 3), dtype=np.uint8)
    masks = np.zeros((6, 8, 8), np.uint8)
    masks[::2, 3:5, 3:5] = HERO
    images[masks == HERO] += 100
    return Frames(images, masks)


# --- what is kept after each epoch


@pytest.fixture
def scores(monkeypatch):
    """The hero IoU of each validation to come, all frames found."""
    coming = []
    monkeypatch.setattr(training, "validate", lambda network, frames: HeroScore(coming.pop(0), 1, 0, 0))
    return coming


def kept_network(folder, name=WEIGHTS):
    return keras.saving.load_model(folder / name, compile=False)


def fill(network, value):
    network.set_weights([np.full_like(weights, value) for weights in network.get_weights()])


def test_the_weights_of_the_best_epoch_are_kept(tmp_path, scores):
    scores += [0.3, 0.6, 0.5, 0.6]
    network = compiled_network(tiny())
    keeper = RunKeeper(tmp_path, tiny(validate_every=1), frames(), [])
    keeper.set_model(network)
    for epoch in range(4):
        fill(network, epoch + 1)
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert all((weights == 2).all() for weights in kept_network(tmp_path, KEPT).get_weights())
    assert [line.validation.hero_iou for line in read_log(tmp_path / LOG)] == [0.3, 0.6, 0.5, 0.6]


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path, scores):
    scores += [0.6, 0.5, 0.4]
    config = tiny(keep="last", epochs=3, validate_every=1)
    network = compiled_network(config)
    keeper = RunKeeper(tmp_path, config, frames(), [])
    keeper.set_model(network)
    for epoch in range(3):
        fill(network, epoch + 1)
        keeper.on_epoch_end(epoch, {"loss": 1.0})
        assert (tmp_path / KEPT).exists() == (epoch == 2)
    assert all((weights == 3).all() for weights in kept_network(tmp_path, KEPT).get_weights())


def test_weights_from_before_an_interruption_stay_if_they_are_better(tmp_path, scores):
    scores += [0.3]
    keeper = RunKeeper(tmp_path, tiny(epochs=2), frames(), [EpochLog(1, 1.5, HeroScore(0.4, 1, 0, 0))])
    keeper.set_model(compiled_network(tiny()))
    keeper.on_epoch_end(1, {"loss": 1.0})
    assert not (tmp_path / KEPT).exists()
    assert [line.epoch for line in read_log(tmp_path / LOG)] == [1, 2]


@pytest.mark.parametrize(
    ("validate_every", "scored"), [(3, [3, 6, 7]), (1, [1, 2, 3, 4, 5, 6, 7]), (7, [7]), (100, [7])]
)
def test_an_epoch_in_so_many_and_the_last_are_scored(tmp_path, scores, monkeypatch, validate_every, scored):
    monkeypatch.setattr(training, "write_whole", lambda path, write: write(path) if path.name == LOG else None)
    scores += [0.1] * len(scored)
    keeper = RunKeeper(tmp_path, tiny(epochs=7, validate_every=validate_every), frames(), [])
    keeper.set_model(compiled_network(tiny()))
    for epoch in range(7):
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert [line.epoch for line in read_log(tmp_path / LOG) if line.validation] == scored


def test_saved_weights_are_float32_and_equal_those_trained_in_mixed_precision(tmp_path):
    config = tiny(network="tiny")
    network = compiled_network(config)
    assert network.get_layer("encoder1_separable").compute_dtype == "bfloat16"
    save_float32(network, config, tmp_path / WEIGHTS)
    saved = kept_network(tmp_path)
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}
    for mine, its in zip(network.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(saved(image)), np.asarray(network(image)), atol=0.02)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_compute_in_the_precision_of_the_settings(precision):
    network = compiled_network(tiny(network="tiny", precision=precision))
    assert network.get_layer("encoder1_separable").compute_dtype == precision.removeprefix("mixed_")


# --- the moving average of the weights


def apply(network, gradient):
    """One step of the optimizer with the same gradient for every weight."""
    trained = network.trainable_variables
    network.optimizer.apply([np.full(variable.shape, gradient, np.float32) for variable in trained], trained)


def test_the_average_is_validated_and_kept_and_training_goes_on_from_its_own_weights(tmp_path, monkeypatch):
    config = tiny(average=0.5, validate_every=1, schedule="constant", learning_rate=0.1, weight_decay=0.0)
    network, kernels = compiled_network(config), []

    def first_kernel():
        return float(network.trainable_variables[0].numpy().flat[0])

    def noted(network, frames):
        kernels.append(first_kernel())
        return HeroScore(0.5, 1, 0, 0)

    monkeypatch.setattr(training, "validate", noted)
    keeper = RunKeeper(tmp_path, config, frames(), [])
    keeper.set_model(network)
    fill(network, 1)
    apply(network, 1)  # Adam's first steps are as long as the learning rate: 0.9, where the average begins
    apply(network, 1)  # 0.8; the average is then 0.5 · 0.9 + 0.5 · 0.8
    keeper.on_epoch_end(0, {"loss": 1.0})
    assert kernels == [pytest.approx(0.85, abs=1e-4)]
    assert kept_network(tmp_path, KEPT).trainable_variables[0].numpy().flat[0] == pytest.approx(0.85, abs=1e-4)
    assert first_kernel() == pytest.approx(0.8, abs=1e-4)
    restored = compiled_network(config)
    restore(restored, config, tmp_path / CHECKPOINT)
    assert restored.trainable_variables[0].numpy().flat[0] == pytest.approx(0.8, abs=1e-4)


def test_without_an_average_the_weights_themselves_are_validated():
    network = compiled_network(tiny())
    fill(network, 1)
    with averaged_weights(network):
        assert all((weights == 1).all() for weights in network.get_weights())


def test_the_callers_dtype_policy_is_left_as_it_was():
    with pytest.raises(ZeroDivisionError), layers_in("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "float32"


# --- schedule and settings


@pytest.mark.parametrize(
    ("epochs", "step", "rate"),
    [
        (10, 0, 0.0),
        (10, 5, 1e-3),  # 10 of 100 steps warm up
        (10, 10, 2e-3),
        (10, 55, 2e-3 * (0.005 + 0.995 / 2)),  # half of the cosine
        (10, 100, 2e-3 * 0.005),
        (400, 100, 1e-3),  # of 4000 steps 200 do, not 400
    ],
)
def test_the_learning_rate_warms_up_then_falls_along_a_cosine(epochs, step, rate):
    optimizer = compiled_network(tiny(epochs=epochs, steps=10)).optimizer
    optimizer.iterations.assign(step)
    assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)


def test_a_constant_learning_rate_neither_warms_up_nor_falls():
    optimizer = compiled_network(tiny(schedule="constant", learning_rate=1e-4)).optimizer
    for step in (0, 5, 8):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(1e-4)


@pytest.mark.parametrize(("weight_decay", "left"), [(0.5, 1 - 0.5 * 0.1), (0.0, 1)])
def test_weights_decay_but_norms_and_biases_do_not(weight_decay, left):
    config = tiny(network="tiny", schedule="constant", learning_rate=0.1, weight_decay=weight_decay)
    network = compiled_network(config)
    fill(network, 1)
    trained = network.trainable_variables
    network.optimizer.apply([np.zeros(variable.shape, np.float32) for variable in trained], trained)
    after = {variable.path.replace("/", "_"): variable.numpy() for variable in trained}
    # Encoder and decoder have two kernels each, bottleneck and output one; each has a bias, all but the output a norm.
    kernels = [name for name in after if name.endswith("kernel")]
    others = [name for name in after if name.endswith(("gamma", "beta", "bias"))]
    assert (len(kernels), len(others), len(after)) == (6, 10, 16)
    for name in kernels:
        np.testing.assert_allclose(after[name], left, rtol=1e-6)
    for name in others:
        np.testing.assert_array_equal(after[name], 1)


def test_the_network_in_training_takes_crops_and_whole_frames():
    network = compiled_network(tiny(network="tiny"))
    for px in (8, 16):
        assert network(np.zeros((1, px, px, 3), np.float32)).shape == (1, px, px, 3)


# --- runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny(), frames(), frames(1), folder)
    return folder


def assert_same_run(folder, other, config=None):
    """Log, best weights and the state to go on from, optimizer included, are equal to the last bit."""
    assert (folder / LOG).read_text() == (other / LOG).read_text()
    for mine, its in zip(kept_network(folder).get_weights(), kept_network(other).get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    states = []
    for out in (folder, other):
        network = compiled_network(config or tiny())
        assert restore(network, config or tiny(), out / CHECKPOINT) == 4
        states.append([variable.numpy() for variable in (*network.variables, *network.optimizer.variables)])
    for mine, its in zip(*states, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_run_killed_and_resumed_ends_exactly_as_an_uninterrupted_one(tmp_path, monkeypatch, whole):
    write_whole = training.write_whole

    def train_until(file, epochs_logged):
        """Train until a file is half written after this number of logged epochs."""

        def killed(path, write):
            if path.name == file and len(read_log(tmp_path / LOG)) == epochs_logged:
                path.with_name(".part-" + path.name).write_bytes(b"half a file")
                raise KeyboardInterrupt
            write_whole(path, write)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "write_whole", killed)
            train(tiny(), frames(), frames(1), tmp_path)

    train_until(LOG, 1)  # epoch 2 left best weights, and no line in the log
    assert (tmp_path / KEPT).exists()
    train_until(CHECKPOINT, 3)  # epoch 3 left its line in the log, and no checkpoint
    assert [line.epoch for line in read_log(tmp_path / LOG)] == [1, 2, 3]
    train_until(WEIGHTS, 4)  # all epochs are done, and the weights to use are not there
    train(tiny(), frames(), frames(1), tmp_path)
    assert_same_run(tmp_path, whole)


def test_the_average_survives_a_kill(tmp_path, monkeypatch):
    averaging, write_whole = tiny(average=0.9), training.write_whole
    train(averaging, frames(), frames(1), tmp_path / "whole")

    def killed(path, write):
        if path.name == LOG and len(read_log(path)) == 2:
            raise KeyboardInterrupt
        write_whole(path, write)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "write_whole", killed)
        train(averaging, frames(), frames(1), tmp_path / "killed")
    train(averaging, frames(), frames(1), tmp_path / "killed")
    assert_same_run(tmp_path / "killed", tmp_path / "whole", averaging)


def test_the_same_seed_gives_the_same_weights_however_many_processes_draw_batches(tmp_path, whole):
    train(tiny(workers=3), frames(), frames(1), tmp_path)
    assert_same_run(tmp_path, whole)


def test_another_seed_gives_other_weights(tmp_path, whole):
    train(tiny(seed=1), frames(), frames(1), tmp_path)
    mine, its = kept_network(tmp_path).get_weights(), kept_network(whole).get_weights()
    assert not np.allclose(mine[0], its[0])
    assert (tmp_path / LOG).read_text() != (whole / LOG).read_text()


def test_each_epoch_draws_its_own_batches_in_order(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        training.AugmentedBatches,
        "__getitem__",
        lambda self, step: drawn.append((self.epoch, step)) or (frames().images / np.float32(255), frames().masks),
    )
    train(tiny(epochs=3), frames(), frames(1), tmp_path)
    # Keras also looks at the first two batches beforehand, for their shapes.
    assert drawn[2:] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_far_people_are_pasted_into_crops_and_thresholds_chosen_on_whole_frames(tmp_path):
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 16, 16), np.uint8)
    masks[::2, 4:9, 4:9], masks[1::2, 8:13, 3:8] = HERO, PEOPLE
    scenes = Frames(rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), masks)
    shapes = []
    trained = train(
        tiny(input_px=16, augmentation="far", decision="hysteresis", epochs=1),
        scenes,
        scenes,
        tmp_path,
        lambda batches: shapes.append(batches[0][0].shape),
    )
    assert shapes == [(4, 8, 8, 3)]
    network = kept_network(tmp_path)
    assert trained.weights == tmp_path / WEIGHTS
    assert network.input_shape == (None, 16, 16, 3)
    assert network.get_layer("hysteresis").get_config().items() >= trained.thresholds._asdict().items()
    assert trained.validation == validate(network, scenes)
    counts = map(count, predict(kept_network(tmp_path, KEPT), scenes), scenes.masks == HERO)
    assert trained.thresholds == best_thresholds(counts)


def test_without_hysteresis_the_best_epochs_network_is_the_weights_to_use(whole):
    best, weights = kept_network(whole, KEPT), kept_network(whole)
    assert [layer.name for layer in weights.layers] == [layer.name for layer in best.layers]
    for mine, its in zip(weights.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_run_tells_what_it_left(whole):
    trained = finish(tiny(), frames(1), whole)
    assert trained == Trained(whole / WEIGHTS, None, best_epoch(read_log(whole / LOG)).validation)


def test_a_run_tells_its_batches_before_the_first_step(tmp_path):
    told = []

    def look(batches):
        told.append(batches[0])
        assert json.loads((tmp_path / "run" / SETTINGS).read_text()) == asdict(tiny()) | {
            "hold_out": [],
            "more_profiles": [],
        }
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), frames(), frames(1), tmp_path / "run", look)
    assert {file.name for file in (tmp_path / "run").iterdir()} == {SETTINGS, BEGUN_WITH}
    expected = AugmentedBatches(
        frames(),
        augmentation="light",
        crop_px=8,
        batch=4,
        steps=2,
        hero_share=0.5,
        seed=0,
        weights=np.ones(6),
        profile=hero_profile(),
    )
    for mine, its in zip(told[0], expected[0], strict=True):
        np.testing.assert_array_equal(mine, its)


def test_the_sampling_weights_of_the_settings_reach_the_batches(monkeypatch):
    given = []
    monkeypatch.setattr(training, "AugmentedBatches", lambda frames, weights, **settings: given.append(weights))
    training.draw_batches(tiny(near_weight=3.0, people_weight=2.0), frames())
    np.testing.assert_array_equal(given[0], frames().weights(near=3.0, people=2.0))
    assert set(given[0]) == {1.0, 3.0}  # the hero's 4 of 64 px are near


@pytest.mark.parametrize(("validation_steps", "scored"), [(0, [0, 1, 2, 3, 4, 5]), (1, [0, 1, 3, 4]), (9, range(6))])
def test_validation_may_take_a_part_of_its_frames_evenly_spread(tmp_path, monkeypatch, validation_steps, scored):
    # 1 batch of 4 frames of 6: 0, 1.5, 3 and 4.5.
    seen = []

    class SeenError(Exception):
        pass

    def stop(out, config, validation, log):
        seen.append(validation)
        raise SeenError

    monkeypatch.setattr(training, "RunKeeper", stop)
    with pytest.raises(SeenError):
        train(tiny(validation_steps=validation_steps), frames(), frames(1), tmp_path)
    np.testing.assert_array_equal(seen[0].images, frames(1).images[list(scored)])
    np.testing.assert_array_equal(seen[0].masks, frames(1).masks[list(scored)])


def test_a_part_of_the_validation_set_without_the_hero_is_refused(tmp_path):
    hidden = Frames(frames().images, frames().masks[[1, 0, 3, 1, 3, 5]])  # the hero in the second alone
    with pytest.raises(ValueError, match="more than 3 pixels of the hero for validation, got none of 2"):
        train(tiny(batch=2, validation_steps=1), frames(), hidden, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def logged(folder, tag):
    """Epoch, from 1, and value of what TensorBoard shows of a run."""
    (events,) = (folder / TENSORBOARD / "train").iterdir()
    reader = EventAccumulator(str(events))
    reader.Reload()
    return [(event.step + 1, float(make_ndarray(event.tensor_proto))) for event in reader.Tensors(tag)]


def test_tensorboard_shows_loss_and_validation_quality(whole):
    log = read_log(whole / LOG)
    assert logged(whole, "epoch_loss") == [(line.epoch, pytest.approx(line.loss, abs=1e-6)) for line in log]
    scored = [(line.epoch, line.validation) for line in log if line.validation]
    assert [epoch for epoch, _ in scored] == [2, 4]
    assert logged(whole, "epoch_quality") == [(epoch, pytest.approx(score.quality)) for epoch, score in scored]
    assert logged(whole, "epoch_hero_iou") == [(epoch, pytest.approx(score.hero_iou)) for epoch, score in scored]


def test_a_run_cannot_start_from_weights_of_other_shapes(tmp_path, whole):
    larger = tiny(start=str(whole / WEIGHTS), network="fcn1")
    complaint = r"expected weights of a fcn1 to start from in .*model_weights\.keras, got those of a "
    with pytest.raises(ValueError, match=complaint):
        train(larger, frames(), frames(1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="expected weights of a fpn to start from in "):
        training.start_from(build("fpn", 32), whole / WEIGHTS)


def test_a_run_cannot_go_on_with_other_frames_another_profile_or_other_weights(tmp_path, whole):
    def stop(batches):
        raise KeyboardInterrupt

    shutil.copy(whole / WEIGHTS, tmp_path / "start.keras")
    shutil.copy(HERO_FILE, tmp_path / "mine.toml")
    config = tiny(start=str(tmp_path / "start.keras"), profile=str(tmp_path / "mine.toml"))

    def refused(what, *given):
        with pytest.raises(ValueError, match=f"expected the {what} that the run in .* was begun with, got others"):
            train(config, *given, tmp_path / "run", stop)

    with pytest.raises(KeyboardInterrupt):
        train(config, frames(), frames(1), tmp_path / "run", stop)
    refused("frames to learn from", frames(2), frames(1))
    refused("validation frames", frames(), frames(2))
    text = (tmp_path / "mine.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("is_mirrored = true", "is_mirrored = false"))
    refused("profiles", frames(), frames(1))
    (tmp_path / "mine.toml").write_text(text)
    save_colour_network(tmp_path, 8, 1.0).replace(tmp_path / "start.keras")
    refused("weights to start from", frames(), frames(1))
    shutil.copy(whole / WEIGHTS, tmp_path / "start.keras")
    with pytest.raises(KeyboardInterrupt):
        train(config, frames(), frames(1), tmp_path / "run", stop)


def test_a_run_also_learns_what_its_teacher_says(tmp_path, whole):
    teacher = shutil.copy(whole / WEIGHTS, tmp_path / "teacher.keras")
    config = tiny(teacher=str(teacher))
    trained = train(config, frames(), frames(1), tmp_path / "run")
    assert trained.weights.exists()
    taught, alone = (read_log(folder / LOG)[0].loss for folder in (tmp_path / "run", whole))
    assert taught > alone  # the same random weights and the same batches, and what the teacher says on top
    save_colour_network(tmp_path, 8, 1.0).replace(teacher)
    complaint = r"expected the teacher's weights that the run in .* was begun with, got others"
    with pytest.raises(ValueError, match=complaint):
        train(config, frames(), frames(1), tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        train(tiny(teacher=str(tmp_path / "none.keras")), frames(), frames(1), tmp_path / "other")


def test_a_run_that_keeps_thresholds_needs_a_start_that_has_some(tmp_path, whole):
    both = tiny(sets="both", keep="last", decision="hysteresis", start=str(whole / WEIGHTS))
    with pytest.raises(
        ValueError, match=r"expected a network with two thresholds to start from in .*, got one without"
    ):
        train(both, frames(), frames(1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_that_is_resumed_trains_no_more(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / "copy")
    train(tiny(), frames(), frames(1), folder)
    assert_same_run(folder, whole)


HALF = "half a file"  # a word that no library's message has


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (BEGUN_WITH, "[1]", "expected the notes of a training in .*begun_with.json, got list"),
        (BEGUN_WITH, '{"profiles"', "expected the notes of a training in .*begun_with.json, got: Expecting"),
        (LOG, None, r"expected the 4 epochs that checkpoint.weights.h5 has behind it in .*log.csv, got 0"),
        (LOG, "epoch,loss,quality\n1,2.5,\n", r"expected the 4 epochs that .*, got 1"),
        (KEPT, None, "expected a network at .*kept_epoch.keras"),
        (KEPT, HALF, "kept_epoch.keras: expected a network saved by Keras 3, got "),
        (CHECKPOINT, HALF, "expected the state of a tiniest in .*checkpoint.weights.h5, got: "),
    ],
)
def test_a_run_whose_files_are_damaged_is_refused_before_anything_is_written(tmp_path, whole, name, content, reason):
    folder = shutil.copytree(whole, tmp_path / "copy")
    (folder / WEIGHTS).unlink()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    with pytest.raises((ValueError, OSError), match=reason) as refused:
        train(tiny(), frames(), frames(1), folder)
    assert "\n" not in str(refused.value)
    assert {file: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_a_checkpoint_that_was_overwritten_in_places_is_refused_in_one_line(tmp_path, whole):
    folder, content = shutil.copytree(whole, tmp_path / "copy"), (whole / CHECKPOINT).read_bytes()
    for at in (600, 2000):  # in the index of names, where errors are of other kinds than of a file that is cut off
        (folder / CHECKPOINT).write_bytes(content[:at] + bytes(400) + content[at + 400 :])
        with pytest.raises(ValueError, match=r"^expected the state of a tiniest in .*checkpoint.weights.h5, got: .*$"):
            train(tiny(), frames(), frames(1), folder)


def test_a_checkpoint_without_the_number_of_its_steps_is_refused(tmp_path, whole):
    """As a failing disk leaves it: the file is whole, but a block of values is zero."""
    folder = shutil.copytree(whole, tmp_path / "copy")
    network = compiled_network(tiny())
    network.optimizer.build(network.trainable_variables)
    for steps in (0, 7, 10):  # there are 4 epochs of 2 steps
        network.optimizer.iterations.assign(steps)
        network.save_weights(folder / CHECKPOINT)
        with pytest.raises(ValueError, match=rf"the steps of 1 to 4 whole epochs in .*{CHECKPOINT}, got {steps}$"):
            train(tiny(), frames(), frames(1), folder)


def test_a_run_killed_before_its_first_file_is_whole_begins_again(tmp_path, monkeypatch):
    def killed(text, *_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        train(tiny(), frames(), frames(1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    check_run(tmp_path, tiny(), resume=False)


def test_a_network_that_is_being_written_is_not_offered(tmp_path):
    offered = []
    write_whole(tmp_path / "a.keras", lambda part: offered.append((part.touch(), networks_in(tmp_path))))
    assert offered == [(None, [])]
    assert networks_in(tmp_path) == [tmp_path / "a.keras"]


def test_settings_that_are_damaged_are_refused_by_their_name(tmp_path):
    for text in ("", "[1]", "null", '{"network"', "\xff"):
        (tmp_path / SETTINGS).write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=rf"expected the notes of a training in {tmp_path / SETTINGS}, got"):
            check_run(tmp_path, tiny(), resume=True)


@pytest.mark.parametrize("hero_px", [0, 3])
def test_validation_without_the_hero_is_refused_before_anything_is_written(tmp_path, hero_px):
    masks = np.zeros((6, 8, 8), np.uint8)
    masks[:, 0, :hero_px] = HERO
    nobody = Frames(frames().images, masks)
    with pytest.raises(ValueError, match="more than 3 pixels of the hero for validation, got none of 6"):
        train(tiny(), frames(), nobody, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_set_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"batch must be 1 to 6 \(the whole set\), got 7"):
        train(tiny(batch=7), frames(), frames(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_new_run_takes_a_new_or_an_empty_folder(tmp_path):
    check_run(tmp_path, tiny(), resume=False)
    (tmp_path / ".DS_Store").touch()  # the Finder has looked into it
    check_run(tmp_path, tiny(), resume=False)
    check_run(tmp_path / "new", tiny(), resume=False)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"expected a run folder, got the file .*/file"):
        check_run(tmp_path / "file", tiny(), resume=False)
    with pytest.raises(
        OSError, match=r"expected to be able to write into the folder .*/file/run, got: Not a directory"
    ):
        check_run(tmp_path / "file" / "run", tiny(), resume=False)


def test_a_folder_with_a_run_or_with_anything_else_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"expected a new or empty run folder, but .* holds other files"):
        check_run(tmp_path, tiny(), resume=False)
    (tmp_path / SETTINGS).touch()
    with pytest.raises(ValueError, match=r"but .* holds a run: continue it by the same command with --resume"):
        check_run(tmp_path, tiny(), resume=False)


def test_resuming_needs_a_run_of_the_same_settings(tmp_path):
    with pytest.raises(ValueError, match=r"expected an interrupted run in .* to resume, found no settings.json"):
        check_run(tmp_path, tiny(), resume=True)
    (tmp_path / SETTINGS).write_text(json.dumps(asdict(tiny(epochs=9, hold_out=("r1", "r2")))))
    check_run(tmp_path, tiny(epochs=9, hold_out=("r1", "r2")), resume=True)
    with pytest.raises(ValueError, match=r"expected hold_out \['r1', 'r2'\], as .* has it, to resume, got \['r1'\]"):
        check_run(tmp_path, tiny(epochs=9, hold_out=("r1",)), resume=True)
    (tmp_path / SETTINGS).write_text(json.dumps(asdict(tiny(epochs=9))))
    with pytest.raises(ValueError, match=r"expected epochs 9, as .*settings\.json has it, to resume, got 4"):
        check_run(tmp_path, tiny(), resume=True)
