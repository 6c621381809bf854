import numpy as np
import pytest
from PIL import Image

from model.dataset import AugmentedBatches, Frames, list_pairs, read_pair, read_set
from model.scoring import CLASSES, HERO

SURROUNDINGS, PEOPLE = CLASSES.index("surroundings"), CLASSES.index("people")


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


def batches(**changes):
    settings = {"frames": frames(), "batch": 4, "steps": 3, "hero_share": 0.5, "seed": 0} | changes
    return AugmentedBatches(settings.pop("frames"), **settings)


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
    with pytest.raises(ValueError, match=r"one mask per image in .*, got 3 images, 2 masks"):
        list_pairs(folder)


def test_pairs_that_slipped_by_one_are_refused(folder):
    (folder / "images" / "run1cam1_00000.jpeg").unlink()
    (folder / "masks" / "run1_mask_00002.png").unlink()
    with pytest.raises(ValueError, match=r"a mask of run1cam1_00001.jpeg next in .*masks, got run1_mask_00000.png"):
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
    refused(folder, f"expected an image in {path}, got: ")


# --- batches


def test_a_batch_is_normalised_images_and_class_numbers():
    images, masks = batches()[0]
    assert (images.shape, images.dtype) == ((4, 8, 8, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((4, 8, 8), np.uint8)
    assert -1 <= images.min() < -0.5 < 0.5 < images.max() <= 1


def same(batch, other):
    return all(np.array_equal(mine, its) for mine, its in zip(batch, other, strict=True))


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    one, two = batches(), batches()
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


@pytest.mark.parametrize(("hero_share", "heroes"), [(0.5, 4), (0.25, 2), (0.3, 2), (0.0, 0), (1.0, 8)])
def test_the_hero_has_its_share_of_each_batch(hero_share, heroes):
    drawn = batches(batch=8, hero_share=hero_share)
    for step in range(3):
        assert np.count_nonzero((drawn[step][1] == HERO).any(axis=(1, 2))) == heroes


@pytest.mark.parametrize(("with_hero", "without"), [(0, 5), (3, 0)])
def test_frames_without_both_kinds_are_refused(with_hero, without):
    with pytest.raises(ValueError, match=f"with and without the hero, got {with_hero} with and {without} without"):
        batches(frames=frames(with_hero, without))


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_larger_than_the_set_is_refused(batch):
    with pytest.raises(ValueError, match=rf"batch must be 1 to 8 \(the whole set\), got {batch}"):
        batches(batch=batch)
