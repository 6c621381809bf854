"""A set's masks as annotations in COCO's format, which annotation tools read and write.

People and the hero are categories; all other pixels are surroundings. Imports neither Keras nor TensorFlow.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np

from model.scoring import CLASSES, HERO, PEOPLE, SURROUNDINGS
from model.shapes import mask_of_polygon, mask_of_runs, polygons_of, runs_of, unpacked

# Numbers of the categories: the numbers of their classes in the masks.
_CATEGORIES = (PEOPLE, HERO)
LARGEST_FILE_BYTES = 500_000_000
# Far outside of every image. Slopes between the largest floats would not be finite.
LARGEST_COORDINATE = 1e6


class UnreadableAnnotationsError(ValueError):
    """A file without usable annotations; the message names it."""


# JSON has integers of any length, which errors would quote in full. Some programs number images with 64 bits.
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Image(msgspec.Struct):
    id: _Integer
    file_name: str
    # Label Studio does not know the size of an image without annotations.
    width: _Integer | None
    height: _Integer | None


class _Category(msgspec.Struct):
    id: _Integer
    name: str


class _Runs(msgspec.Struct):
    size: tuple[_Integer, _Integer]
    counts: list[_Integer] | str


class _Annotation(msgspec.Struct):
    id: _Integer
    image_id: _Integer
    category_id: _Integer
    segmentation: list[list[float]] | _Runs


class _Annotations(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def annotations_of(frames: Iterable[tuple[str, np.ndarray]], as_polygons: bool) -> bytes:
    """Masks as a file of annotations, one for each connected part of a class.

    Args:
        frames: name of the image file, and classes, (H, W) numbers into `scoring.CLASSES`.
        as_polygons: write polygons along the pixels' edges; else runs.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, classes in frames:
        height, width = classes.shape
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for number in _CATEGORIES:
            count, parts = cv2.connectedComponents((classes == number).astype(np.uint8))
            for part in (parts == index for index in range(1, count)):
                common = {"id": len(annotations) + 1, "image_id": len(images), "category_id": number}
                annotations.append({**common, **_shape_of(part, as_polygons), "area": int(part.sum())})
    categories = [{"id": number, "name": CLASSES[number], "supercategory": ""} for number in _CATEGORIES]
    return msgspec.json.encode({"images": images, "categories": categories, "annotations": annotations})


def _shape_of(part: np.ndarray, as_polygons: bool) -> dict[str, Any]:
    """The fields of an annotation that hold a part's shape, (H, W) bool."""
    if as_polygons:  # no box, because Label Studio would make a second annotation of it
        return {"segmentation": [[*map(float, np.ravel(polygon))] for polygon in polygons_of(part)], "iscrowd": 0}
    runs = {"size": [*part.shape], "counts": runs_of(part)}
    return {"segmentation": runs, "iscrowd": 1, "bbox": [*cv2.boundingRect(part.astype(np.uint8))]}


def read_annotations(file: Path, names: Sequence[str], px: int) -> dict[str, np.ndarray]:
    """Read masks from a file of annotations; where people and the hero overlap, the hero is in front.

    Args:
        file: as an annotation tool writes it. In names of images, folders and a tool's prefix before a `-` are ignored.
        names: the set's image files, without ending.
        px: their width and height.

    Returns:
        For each image of the file, by its name in `names`, the classes: (px, px) numbers into `scoring.CLASSES`.

    Raises:
        UnreadableAnnotationsError: if any part of the file can't be used.
        OSError: if it can't be read.
    """
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise ValueError(f"expected at most {LARGEST_FILE_BYTES:,} bytes")
        return _masks(_parsed(file.read_bytes()), names, px)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnnotationsError(f"{file}: {error}") from error


def _parsed(content: bytes) -> _Annotations:
    try:
        return msgspec.json.decode(content, type=_Annotations)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected annotations in COCO's format, got: {error}") from error


def _masks(found: _Annotations, names: Sequence[str], px: int) -> dict[str, np.ndarray]:
    masks: dict[str, np.ndarray] = {}
    by_image: dict[int, np.ndarray] = {}
    for image in found.images:
        name = _name_of(image.file_name, names)
        if (image.width or px, image.height or px) != (px, px):
            raise ValueError(f"expected {px}×{px} pixels for {image.file_name}, got {image.width}×{image.height}")
        if name in masks or image.id in by_image:
            raise ValueError(f"expected each image once, got {image.file_name} twice")
        masks[name] = by_image[image.id] = np.full((px, px), SURROUNDINGS, np.uint8)
    categories = {category.id: category.name for category in found.categories}
    for annotation in found.annotations:
        what, category = f"annotation {annotation.id}", categories.get(annotation.category_id)
        if annotation.image_id not in by_image:
            raise ValueError(f"{what}: expected an image of the file, got number {annotation.image_id}")
        if category not in CLASSES:
            raise ValueError(f"{what}: expected a category of {', '.join(CLASSES)}, got {category or 'none'}")
        classes = by_image[annotation.image_id]
        try:
            inside = _inside(annotation.segmentation, (px, px))
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
        if category != CLASSES[SURROUNDINGS]:
            classes[inside] = np.maximum(classes[inside], CLASSES.index(category))  # the hero has the larger number
    return masks


def _inside(segmentation: list[list[float]] | _Runs, shape: tuple[int, int]) -> np.ndarray:
    """The pixels of an annotation, (H, W) bool.

    Raises:
        ValueError: if it has neither a mask nor polygons, or they are invalid.
    """
    if isinstance(segmentation, _Runs):
        if segmentation.size != shape:
            raise ValueError(f"expected a mask of {list(shape)}, got {list(segmentation.size)}")
        counts = segmentation.counts
        return mask_of_runs(unpacked(counts) if isinstance(counts, str) else counts, shape)
    if not segmentation:
        raise ValueError("expected a mask or polygons, got neither, such as for a box")
    inside = np.zeros(shape, bool)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"expected x and y of at least 3 points in a polygon, got {len(polygon)} numbers")
        if abs(far := max(polygon, key=abs)) > LARGEST_COORDINATE:
            limits = f"from {-LARGEST_COORDINATE:g} to {LARGEST_COORDINATE:g}"
            raise ValueError(f"expected coordinates {limits} in a polygon, got {far}")
        inside |= mask_of_polygon(np.array(polygon).reshape(-1, 2), shape)
    return inside


def _name_of(file_name: str, names: Sequence[str]) -> str:
    """The set's name of an image whose file name is in annotations; Label Studio puts a code before the name.

    Raises:
        ValueError: if no name of the set fits, or more than one.
    """
    stem = PurePosixPath(file_name.replace("\\", "/")).stem
    found = [name for name in names if stem == name] or [name for name in names if stem.endswith(f"-{name}")]
    if len(found) != 1:
        raise ValueError(f"expected an image of the set, got {file_name}")
    return found[0]
