"""Masks on their way to an annotation tool and back: as they were, or corrected."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from PIL import Image
from support.recorded_session import FORMAT_1

from model.dataset import read_pair
from model.pair_files import list_pairs
from model.scoring import HERO, PEOPLE, SURROUNDINGS
from tools import export_dataset, take_corrections


@pytest.fixture
def candidates(tmp_path):
    """Frames taken out of a recording, with their annotations."""
    assert export_dataset.main([str(FORMAT_1), "--out", str(tmp_path / "set"), "--coco"]) == 0
    return tmp_path / "set"


@pytest.fixture
def taken(tmp_path, capsys):
    """Takes annotations into a set; returns the exit status, and what was said, one line."""

    def take(folder, annotations):
        file = tmp_path / "annotations.json"
        file.write_text(annotations if isinstance(annotations, str) else json.dumps(annotations))
        capsys.readouterr()
        status = take_corrections.main([str(folder), str(file)])
        said = capsys.readouterr()
        (line,) = (said.out + said.err).splitlines()
        return status, line.replace(str(file), "FILE")

    return take


def annotations(folder, kind="masks"):
    return json.loads((folder / f"coco/{kind}.json").read_text())


def classes_of(folder):
    return {image.stem: read_pair(image, mask, 256)[1] for image, mask in list_pairs(folder)}


def files(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize("kind", ["masks", "polygons"])
def test_what_nobody_corrected_stays_as_it_is(candidates, taken, kind):
    before = files(candidates)
    status, said = taken(candidates, annotations(candidates, kind))
    assert (status, said) == (
        0, f"{candidates}: 0 masks corrected, {len(list_pairs(candidates))} as they were, 0 not in annotations.json"
    )  # fmt: skip
    assert files(candidates) == before


@pytest.mark.parametrize("kind", ["masks", "polygons"])
def test_masks_of_real_frames_come_back_as_they_were(data_dir, tmp_path, taken, kind):
    """Into a set whose masks have been lost: all of them are made anew from the annotations."""
    folder = tmp_path / "real"
    # Near and far heroes, crowds, and frames with nobody, of the training set.
    for image, mask in list_pairs(data_dir / "train")[::600]:
        for file in (image, mask):
            target = folder / file.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    (folder / "coco").mkdir()
    export_dataset.write_annotations(folder)
    before = classes_of(folder)
    assert sum((classes == HERO).any() for classes in before.values()) >= 2
    for _, mask in list_pairs(folder):
        Image.fromarray(np.full((256, 256, 3), (255, 0, 0), np.uint8)).save(mask)
    assert taken(folder, annotations(folder, kind))[0] == 0
    after = classes_of(folder)
    assert after.keys() == before.keys()
    for name, classes in before.items():
        np.testing.assert_array_equal(after[name], classes, err_msg=name)


def test_a_corrected_mask_comes_back_corrected_and_no_other_changes(candidates, taken):
    """As a person would: one frame's annotations deleted, a box drawn around the hero by hand."""
    before, changed = classes_of(candidates), annotations(candidates)
    image = changed["images"][0]
    changed["annotations"] = [each for each in changed["annotations"] if each["image_id"] != image["id"]]
    drawn = {"id": 10_000, "image_id": image["id"], "iscrowd": 0, "area": 0, "bbox": [0, 0, 0, 0]}
    changed["annotations"] += [
        {**drawn, "category_id": HERO, "segmentation": [[10, 20, 14, 20, 14, 30, 10, 30]]},
        {**drawn, "category_id": PEOPLE, "segmentation": [[12, 20, 20, 20, 20, 30, 12, 30]]},  # behind the hero
    ]
    status, said = taken(candidates, changed)
    assert status == 0
    assert ": 1 masks corrected, " in said
    after = classes_of(candidates)
    wanted = np.full((256, 256), SURROUNDINGS)
    wanted[20:30, 12:20] = PEOPLE
    wanted[20:30, 10:14] = HERO
    name = image["file_name"].removesuffix(".jpeg")
    np.testing.assert_array_equal(after.pop(name), wanted)
    for other, classes in after.items():
        np.testing.assert_array_equal(classes, before[other])


def test_a_damaged_mask_is_replaced_by_its_correction(candidates, taken):
    before, corrections = classes_of(candidates), annotations(candidates)
    _, mask = list_pairs(candidates)[1]
    mask.write_bytes(b"no PNG")
    status, said = taken(candidates, corrections)
    assert (status, "1 masks corrected" in said) == (0, True)
    assert all(np.array_equal(classes, before[name]) for name, classes in classes_of(candidates).items())


def test_a_mask_of_several_targets_is_refused_and_keeps_them(candidates, taken):
    *_, (_, mask) = list_pairs(candidates)
    with Image.open(mask) as opened:
        pixels = np.array(opened)
    pixels[:5, :5] = (255, 255, 0)
    Image.fromarray(pixels).save(mask)
    before = files(candidates)
    status, said = taken(candidates, annotations(candidates))
    assert (status, said) == (
        2, f"take_corrections: expected a mask of one target, in blue, to correct, got one with others in {mask}"
    )  # fmt: skip
    assert files(candidates) == before


def test_an_image_without_annotations_shows_surroundings_and_one_that_is_not_listed_stays(candidates, taken):
    before = classes_of(candidates)
    shown = [name for name, classes in before.items() if classes.any()]
    first = next(each for each in annotations(candidates)["images"] if each["file_name"] == f"{shown[0]}.jpeg")
    status, said = taken(candidates, {**annotations(candidates), "images": [first], "annotations": []})
    assert status == 0
    assert said.endswith(f"1 masks corrected, 0 as they were, {len(before) - 1} not in annotations.json")
    after = classes_of(candidates)
    assert not after.pop(shown[0]).any()
    assert all((classes == before[name]).all() for name, classes in after.items())


@pytest.mark.parametrize("rename", ["images/{}", "upload/1/5f3a9c1d-{}", r"C:\images\{}"])
def test_what_tools_put_before_a_name_is_ignored_and_categories_go_by_their_names(candidates, taken, rename):
    changed = annotations(candidates)
    for image in changed["images"]:
        image["file_name"] = rename.format(image["file_name"])
    for entry in changed["annotations"]:
        entry["category_id"] += 6
    changed["categories"] = [{"id": HERO + 6, "name": "hero"}, {"id": PEOPLE + 6, "name": "people"}]
    assert ": 0 masks corrected, " in taken(candidates, changed)[1]


def test_label_studio_gets_no_boxes_and_knows_no_size_of_an_image_without_annotations(candidates, taken):
    """Label Studio would make a separate annotation from a box."""
    changed = annotations(candidates, "polygons")
    assert not any("bbox" in each for each in changed["annotations"])
    for image in changed["images"]:
        image.update(width=None, height=None)
    assert ": 0 masks corrected, " in taken(candidates, changed)[1]


# --- how it fails


def broken(change):
    """Changes the content of a file of annotations."""

    def changed(content):
        change(content)
        return content

    return changed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda _: "not JSON", "FILE: expected annotations in COCO's format, got: JSON is malformed"),
        (lambda _: "[" * 100_000, "FILE: "),
        (lambda _: {"images": []}, "missing required field `categories`"),
        (broken(lambda each: each["images"][0].pop("width")), "missing required field `width` - at `$.images"),
        (broken(lambda each: each["images"][0].update(width=512)), "expected 256×256 pixels for "),
        (broken(lambda each: each["images"][0].update(file_name="x.jpeg")), "expected an image of the set, got x.jpeg"),
        (broken(lambda each: each["images"].append(each["images"][0])), "expected each image once, got "),
        (broken(lambda each: each["annotations"][0].update(image_id=99)), "an image of the file, got number 99"),
        (
            broken(lambda each: each["categories"][-1].update(name="person")),
            "expected a category of surroundings, people, hero, got person",
        ),
        (broken(lambda each: each["annotations"][0].update(segmentation=[])), "got neither, such as for a box"),
        (broken(lambda each: each["annotations"][0].update(segmentation=[[1, 2, 3, 4]])), "got 4 numbers"),
        (
            broken(lambda each: each["annotations"][0].update(segmentation=[[-1.7e308, 0.5, 1.7e308, 9, 5, 20]])),
            "annotation 1: expected coordinates from -1e+06 to 1e+06 in a polygon, got -1.7e+308",
        ),
        (
            broken(lambda each: each["annotations"][0].update(segmentation=[[0, 0, 9, 9, 5, -1000001]])),
            "annotation 1: expected coordinates from -1e+06 to 1e+06 in a polygon, got -1000001.0",
        ),
        (lambda each: json.dumps(each).replace('"id": 1,', '"id": 1e400,'), "Number out of range - at `$.images[0].id"),
        *(
            (broken(partial(change, 10**4000)), f"got: Expected `int` <= 9223372036854775807 - at `$.{place}`")
            for change, place in (
                (lambda huge, each: each["images"][0].update(id=huge), "images[0].id"),
                (lambda huge, each: each["images"][0].update(width=huge), "images[0].width"),
                (lambda huge, each: each["categories"][0].update(id=huge), "categories[0].id"),
                (lambda huge, each: each["annotations"][0].update(id=huge), "annotations[0].id"),
                (lambda huge, each: each["annotations"][0].update(image_id=huge), "annotations[0].image_id"),
                (
                    lambda huge, each: each["annotations"][0]["segmentation"].update(counts=[huge]),
                    "annotations[0].segmentation.counts[0]",
                ),
                (
                    lambda huge, each: each["annotations"][0]["segmentation"].update(size=[9, huge]),
                    "annotations[0].segmentation.size[1]",
                ),
            )
        ),
        (
            broken(lambda each: each["annotations"][0]["segmentation"].update(counts=[1, 2])),
            "annotation 1: expected runs of 65536 pixels together",
        ),
        (broken(lambda each: each["annotations"][0]["segmentation"].update(counts="Z`")), "expected packed runs"),
        (broken(lambda each: each["annotations"][0]["segmentation"].update(size=[9, 9])), "got [9, 9]"),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_in_one_line_and_nothing_is_written(candidates, taken, change, complaint):
    before = files(candidates)
    status, said = taken(candidates, change(annotations(candidates)))
    assert status == 2
    assert said.startswith("take_corrections: FILE: ")
    assert complaint in said
    assert files(candidates) == before
