import math

import numpy as np
import pytest

from model.losses import SegmentationLoss
from model.recipes import PRESETS, TrainingConfig
from model.scoring import CLASSES, HERO, PEOPLE, SURROUNDINGS

# Tolerance, because the loss takes a probability of 0 as a millionth.
NOTHING = 1e-4
# The loss of a probability of 0 that should be 1, or of 1 that should be 0.
CERTAIN_MISTAKE = -math.log(1e-6)

PLAIN = {"hero_weight": 1.0, "jaccard": 0.0, "empty_pull": 0.5, "detection": 0.0}


def certain(numbers):
    """(1, H, W, classes) probabilities that are certain of a mask's classes, of a network with all these classes."""
    numbers = np.asarray(numbers)
    return np.eye(max(len(CLASSES), numbers.max() + 1), dtype=np.float32)[numbers][None]


def each_loss(numbers, probabilities, **weights):
    loss = SegmentationLoss(TrainingConfig(**(PLAIN | weights)))
    return np.asarray(loss.call(np.asarray(numbers, np.uint8), np.asarray(probabilities, np.float32)))


def loss_of(numbers, probabilities, **weights):
    loss = each_loss(np.asarray(numbers)[None], probabilities, **weights)
    assert loss.shape == (1,)
    return float(loss[0])


def half(numbers, where, class_number):
    """Certain of a mask's classes, but for half of one class and half surroundings at `where`."""
    probabilities = certain(numbers)
    one_hot = np.eye(probabilities.shape[-1])
    probabilities[0][where] = 0.5 * (one_hot[class_number] + one_hot[SURROUNDINGS])
    return probabilities


def hero_probabilities(hero):
    """(1, H, W, classes): the hero's probabilities, the rest surroundings."""
    hero = np.asarray(hero, np.float32)
    return np.stack([1 - hero, np.zeros_like(hero), hero], axis=-1)[None]


# --- all together


@pytest.mark.parametrize("numbers", [np.zeros((2, 2), int), [[0, 1], [2, 2]], [[2, 2], [2, 2]]])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_perfect_prediction_costs_nothing(numbers, preset):
    loss = SegmentationLoss(PRESETS[preset])
    assert float(loss(np.asarray(numbers)[None], certain(numbers))) == pytest.approx(0, abs=NOTHING)


def test_a_certain_mistake_costs_much_but_no_infinity():
    numbers = np.full((2, 2), HERO)
    cost = loss_of(numbers, certain(np.zeros((2, 2), int)), hero_weight=4.0, jaccard=1.0, detection=0.5)
    # Cross-entropy of each pixel, no overlap with the hero, and four pixels that do not find him.
    assert cost == pytest.approx((4 + 0.5) * CERTAIN_MISTAKE + 1, rel=1e-4)


def test_each_image_of_a_batch_counts_equally():
    small, none = np.zeros((8, 8), int), np.zeros((8, 8), int)
    small[0, 0] = HERO
    truth = np.stack([small, none]).astype(np.uint8)
    predicted = np.concatenate([half(small, small == HERO, HERO), certain(none)])
    weights = {"hero_weight": 4.0, "jaccard": 1.0}
    each = each_loss(truth, predicted, **weights)
    assert each == pytest.approx([4 * math.log(2) / 64 + 0.5, 0], abs=NOTHING * 3)
    loss = SegmentationLoss(TrainingConfig(**(PLAIN | weights)))
    assert float(loss(truth, predicted)) == pytest.approx(each.mean())


# --- cross-entropy


def test_plain_cross_entropy_is_the_mean_over_the_pixels():
    truth = [[SURROUNDINGS, PEOPLE], [HERO, SURROUNDINGS]]
    probabilities = [[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]]
    # −ln 0.5, −ln 0.5, −ln 0.25 = 2 ln 2, and 0.
    assert loss_of(truth, [probabilities]) == pytest.approx(4 * math.log(2) / 4, abs=NOTHING)


@pytest.mark.parametrize(
    ("class_number", "hero_weight", "weight"),
    [
        (SURROUNDINGS, 9.0, 1),
        (PEOPLE, 9.0, 3),
        (HERO, 9.0, 9),
        (SURROUNDINGS, 0.0, 1),
        (PEOPLE, 0.0, 0),
        (HERO, 0.0, 0),
    ],
)
def test_a_hero_counts_hero_weight_pixels_of_surroundings_and_people_its_root(class_number, hero_weight, weight):
    numbers = np.zeros((2, 2), int)
    numbers[0, 0] = class_number
    probabilities = certain(numbers)
    probabilities[0, 0, 0] = [0.5, 0.5, 0.5]
    cost = loss_of(numbers, probabilities, hero_weight=hero_weight)
    assert cost == pytest.approx(weight * math.log(2) / 4, abs=NOTHING)


# --- Jaccard


def jaccard_of(numbers, probabilities, jaccard=1.0, **weights):
    """The Jaccard's part of the loss."""
    with_it = loss_of(numbers, probabilities, jaccard=jaccard, **weights)
    return with_it - loss_of(numbers, probabilities, jaccard=0.0, **weights)


@pytest.mark.parametrize("jaccard", [0.0, 1.0, 3.0])
def test_a_half_found_hero_costs_the_lack_of_overlap(jaccard):
    numbers = np.array([[HERO, 0], [0, 0]])
    # Overlap 0.5 of a union 0.5 + 1 − 0.5 = 1.
    assert jaccard_of(numbers, half(numbers, (0, 0), HERO), jaccard) == pytest.approx(jaccard * 0.5, abs=NOTHING)


def test_what_is_seen_beside_the_hero_is_part_of_the_union():
    numbers = np.array([[HERO, HERO], [0, 0]])
    probabilities = half(numbers, (slice(None), 0), HERO)
    # Overlap 0.5 + 1 of a union (0.5 + 1 + 0.5) + 2 − 1.5 = 2.5.
    assert jaccard_of(numbers, probabilities) == pytest.approx(1 - 1.5 / 2.5, abs=NOTHING)


def test_half_found_people_cost_half_as_much():
    numbers = np.array([[PEOPLE, 0], [0, 0]])
    assert jaccard_of(numbers, half(numbers, (0, 0), PEOPLE)) == pytest.approx(0.5 * 0.5, abs=NOTHING)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_further_target_costs_what_the_hero_costs(preset):
    """Two images with both targets: first the hero is half found and the other target found, then vice versa."""
    costs = []
    for missing, found in ((HERO, HERO + 1), (HERO + 1, HERO)):
        numbers = np.full((16, 16), SURROUNDINGS)
        numbers[2:6, 2:6], numbers[10:14, 10:14] = missing, found
        probabilities = half(numbers, (slice(2, 6), slice(2, 6)), missing)
        loss = SegmentationLoss(PRESETS[preset])
        costs.append(float(loss(numbers[None], probabilities)))
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)
    assert costs[0] > 0.01


@pytest.mark.parametrize("empty_pull", [0.0, 0.5, 1.0])
def test_a_false_hero_costs_more_the_stronger_the_pull_to_nothing(empty_pull):
    nobody = np.zeros((2, 2), int)
    # Half a hero at each of 4 pixels: false probability 2 px of 2 + 20.
    cost = jaccard_of(nobody, half(nobody, slice(None), HERO), empty_pull=empty_pull)
    assert cost == pytest.approx(empty_pull * 2 / 22, abs=NOTHING)


def test_the_pull_to_nothing_is_without_effect_where_the_hero_is():
    numbers = np.array([[HERO, 0], [0, 0]])
    costs = [jaccard_of(numbers, half(numbers, (0, 0), HERO), empty_pull=pull) for pull in (0.0, 1.0)]
    assert costs == pytest.approx([0.5, 0.5], abs=NOTHING)


def test_one_hero_counts_as_much_as_another_whatever_its_size():
    overlap_terms = []
    for pixels in (20, 800):
        numbers = np.where(np.arange(1024) < pixels, HERO, 0).reshape(32, 32)
        overlap_terms.append(jaccard_of(numbers, half(numbers, numbers == HERO, HERO)))
    # Half of each found, and nothing beside it: 0.5 n of n. What is 0 elsewhere counts a millionth a pixel.
    assert overlap_terms == pytest.approx([0.5, 0.5], abs=1e-3)


# --- detection


def detection_of(numbers, hero, detection=1.0):
    """Detection's part of the loss."""
    probabilities = hero_probabilities(hero)
    return loss_of(numbers, probabilities, detection=detection) - loss_of(numbers, probabilities)


def figure(px, rows, columns):
    numbers = np.zeros((px, px), int)
    numbers[rows, columns] = HERO
    return numbers


@pytest.mark.parametrize("detection", [0.0, 0.5, 1.0])
def test_the_four_pixels_that_show_the_hero_best_find_him(detection):
    numbers = figure(8, slice(2, 4), slice(2, 5))
    hero = np.zeros((8, 8))
    hero[2:4, 2:5] = [[0.1, 0.9, 0.2], [0.8, 0.5, 0.4]]
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.5) + math.log(0.4)) / 4
    assert detection_of(numbers, hero, detection) == pytest.approx(detection * expected, abs=NOTHING)


def test_a_hero_of_four_pixels_is_missed_with_each_that_is_not_seen():
    numbers = figure(8, slice(2, 4), slice(2, 4))
    hero = np.zeros((8, 8))
    hero[2, 2:4] = 1.0
    assert detection_of(numbers, hero) == pytest.approx(2 * CERTAIN_MISTAKE / 4, rel=1e-3)


def test_a_hero_of_three_pixels_does_not_count_as_missed():
    # Like the loss, the score counts a hero from four pixels on.
    assert detection_of(figure(8, 2, slice(2, 5)), np.zeros((8, 8))) == pytest.approx(0, abs=NOTHING)


def test_without_a_hero_the_four_pixels_that_look_most_like_one_are_a_false_alarm():
    hero = np.full((8, 8), 0.05)
    hero[(0, 2, 5, 7, 7), (1, 6, 0, 3, 4)] = [0.5, 0.25, 0.2, 0.1, 0.06]
    expected = -(math.log(0.5) + math.log(0.75) + math.log(0.8) + math.log(0.9)) / 4
    assert detection_of(np.zeros((8, 8), int), hero) == pytest.approx(expected, abs=NOTHING)


@pytest.mark.parametrize("offset", [(0, 3), (3, 0), (-3, -3), (1, -2)])
@pytest.mark.parametrize("hero_px", [1, 2])
def test_what_is_within_three_pixels_of_the_hero_is_no_false_alarm(offset, hero_px):
    # From any pixel of the hero: of one of four pixels as of one of a single pixel.
    numbers = figure(16, slice(8, 8 + hero_px), slice(8, 8 + hero_px))
    hero = (numbers == HERO) * 1.0
    hero[8 + offset[0], 8 + offset[1]] = 0.5
    assert detection_of(numbers, hero) == pytest.approx(0, abs=NOTHING)


@pytest.mark.parametrize("offset", [(0, 4), (4, 0), (-4, -4), (1, -4)])
def test_what_is_four_pixels_from_the_hero_is_a_false_alarm(offset):
    numbers = figure(16, slice(8, 9), slice(8, 9))
    hero = np.zeros((16, 16))
    hero[8 + offset[0], 8 + offset[1]] = 0.5
    # One pixel of four.
    assert detection_of(numbers, hero) == pytest.approx(math.log(2) / 4, abs=NOTHING)


def test_a_found_hero_and_a_false_alarm_elsewhere_both_count():
    numbers = figure(16, slice(1, 3), slice(1, 3))
    hero = np.zeros((16, 16))
    hero[1:3, 1:3] = 0.5
    hero[10:12, 10:12] = 0.25
    assert detection_of(numbers, hero) == pytest.approx(-math.log(0.5) - math.log(0.75), abs=NOTHING)


def test_each_image_of_a_batch_is_detected_by_itself():
    missed, nobody = figure(8, slice(2, 4), slice(2, 4)), np.zeros((8, 8), int)
    hero = np.full((8, 8), 0.25)
    truth = np.stack([missed, nobody])
    predicted = np.concatenate([hero_probabilities(hero)] * 2)
    difference = each_loss(truth, predicted, detection=1.0) - each_loss(truth, predicted)
    # In the first, 2–3 ± 3 leaves rows and columns 7; there, too, a quarter of a hero is seen.
    np.testing.assert_allclose(difference, [-math.log(0.25) - math.log(0.75), -math.log(0.75)], atol=NOTHING)
