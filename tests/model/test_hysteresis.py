import keras
import numpy as np
import pytest

from model.hysteresis import STRONG, WEAK, Hysteresis, Thresholds, best_thresholds, count, with_thresholds
from model.loading import load_network
from model.networks import build
from model.scoring import HERO

PX = 32


def logits_of(margin):
    """(1, H, W, 3) in which the hero's logit exceeds that of people, 1, which exceeds that of surroundings, 0."""
    margin = np.asarray(margin, np.float32)
    return np.stack([np.zeros_like(margin), np.ones_like(margin), 1 + margin], axis=-1)[None]


def margins(strong, weak, margin):
    """The layer's margins for these margins (H, W)."""
    changed = np.asarray(Hysteresis(strong, weak)(logits_of(margin)))
    np.testing.assert_array_equal(changed[..., :HERO], logits_of(margin)[..., :HERO])
    return changed[0, ..., HERO] - 1


def field(**pixels):
    """(PX, PX) margins of −9, except for a few: `r3c5=2.0` is row 3, column 5."""
    margin = np.full((PX, PX), -9.0)
    for place, value in pixels.items():
        row, column = place[1:].split("c")
        margin[int(row), int(column)] = value
    return margin


def test_a_weak_pixel_beside_a_strong_one_is_the_heros():
    changed = margins(1.0, -2.0, field(r8c8=1.5, r9c8=-1.75))
    assert changed[8, 8] == pytest.approx(0.5)  # min(1.5 + 2, 1.5 − 1)
    assert changed[9, 8] == pytest.approx(0.25)  # min(−1.75 + 2, 1.5 − 1)
    assert (changed > 0).sum() == 2


def test_weak_pixels_alone_are_not():
    changed = margins(1.0, -2.0, field(r8c8=0.75, r9c8=0.5))
    assert changed[8, 8] == pytest.approx(-0.25)  # min(0.75 + 2, 0.75 − 1)
    assert (changed < 0).all()


def test_a_strong_pixel_reaches_its_cell_of_4_and_the_eight_around_it():
    # Row and column 13 are in cell 3, of pixels 12 to 15; the cells around it are 8 to 19.
    everywhere_weak = np.full((PX, PX), -1.0)
    everywhere_weak[13, 13] = 3.0
    changed = margins(1.0, -2.0, everywhere_weak) > 0
    expected = np.zeros((PX, PX), bool)
    expected[8:20, 8:20] = True
    np.testing.assert_array_equal(changed, expected)


def test_a_network_with_thresholds_keeps_its_other_layers_and_opens_again(tmp_path):
    network = build("fcn1", PX)
    decided = with_thresholds(network, Thresholds(0.5, -1.5))
    assert decided.count_params() == network.count_params()
    decided.save(tmp_path / "decided.keras")
    opened = load_network(tmp_path / "decided.keras")
    images = np.random.default_rng(0).uniform(-1, 1, (2, PX, PX, 3)).astype(np.float32)
    probabilities = np.asarray(opened(images))
    np.testing.assert_allclose(probabilities, np.asarray(decided(images)), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    assert opened.get_layer("hysteresis").get_config()["weak"] == -1.5


def probabilities_of(margin):
    exponentials = np.exp(logits_of(margin)[0].astype(np.float64))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("strong", "weak"), [(-1.0, 0.5), (0.5, -2.5), (2.0, -4.0), (1.75, 1.0)])
def test_counting_says_what_the_layer_does(strong, weak):
    rng = np.random.default_rng(0)
    margin = rng.normal(-2, 2, (PX, PX))
    truth = rng.random((PX, PX)) < 0.3
    counts = count(probabilities_of(margin), truth)
    hero = margins(strong, weak, margin) > 0
    row, column = np.flatnonzero(strong == STRONG)[0], np.flatnonzero(weak == WEAK)[0]
    assert counts.found[row, column] == hero.sum() > 0
    assert counts.right[row, column] == (hero & truth).sum() > 0
    assert counts.true == truth.sum()


def test_the_best_thresholds_leave_out_a_false_alarm_and_cover_the_hero():
    # A hero of 16 px: a corner sure, the rest doubted; and in a frame without one, a stranger who is believed a little.
    hero, stranger, truth = np.full((PX, PX), -9.0), np.full((PX, PX), -9.0), np.zeros((PX, PX), bool)
    hero[8:12, 8:12], hero[8, 8] = -1.2, 2.1
    truth[8:12, 8:12] = True
    stranger[8:12, 8:12] = 0.6
    strong, weak = best_thresholds(
        [count(probabilities_of(hero), truth), count(probabilities_of(stranger), np.zeros_like(truth))]
    )
    assert 0.6 < strong < 2.1
    assert weak < -1.2


def test_a_hero_of_three_pixels_does_not_count_as_missed():
    nothing, few = np.full((PX, PX), -9.0), np.zeros((PX, PX), bool)
    few[3, 3:6] = True
    sure, truth = np.full((PX, PX), -9.0), np.zeros((PX, PX), bool)
    sure[8:12, 8:12], truth[8:12, 8:12] = 3.6, True
    frames = [count(probabilities_of(nothing), few), count(probabilities_of(sure), truth)]
    assert isinstance(best_thresholds(frames), Thresholds)


def test_frames_with_and_without_the_hero_weigh_alike():
    # The hero is surer (1.1) than the 3 strangers (0.6) in 6 empty frames; a second hero is doubted (0.1).
    def frame(margin, is_hero):
        margins_of_frame, truth = np.full((PX, PX), -9.0), np.zeros((PX, PX), bool)
        margins_of_frame[8:12, 8:12] = margin
        truth[8:12, 8:12] = is_hero
        return count(probabilities_of(margins_of_frame), truth)

    heroes = [frame(1.1, True), frame(0.1, True)]
    # Believing all: IoU 1 · 2 / (2 + 3 · 2/6); believing the sure hero only: IoU ½ · 1 / 2. So all.
    assert best_thresholds(heroes + [frame(0.6, False)] * 3 + [frame(-5, False)] * 3).strong < 0.1


@pytest.mark.parametrize("hero_px", [0, 3])
def test_thresholds_need_heroes(hero_px):
    truth = np.zeros((PX, PX), bool)
    truth[0, :hero_px] = True
    hardly = count(probabilities_of(np.full((PX, PX), -9.0)), truth)
    with pytest.raises(ValueError, match="more than 3 pixels of the hero to choose thresholds by, got none of 2"):
        best_thresholds([hardly, hardly])


def test_the_layer_is_saved_with_its_thresholds():
    layer = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Hysteresis(0.5, -2.0)))
    assert (layer.get_config()["strong"], layer.get_config()["weak"]) == (0.5, -2.0)
