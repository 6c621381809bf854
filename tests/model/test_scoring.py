import numpy as np
import pytest
from PIL import Image

from model.images import resize_probabilities, resize_truth
from model.pair_files import list_pairs
from model.scoring import (
    EVALUATION_SETS,
    HERO,
    HeroScore,
    SetScore,
    final_score,
    has_hero,
    intersection_over_union,
    score_set,
    threshold,
)


def hero_frame(pixels: int, px: int = 4) -> np.ndarray:
    """(px, px, 3) with the hero in the first `pixels` pixels and surroundings elsewhere, 0.0 or 1.0."""
    hero = (np.arange(px * px) < pixels).reshape(px, px)
    return np.stack([~hero, np.zeros_like(hero), hero], axis=-1).astype(np.float32)


def test_a_probability_counts_from_128_whole_255ths_on():
    # 0.501 · 255 = 127.755, stored as 127: not above 127. 0.502 · 255 = 128.01, stored as 128: above.
    assert threshold(np.array([0.501, 0.502, 0.0, 1.0])).tolist() == [False, True, False, True]


def test_what_is_not_a_number_counts_as_nothing():
    assert not threshold(np.array([np.nan])).any()


def test_overlap_is_intersection_over_union_of_each_class():
    predicted = np.zeros((2, 2, 3), bool)
    truth = np.zeros((2, 2, 3), bool)
    predicted[0, :, 0] = True  # both upper pixels
    truth[:, 0, 0] = True  # both left pixels: 1 in common, 3 together
    predicted[..., 1] = truth[..., 1] = True
    np.testing.assert_allclose(intersection_over_union(predicted, truth), [1 / 3, 1.0, 0.0])


def test_a_class_in_neither_mask_counts_0_as_in_the_original():
    nothing = np.zeros((4, 4, 3), bool)
    np.testing.assert_array_equal(intersection_over_union(nothing, nothing), [0.0, 0.0, 0.0])


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"the same shape, got predicted \(4, 4, 3\), truth \(8, 8, 3\)"):
        intersection_over_union(np.zeros((4, 4, 3), bool), np.zeros((8, 8, 3), bool))


@pytest.mark.parametrize(("pixels", "is_there"), [(0, False), (3, False), (4, True)])
def test_the_hero_counts_with_more_than_3_pixels(pixels, is_there):
    assert has_hero(hero_frame(pixels) > 0) is is_there


def test_a_set_is_scored_frame_by_frame():
    #            predicted, true hero pixels                  hero IoU
    frames = [
        (4, 8),  # found                                      4/8
        (4, 3),  # a false alarm: 3 pixels are no hero        3/4
        (3, 4),  # missed: 3 pixels are no detection          3/4
        (0, 0),  # rightly nothing                            empty union: 0
    ]
    score = score_set([hero_frame(predicted) for predicted, _ in frames], [hero_frame(true) for _, true in frames])
    assert (score.n, score.tp, score.fp, score.fn) == (4, 1, 1, 1)
    # Surroundings are the other pixels of 16: 8/12, 12/13, 12/13 and 16/16.
    np.testing.assert_allclose(score.iou, [(8 / 12 + 12 / 13 + 12 / 13 + 1) / 4, 0, (1 / 2 + 3 / 4 + 3 / 4 + 0) / 4])
    assert str(score) == "n 4, IoU 0.8782 / 0.0000 / 0.5000, tp 1, fp 1, fn 1"


def test_class_numbers_score_as_their_channels_do():
    predicted, true = hero_frame(6), hero_frame(9)
    numbers = true.argmax(axis=-1).astype(np.uint8)
    assert score_set([predicted], [numbers]) == score_set([predicted], [true])


def test_more_predictions_than_truths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        score_set([hero_frame(1), hero_frame(2)], [hero_frame(1)])


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        score_set([], [])


def test_quality_counts_overlap_only_where_the_hero_is():
    # IoU 0.3 over 10 frames of which 6 show the hero: 0.5 where it is. 4 of 4 + 1 + 2 detections are right.
    score = SetScore(n=10, iou=(1.0, 0.0, 0.3), tp=4, fp=1, fn=2)
    assert HeroScore.of(score) == (pytest.approx(0.5), 4, 1, 2)
    assert HeroScore.of(score).quality == pytest.approx(0.5 * 4 / 7)
    assert HeroScore.of(SetScore(n=1, iou=(1.0, 0.0, 0.0), tp=0, fp=0, fn=0)).quality == 0.0


def test_a_perfect_network_has_quality_1_and_one_that_finds_nothing_0():
    assert HeroScore(hero_iou=1.0, tp=9, fp=0, fn=0).quality == 1
    assert HeroScore(hero_iou=0.0, tp=0, fp=0, fn=0).quality == 0


def test_the_final_score_is_mean_hero_iou_times_the_share_of_right_detections():
    near = SetScore(n=10, iou=(1.0, 0.5, 0.9), tp=9, fp=0, fn=1)
    empty = SetScore(n=10, iou=(1.0, 0.5, 0.7), tp=0, fp=4, fn=0)  # its hero IoU is no part of the score
    far = SetScore(n=10, iou=(1.0, 0.5, 0.3), tp=3, fp=1, fn=6)
    final = final_score(dict(zip(EVALUATION_SETS, (near, empty, far), strict=True)))
    assert final.iou == pytest.approx((0.9 + 0.3) / 2)
    assert final.weight == pytest.approx(12 / (12 + 5 + 7))
    assert final.score == pytest.approx(0.6 * 0.5)


def test_the_final_score_is_0_where_there_is_nothing_to_detect():
    nothing = SetScore(n=1, iou=(1.0, 0.0, 0.0), tp=0, fp=0, fn=0)
    assert final_score(dict.fromkeys(EVALUATION_SETS, nothing)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("columns", "halved"),
    [
        # Halving 4 pixels, the first sees columns 0, 1, 2 with weights 0.75, 0.75, 0.25, out of 1.75.
        ([0, 1, 0, 0], [0, 0]),  # 0.75/1.75 = 0.43 and (the second sees columns 1, 2, 3) 0.25/1.75 = 0.14
        ([1, 1, 0, 0], [1, 0]),  # 1.50/1.75 = 0.86 and 0.14
        ([0, 1, 1, 0], [1, 1]),  # 1.00/1.75 = 0.57 and 0.57
    ],
)
def test_truth_is_resized_bilinearly_and_rounded(columns, halved):
    hero = np.array([columns] * 4, np.uint8) * 255
    mask = Image.fromarray(np.stack([255 - hero, np.zeros_like(hero), hero], axis=-1))
    np.testing.assert_array_equal(resize_truth(mask, 2)[..., HERO], [halved] * 2)


def test_truth_at_its_own_size_is_the_mask():
    mask = (hero_frame(5) * 255).astype(np.uint8)
    np.testing.assert_array_equal(resize_truth(Image.fromarray(mask), 4), mask // 255)


def test_probabilities_are_averaged_over_the_area_that_a_larger_pixel_covers():
    # 5 px to 2: the first covers pixels 0, 1 and half of 2: (1 + 0 + 0.5 · 0.6) / 2.5 = 0.52 along each axis.
    line = np.array([1.0, 0.0, 0.6, 0.0, 0.5], np.float32)
    frame = np.repeat((line[:, None] * line)[..., None], 3, axis=-1)
    # the second: (0.5 · 0.6 + 0 + 0.5) / 2.5 = 0.32
    expected = np.array([[0.52 * 0.52, 0.52 * 0.32], [0.32 * 0.52, 0.32 * 0.32]])
    np.testing.assert_allclose(resize_probabilities(frame, 2)[..., HERO], expected, rtol=1e-6)


def test_probabilities_of_every_size_still_sum_to_1():
    frame = np.random.default_rng(0).dirichlet((1, 1, 1), size=(256, 256)).astype(np.float32)
    for px in (160, 256, 320):
        np.testing.assert_allclose(resize_probabilities(frame, px).sum(axis=-1), np.ones((px, px)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("px", "with_hero"), [(160, [539, 0, 301]), (256, [539, 0, 312])])
def test_the_evaluation_sets_show_the_hero_as_often_as_the_original_counts(data_dir, px, with_hero):
    def is_there(path):
        with Image.open(path) as mask:
            return has_hero(resize_truth(mask, px))

    folders = [data_dir / "sample_evaluation_data" / name for name in EVALUATION_SETS]
    assert [sum(is_there(mask) for _, mask in list_pairs(folder)) for folder in folders] == with_hero
