import json
import math

import numpy as np
import pytest

from model import validation
from model.dataset import Frames
from model.scoring import CLASSES, HERO, HeroScore
from model.validation import DistanceScore, validate, validate_by_distance


class RedIsTheHero:
    """Stands for a network: where red is 200 or more there is the hero, elsewhere surroundings."""

    def predict_on_batch(self, images):
        assert images.dtype == np.float32
        is_hero = images[..., 0] >= (200 - 127.5) / 127.5
        return np.eye(len(CLASSES), dtype=np.float32)[np.where(is_hero, HERO, 0)]


def frames(*scenes, px=8):
    """A square frame for each (found, hero): its first `found` pixels are red, its first `hero` pixels the hero's."""
    images, masks = np.zeros((len(scenes), px * px, 3), np.uint8), np.zeros((len(scenes), px * px), np.uint8)
    for number, (found_px, hero_px) in enumerate(scenes):
        images[number, :found_px, 0], masks[number, :hero_px] = 200, HERO
    return Frames(images.reshape(-1, px, px, 3), masks.reshape(-1, px, px))


def test_hero_iou_is_averaged_over_the_frames_that_show_the_hero():
    #                      found 4 of 8  missed  false alarm  nothing  nothing
    score = validate(RedIsTheHero(), frames((4, 8), (0, 8), (8, 0), (0, 0), (0, 0)))
    assert score == HeroScore(hero_iou=pytest.approx((4 / 8 + 0) / 2), tp=1, fp=1, fn=1)
    assert score.quality == pytest.approx(0.25 * 1 / 3)
    assert str(score) == "quality 0.0833, hero IoU 0.2500, tp 1, fp 1, fn 1"


class RedAndGreen(RedIsTheHero):
    """Where red is 200 or more there is the hero, and where green is, a dog."""

    def predict_on_batch(self, images):
        is_hero, is_dog = (images[..., channel] >= (200 - 127.5) / 127.5 for channel in (0, 1))
        return np.eye(4, dtype=np.float32)[np.where(is_hero, HERO, np.where(is_dog, HERO + 1, 0))]


def of_two_targets():
    """The hero half found, a dog found, a dog taken for the hero, and nothing; 8 px each."""
    shown = frames((4, 8), (0, 8), (8, 8), (0, 0))
    shown.masks[1:3][shown.masks[1:3] == HERO] = HERO + 1
    shown.images[1].reshape(-1, 3)[:8] = (0, 200, 0)
    return shown


def test_a_target_that_no_frame_shows_has_no_iou_but_false_alarms():
    shown = frames((8, 8), (4, 8), (0, 0))
    shown.images[2].reshape(-1, 3)[:8] = (0, 200, 0)  # a dog, to the network
    score = validate(RedAndGreen(), shown)
    assert score == HeroScore(hero_iou=pytest.approx((1 + 4 / 8) / 2), tp=2, fp=1, fn=0)


def test_of_several_targets_each_is_scored_and_the_others_are_people_to_it():
    score = validate(RedAndGreen(), of_two_targets())
    # The hero: IoU 4/8, a false alarm. The dog: IoU 1 and 0, a miss.
    assert score == HeroScore(hero_iou=pytest.approx((4 / 8 + 1 / 2) / 2), tp=1 + 1, fp=1 + 0, fn=0 + 1)
    hero, dog = (validate_by_distance(RedAndGreen(), of_two_targets(), target) for target in (HERO, HERO + 1))
    assert (hero.near_iou, hero.tp, hero.fp, hero.fn, hero.without_hero) == (0.5, 1, 1, 0, 3)
    assert (dog.near_iou, dog.tp, dog.fp, dog.fn, dog.without_hero) == (0.5, 1, 0, 1, 2)


def test_frames_of_more_than_one_prediction_are_scored_in_order(monkeypatch):
    monkeypatch.setattr(validation, "FRAMES_PER_PREDICTION", 2)
    assert validate(RedIsTheHero(), frames(*((10 + n, 10 + n) for n in range(5)))) == (1.0, 5, 0, 0)


def test_near_and_far_heroes_are_averaged_apart():
    # Of 32 × 32 px a near hero has more than 600 · 32² / 256² = 9.4 px.
    scenes = frames((16, 20), (20, 20), (4, 8), (0, 9), (8, 0), (0, 0), px=32)
    score = validate_by_distance(RedIsTheHero(), scenes)
    near, far = (16 / 20 + 1) / 2, (4 / 8 + 0) / 2
    assert score == DistanceScore(pytest.approx(near), pytest.approx(far), tp=3, fp=1, fn=1, without_hero=2)
    assert score.score == pytest.approx((near + far) / 2 * 3 / 5)
    assert str(score) == "score 0.345, hero IoU near 0.900, far 0.250, false alarms 1 of 2, missed 1 of 4"


def test_without_near_heroes_the_score_is_that_of_the_far_ones():
    score = validate_by_distance(RedIsTheHero(), frames((4, 8), (0, 0), px=32))
    assert math.isnan(score.near_iou)
    assert score.score == pytest.approx(4 / 8)
    assert json.loads(json.dumps(score.as_json(), allow_nan=False)) == {**score._asdict(), "near_iou": None}


def test_frames_without_the_hero_have_no_score_by_distance():
    with pytest.raises(ValueError, match="expected frames with the hero to score, got none of 2"):
        validate_by_distance(RedIsTheHero(), frames((0, 0), (8, 0)))
