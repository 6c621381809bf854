import numpy as np
import pytest
from PIL import Image

from model import dataset
from model.dataset import AUGMENTATIONS, AugmentedBatches, Frames, list_pairs, read_pair, read_set
from model.images import MEAN, SCALE
from model.scoring import HERO, PEOPLE, SURROUNDINGS


def save(folder, image_name, mask_name, image, numbers):
    """Save a pair; `numbers` are the mask's classes, (H, W)."""
    for kind, name, array in (("images", image_name, image), ("masks", mask_name, np.eye(3)[numbers] * 255)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.astype(np.uint8)).save(folder / kind / name)


@pytest.fixture
def folder(tmp_path):
    """A set of three grey 8-px pairs, brighter each; the hero stands in the last one's right half."""
    numbers = np.zeros((8, 8), int)
    for number, grey in enumerate((10, 110, 210)):
        if number == 2:
            numbers[:, 4:] = HERO
        save(tmp_path, f"run1cam1_0000{number}.jpeg", f"run1_mask_0000{number}.png", np.full((8, 8, 3), grey), numbers)
    return tmp_path


def frames(with_hero=3, without=5, px=8):
    """Frames in which the hero, where shown, stands in the middle: no shift by a quarter takes it out."""
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


def batches(drawn_from=None, **changes):
    return AugmentedBatches(drawn_from or frames(), **(SETTINGS | changes))


# --- pairs


def test_images_and_masks_pair_up_in_sorted_order(folder):
    assert [(image.name, mask.name) for image, mask in list_pairs(folder)] == [
        (f"run1cam1_0000{number}.jpeg", f"run1_mask_0000{number}.png") for number in range(3)
    ]


@pytest.mark.parametrize("name", ["nowhere", "images"])
def test_a_folder_without_images_is_refused(folder, name):
    with pytest.raises(ValueError, match=f"expected {folder / name}/images to hold .*jpeg files, found none"):
        list_pairs(folder / name)


def test_an_image_without_its_mask_is_refused(folder):
    (folder / "masks" / "run1_mask_00001.png").unlink()
    with pytest.raises(ValueError, match=r"a mask for each image, found none for .*run1cam1_00001\.jpeg"):
        list_pairs(folder)


def test_pairs_that_slipped_by_one_are_refused(folder):
    (folder / "images" / "run1cam1_00000.jpeg").unlink()
    (folder / "masks" / "run1_mask_00002.png").unlink()
    with pytest.raises(ValueError, match=r"an image for each mask, found none for .*run1_mask_00000\.png"):
        list_pairs(folder)


def test_names_without_a_frame_number_pair_up_all_the_same(tmp_path):
    save(tmp_path, "near.jpeg", "close.png", np.zeros((8, 8, 3)), np.zeros((8, 8), int))
    assert len(list_pairs(tmp_path)) == 1


def test_the_recorded_sets_pair_up(data_dir):
    assert [len(list_pairs(data_dir / name)) for name in ("train", "validation")] == [4131, 1184]


# --- reading


def test_a_set_is_read_into_images_and_class_numbers(folder):
    read = read_set(folder, 8)
    assert (read.images.shape, read.images.dtype) == ((3, 8, 8, 3), np.uint8)
    assert (read.masks.shape, read.masks.dtype) == ((3, 8, 8), np.uint8)
    np.testing.assert_allclose(read.images.mean(axis=(1, 2, 3)), [10, 110, 210], atol=1)
    assert (read.masks[:2] == SURROUNDINGS).all()
    np.testing.assert_array_equal(read.masks[2], [[SURROUNDINGS] * 4 + [HERO] * 4] * 8)
    assert read.shows_hero().tolist() == [False, False, True]


def test_a_smaller_mask_takes_the_class_that_covers_most_of_a_pixel(tmp_path):
    # Halving 4 pixels, the first of each row sees columns 0, 1, 2 with weights 3/7, 3/7, 1/7, the second the mirror.
    numbers = np.array([[PEOPLE, HERO, HERO, SURROUNDINGS]] * 4)
    save(tmp_path, "0.jpeg", "0.png", np.zeros((4, 4, 3)), numbers)
    _, mask = read_pair(*list_pairs(tmp_path)[0], 2)
    np.testing.assert_array_equal(mask, [[HERO, HERO]] * 2)  # hero 4/7 against people or surroundings 3/7


def test_a_real_pair_is_read(data_dir):
    image, mask = read_pair(*list_pairs(data_dir / "train")[0], 160)
    assert (image.shape, image.dtype) == ((160, 160, 3), np.uint8)
    assert image.std() > 10
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert (mask == SURROUNDINGS).mean() > 0.5


def refused(folder, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_set(folder, 8)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_than_its_image_is_refused(folder):
    mask = folder / "masks" / "run1_mask_00001.png"
    Image.fromarray(np.full((8, 16, 3), (255, 0, 0), np.uint8)).save(mask)
    refused(folder, f"the image's size, 8×8, in {mask} for run1cam1_00001.jpeg, got 16×8")


@pytest.mark.parametrize(
    "pixel",
    [(255, 0, 255), (0, 0, 0), (128, 127, 0), (0, 0, 1), (255, 255, 255), (255, 1, 0)],
    ids=["two", "none", "shared", "0 and 1", "all", "a trace of another"],
)
def test_a_pixel_of_other_than_one_class_is_refused(folder, pixel):
    path = folder / "masks" / "run1_mask_00001.png"
    mask = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    mask[3, 5] = pixel
    Image.fromarray(mask).save(path)
    refused(folder, rf"exactly one class per pixel \(one channel 255, the others 0\) in {path}")


def test_a_grey_mask_is_refused(folder):
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(folder / "masks" / "run1_mask_00001.png")
    refused(folder, "exactly one class per pixel")


@pytest.mark.parametrize("name", ["images/run1cam1_00001.jpeg", "masks/run1_mask_00001.png"])
@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_a_file_that_is_no_whole_image_is_refused(folder, name, kept):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refused(folder, f"expected a whole JPEG or PNG in {path}, got: ")


# --- some of the frames


def test_a_spread_is_even_and_begins_with_the_first():
    eight = frames()
    spread = eight.spread(4)
    np.testing.assert_array_equal(spread.images, eight.images[[0, 2, 4, 6]])
    np.testing.assert_array_equal(spread.masks, eight.masks[[0, 2, 4, 6]])
    np.testing.assert_array_equal(eight.spread(3).images, eight.images[[0, 2, 5]])  # 0, 8/3, 16/3


@pytest.mark.parametrize("count", [8, 100])
def test_a_spread_over_all_frames_or_more_is_all_of_them_once(count):
    np.testing.assert_array_equal(frames().spread(count).images, frames().images)


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


def levels(images):
    """The uint8 levels of normalised images."""
    return np.round(images * SCALE + MEAN).astype(int)


def greys(images):
    """Which frame of `scenes` each image is of, however moved: each has but one grey, and surroundings have most."""
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


def test_a_batch_may_be_drawn_ahead_by_several_threads():
    assert batches().workers == 1
    assert batches(workers=3).workers == 3


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
    """Whether the right half is brighter: (N,) bool. A shift by a quarter at most leaves that as it was."""
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
    monkeypatch.setattr(dataset, "PASTED_PEOPLE", 0.0)
    monkeypatch.setattr(dataset, "PASTED_HERO", 0.0)


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
    monkeypatch.setattr(dataset, "PASTED_HERO", 1.0)
    monkeypatch.setattr(dataset, "PASTED_PEOPLE", 0.0)
    monkeypatch.setattr(dataset, "PASTED_AREA_PX", (16.0, 16.0))
    masks = np.concatenate([far()[step][1] for step in range(5)])
    heroes = count(masks, HERO)
    assert np.count_nonzero(heroes) == len(masks)
    # The first two of each batch have one already, and get none.
    assert (heroes.reshape(5, 8)[:, 2:] == 16).all()


def test_far_pastes_none_to_two_of_the_people(monkeypatch):
    monkeypatch.setattr(dataset, "PASTED_HERO", 0.0)
    monkeypatch.setattr(dataset, "PASTED_PEOPLE", 1.0)
    monkeypatch.setattr(dataset, "PASTED_AREA_PX", (9.0, 9.0))
    asked = set()

    def counted(image, mask, cutout, area_px, rng):
        asked.add((cutout.class_number, round(area_px)))
        return image, mask + 10

    monkeypatch.setattr(dataset.augment, "paste", counted)
    masks = np.concatenate([far()[step][1] for step in range(3)])
    assert set(masks.min(axis=(1, 2)) // 10) == {0, 1, 2}
    assert asked == {(PEOPLE, 9)}


def test_a_picture_with_pasted_people_is_compressed_and_another_is_not(monkeypatch):
    compressed = []
    monkeypatch.setattr(dataset.augment, "compress", lambda image, rng: compressed.append(image.shape) or image)
    monkeypatch.setattr(dataset, "PASTED_HERO", 0.0)
    monkeypatch.setattr(dataset, "PASTED_PEOPLE", 0.0)
    far()[0]
    assert compressed == []
    monkeypatch.setattr(dataset, "PASTED_HERO", 1.0)
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
