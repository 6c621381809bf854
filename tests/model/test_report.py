import numpy as np
import pytest
from PIL import Image

from model.analysis import THRESHOLDS_255, Counts, SizeRecall
from model.report import (
    CAPTION_PX,
    GAP_PX,
    OUTLINE,
    TILE_PX,
    TILES_PER_ROW,
    Tile,
    draw_confusion,
    draw_precision_recall,
    draw_recall,
    draw_sheet,
    draw_tile,
    place,
)

GREY = (100, 100, 100)
SIZES = [SizeRecall(4, 16, 10, 1), SizeRecall(16, 25, 0, 0), SizeRecall(25, None, 5, 5)]
NOTHING = Counts(*np.zeros((3, len(THRESHOLDS_255)), int))
SOMETHING = Counts(*np.full((3, len(THRESHOLDS_255)), 7))


def mask(*pixels: tuple[int, int], px: int = 100) -> np.ndarray:
    """(px, px) bool with these (row, column) pixels."""
    masked = np.zeros((px, px), bool)
    for pixel in pixels:
        masked[pixel] = True
    return masked


def tile(truth: np.ndarray, predicted: np.ndarray, image_px: int = 200) -> Tile:
    return Tile(Image.new("RGB", (image_px, image_px), GREY), truth, predicted, truth | predicted, "a caption")


@pytest.mark.parametrize(
    ("draw", "one", "pixels"),
    [
        (draw_recall, SIZES, (960, 600)),
        (draw_precision_recall, (SOMETHING, NOTHING), (1320, 660)),
        (draw_confusion, np.eye(3, 4, dtype=int), (660, 456)),
    ],
)
def test_each_curve_is_a_png_of_known_size(tmp_path, draw, one, pixels):
    draw({"a network": one}, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", pixels)


def test_each_networks_confusion_adds_a_matrix(tmp_path):
    draw_confusion({"a": np.zeros((3, 4), int), "b": np.ones((3, 4), int)}, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (660 + 540, 456)


def test_a_place_is_a_square_with_room_around():
    # 20 columns and 10 rows of 100 px: the square is 2.5 · 20 % wide around the middle, (55 %, 50 %).
    assert place(mask(*((row, column) for row in range(45, 55) for column in range(45, 65)))) == pytest.approx(
        (0.55 - 0.25, 0.50 - 0.25, 0.5)
    )


@pytest.mark.parametrize(
    ("pixels", "square"),
    [
        ([(50, 50)], (0.405, 0.405, 0.2)),  # a speck: the least share of the image, around (50.5 %, 50.5 %)
        ([(0, 99)], (0.8, 0.0, 0.2)),  # in a corner: moved into the image
        ([(0, 0), (99, 99)], (0.0, 0.0, 1.0)),  # all over: never more than the image
    ],
)
def test_a_place_stays_in_the_image(pixels, square):
    assert place(mask(*pixels)) == pytest.approx(square)


def test_a_tile_tints_what_is_found_and_outlines_what_is_true():
    # The square shows columns and rows 40 to 60 of 100: 10 px of the tile for each.
    found, true = mask((50, 45)), mask((50, 55))
    picture = np.asarray(draw_tile(Tile(Image.new("RGB", (200, 200), GREY), true, found, mask((49, 49), (50, 50)), "")))
    assert picture.shape == (TILE_PX, TILE_PX, 3)
    assert picture[105, 55].tolist() == [65, 154, 65]  # 100 · 0.65 + (0, 255, 0) · 0.35
    assert picture[105, 155].tolist() == list(GREY)  # inside the outline
    assert [picture[105, column].tolist() == list(OUTLINE) for column in (147, 148, 149, 150, 159, 160, 161, 162)] == (
        [False, True, True, False, False, True, True, False]
    )


def test_a_sheet_has_a_label_and_rows_for_each_network(tmp_path):
    tiles = [tile(mask((50, 50)), mask())] * (TILES_PER_ROW + 1)
    draw_sheet({"two rows": tiles, "one row": tiles[:1], "none": []}, tmp_path / "sheet.jpeg")
    with Image.open(tmp_path / "sheet.jpeg") as sheet:
        sheet.load()
        assert sheet.format == "JPEG"
        assert sheet.width == TILES_PER_ROW * (TILE_PX + GAP_PX) + GAP_PX
        assert sheet.height == GAP_PX + 3 * CAPTION_PX + 3 * (TILE_PX + CAPTION_PX + GAP_PX)


def test_masks_of_another_resolution_than_the_image_cover_the_same_place():
    # The right lower quarter of 4 × 4 px over an image of 200 px: found from its middle on.
    found = mask((2, 2), (2, 3), (3, 2), (3, 3), px=4)
    picture = np.asarray(draw_tile(Tile(Image.new("RGB", (200, 200), GREY), mask(px=4), found, found, "")))
    assert [(picture[at, at] == GREY).all() for at in (98, 101)] == [True, False]
