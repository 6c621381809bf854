"""Pictures of an evaluation, for `tools/evaluate.py --report`: curves, confusion, contact sheets.

Each picture shows several networks: a mapping from a network's label to what is drawn of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model.analysis import PREDICTIONS, THRESHOLDS_255, Counts, SizeRecall
from model.scoring import CLASSES, THRESHOLD_255

DPI = 120
TILES_PER_ROW = 6
TILE_PX, CAPTION_PX, GAP_PX = 200, 34, 6
FONT = ImageFont.load_default(size=11)
# A tile shows this many times the width or height of what it is about, but at least this share of the image.
CONTEXT, LEAST_SHARE = 2.5, 0.2
TINT, OUTLINE = (0, 255, 0), (255, 220, 0)


class Tile(NamedTuple):
    """A place in a frame, for a contact sheet. The masks cover the whole image, at a resolution of their own.

    Args:
        image: the camera's.
        truth: (H, W) bool, the true hero: outlined.
        predicted: (H, W) bool, what the network takes for the hero: tinted.
        around: (H, W) bool, what to show; at least a pixel.
        caption: a line or two.
    """

    image: Image.Image
    truth: np.ndarray
    predicted: np.ndarray
    around: np.ndarray
    caption: str


def draw_recall(recalls: Mapping[str, Sequence[SizeRecall]], path: Path) -> None:
    """Draw the share of heroes detected against their size as PNG, each point with its numbers."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row, (label, sizes) in enumerate(recalls.items(), start=1):
        shares = [size.found / size.heroes if size.heroes else np.nan for size in sizes]
        (line,) = axes.plot(shares, "o-", label=label)
        for column, size in enumerate(sizes):
            text = f"{size.found} of {size.heroes}"
            axes.annotate(text, (column, -0.05 * row), ha="center", va="center", fontsize=8, color=line.get_color())
    names = [
        f"{size.from_px} and more" if size.below_px is None else f"{size.from_px}–{size.below_px - 1}"
        for size in next(iter(recalls.values()))
    ]
    axes.set_xticks(range(len(names)), names)
    bottom = -0.05 * (len(recalls) + 1)
    axes.set(xlabel="hero's size, px of the scoring resolution", ylabel="share detected", ylim=(bottom, 1.03))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center")
    figure.savefig(path, dpi=DPI)


def draw_precision_recall(counts: Mapping[str, tuple[Counts, Counts]], path: Path) -> None:
    """Draw precision against recall of frames and of pixels over `THRESHOLDS_255` as PNG; a disc marks the score's."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    operating = THRESHOLDS_255.index(THRESHOLD_255)
    titles = ("frames: is the hero there?", "pixels: are they the hero's?")
    for which, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
        for label, pair in counts.items():
            recall, precision = pair[which].recall, pair[which].precision
            (line,) = axes.plot(recall, precision, ".-", markersize=4, label="_" if which else label)
            axes.plot(recall[operating], precision[operating], "o", markersize=9, color=line.get_color())
        axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(None, 1.01), ylim=(None, 1.01))
        axes.grid(alpha=0.3)
    title = f"● above {THRESHOLD_255}/255; the line: above {THRESHOLDS_255[0]}/255 to {THRESHOLDS_255[-1]}/255"
    figure.legend(loc="outside upper center", title=title)
    figure.savefig(path, dpi=DPI)


def draw_confusion(matrices: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw which share of each true class's pixels is taken for what, (classes, predictions) int, as PNG."""
    figure = Figure(figsize=(1 + 4.5 * len(matrices), 3.8), layout="constrained")
    for axes, (label, pixels) in zip(
        figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
    ):
        shares = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            text = f"{share:.2%}\n{pixels[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(PREDICTIONS)), PREDICTIONS)
        axes.set_yticks(range(len(CLASSES)), CLASSES)
        axes.set(title=label, xlabel="predicted", ylabel="true class")
    figure.savefig(path, dpi=DPI)


def draw_sheet(tiles: Mapping[str, Sequence[Tile]], path: Path) -> None:
    """Draw each network's tiles under its label as JPEG, `TILES_PER_ROW` in a row; without any, the label says so."""
    rows = sum(1 + -(-len(row) // TILES_PER_ROW) for row in tiles.values())  # at most; labels are lower than tiles
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + TILES_PER_ROW * step_x, GAP_PX + rows * step_y), "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP_PX
    for label, row in tiles.items():
        draw.text((GAP_PX, top), label if row else f"{label}: none", "black", FONT)
        top += CAPTION_PX
        for start in range(0, len(row), TILES_PER_ROW):
            for column, tile in enumerate(row[start : start + TILES_PER_ROW]):
                left = GAP_PX + column * step_x
                sheet.paste(draw_tile(tile), (left, top))
                draw.text((left, top + TILE_PX + 2), tile.caption, "black", FONT)
            top += step_y
    sheet.crop((0, 0, sheet.width, top)).save(path, quality=90)


def draw_tile(tile: Tile) -> Image.Image:
    """Cut out a tile's place, square and within the image, and draw its masks on it: `TILE_PX` × `TILE_PX` RGB."""
    square = place(tile.around)
    picture = _enlarged(tile.image.convert("RGB"), square, Image.Resampling.BICUBIC)
    truth, predicted = (
        _enlarged(Image.fromarray(mask), square, Image.Resampling.NEAREST) for mask in (tile.truth, tile.predicted)
    )
    tinted = Image.blend(picture, Image.new("RGB", picture.size, TINT), 0.35)
    picture.paste(tinted, mask=predicted)
    wide = truth.convert("L").filter(ImageFilter.MaxFilter(5))
    outline = Image.fromarray(np.asarray(wide).astype(bool) & ~np.asarray(truth))
    picture.paste(OUTLINE, mask=outline)
    return picture


def place(mask: np.ndarray) -> tuple[float, float, float]:
    """Where to look at a mask (H, W) of booleans: left, top and side of a square, as shares of the image."""
    rows, columns = np.nonzero(mask)
    left, right = columns.min() / mask.shape[1], (columns.max() + 1) / mask.shape[1]
    top, bottom = rows.min() / mask.shape[0], (rows.max() + 1) / mask.shape[0]
    side = min(max(CONTEXT * max(right - left, bottom - top), LEAST_SHARE), 1.0)
    left, top = (min(max(middle - side / 2, 0.0), 1 - side) for middle in ((left + right) / 2, (top + bottom) / 2))
    return float(left), float(top), float(side)


def _enlarged(picture: Image.Image, square: tuple[float, float, float], resample: Image.Resampling) -> Image.Image:
    left, top, side = square
    width, height = picture.size
    box = (left * width, top * height, (left + side) * width, (top + side) * height)
    return picture.resize((TILE_PX, TILE_PX), resample, box=box)
