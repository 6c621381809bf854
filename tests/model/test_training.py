import json
import math
from dataclasses import asdict

import keras
import numpy as np
import pytest

from model import training
from model.dataset import Frames
from model.fcn import Widths
from model.networks import NETWORKS
from model.scoring import CLASSES, HERO
from model.training import (
    CHECKPOINT,
    LOG,
    SETTINGS,
    WEIGHTS,
    EpochLog,
    RunKeeper,
    SegmentationLoss,
    TrainingConfig,
    Validation,
    best_epoch,
    check_run,
    compiled_network,
    layers_in,
    read_log,
    save_float32,
    train,
    validate,
    write_log,
)

SURROUNDINGS, PEOPLE = CLASSES.index("surroundings"), CLASSES.index("people")
# Below this a probability of 0, which the loss takes for a millionth, is no difference.
NOTHING = 1e-4


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    """One encoder block of 4 filters: what is tested here is the training, not the network."""
    monkeypatch.setitem(NETWORKS, "tiny", Widths((4,), 4, (4,)))


def tiny(**changes):
    return TrainingConfig(**({"network": "tiny", "input_px": 8, "epochs": 4, "steps": 1, "batch": 4} | changes))


def frames(seed=0):
    """Six frames of noise; in every other one the hero, 4 px, is brighter."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 128, (6, 8, 8, 3), dtype=np.uint8)
    masks = np.zeros((6, 8, 8), np.uint8)
    masks[::2, 3:5, 3:5] = HERO
    images[masks == HERO] += 100
    return Frames(images, masks)


# --- loss


def certain(numbers):
    """(1, H, W, classes) probabilities that say a mask's class numbers."""
    return np.eye(len(CLASSES), dtype=np.float32)[np.asarray(numbers)][None]


def loss_of(numbers, probabilities, empty_pull=0.5):
    loss = SegmentationLoss(empty_pull).call(np.asarray(numbers, np.uint8)[None], np.asarray(probabilities, np.float32))
    assert loss.shape == (1,)
    return float(loss[0])


def half_hero(numbers, where):
    """Certain of a mask's classes, but for half hero and half surroundings at `where`."""
    probabilities = certain(numbers)
    probabilities[0][where] = [0.5, 0.0, 0.5]
    return probabilities


@pytest.mark.parametrize("numbers", [np.zeros((2, 2), int), [[0, 1], [2, 2]], [[2, 2], [2, 2]]])
def test_a_perfect_prediction_costs_nothing(numbers):
    assert loss_of(numbers, certain(numbers)) == pytest.approx(0, abs=NOTHING)


def test_a_half_found_hero_costs_its_cross_entropy_and_the_lack_of_overlap():
    numbers = np.array([[HERO, 0], [0, 0]])
    # Cross-entropy 4 · ln 2 at one pixel of 4; overlap 0.5 of a union 0.5 + 1 − 0.5 = 1.
    assert loss_of(numbers, half_hero(numbers, (0, 0))) == pytest.approx(4 * math.log(2) / 4 + 0.5, abs=NOTHING)


def test_half_found_people_cost_half_as_much_in_either_term():
    numbers = np.array([[PEOPLE, 0], [0, 0]])
    probabilities = certain(numbers)
    probabilities[0, 0, 0] = [0.5, 0.5, 0.0]
    assert loss_of(numbers, probabilities) == pytest.approx(2 * math.log(2) / 4 + 0.5 * 0.5, abs=NOTHING)


@pytest.mark.parametrize("empty_pull", [0.0, 0.5, 1.0])
def test_a_false_hero_costs_more_the_stronger_the_pull_to_nothing(empty_pull):
    nobody = np.zeros((2, 2), int)
    # Half a hero at each of 4 pixels: cross-entropy ln 2; false probability 2 px of 2 + 20.
    expected = math.log(2) + empty_pull * 2 / 22
    assert loss_of(nobody, half_hero(nobody, slice(None)), empty_pull) == pytest.approx(expected, abs=NOTHING)


def test_one_hero_counts_as_much_as_another_whatever_its_size():
    overlap_terms = []
    for pixels in (20, 800):
        numbers = np.where(np.arange(1024) < pixels, HERO, 0).reshape(32, 32)
        cross_entropy = 4 * math.log(2) * pixels / 1024
        overlap_terms.append(loss_of(numbers, half_hero(numbers, numbers == HERO)) - cross_entropy)
    # Half of each found, and nothing beside it: 0.5 n of n. What is 0 elsewhere counts a millionth a pixel.
    assert overlap_terms == pytest.approx([0.5, 0.5], abs=1e-3)


def test_each_image_of_a_batch_counts_equally():
    small, none = np.zeros((8, 8), int), np.zeros((8, 8), int)
    small[0, 0] = HERO
    truth = np.stack([small, none]).astype(np.uint8)
    predicted = np.concatenate([half_hero(small, small == HERO), certain(none)])
    loss = SegmentationLoss(0.5)
    each = np.asarray(loss.call(truth, predicted))
    assert each == pytest.approx([4 * math.log(2) / 64 + 0.5, 0], abs=NOTHING * 3)
    assert float(loss(truth, predicted)) == pytest.approx(each.mean())


# --- validation


class RedIsTheHero:
    """Stands for a network: where red is 200 or more there is the hero, elsewhere surroundings."""

    def predict_on_batch(self, images):
        assert images.dtype == np.float32
        return certain(np.where(images[..., 0] >= (200 - 127.5) / 127.5, HERO, 0))[0]


def scene(found_px, hero_px):
    """An 8-px frame: the first `found_px` pixels red, the first `hero_px` of them the hero's."""
    image, mask = np.zeros((64, 3), np.uint8), np.zeros(64, np.uint8)
    image[:found_px, 0], mask[:hero_px] = 200, HERO
    return image.reshape(8, 8, 3), mask.reshape(8, 8)


def test_hero_iou_is_averaged_over_the_frames_that_show_the_hero():
    #                            found 4 of 8    missed       false alarm  nothing      nothing
    images, masks = zip(*(scene(4, 8), scene(0, 8), scene(8, 0), scene(0, 0), scene(0, 0)), strict=True)
    score = validate(RedIsTheHero(), Frames(np.stack(images), np.stack(masks)))
    assert score == Validation(hero_iou=pytest.approx((4 / 8 + 0) / 2), tp=1, fp=1, fn=1)
    assert score.quality == pytest.approx(0.25 * 1 / 3)
    assert str(score) == "quality 0.0833, hero IoU 0.2500, tp 1, fp 1, fn 1"


def test_frames_of_more_than_one_prediction_are_scored_in_order(monkeypatch):
    monkeypatch.setattr(training, "FRAMES_PER_PREDICTION", 2)
    images, masks = zip(*(scene(10 + number, 10 + number) for number in range(5)), strict=True)
    assert validate(RedIsTheHero(), Frames(np.stack(images), np.stack(masks))) == (1.0, 5, 0, 0)


def test_a_perfect_network_has_quality_1_and_one_that_finds_nothing_0():
    assert Validation(hero_iou=1.0, tp=9, fp=0, fn=0).quality == 1
    assert Validation(hero_iou=0.0, tp=0, fp=0, fn=0).quality == 0


# --- log


def test_a_log_reads_as_it_was_written(tmp_path):
    log = [EpochLog(1, 2.5), EpochLog(2, 1.25, Validation(0.5, 6, 1, 3)), EpochLog(3, 1.0)]
    write_log(tmp_path / "log.csv", log)
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "epoch,loss,quality,hero_iou,tp,fp,fn",
        "1,2.5,,,,,",
        "2,1.25,0.3,0.5,6,1,3",
        "3,1.0,,,,,",
    ]
    assert read_log(tmp_path / "log.csv") == log


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    assert read_log(tmp_path / "log.csv") == []


def test_the_best_epoch_is_the_first_of_the_highest_quality():
    low, high = Validation(0.5, 6, 1, 3), Validation(0.9, 9, 0, 1)
    log = [EpochLog(1, 2.0), EpochLog(2, 1.5, low), EpochLog(3, 1.2, high), EpochLog(4, 1.1, high)]
    assert best_epoch(log) == (3, high)
    assert best_epoch(log[:1]) is None


# --- what is kept after each epoch


@pytest.fixture
def scores(monkeypatch):
    """The hero IoU of each validation to come, all frames found."""
    coming = []
    monkeypatch.setattr(training, "validate", lambda network, frames: Validation(coming.pop(0), 1, 0, 0))
    return coming


def kept_network(folder):
    return keras.saving.load_model(folder / WEIGHTS, compile=False)


def fill(network, value):
    network.set_weights([np.full_like(weights, value) for weights in network.get_weights()])


def test_the_weights_of_the_best_epoch_are_kept(tmp_path, scores, monkeypatch):
    monkeypatch.setattr(training, "EPOCHS_PER_VALIDATION", 1)
    scores += [0.3, 0.6, 0.5, 0.6]
    network = compiled_network(tiny())
    keeper = RunKeeper(tmp_path, tiny(), frames(), [])
    keeper.set_model(network)
    for epoch in range(4):
        fill(network, epoch + 1)
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert all((weights == 2).all() for weights in kept_network(tmp_path).get_weights())
    assert [line.validation.hero_iou for line in read_log(tmp_path / LOG)] == [0.3, 0.6, 0.5, 0.6]


def test_weights_from_before_an_interruption_stay_if_they_are_better(tmp_path, scores):
    scores += [0.3]
    keeper = RunKeeper(tmp_path, tiny(epochs=2), frames(), [EpochLog(1, 1.5, Validation(0.4, 1, 0, 0))])
    keeper.set_model(compiled_network(tiny()))
    keeper.on_epoch_end(1, {"loss": 1.0})
    assert not (tmp_path / WEIGHTS).exists()
    assert [line.epoch for line in read_log(tmp_path / LOG)] == [1, 2]


def test_every_fifth_and_the_last_epoch_are_scored(tmp_path, scores):
    scores += [0.1, 0.2]
    keeper = RunKeeper(tmp_path, tiny(epochs=7), frames(), [])
    keeper.set_model(compiled_network(tiny()))
    for epoch in range(7):
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert [line.epoch for line in read_log(tmp_path / LOG) if line.validation] == [5, 7]


def test_saved_weights_are_float32_and_equal_those_trained_in_mixed_precision(tmp_path):
    network = compiled_network(tiny())
    assert network.get_layer("encoder1_separable").compute_dtype == "bfloat16"
    save_float32(network, tiny(), tmp_path / WEIGHTS)
    saved = kept_network(tmp_path)
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}
    for mine, its in zip(network.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(saved(image)), np.asarray(network(image)), atol=0.02)


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


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("network", "fcn9", "network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, fpn, tiny, got 'fcn9'"),
        ("input_px", 161, "input size of fcn4 must be a multiple of 4 px, got 161"),
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("steps", 0, "steps must be at least 1, got 0"),
        ("batch", 1, "batch must be at least 2, for frames with and without the hero, got 1"),
        ("learning_rate", 0.0, "learning_rate must be in (0, 1), got 0.0"),
        ("learning_rate", math.nan, "learning_rate must be in (0, 1), got nan"),
        ("hero_share", 0.01, "hero_share must leave frames with and without the hero in a batch of 16, got 0.01"),
        ("hero_share", 0.99, "hero_share must leave frames with and without the hero in a batch of 16, got 0.99"),
        ("hero_share", math.nan, "hero_share must leave frames with and without the hero in a batch of 16, got nan"),
        ("empty_pull", -0.1, "empty_pull must be finite and not negative, got -0.1"),
        ("empty_pull", math.inf, "empty_pull must be finite and not negative, got inf"),
        ("seed", -1, "seed must be in [0, 2**32), got -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, value, reason):
    with pytest.raises(ValueError) as caught:
        TrainingConfig(**{setting: value})
    assert str(caught.value) == reason


# --- runs


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(tiny(), frames(), frames(1), whole)

    write_whole = training.write_whole

    def killed_in_epoch_3(path, write):
        if path.name == CHECKPOINT and len(read_log(broken / LOG)) == 3:
            path.with_name("part-" + path.name).write_bytes(b"half a checkpoint")
            raise KeyboardInterrupt
        write_whole(path, write)

    monkeypatch.setattr(training, "write_whole", killed_in_epoch_3)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), frames(), frames(1), broken)
    assert [line.epoch for line in read_log(broken / LOG)] == [1, 2, 3]
    monkeypatch.undo()
    monkeypatch.setitem(NETWORKS, "tiny", Widths((4,), 4, (4,)))
    train(tiny(), frames(), frames(1), broken)

    assert [line.epoch for line in read_log(broken / LOG)] == [1, 2, 3, 4]
    np.testing.assert_allclose(
        [line.loss for line in read_log(broken / LOG)], [line.loss for line in read_log(whole / LOG)], rtol=1e-4
    )
    for mine, its in zip(kept_network(broken).get_weights(), kept_network(whole).get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-4)


def test_each_epoch_draws_its_own_batches(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        training.AugmentedBatches,
        "__getitem__",
        lambda self, step: drawn.append((self.epoch, step)) or (frames().images / np.float32(255), frames().masks),
    )
    train(tiny(epochs=3, steps=2), frames(), frames(1), tmp_path)
    # Keras also looks at the first two batches beforehand, for their shapes.
    assert sorted(drawn[2:]) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_validation_without_the_hero_is_refused_before_anything_is_written(tmp_path):
    nobody = Frames(frames().images, np.zeros((6, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="expected frames with the hero for validation, got none of 6"):
        train(tiny(), frames(), nobody, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_set_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"batch must be 1 to 6 \(the whole set\), got 7"):
        train(tiny(batch=7), frames(), frames(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_new_run_takes_a_new_or_an_empty_folder(tmp_path):
    check_run(tmp_path, tiny(), resume=False)
    check_run(tmp_path / "new", tiny(), resume=False)


def test_a_folder_with_a_run_or_with_anything_else_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"expected a new or empty run folder, but .* holds other files"):
        check_run(tmp_path, tiny(), resume=False)
    (tmp_path / SETTINGS).touch()
    with pytest.raises(ValueError, match=r"expected a new run folder, but .* holds a run; --resume goes on with it"):
        check_run(tmp_path, tiny(), resume=False)


def test_resuming_needs_a_run_of_the_same_settings(tmp_path):
    with pytest.raises(ValueError, match=r"expected an interrupted run in .* to resume, found no settings.json"):
        check_run(tmp_path, tiny(), resume=True)
    (tmp_path / SETTINGS).write_text(json.dumps(asdict(tiny(epochs=9))))
    check_run(tmp_path, tiny(epochs=9), resume=True)
    with pytest.raises(ValueError, match=r"expected epochs 9, as .*settings\.json has it, to resume, got 4"):
        check_run(tmp_path, tiny(), resume=True)
