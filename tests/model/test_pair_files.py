"""Which files of a set are read, and how images and masks pair up."""

from pathlib import Path

import pytest

from model.pair_files import frame_number, is_depth_layer, list_files, list_pairs


def make_set(folder, images, masks):
    for kind, names in (("images", images), ("masks", masks)):
        (folder / kind).mkdir()
        for name in names:
            (folder / kind / name).touch()
    return folder


def ten_pairs(without_image=(), without_mask=(), more_images=(), more_masks=()):
    """Names of pairs of a run called by its date."""
    images = [f"0_20180615_cam1_{number:05}.jpeg" for number in range(10) if number not in without_image]
    masks = [f"0_20180615_mask_{number:05}.png" for number in range(10) if number not in without_mask]
    return [*images, *more_images], [*masks, *more_masks]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0_run6_cam1_00005_data_pack2.jpeg", "00005"),
        ("0__mask_00026.png", "00026"),
        ("0_20180615_cam1_00004.jpeg", "00004"),
        ("0_run1_cam1_123456.jpeg", "123456"),
        ("frame_0005.jpeg", "0005"),
        ("run2_7_mask.png", "7"),
        ("near.jpeg", None),
    ],
)
def test_the_frame_number_is_the_last_of_five_or_more_digits_else_the_last_digits(tmp_path, name, number):
    assert frame_number(tmp_path / name) == number


def test_what_file_managers_leave_is_not_listed(tmp_path):
    for name in ("b.jpeg", "a.JPG", "._b.jpeg", ".DS_Store", "Thumbs.db", "thumbs.jpeg.partial", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in list_files(tmp_path, (".jpeg", ".jpg", ".db"))] == ["a.JPG", "b.jpeg"]


def test_a_missing_folder_holds_no_files(tmp_path):
    assert list_files(tmp_path / "nowhere", (".jpeg",)) == []


def test_images_may_end_with_jpg(tmp_path):
    (pair,) = list_pairs(make_set(tmp_path, ["run_00001.jpg"], ["run_00001.png"]))
    assert [file.name for file in pair] == ["run_00001.jpg", "run_00001.png"]


@pytest.mark.parametrize(
    "names",
    [
        ("0_run1cam1_00005.jpeg", "0__mask_00005.png"),  # as in the original's evaluation sets
        ("cam1_00005.jpeg", "mask_00005.png"),
        ("frame_00005.jpeg", "7_00005.png"),
    ],
)
def test_names_of_other_forms_pair_up_by_their_frame_numbers(tmp_path, names):
    (pair,) = list_pairs(make_set(tmp_path, [names[0]], [names[1]]))
    assert tuple(file.name for file in pair) == names


def test_names_without_a_frame_number_pair_up_in_order(tmp_path):
    (pair,) = list_pairs(make_set(tmp_path, ["near.jpeg"], ["close.png"]))
    assert [file.name for file in pair] == ["near.jpeg", "close.png"]


@pytest.mark.parametrize("lost", [[], [2]])
def test_short_frame_numbers_are_compared_too(tmp_path, lost):
    """Without the mask of frame 1, each mask was paired with the image before its own, up to the last image."""
    images = [f"frame_{number}.jpeg" for number in range(4) if number not in lost]
    folder = make_set(tmp_path, images, [f"frame_{number}.png" for number in (0, 2, 3)])
    with pytest.raises(ValueError, match=r"expected a mask .*frame_1\.jpeg"):
        list_pairs(folder)


def test_a_mask_whose_image_has_its_name_is_no_depth_layer(tmp_path):
    """As `tools/export_dataset.py` names the frames of a recording cam2.mcap."""
    (pair,) = list_pairs(make_set(tmp_path, ["cam2_00005.jpeg"], ["cam2_00005.png"]))
    assert [file.name for file in pair] == ["cam2_00005.jpeg", "cam2_00005.png"]


@pytest.mark.parametrize(
    ("name", "is_layer"),
    [
        ("cam2_00005.png", True),
        ("0_run1_cam4_123456.png", True),
        ("cam1_00005.png", False),
        ("cam2_0005.png", False),
        ("cam2_00005.jpeg", False),
    ],
)
def test_depth_layers_of_the_raw_format_are_known_by_their_names(name, is_layer):
    assert is_depth_layer(Path("IMG") / name) is is_layer


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected .*/images to hold \*\.jpeg files, found none"):
        list_pairs(make_set(tmp_path, [], []))


@pytest.mark.parametrize(("folder", "missing"), [("set", "set/images"), ("nowhere/train", "nowhere")])
def test_of_a_set_that_does_not_exist_the_missing_folder_is_named(tmp_path, folder, missing):
    (tmp_path / "set").mkdir()
    with pytest.raises(FileNotFoundError, match=f"^expected the folder {tmp_path / missing}, which does not exist$"):
        list_pairs(tmp_path / folder)


def test_a_file_in_the_place_of_a_set_is_refused(tmp_path):
    (tmp_path / "set").touch()
    with pytest.raises(NotADirectoryError, match=f"^expected a folder, got the file {tmp_path / 'set'}$"):
        list_pairs(tmp_path / "set")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (ten_pairs(more_images=["cam1_0.jpeg"]), "a mask for each image, found none for {}/images/cam1_0.jpeg"),
        (
            ten_pairs(more_images=["0_0.jpeg"]),  # sorts first
            "a mask for each image, found none for {}/images/0_0.jpeg",
        ),
        (
            ten_pairs(without_mask=[7]),
            "a mask for each image, found none for {}/images/0_20180615_cam1_00007.jpeg",
        ),
        (
            ten_pairs(without_image=[3]),
            "an image for each mask, found none for {}/masks/0_20180615_mask_00003.png",
        ),
        (
            ten_pairs(without_image=[3], without_mask=[7]),  # as many images as masks
            "an image for each mask, found none for {}/masks/0_20180615_mask_00003.png",
        ),
        (
            ten_pairs(without_image=[3, 4], without_mask=[7, 8]),
            "a mask of 0_20180615_cam1_00005.jpeg next in {}/masks, got 0_20180615_mask_00003.png",
        ),
        (
            (["0_a_cam1_00001.jpeg", "0_a_cam1_00002.jpeg"], ["1_b_mask_00001.png", "1_b_mask_00002.png"]),
            "a mask of 0_a_cam1_00001.jpeg next in {}/masks, got 1_b_mask_00001.png",
        ),
        (
            # Each has a frame 00001, and of one the mask is missing.
            (["0_a_cam1_00001.jpeg", "1_b_cam1_00001.jpeg"], ["1_b_mask_00001.png"]),
            "a mask for each image, found none for {}/images/0_a_cam1_00001.jpeg",
        ),
        (
            ten_pairs(more_masks=["0_run1_cam3_00002.png"]),
            "only masks in {}/masks, got 0_run1_cam3_00002.png, a depth layer that an interrupted run of the original "
            "tool left: delete its cam2_, cam3_ and cam4_ files, or make the set again in a new folder",
        ),
    ],
)
def test_a_file_without_its_partner_is_named(tmp_path, names, complaint):
    with pytest.raises(ValueError, match="expected") as caught:
        list_pairs(make_set(tmp_path, *names))
    assert str(caught.value) == f"expected {complaint.format(tmp_path)}"
