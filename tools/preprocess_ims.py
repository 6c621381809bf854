"""Make a training set from raw QuadSim recordings, as the original project's tool of this name did.

    python tools/preprocess_ims.py
    python tools/preprocess_ims.py --raw data/raw_sim_data --out data/processed_sim_data
    python tools/preprocess_ims.py --raw data/raw_dogs --out data/dogs --colour yellow

Each frame `<raw>/{train,validation}/<run>/IMG/cam{1,2,3,4}_NNNNN.png` becomes a pair in `<out>/<split>`:
`images/<fold>_<run>_cam1_NNNNN.jpeg` and `masks/<fold>_<run>_mask_NNNNN.png`. The fold is the number of the run: runs
are counted from 0, those of train first, then those of validation, each sorted by name; runs without frames count, too.

A frame takes 7 ms of a CPU core: about 200 frames per second on two idle cores. Ctrl-C or a kill loses no finished
pair; the same command continues. It may run while QuadSim records, but only one instance at a time. Pairs of runs that
are not in `<raw>` stay unchanged. Masks that are newer than their images, such as corrected ones, are kept and listed.

Exit status: 0, every recorded frame is in the set; 1, some frames were skipped and listed; 2, refused or failed, with
the reason; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import shlex
from collections import Counter
from pathlib import Path

import numpy as np

from model.command import command, command_parser, print_text, run_command
from model.mask_colours import MOST_TARGETS, NAMES, class_numbers
from model.pair_files import IMAGE_ENDINGS, MASK_ENDINGS, list_files, pair_up
from model.raw_recordings import SPLITS, read_png
from model.scoring import CLASSES, HERO
from model.training_set import in_parallel, make_set

HERO_PERCENTILES = (5, 25, 50, 75, 95)


@command("preprocess_ims", interrupted="interrupted; the same command continues")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--raw",
        type=Path,
        default=Path("data/raw_sim_data"),
        help="folder of the recordings, with <split>/<run>/IMG in it (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/processed_sim_data"),
        help="folder of the set, with train/ and validation/ in it (default: %(default)s)",
    )
    parser.add_argument(
        "--colour",
        choices=NAMES[HERO:],
        default=NAMES[HERO],
        help="colour of the target in the masks: that of a network's first target, second, … (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    skipped = make_set(options.raw, options.out, target=NAMES.index(options.colour))
    for split in SPLITS:
        print_text(describe(options.out / split))
    print_text(next_step(options.out, options.colour))
    return 1 if skipped else 0


def describe(folder: Path) -> str:
    """Describe a split of the set: frames, heroes and their sizes, people, folds.

    Raises:
        ValueError: if images and masks do not pair up, or a mask cannot be read.
    """
    masks = list_files(folder / "masks", MASK_ENDINGS)
    pair_up(list_files(folder / "images", IMAGE_ENDINGS), masks)
    if not masks:
        return f"{folder.name}: no frames"
    pixels = np.array(list(in_parallel(count_pixels, masks, f"reading {folder.name}", " masks")))
    hero_px = pixels[:, HERO][pixels[:, HERO] > 0]
    with_people = np.count_nonzero(pixels[:, CLASSES.index("people")])
    lines = [
        f"{folder.name}: {len(masks)} frames",
        f"  {len(hero_px)} with the hero ({len(hero_px) / len(masks):.0%}), {with_people} with other people",
    ]
    if len(hero_px):
        sizes = " / ".join(f"{size:.0f}" for size in np.percentile(hero_px, HERO_PERCENTILES))
        lines.append(f"  hero of {sizes} px (percentiles {' / '.join(map(str, HERO_PERCENTILES))})")
    recordings = Counter(mask.name.rpartition("_mask_")[0] for mask in masks)
    lines.append(f"  frames by recording: {', '.join(f'{prefix} {count}' for prefix, count in recordings.items())}")
    return "\n".join(lines)


def count_pixels(mask: Path) -> np.ndarray:
    """Number of pixels of each of `scoring.CLASSES` in a mask, (3,) int; all targets count as the hero."""
    try:
        numbers = class_numbers(read_png(mask)[0], MOST_TARGETS)
    except ValueError as error:
        raise ValueError(f"{error} in {mask}") from error
    return np.bincount(np.minimum(numbers, HERO).ravel(), minlength=len(CLASSES))


def next_step(out: Path, colour: str) -> str:
    """The next step for a user who has the set; `colour` is that of its target."""
    for split in SPLITS:
        if not list_files(out / split / "masks", MASK_ENDINGS):
            return f"Next: record runs for {split} as well; training needs both splits"
    if colour != NAMES[HERO]:
        return "Next: train a network of several targets; docs/targets.md says how"
    return f"Next: {shlex.join(['.venv/bin/python', 'tools/train.py', '--data', str(out), '--out', 'runs/new'])}"


if __name__ == "__main__":
    run_command(main)
