"""Take masks that were corrected in an annotation tool back into a set that `tools/export_dataset.py` has made.

    python tools/take_corrections.py data/candidates instances_default.json

FILE has annotations in COCO's format, with masks (runs) or polygons, in the categories people and hero. All other
pixels are surroundings. Where people and hero overlap, the hero is in front. An image that the file does not list keeps
its mask. An image that it lists without annotations shows surroundings only. Nothing is written unless the whole file
is valid. A mask of several targets is refused, because the file has no categories for the further ones.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted: the same command goes on.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import io
from pathlib import Path

import numpy as np
from PIL import Image

from model.coco import read_annotations
from model.command import command, command_parser, print_text, run_command
from model.dataset import read_pair
from model.mask_colours import MOST_TARGETS
from model.pair_files import IMAGE_PX, list_pairs, replace_file
from model.scoring import CLASSES, HERO


@command("take_corrections", interrupted="interrupted; the same command goes on")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the set, images/ and masks/ in it")
    parser.add_argument("file", type=Path, metavar="FILE", help="annotations in COCO's format, *.json")
    options = parser.parse_args(arguments)
    pairs = {image.stem: (image, mask) for image, mask in list_pairs(options.folder)}
    corrected = read_annotations(options.file, list(pairs), IMAGE_PX)
    changed = [name for name, classes in corrected.items() if not is_mask(*pairs[name], classes)]
    for name in changed:
        write_mask(pairs[name][1], corrected[name])
    print_text(
        f"{options.folder}: {len(changed)} masks corrected, {len(corrected) - len(changed)} as they were, "
        f"{len(pairs) - len(corrected)} not in {options.file.name}"
    )
    return 0


def is_mask(image: Path, mask: Path, classes: np.ndarray) -> bool:
    """Whether the mask of an image shows these classes; False if it is damaged, because it must be replaced then.

    Raises:
        ValueError: if it shows further targets, which annotations lack.
    """
    try:
        shown = read_pair(image, mask, IMAGE_PX, MOST_TARGETS)[1]
    except ValueError:
        return False
    if shown.max() > HERO:
        raise ValueError(f"expected a mask of one target, in blue, to correct, got one with others in {mask}")
    return np.array_equal(shown, classes)


def write_mask(file: Path, classes: np.ndarray) -> None:
    """Write a mask in the dataset's layout.

    Args:
        file: the mask's file; after a kill, it has its former content.
        classes: (H, W) numbers into `scoring.CLASSES`.
    """
    png = io.BytesIO()
    Image.fromarray(np.eye(len(CLASSES), dtype=np.uint8)[classes] * np.uint8(255)).save(png, "PNG")
    replace_file(file, png.getvalue())


if __name__ == "__main__":
    run_command(main)
