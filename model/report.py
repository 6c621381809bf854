"""Pictures of an evaluation: curves, confusion matrices and contact sheets of the worst frames.

Each picture compares several networks; the functions take mappings whose keys are the networks' labels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model.analysis import (
    PREDICTIONS,
    THRESHOLDS_255,
    Counts,
    SizeRecall,
    confusion,
    frames_by_threshold,
    largest_blob,
    pixels_by_threshold,
    recall_by_size,
)
from model.evaluation import WORST, WORST_FRAMES, Evaluation, read_image
from model.images import jpeg_of, open_image, resize_probabilities
from model.scoring import CLASSES, HERO, THRESHOLD_255, threshold

DPI = 120
TILES_PER_ROW = 6
TILE_PX, CAPTION_PX, GAP_PX = 200, 34, 6
FONT = ImageFont.load_default(size=11)
# Side of a tile's square: this multiple of the larger side of the marked area, but at least this share of the image.
CONTEXT, LEAST_SHARE = 2.5, 0.2
TINT, OUTLINE = (0, 255, 0), (255, 220, 0)


class Tile(NamedTuple):
    """A cut-out of a frame for a contact sheet. The masks cover the whole image, but may have another resolution.

    Args:
        image: camera image.
        truth: (H, W) bool, the true hero; it is outlined.
        predicted: (H, W) bool, the hero by the network; it is tinted.
        around: (H, W) bool, area to show; at least one pixel.
        caption: one or two lines of text.
    """

    image: Image.Image
    truth: np.ndarray
    predicted: np.ndarray
    around: np.ndarray
    caption: str


def draw(evaluations: Sequence[Evaluation], folder: Path) -> None:
    """Draw all pictures into a folder.

    The curves are `recall_by_size.png`, `precision_recall.png` and `confusion.png`; the contact sheets are
    `false_alarms.jpeg`, `misses.jpeg` and `masks.jpeg`, each with the worst frames first.
    """
    labelled = {f"{evaluation.label} at {evaluation.px} px": evaluation for evaluation in evaluations}
    draw_recall(
        {label: recall_by_size(evaluation.far_frames) for label, evaluation in labelled.items()},
        folder / "recall_by_size.png",
    )
    draw_precision_recall(
        {
            label: (frames_by_threshold(evaluation.all_frames), pixels_by_threshold(evaluation.all_frames))
            for label, evaluation in labelled.items()
        },
        folder / "precision_recall.png",
    )
    draw_confusion(
        {label: confusion(evaluation.all_frames) for label, evaluation in labelled.items()}, folder / "confusion.png"
    )
    for name, worst in WORST.items():
        draw_sheet(
            {label: tiles(evaluation, worst(evaluation.all_frames)) for label, evaluation in labelled.items()},
            folder / f"{name}.jpeg",
        )


def tiles(evaluation: Evaluation, numbers: Sequence[int]) -> list[Tile]:
    """Cut out the first `WORST_FRAMES` of the numbered frames, around the true hero or the falsely detected blob."""
    drawn = []
    for number in numbers[:WORST_FRAMES]:
        (image_path, mask_path), frame = evaluation.all_pairs[number], evaluation.all_frames[number]
        image = read_image(image_path, evaluation.engine.input_px)
        probabilities = resize_probabilities(evaluation.engine.infer(image[None])[0], evaluation.px)
        predicted = threshold(probabilities)[..., HERO]
        truth = evaluation.truth(mask_path)[..., HERO].astype(bool)
        drawn.append(
            Tile(
                image=open_image(image_path).convert("RGB"),
                truth=truth,
                predicted=predicted,
                around=largest_blob(predicted) if frame.score.fp else truth,
                caption=f"{image_path.name}\nhero {frame.hero_px} px, found {frame.found_px} px, "
                + (f"IoU {frame.score.iou[HERO]:.2f}" if frame.score.tp else f"p {frame.probability:.2f}"),
            )
        )
    return drawn


def draw_recall(recalls: Mapping[str, Sequence[SizeRecall]], path: Path) -> None:
    """Draw the share of detected heroes against their size as PNG; each point is labelled with its counts."""
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
    axes.set(xlabel="size of the hero, px of the scoring resolution", ylabel="share detected", ylim=(bottom, 1.03))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center")
    figure.savefig(path, dpi=DPI)


def draw_precision_recall(counts: Mapping[str, tuple[Counts, Counts]], path: Path) -> None:
    """Draw precision against recall of frames and of pixels over `THRESHOLDS_255` as PNG.

    A disc marks `THRESHOLD_255`, the threshold of the score.
    """
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    operating = THRESHOLDS_255.index(THRESHOLD_255)
    titles = ("frames with the hero", "pixels of the hero")
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
    """Draw confusion matrices, (classes, predictions) int pixels, as PNG: shares of each true class and counts."""
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
    """Draw the tiles of each network under its label as JPEG, `TILES_PER_ROW` per row."""
    rows = sum(1 + -(-len(row) // TILES_PER_ROW) for row in tiles.values())  # upper bound: a label is lower than tiles
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
    path.write_bytes(jpeg_of(sheet.crop((0, 0, sheet.width, top)), quality=90))


def draw_tile(tile: Tile) -> Image.Image:
    """Draw a tile with its masks as RGB, `TILE_PX` × `TILE_PX`; it shows a square that lies within the image."""
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
    """Square around the pixels of a (H, W) bool mask: left, top and side, as shares of the image."""
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
