import numpy as np
import pytest
from PIL import Image

from model.analysis import (
    BLOB_MIN_PX,
    BLOB_THRESHOLDS_255,
    THRESHOLDS_255,
    Counts,
    FrameFigures,
    SizeRecall,
    analyse_frame,
    blobs_by_threshold,
    confusion,
    frames_by_threshold,
    largest_blob,
    pixels_by_threshold,
    pooled_score,
    recall_by_size,
    worst_false_alarms,
    worst_masks,
    worst_misses,
)
from model.images import resize_truth
from model.scoring import HERO, THRESHOLD_255, score_set, threshold

PX = 16
HALF = THRESHOLDS_255.index(THRESHOLD_255)


def row(pixels: int, first: int = 0) -> np.ndarray:
    """(PX, PX) bool: the first `pixels` pixels, line by line from line `first` on."""
    numbers = np.arange(PX * PX)
    return ((numbers >= first * PX) & (numbers < first * PX + pixels)).reshape(PX, PX)


def truth_of(hero: np.ndarray) -> np.ndarray:
    return np.stack([~hero, np.zeros_like(hero), hero], axis=-1).astype(np.uint8)


def probabilities_of(hero: np.ndarray) -> np.ndarray:
    """Hero probabilities (PX, PX), the rest surroundings."""
    hero = hero.astype(np.float32)
    return np.stack([1 - hero, np.zeros_like(hero), hero], axis=-1)


def frame(true_px: int = 0, found_px: int = 0, probability: float = 1.0, found_at: int = 0) -> FrameFigures:
    """The hero in the first `true_px` pixels, found in `found_px` from line `found_at` on."""
    return analyse_frame(probabilities_of(row(found_px, found_at) * probability), truth_of(row(true_px)))


def test_the_frames_of_a_set_pool_to_its_score():
    rng = np.random.default_rng(0)
    probabilities = [rng.dirichlet((1, 1, 1), size=(PX, PX)).astype(np.float32) for _ in range(5)]
    truths = [truth_of(row(pixels)) for pixels in (0, 3, 4, 40, 200)]
    frames = [analyse_frame(*pair) for pair in zip(probabilities, truths, strict=True)]
    assert pooled_score(frames) == score_set(probabilities, truths)


def test_no_frames_make_no_score():
    with pytest.raises(ValueError, match="at least one frame"):
        pooled_score([])


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"the same shape, got predicted \(16, 16, 3\), truth \(8, 8, 3\)"):
        analyse_frame(np.zeros((16, 16, 3), np.float32), np.zeros((8, 8, 3), np.uint8))


def test_a_frame_keeps_how_many_pixels_have_which_hero_probability():
    # 6 pixels at 0.8 · 255 = 204, of which 5 are the hero's; one more of the hero's at 0.
    hero = row(5)
    hero[9, 9] = True
    figures = analyse_frame(probabilities_of(row(6) * 0.8), truth_of(hero))
    assert figures.hero_histogram[0].nonzero()[0].tolist() == [0, 204]
    assert figures.hero_histogram[0, [0, 204]].tolist() == [PX * PX - 7, 1]
    assert figures.hero_histogram[1, [0, 204]].tolist() == [1, 5]
    assert (figures.hero_px, figures.found_px) == (6, 6)


@pytest.mark.parametrize("probability", [0.501, 0.502])
def test_pixels_are_found_by_the_scores_own_rule(probability):
    figures = frame(found_px=7, probability=probability)
    assert figures.found_px == threshold(probabilities_of(row(7) * probability))[..., HERO].sum()


def test_a_frame_is_as_sure_of_a_hero_as_its_fourth_pixel():
    # Four pixels make a hero: 0.9 alone is a speck, the fourth brightest has 0.6 · 255 = 153.
    hero = np.zeros((PX, PX), np.float32)
    hero[0, :5] = [0.9, 0.6, 0.8, 0.7, 0.1]
    assert analyse_frame(probabilities_of(hero), truth_of(row(0))).probability == 153 / 255
    assert frame().probability == 0.0


def test_the_largest_blob_joins_at_corners():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]], bool)
    # The diagonal of 3 touches the column of 2 at a corner; the pixel below is alone.
    np.testing.assert_array_equal(largest_blob(mask), mask & (np.arange(4)[:, None] < 3))
    assert not largest_blob(np.zeros((4, 4), bool)).any()


def test_recall_counts_heroes_by_size():
    # (true pixels, found): 3 pixels are no hero; 15 | 16, 24 | 25 and 199 | 200 fall into different bins.
    frames = [frame(*pixels) for pixels in ((3, 9), (4, 4), (15, 3), (16, 4), (24, 0), (25, 25), (199, 9), (200, 0))]
    assert recall_by_size(frames) == [
        SizeRecall(4, 16, heroes=2, found=1),  # 4 found; of 15 only 3 pixels, which is no detection
        SizeRecall(16, 25, heroes=2, found=1),
        SizeRecall(25, 50, heroes=1, found=1),
        SizeRecall(50, 100, heroes=0, found=0),
        SizeRecall(100, 200, heroes=1, found=1),
        SizeRecall(200, None, heroes=1, found=0),
    ]


def test_recall_of_no_frames_is_of_no_heroes():
    assert sum(size.heroes for size in recall_by_size([])) == 0


def test_a_hero_is_detected_up_to_the_probability_of_its_fourth_pixel():
    frames = [
        frame(true_px=8, found_px=8, probability=0.6),  # found above thresholds below 0.6 · 255 = 153
        frame(true_px=8, found_px=3),  # 3 sure pixels are none
        frame(true_px=0, found_px=4, probability=0.3),  # a false alarm below 0.3 · 255 = 76.5
    ]
    counts = frames_by_threshold(frames)
    at = {above: number for number, above in enumerate(THRESHOLDS_255)}
    assert [kind[at[72]] for kind in counts] == [1, 1, 1]
    assert [kind[at[77]] for kind in counts] == [1, 0, 1]
    assert [kind[at[152]] for kind in counts] == [1, 0, 1]
    assert [kind[at[157]] for kind in counts] == [0, 0, 2]


def test_at_the_scores_threshold_the_counts_are_the_scores():
    frames = [frame(8, 8), frame(8, 3), frame(0, 4), frame(0, 3), frame(8, 8, 0.501)]
    score = pooled_score(frames)
    assert [kind[HALF] for kind in frames_by_threshold(frames)] == [score.tp, score.fp, score.fn] == [1, 1, 2]


def test_pixels_count_as_found_by_their_own_probability():
    frames = [
        frame(true_px=10, found_px=12),  # 10 right, 2 wrong, at every threshold
        frame(true_px=10, found_px=8, probability=0.6),  # 8 right below 153, 2 missed at all
    ]
    counts = pixels_by_threshold(frames)
    assert [kind[HALF] for kind in counts] == [18, 2, 2]
    assert [kind[-1] for kind in counts] == [10, 2, 10]
    assert counts.precision[HALF] == 18 / 20
    assert counts.recall[-1] == 10 / 20


def test_shares_of_nothing_are_not_numbers():
    nothing = Counts(*np.zeros((3, 2), int))
    assert np.isnan([nothing.precision, nothing.recall]).all()


def test_blobs_are_believed_by_probability_and_size():
    frames = [
        frame(true_px=20, found_px=12, probability=0.8),  # 12 px up to above 178
        frame(true_px=5, found_px=6, probability=0.45, found_at=8),  # found elsewhere: 6 px up to above 102
        frame(true_px=0, found_px=30),  # 30 px at every threshold
        frame(true_px=3, found_px=0),  # nothing, rightly
    ]
    counts, astray = blobs_by_threshold(frames)
    assert counts.tp.shape == astray.shape == (7, 5)

    def cells(above: int) -> list[list[int]]:
        return np.stack([*counts, astray])[:, BLOB_THRESHOLDS_255.index(above)].tolist()

    # Columns: at least 3, 6, 10, 15, 25 px.
    assert BLOB_MIN_PX == (3, 6, 10, 15, 25)
    assert cells(102) == [[2, 2, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 2, 2], [1, 1, 0, 0, 0]]
    assert cells(127) == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 2, 2], [0, 0, 0, 0, 0]]
    assert cells(204) == [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [0, 0, 0, 0, 0]]


def test_pixels_that_do_not_touch_are_no_blob():
    scattered = np.zeros((PX, PX))
    scattered[::4, ::4] = 1.0
    figures = analyse_frame(probabilities_of(scattered), truth_of(row(8)))
    assert (figures.found_px, figures.blob_px.tolist()) == (16, [1] * 7)


def test_confusion_counts_pixels_by_true_class_and_prediction():
    truth = np.zeros((2, 2, 3), np.uint8)
    truth[0, :, 0] = truth[1, 0, 2] = 1  # surroundings above, the hero below; the last pixel has no class
    probabilities = np.array([[[0.9, 0.1, 0], [0.1, 0.9, 0]], [[0.4, 0.4, 0.2], [0, 0, 1]]], np.float32)
    # One right, one taken for people, one for nothing in particular; two such frames.
    expected = [[2, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]]
    np.testing.assert_array_equal(confusion([analyse_frame(probabilities, truth)] * 2), expected)


def test_false_alarms_come_surest_first_and_misses_largest_first():
    frames = [
        frame(found_px=4, probability=0.7),
        frame(found_px=9, probability=0.7),  # as sure, but larger
        frame(true_px=5),
        frame(found_px=4, probability=0.9),
        frame(true_px=50, found_px=3),
        frame(true_px=9, found_px=9),  # right
        frame(found_px=3),  # right: no detection
    ]
    assert worst_false_alarms(frames) == [3, 1, 0]
    assert worst_misses(frames) == [4, 2]


def test_of_large_heroes_that_are_found_the_worst_masks_come_first():
    frames = [
        frame(true_px=250, found_px=240),
        frame(true_px=200, found_px=100),
        frame(true_px=199, found_px=10),  # too small
        frame(true_px=250, found_px=3),  # missed
        frame(true_px=250, found_px=200),
    ]
    assert worst_masks(frames) == [1, 4, 0]


def test_every_pixel_of_a_real_mask_counts_once(data_dir):
    paths = sorted((data_dir / "validation" / "masks").glob("*.png"))[:3]
    for path in paths:
        with Image.open(path) as mask:
            truth = resize_truth(mask, 256)
        figures = analyse_frame(truth.astype(np.float32), truth)
        # Taken for its prediction, all of it is right, and at its own size no pixel is without a class.
        np.testing.assert_array_equal(figures.confusion, np.diag(truth.sum(axis=(0, 1))) @ np.eye(3, 4))
        assert figures.confusion.sum() == 256**2
