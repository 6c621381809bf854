import multiprocessing
import os
import signal
import time
from dataclasses import replace
from multiprocessing.synchronize import Event

import numpy as np
import psutil
import pytest
from support.waiting import PATIENCE_S

from model import batches as module
from model.batches import AUGMENTATIONS, AugmentedBatches
from model.dataset import Frames
from model.images import MEAN, SCALE
from model.profile import hero_profile
from model.scoring import HERO, PEOPLE, SURROUNDINGS


def frames(with_hero=3, without=5, px=8):
    """Frames in which the hero, if shown, stands in the middle, so that a shift by a quarter keeps the hero in view."""
    rng = np.random.default_rng(0)
    masks = np.zeros((with_hero + without, px, px), np.uint8)
    masks[:with_hero, px // 2, px // 2] = HERO
    return Frames(rng.integers(0, 256, (len(masks), px, px, 3), dtype=np.uint8), masks)


def scenes(with_hero=3, without=5, people=True, hero_at=(10, 12), px=32):
    """Frames of one grey each, 10 · (1 + number); in some the hero, 6 × 6 and red, in the others one of the people."""
    masks = np.zeros((with_hero + without, px, px), np.uint8)
    top, left = hero_at
    masks[:with_hero, top : top + 6, left : left + 6] = HERO
    if people:
        masks[with_hero:, 20:26, 4:10] = PEOPLE
    greys = 10 * (1 + np.arange(len(masks), dtype=np.uint8))
    images = np.broadcast_to(greys[:, None, None, None], (*masks.shape, 3)).copy()
    images[masks == HERO] = (250, 20, 20)
    images[masks == PEOPLE] = (20, 20, 250)
    return Frames(images, masks)


SETTINGS = {"augmentation": "light", "crop_px": 8, "batch": 4, "steps": 3, "hero_share": 0.5, "seed": 0}
SETTINGS["profile"] = hero_profile()


def batches(drawn_from=None, **changes):
    return AugmentedBatches(drawn_from or frames(), **(SETTINGS | changes))


# --- batches


def test_a_batch_is_normalised_images_and_class_numbers():
    images, masks = batches()[0]
    assert (images.shape, images.dtype) == ((4, 8, 8, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((4, 8, 8), np.uint8)
    assert -1 <= images.min() < -0.5 < 0.5 < images.max() <= 1


def same(batch, other):
    return all(np.array_equal(mine, its) for mine, its in zip(batch, other, strict=True))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_a_batch_depends_on_seed_epoch_and_step_alone(augmentation):
    one, two = (batches(scenes(), augmentation=augmentation, crop_px=32) for _ in range(2))
    later = two[2]
    two.epoch = 7
    two[1]
    two.epoch = 0
    assert same(one[1], two[1])
    assert same(one[2], later)


def test_another_seed_epoch_or_step_gives_another_batch():
    reference = batches()[1]
    assert not same(reference, batches(seed=1)[1])
    assert not same(reference, batches()[2])
    next_epoch = batches()
    next_epoch.epoch = 1
    assert not same(reference, next_epoch[1])


def test_an_epoch_has_its_steps():
    assert len(batches(steps=3)) == 3


@pytest.mark.parametrize(("hero_share", "heroes"), [(0.5, 4), (0.25, 2), (0.3, 2), (1.0, 8)])
def test_the_hero_has_its_share_of_each_batch(hero_share, heroes):
    drawn = batches(batch=8, hero_share=hero_share)
    for step in range(3):
        assert np.count_nonzero((drawn[step][1] == HERO).any(axis=(1, 2))) == heroes


def test_frames_are_drawn_by_their_weights_within_the_heros_share():
    # Of three frames with the hero only the second is drawn, of five without him only the last.
    weights = np.array([0, 1, 0, 0, 0, 0, 0, 2.0])
    drawn = batches(scenes(), augmentation="shift", crop_px=32, batch=8, hero_share=0.25, weights=weights)
    for step in range(3):
        assert sorted(greys(drawn[step][0])) == [20] * 2 + [80] * 6


def levels(images):
    """The uint8 levels of normalised images."""
    return np.round(images * SCALE + MEAN).astype(int)


def greys(images):
    """The frame of `scenes` that each image shows, also if moved: each frame has one grey, which most pixels have."""
    return [int(np.bincount(image[image > 0]).argmax()) for image in levels(images)[..., 1]]


def test_without_a_share_frames_are_drawn_from_all_and_none_of_them_twice():
    drawn = batches(scenes(), augmentation="shift", crop_px=32, batch=8, hero_share=0.0)
    orders = [greys(drawn[step][0]) for step in range(3)]
    for order in orders:
        assert sorted(order) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert orders[0] != orders[1]
    fewer = batches(scenes(), augmentation="shift", crop_px=32, batch=5, hero_share=0.0)
    for step in range(3):
        assert len(set(greys(fewer[step][0]))) == 5


@pytest.mark.parametrize("can_fork", [True, False])
def test_batches_may_be_drawn_ahead_in_processes_and_are_the_same(monkeypatch, can_fork):
    if not can_fork:  # as on Windows
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    before = set(psutil.Process().children())
    alone, ahead = batches(scenes(), crop_px=32), batches(scenes(), crop_px=32, workers=3)
    assert len(set(psutil.Process().children()) - before) == 3 * can_fork
    assert (alone.workers, ahead.workers) == (1, 3)
    for alone.epoch in range(2):
        ahead.epoch = alone.epoch
        for step in range(3):
            assert same(alone[step], ahead[step])


def draw_until_killed(ready: Event) -> None:
    """Like a training: keeps its batches, and the processes that draw them."""
    ahead = batches(workers=3)
    ready.set()
    while ahead:
        time.sleep(600)


def test_processes_that_draw_end_when_the_training_is_killed():
    fork = multiprocessing.get_context("fork")  # a new interpreter would take seconds to import Keras
    ready = fork.Event()
    training = fork.Process(target=draw_until_killed, args=(ready,))
    training.start()
    try:
        assert ready.wait(PATIENCE_S)
        drawing = psutil.Process(training.pid).children()
    finally:
        training.kill()
        training.join()
    assert len(drawing) == 3
    _, left = psutil.wait_procs(drawing, timeout=60)
    assert not left


def test_an_interruption_is_left_to_the_training(capfd):
    ahead, before = batches(workers=2), set(psutil.Process().children())
    for process in ahead._processes._processes.values():
        os.kill(process.pid, signal.SIGINT)
    assert same(ahead[0], batches()[0])
    assert set(psutil.Process().children()) == before
    assert capfd.readouterr().err == ""


def test_a_process_that_ended_is_told_in_one_line():
    ahead = batches(workers=2)
    next(iter(ahead._processes._processes.values())).kill()
    with pytest.raises(
        OSError, match=r"^expected each process to go on preparing batches \(--workers\), one ended early"
    ):
        while ahead[0]:
            pass


# --- augmentations


def test_shift_moves_the_frame_and_pads_it_with_black_surroundings():
    drawn = batches(scenes(), augmentation="shift", crop_px=32, batch=8)
    images, masks = drawn[0]
    for image, mask, grey in zip(levels(images), masks, greys(images), strict=True):
        there = {(0, 0, 0), (grey, grey, grey), (250, 20, 20) if (mask == HERO).any() else (20, 20, 250)}
        assert {tuple(pixel) for pixel in image.reshape(-1, 3)} <= there  # no other light
        assert (mask[(image == 0).all(axis=-1)] == SURROUNDINGS).all()
    assert (levels(images) == 0).all(axis=-1).any()


def asymmetric():
    """Frames that are brighter on the left than on the right."""
    halves = scenes()
    halves.images[:, :, :16] = 200
    halves.images[:, :, 16:] = 100
    return halves


def is_mirrored(images):
    """Whether the right half is brighter: (N,) bool. A shift by a quarter at most does not change that."""
    middle = images[:, 15:17, :, 0]
    return middle[:, :, 23:].max(axis=(1, 2)) > middle[:, :, :9].max(axis=(1, 2))


@pytest.mark.parametrize(("augmentation", "mirrored"), [("shift", False), ("light", True)])
def test_light_mirrors_and_lights_frames_and_shift_does_not(augmentation, mirrored):
    drawn = batches(asymmetric(), augmentation=augmentation, crop_px=32, batch=8)
    images = np.concatenate([drawn[step][0] for step in range(3)])
    assert is_mirrored(images).any() == mirrored
    brightest = {int(image.max()) for image in levels(images)}
    assert (brightest == {200}) != mirrored


@pytest.fixture
def nothing_pasted(monkeypatch):
    monkeypatch.setattr(module, "PASTED_PEOPLE", 0.0)
    monkeypatch.setattr(module, "PASTED_HERO", 0.0)


def far(**changes):
    return batches(scenes(), **({"augmentation": "far", "crop_px": 16, "batch": 8, "hero_share": 0.25} | changes))


def test_far_gives_batches_of_the_crops_size():
    images, masks = far()[0]
    assert (images.shape, images.dtype) == ((8, 16, 16, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((8, 16, 16), np.uint8)
    assert -1 <= images.min() < images.max() <= 1


def count(masks, class_number):
    """Pixels of a class in each mask."""
    return (masks == class_number).sum(axis=(1, 2))


@pytest.mark.usefixtures("nothing_pasted")
def test_far_shows_the_hero_at_scales_and_places_of_all_kinds():
    drawn = far(hero_share=1.0, steps=5)
    areas = np.concatenate([count(drawn[step][1], HERO) for step in range(5)])
    # 6 × 6 px of 32, at 16/32 to 1.35 times the size: 9 px to 65.6, rounded; fewer where the window's edge cuts.
    assert areas.min() >= 1
    assert areas.max() <= 81
    assert len(set(areas)) > 10


@pytest.mark.usefixtures("nothing_pasted")
def test_far_lights_and_tints_a_frame():
    images, masks = far()[0]
    surroundings = [np.median(image[mask == 0], axis=0) for image, mask in zip(levels(images), masks, strict=True)]
    assert len({tuple(colour) for colour in surroundings}) > 5
    assert any(len(set(colour)) == 3 for colour in surroundings)  # the frames are grey


@pytest.mark.usefixtures("nothing_pasted")
def test_without_pasting_far_shows_the_hero_in_his_share_of_a_batch():
    drawn = far(steps=5)
    for step in range(5):
        assert np.count_nonzero(count(drawn[step][1], HERO)) == 2


def test_far_pastes_a_hero_where_there_is_none(monkeypatch):
    monkeypatch.setattr(module, "PASTED_HERO", 1.0)
    monkeypatch.setattr(module, "PASTED_PEOPLE", 0.0)
    drawn = far(profile=replace(hero_profile(), pasted_px=(16.0, 16.0)))
    masks = np.concatenate([drawn[step][1] for step in range(5)])
    heroes = count(masks, HERO)
    assert np.count_nonzero(heroes) == len(masks)
    # The first two of each batch have one already, and get none.
    assert (heroes.reshape(5, 8)[:, 2:] == 16).all()


def test_far_pastes_each_of_several_targets_as_its_own_profile_says(monkeypatch):
    monkeypatch.setattr(module, "PASTED_HERO", 1.0)
    monkeypatch.setattr(module, "PASTED_PEOPLE", 0.0)
    drawn_from = scenes(with_hero=4, without=6)
    drawn_from.masks[:2][drawn_from.masks[:2] == HERO] = HERO + 1
    profiles = (replace(hero_profile(), pasted_px=(px, px)) for px in (16.0, 9.0))
    settings = dict(zip(("profile", "more_profiles"), (next(profiles), (next(profiles),)), strict=True))
    drawn = batches(drawn_from, augmentation="far", crop_px=16, batch=8, hero_share=0.25, steps=5, **settings)
    masks = np.concatenate([drawn[step][1][2:] for step in range(5)])  # the first two of each show a target
    shown = {(int(count(mask[None], HERO)[0]), int(count(mask[None], HERO + 1)[0])) for mask in masks}
    assert shown == {(16, 0), (0, 9)}


def test_frames_are_mirrored_only_if_all_targets_may_be():
    not_mirrored = replace(hero_profile(), is_mirrored=False)
    drawn = batches(asymmetric(), more_profiles=(not_mirrored,), steps=5)
    assert not any(is_mirrored(drawn[step][0]).any() for step in range(5))


def test_far_pastes_none_to_two_of_the_people(monkeypatch):
    monkeypatch.setattr(module, "PASTED_HERO", 0.0)
    monkeypatch.setattr(module, "PASTED_PEOPLE", 1.0)
    asked = set()

    def counted(image, mask, cutout, area_px, rng, profile):
        asked.add((cutout.class_number, round(area_px)))
        return image, mask + 10

    monkeypatch.setattr(module.augment, "paste", counted)
    drawn = far(profile=replace(hero_profile(), pasted_px=(9.0, 9.0)))
    masks = np.concatenate([drawn[step][1] for step in range(3)])
    assert set(masks.min(axis=(1, 2)) // 10) == {0, 1, 2}
    assert asked == {(PEOPLE, 9)}


def test_a_picture_with_pasted_people_is_compressed_and_another_is_not(monkeypatch):
    compressed = []
    monkeypatch.setattr(module.augment, "compress", lambda image, rng: compressed.append(image.shape) or image)
    monkeypatch.setattr(module, "PASTED_HERO", 0.0)
    monkeypatch.setattr(module, "PASTED_PEOPLE", 0.0)
    far()[0]
    assert compressed == []
    monkeypatch.setattr(module, "PASTED_HERO", 1.0)
    far()[0]
    assert compressed == [(16, 16, 3)] * 6  # the two with a hero of their own get none


def test_the_frames_are_left_as_they_were():
    mine = scenes()
    for augmentation in AUGMENTATIONS:
        drawn = batches(mine, augmentation=augmentation, crop_px=32)
        for step in range(3):
            drawn[step]
    np.testing.assert_array_equal(mine.images, scenes().images)
    np.testing.assert_array_equal(mine.masks, scenes().masks)


def test_far_needs_people_to_cut_out():
    with pytest.raises(ValueError, match="expected frames with a whole people figure to cut out, got none"):
        batches(scenes(people=False), augmentation="far", crop_px=16)


def test_far_needs_a_whole_hero_to_cut_out():
    with pytest.raises(ValueError, match="expected frames with a whole hero figure to cut out, got none"):
        batches(scenes(hero_at=(0, 12)), augmentation="far", crop_px=16)


@pytest.mark.parametrize("augmentation", ["shift", "light"])
def test_other_augmentations_cut_out_nobody(augmentation):
    assert len(batches(scenes(people=False), augmentation=augmentation, crop_px=32)[0][0]) == 4


# --- what is refused


@pytest.mark.parametrize(("with_hero", "without"), [(0, 5), (3, 0)])
def test_frames_without_both_kinds_are_refused(with_hero, without):
    with pytest.raises(ValueError, match=f"with and without the hero, got {with_hero} with and {without} without"):
        batches(frames(with_hero, without))


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_larger_than_the_set_is_refused(batch):
    with pytest.raises(ValueError, match=rf"batch must be 1 to 8 \(the whole set\), got {batch}"):
        batches(batch=batch)
