"""Take frames out of recordings that are worth training on: those on which perception was unsure, or lost the hero.

    python tools/export_dataset.py recordings/*.mcap --out data/candidates

Writes `images/NAME.jpeg` and `masks/NAME.png` (256×256) in the dataset's layout; a name is the recording's with the
frame's number in it, as `tools/replay.py` counts. The masks are what the network saw: where it was wrong, they are, so
correct them by hand before training. A frame is taken for the first of these reasons that it gives

    lost      around a moment at which the track was lost: from 2.5 s before, when the hero was still seen, to 1 s after
    missed    the hero was followed, but not found in this frame where expected
    several   more than one thing was taken for the hero, who can only be one
    unsure    one thing was, but it was not convincing

unless one of less than a second before was taken for the same: the next frames are nearly the same picture.
It reads a thousand frames a second. Files that are there already stay as they are, so the same command goes on after a
kill, and corrected masks are safe.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

import argparse
import io
import math
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image

from model.images import IMAGE_PX, JPEG_QUALITY, PARTIAL, resize_rgb
from server.flight.tracks import TrackState
from server.watch.recording.reader import Answer, Arrival, Mask, Recording

LOST, MISSED, SEVERAL, UNSURE = REASONS = ("lost", "missed", "several", "unsure")
LOST_BEFORE_S, LOST_AFTER_S = 2.5, 1.0
APART_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    try:
        check_names(options.recordings)
        for folder in ("images", "masks"):
            (options.out / folder).mkdir(parents=True, exist_ok=True)
        for path in options.recordings:
            print(export(path, options.out))
    except (OSError, ValueError) as error:
        print(f"export_dataset: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    pairs = len(list((options.out / "images").glob("*.jpeg")))
    print(f"{options.out} holds {pairs} pairs. New masks are the network's own guesses: correct them before training.")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("recordings", type=Path, nargs="+", metavar="FILE", help="recordings of the server, *.mcap")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the set, images/ and masks/ in it"
    )
    return parser.parse_args(arguments)


def check_names(paths: Sequence[Path]) -> None:
    """Make sure that frames of different recordings get different names.

    Raises:
        ValueError: if two of the files have one name.
    """
    name, count = Counter(path.stem for path in paths).most_common(1)[0]
    if count > 1:
        raise ValueError(f"expected recordings of different names, got {count} of {name}")


def export(path: Path, out: Path) -> str:
    """Write the chosen frames of a recording that are not there yet.

    Args:
        path: the recording.
        out: the folder of the set, with `images/` and `masks/`.

    Returns:
        How many of how many, and why, for people.

    Raises:
        UnreadableRecordingError: if it is no recording, or a damaged one.
        OSError: if it can't be read, or the set not be written.
    """
    with Recording(path) as recording:
        answers = [entry for entry in recording.entries(f"{path.name}: choosing") if isinstance(entry, Answer)]
    chosen = choose(answers)
    made = 0
    frame: tuple[str, Arrival] | None = None
    with Recording(path) as recording:
        number = 0
        arrivals: dict[float, tuple[str, Arrival]] = {}
        for entry in recording.entries(f"{path.name}: writing") if chosen else ():
            if isinstance(entry, Arrival):
                number += 1
                if entry.arrival_s in chosen:
                    arrivals[entry.arrival_s] = f"{path.stem}_{number:05d}", entry
            elif isinstance(entry, Answer):
                frame = None if entry.arrival_s is None else arrivals.pop(entry.arrival_s, None)
            elif frame is not None:
                made += write_pair(out, *frame, entry)
                frame = None
    seen = sum(answer.kind == "seen" for answer in answers)
    reasons = Counter(chosen.values())
    why = ", ".join(f"{reasons[reason]} {reason}" for reason in REASONS if reasons[reason])
    return f"{path}: {len(chosen)} of {seen} frames chosen{': ' if why else ''}{why}; {made} pairs written"


def choose(answers: Sequence[Answer]) -> dict[float, str]:
    """Choose frames to train on.

    Args:
        answers: of a recording, in order.

    Returns:
        The reason, one of `REASONS`, by the frame's arrival (monotonic seconds).
    """
    lost_s = [
        answer.now_s
        for before, answer in pairwise(answers)
        if answer.kind == "seen" and before.is_following and not answer.is_following
    ]
    chosen: dict[float, str] = {}
    latest_s = dict.fromkeys(REASONS, -math.inf)
    for answer in answers:
        reason = _reason(answer, lost_s) if answer.kind == "seen" else None
        if reason is not None and answer.arrival_s is not None and answer.arrival_s - latest_s[reason] >= APART_S:
            chosen[answer.arrival_s] = reason
            latest_s[reason] = answer.arrival_s
    return chosen


def write_pair(out: Path, name: str, arrival: Arrival, mask: Mask) -> bool:
    """Write a frame and its mask as far as they are not there; killed in between, it leaves the image alone.

    Returns:
        Whether there was something to write.

    Raises:
        OSError: if it cannot be written.
    """
    image_file, mask_file = out / "images" / f"{name}.jpeg", out / "masks" / f"{name}.png"
    is_new = not (image_file.exists() and mask_file.exists())
    for file, make in (
        (image_file, lambda: dataset_image(arrival.parse().rgb_image)),
        (mask_file, lambda: dataset_mask(mask.png)),
    ):
        if not file.exists():
            partial = file.with_name(f"{file.name}{PARTIAL}")
            partial.write_bytes(make())
            partial.replace(file)
    return is_new


def dataset_image(file: bytes) -> bytes:
    """A camera image as a JPEG file of the dataset's size; as it came if it is one."""
    with Image.open(io.BytesIO(file)) as image:
        if image.format == "JPEG" and image.size == (IMAGE_PX, IMAGE_PX):
            return file
        resized = io.BytesIO()
        Image.fromarray(resize_rgb(image, IMAGE_PX)).save(resized, "JPEG", quality=JPEG_QUALITY)
    return resized.getvalue()


def dataset_mask(file: bytes) -> bytes:
    """A recorded mask, (px, px) RGB of any size, as a PNG file of the dataset's size; pixels keep their one class."""
    resized = io.BytesIO()
    with Image.open(io.BytesIO(file)) as mask:
        mask.convert("RGB").resize((IMAGE_PX, IMAGE_PX), Image.Resampling.NEAREST).save(resized, "PNG")
    return resized.getvalue()


def _reason(answer: Answer, lost_s: Sequence[float]) -> str | None:
    """Why to take a frame that was seen; None for no reason."""
    if any(moment_s - LOST_BEFORE_S <= answer.now_s <= moment_s + LOST_AFTER_S for moment_s in lost_s):
        return LOST
    if answer.state is TrackState.COASTING:
        return MISSED
    if len(answer.sighted) > 1:
        return SEVERAL
    if answer.sighted and not answer.sighted[0].is_convincing:
        return UNSURE
    return None


if __name__ == "__main__":
    sys.exit(main())
