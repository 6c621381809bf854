"""Export frames of recordings that are worth training on: frames in which perception was unsure or lost the hero.

    python tools/export_dataset.py recordings/*.mcap --out data/candidates --coco

Writes `images/NAME.jpeg` and `masks/NAME.png` (256×256) in the dataset's layout. NAME is the recording's name with the
frame's number in its session, which `tools/replay.py` prints, too. The masks are the network's output, with its
mistakes: correct them by hand before training. With --coco, all masks of the set are also written for annotation tools,
in COCO's format: `coco/masks.json` and, for tools that read no masks, `coco/polygons.json`. `tools/take_corrections.py`
takes the result back. A frame is taken for the first of these reasons that applies:

    lost      around a moment at which the track was lost: from 2.5 s before, when the hero was still seen, to 1 s after
    missed    the hero was followed, but not found in this frame where expected
    several   several people in the frame may be the hero: each of them has evidence above 0, of both looks
    unsure    the likeliest person is neither clearly the hero nor clearly not: evidence of less than 2 nats either way

A frame is left out if a frame of the second before was taken for the same reason (nearly the same picture), or if
perception looked at only a part of it (the mask would lack the people elsewhere). Existing files are not changed: after
a kill, the same command goes on, and corrected masks are safe. An image of another recording with this name is refused.

The masks of a set show one target, in the class of the hero: the target of --target, by default the first target of the
first recording. Frames in which another target was looked for are left out. `target.txt` in the set names its target;
frames of another one are not added.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.coco import annotations_of
from model.command import command, command_parser, make_output_folder, print_text, printable, run_command
from model.dataset import read_pair
from model.pair_files import IMAGE_ENDINGS, IMAGE_PX, PathPair, list_files, list_pairs, replace_file
from server.flight.events import Event, Received, Seen
from server.watch.recording.format import Happened, InWork
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.restore import Waiting
from server.wire.messages import parse_sensor_frame
from tools.exporting.choosing import REASONS, Choice, Chooser
from tools.exporting.exported_set import dataset_image, dataset_mask, note_target


@command("export_dataset", interrupted="interrupted; the same command goes on")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    check_names(options.recordings)
    targets = [first_target(path) for path in options.recordings]  # of all files: one that is no recording is refused
    for folder in ("images", "masks", "coco") if options.coco else ("images", "masks"):
        make_output_folder(options.out / folder)
    target = options.target or targets[0]
    choices = choose(options.recordings, target)
    for path, choice in choices.items():  # before any of them is written
        check_images(path, choice, options.out)
    note_target(options.out, target)
    for path, choice in choices.items():
        print_text(export(path, choice, options.out))
    if options.coco:
        write_annotations(options.out)
    pairs = len(list_files(options.out / "images", IMAGE_ENDINGS))
    print_text(
        f"{options.out} holds {pairs} pairs. New masks are the network's own guesses: correct them before training."
    )
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="FILE", help="recordings of the server, *.mcap")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the set, images/ and masks/ in it"
    )
    parser.add_argument(
        "--target", metavar="NAME", help="target that the masks show (default: the first target of the first recording)"
    )
    parser.add_argument("--coco", action="store_true", help="also write the masks for annotation tools, into DIR/coco")
    return parser.parse_args(arguments)


def check_names(paths: Sequence[Path]) -> None:
    """Make sure that frames of different recordings get different names.

    Raises:
        ValueError: if two of the files have one name.
    """
    name, count = Counter(path.stem for path in paths).most_common(1)[0]
    if count > 1:
        raise ValueError(f"expected recordings of different names, got {count} of {name}")


def first_target(path: Path) -> str:
    """Name of the target at a recording's beginning.

    Raises:
        UnreadableRecordingError, OSError: if the file can't be read, or is no recording.
    """
    with Recording(path) as recording:
        return recording.start.tracker.profile.name


def choose(paths: Sequence[Path], target: str) -> dict[Path, Choice]:
    """Choose frames from those frames of recordings in which the target was looked for.

    Raises:
        UnreadableRecordingError: if a file is no recording, or a damaged one.
        OSError: if a file can't be read.
        ValueError: if the target was looked for in none of the recordings.
    """
    choices, targets = {}, set[str]()
    for path in paths:
        with Recording(path) as recording:
            chooser = Chooser(recording.start, target)
            for entry in recording.entries(printable(f"{path.name}: choosing")):
                if isinstance(entry, Happened):
                    chooser.take(entry)
        choices[path] = chooser.choice()
        targets |= chooser.targets
    if target not in targets:
        raise ValueError(f"expected --target of the recordings ({', '.join(sorted(targets))}), got {target}")
    return choices


def check_images(path: Path, choice: Choice, out: Path) -> None:
    """Make sure that existing images of the chosen frames come from this recording.

    Raises:
        UnreadableRecordingError: if a frame cannot be understood.
        OSError: if a file can't be read.
        ValueError: if an image comes from another recording, which has the same name.
    """
    there = {number for number in choice.reasons if pair_files(out, path, number)[0].exists()}
    for number, argument, _ in chosen_frames(path, there, "checking"):
        image, _ = pair_files(out, path, number)
        with naming_frame(path, number):
            content = camera_image(argument)
        if image.read_bytes() != content:
            raise ValueError(
                f"expected frame {number} of {path} in {image}, got another image; another recording may have this "
                "name; rename the recording, or choose another --out"
            )


def export(path: Path, choice: Choice, out: Path) -> str:
    """Write the chosen frames of a recording that are not there yet.

    Args:
        path: the recording.
        choice: its chosen frames.
        out: the folder of the set, with `images/` and `masks/`.

    Returns:
        Text for people: how many frames were chosen, for which reasons, and how many pairs were written.

    Raises:
        UnreadableRecordingError: if a frame or its mask cannot be understood.
        OSError: if the recording can't be read, or the set can't be written.
    """
    made = 0
    for number, argument, mask in chosen_frames(path, choice.reasons, "writing"):
        with naming_frame(path, number):
            made += write_pair(pair_files(out, path, number), argument, mask)
    reasons = Counter(choice.reasons.values())
    why = ", ".join(f"{reasons[reason]} {reason}" for reason in REASONS if reasons[reason])
    chosen = f"{len(choice.reasons)} of {choice.seen} frames chosen" + (f": {why}" if why else "")
    left_out = f"; {choice.left_out} frames of another target left out" if choice.left_out else ""
    return f"{path}: {chosen}; {made} pairs written{left_out}"


def chosen_frames(path: Path, numbers: Collection[int], doing: str) -> Iterator[tuple[int, str, Mask]]:
    """Frames of a recording: the number, the argument of its event as JSON text, the mask.

    Args:
        path: the recording; it is not read if there are no numbers.
        numbers: the frames' numbers.
        doing: what is being done, for the progress bar.

    Raises:
        UnreadableRecordingError: if the recording is damaged.
        OSError: if it can't be read.
    """
    arguments = Waiting[int, str]()
    latest: Event | None = None
    with Recording(path) as recording:
        for entry in recording.entries(printable(f"{path.name}: {doing}")) if numbers else ():
            match entry:
                case InWork(number, _, argument) | Happened(Received(frame=number), argument=str(argument)):
                    if number in numbers:
                        arguments[number] = argument
                case Mask() if isinstance(latest, Seen) and latest.frame in arguments:
                    yield latest.frame, arguments.pop(latest.frame), entry
            latest = entry.event if isinstance(entry, Happened) else None


@contextmanager
def naming_frame(path: Path, number: int) -> Iterator[None]:
    """Name the frame in errors about its content.

    Raises:
        UnreadableRecordingError: in place of a ValueError or a RecursionError.
    """
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise UnreadableRecordingError(f"{path}: frame {number}: {error}") from error


def pair_files(out: Path, path: Path, number: int) -> PathPair:
    """Image and mask of a frame of a recording in the set at `out`."""
    name = f"{path.stem}_{number:05d}"
    return out / "images" / f"{name}.jpeg", out / "masks" / f"{name}.png"


def write_pair(files: PathPair, argument: str, mask: Mask) -> bool:
    """Write a frame's image and its mask if they do not exist; a kill in between leaves only the image.

    Args:
        files: the files to write.
        argument: the argument of the frame's event, JSON text.
        mask: as recorded.

    Returns:
        Whether a file was missing and has been written.

    Raises:
        OSError: if a file cannot be written.
        ValueError: if the frame or the mask cannot be understood.
    """
    missing = [file for file in files if not file.exists()]
    for file in missing:
        replace_file(file, camera_image(argument) if file == files[0] else dataset_mask(mask.png))
    return bool(missing)


def camera_image(argument: str) -> bytes:
    """A frame's camera image as `dataset_image` returns it; `argument` is the argument of the frame's event, JSON text.

    Raises:
        ValueError: if the frame cannot be understood.
    """
    return dataset_image(parse_sensor_frame(json.loads(argument)).rgb_image)


def write_annotations(out: Path) -> None:
    """Write all masks of a set for annotation tools, as `coco/masks.json` and `coco/polygons.json` in its folder.

    Raises:
        OSError: if they cannot be written.
        ValueError: if the set holds files that cannot be read, or are no pairs.
    """
    # `list_pairs` refuses a set without frames.
    pairs = list_pairs(out) if list_files(out / "images", IMAGE_ENDINGS) else []
    frames = [(image.name, read_pair(image, mask, IMAGE_PX)[1]) for image, mask in pairs]
    for name, as_polygons in (("masks", False), ("polygons", True)):
        replace_file(out / "coco" / f"{name}.json", annotations_of(frames, as_polygons))


if __name__ == "__main__":
    run_command(main)
