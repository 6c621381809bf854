import numpy as np
import pytest
from PIL import Image

from model.dataset import Frames, cap_hovering, list_pairs, read_dataset, read_pair, read_set, recording_of
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
    """Frames in which the hero, if shown, stands in the middle, so that a shift by a quarter keeps the hero in view."""
    rng = np.random.default_rng(0)
    masks = np.zeros((with_hero + without, px, px), np.uint8)
    masks[:with_hero, px // 2, px // 2] = HERO
    return Frames(rng.integers(0, 256, (len(masks), px, px, 3), dtype=np.uint8), masks)


# --- pairs


def test_images_and_masks_pair_up_in_sorted_order(folder):
    assert [(image.name, mask.name) for image, mask in list_pairs(folder)] == [
        (f"run1cam1_0000{number}.jpeg", f"run1_mask_0000{number}.png") for number in range(3)
    ]


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


def test_a_mask_of_several_targets_has_a_colour_for_each(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)]
    Image.new("RGB", (6, 6)).save(tmp_path / "0.png")
    Image.fromarray(np.array([colours] * 6, np.uint8)).save(tmp_path / "1.png")
    _, mask = read_pair(tmp_path / "0.png", tmp_path / "1.png", 6, targets=4)
    assert mask.tolist() == [[0, 1, 2, 3, 4, 5]] * 6
    _, larger = read_pair(tmp_path / "0.png", tmp_path / "1.png", 60, targets=4)
    assert larger[0, 5::10].tolist() == [0, 1, 2, 3, 4, 5]
    message = rf"^expected exactly one class per pixel \(red, green, blue or yellow\) in {tmp_path / '1.png'}$"
    with pytest.raises(ValueError, match=message):
        read_pair(tmp_path / "0.png", tmp_path / "1.png", 6, targets=2)


def test_of_several_targets_each_is_a_hero_in_the_counts():
    masks = np.array([[[0, 1], [1, 1]], [[0, 2], [3, 3]], [[3, 0], [0, 0]]], np.uint8)
    frames = Frames(np.zeros((3, 2, 2, 3), np.uint8), masks)
    assert frames.hero_px().tolist() == [0, 3, 1]
    assert frames.shows_people().tolist() == [True, False, False]


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


# --- sampling weights


def test_near_heroes_and_people_without_the_hero_are_drawn_as_often_as_their_weights_say():
    masks = np.zeros((5, 16, 16), np.uint8)
    # Of 16 × 16 px a near hero has more than 600 · 16² / 256² = 2.3 px.
    masks[0, 0, :3] = HERO
    masks[1, 0, :2] = HERO
    masks[2, 0, :3], masks[2, 1, :3] = HERO, PEOPLE
    masks[3, 0, 0] = PEOPLE
    drawn = Frames(np.zeros((5, 16, 16, 3), np.uint8), masks)
    assert drawn.is_near().tolist() == [True, False, True, False, False]
    assert drawn.weights(near=3.0, people=2.0).tolist() == [3, 1, 3, 2, 1]
    assert drawn.weights(near=1.0, people=1.0).tolist() == [1] * 5


# --- datasets


def add_frames(folder, part, prefix, count, classes=()):
    """Add 8-px frames `prefix`_cam1_00000 … to a set; frame n shows `classes[n]` in its left half, if there is one."""
    for number in range(count):
        numbers = np.zeros((8, 8), int)
        if number < len(classes):
            numbers[:, :4] = classes[number]
        names = (f"{prefix}_cam1_{number:05}.jpeg", f"{prefix}_mask_{number:05}.png")
        save(folder / part, *names, np.full((8, 8, 3), number), numbers)


@pytest.fixture
def folders(tmp_path):
    """Two dataset folders; the second has no validation/, and a hovering camera (r2s)."""
    first, second = tmp_path / "first", tmp_path / "second"
    add_frames(first, "train", "0_run1", 3, [HERO])
    add_frames(first, "validation", "4_run1", 2, [HERO])
    add_frames(second, "train", "r1_000", 4, [HERO, PEOPLE, PEOPLE])
    add_frames(second, "train", "r2_000", 2, [HERO, HERO])
    add_frames(second, "train", "r2s_000", 5, [HERO])
    return [first, second]


def counted(data):
    return {
        (each.folder, each.name, each.use): (each.frames, each.left_out, len(each.hero_px), each.with_people_only)
        for each in data.recordings
    }


def test_folders_are_read_in_one_and_each_recording_is_counted(folders):
    data = read_dataset(folders, 8)
    assert len(data.training.images) == 3 + 4 + 2 + 5
    assert {name: len(frames.images) for name, frames in data.validation.items()} == {"validation": 2}
    assert counted(data) == {
        ("first", "0", "train"): (3, 0, 1, 0),
        ("second", "r1", "train"): (4, 0, 1, 2),
        ("second", "r2", "train"): (7, 0, 3, 0),
        ("first", "4", "validation"): (2, 0, 1, 0),
    }
    assert data.recordings[0].hero_px.tolist() == [8 * 4]


def test_a_recording_that_is_held_out_is_validated_on_as_a_whole_and_not_learned_from(folders):
    data = read_dataset(folders, 8, held_out=["r2"])
    assert len(data.training.images) == 3 + 4
    held_out = data.validation["held out"]
    assert list(data.validation) == ["held out", "validation"]
    assert len(held_out.images) == 2 + 5  # its hovering camera's frames, too
    assert held_out.shows_hero().tolist() == [True, True, True, False, False, False, False]
    assert counted(data)[("second", "r2", "held out")] == (7, 0, 3, 0)


def test_a_folder_without_validation_needs_a_recording_that_is_held_out(folders):
    assert list(read_dataset(folders[1:], 8, held_out=["r1"]).validation) == ["held out"]
    with pytest.raises(ValueError, match="expected frames to validate on: a folder with validation/ or recordings to"):
        read_dataset(folders[1:], 8)


def test_a_recording_that_does_not_exist_cannot_be_held_out(folders):
    with pytest.raises(ValueError, match="expected recordings to hold out in train/, found none of r2s, r9"):
        read_dataset(folders, 8, held_out=["r1", "r9", "r2s"])


def test_not_every_recording_can_be_held_out(folders):
    with pytest.raises(ValueError, match="expected frames to train on, got none: every recording is held out"):
        read_dataset(folders, 8, held_out=["0", "r1", "r2"])


def test_the_frames_of_a_hovering_camera_are_capped_and_no_others(folders):
    data = read_dataset(folders, 8, hovering_frames=2)
    assert counted(data)[("second", "r2", "train")] == (2 + 2, 3, 3, 0)
    assert counted(data)[("second", "r1", "train")] == (4, 0, 1, 2)


def test_the_cap_is_for_each_run_and_keeps_frames_evenly_spread(tmp_path):
    for run, count in (("r2s_000", 6), ("r2s_001", 2), ("r2_000", 4)):
        add_frames(tmp_path, "train", run, count)
    pairs = list_pairs(tmp_path / "train")
    kept = [image.stem.replace("_cam1_0000", " ") for image, _ in cap_hovering(pairs, 3)]
    moving = ["r2_000 0", "r2_000 1", "r2_000 2", "r2_000 3"]
    assert kept == [*moving, "r2s_000 0", "r2s_000 2", "r2s_000 4", "r2s_001 0", "r2s_001 1"]
    assert cap_hovering(pairs, 0) == pairs


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("r05_001_run1_cam1_00003.jpeg", "r05"),
        ("r14s_000_cam1_00003.jpeg", "r14"),
        ("10_run4cam1_00003.jpeg", "10"),
        ("run1cam1_00003.jpeg", "run1cam1"),
        ("cars_00003.jpeg", "cars"),
        ("cars00003.jpeg", "cars"),
        ("v1.2_00003.jpeg", "v1.2"),
        ("00003.jpeg", ""),
    ],
)
def test_a_recording_is_what_a_name_begins_with(name, recording):
    assert recording_of(name) == recording
