"""Play a folder of images to a running server, as QuadSim would, and print what it decides on each.

    python tools/play_frames.py ../shared/data/sample_evaluation_data/following_images --limit 40

Takes 0.2 s a frame. Depth comes from a recording's layers where the folder is one (cam1_ to cam4_), else from flat
ground, with the people of `masks/` standing on it where there are masks. Recordings hold no poses: one serves for all.
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tools.simulator.player import Summary, play
from tools.simulator.recorded import PlayedFrame, UnreadableImageError, image_files, mask_files, read_frames
from tools.simulator.wire import QuadSimClient


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parse(arguments)
    try:
        files = image_files(options.directory)[: options.limit]
    except FileNotFoundError as error:
        print(f"play_frames: {error}", file=sys.stderr)
        return 2
    host, port = options.server
    summary = Summary()
    try:
        with QuadSimClient(host, port) as client:
            play(client, _frames(files, options.loop), frames_per_s=options.fps, summary=summary)
    except KeyboardInterrupt:  # the way to end --loop
        print()
    except OSError as error:
        print(f"play_frames: {_explain(error, host, port, summary)}", file=sys.stderr)
        return 1
    print(summary)
    return 0 if summary.frames and not summary.violations else 1


def server_address(url: str) -> tuple[str, int]:
    """Host and port of `http://host:port`; the port may be left out for 4567.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is none
        host, port = None, None
    if parts.scheme != "http" or not host:
        raise argparse.ArgumentTypeError(f"expected http://host:port, got {url!r}")
    return host, port or 4567


def _frames(files: list[Path], is_endless: bool) -> Iterator[PlayedFrame | UnreadableImageError]:
    masks = mask_files(files)
    while True:
        readable = 0
        for frame in read_frames(files, masks):
            readable += isinstance(frame, PlayedFrame)
            yield frame
        if not is_endless or not readable:
            return


def _explain(error: OSError, host: str, port: int, summary: Summary) -> str:
    if summary.frames:
        return f"stopped after frame {summary.frames}: {error}"
    return (
        f"expected a server at http://{host}:{port}, got: {error}. "
        "Start one with: python server/follower.py weights/model_weights"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Play a folder of images to a running server, as QuadSim would.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of .jpeg or .png images, or of images/")
    parser.add_argument(
        "--server",
        type=server_address,
        default=("127.0.0.1", 4567),
        metavar="URL",
        help="the server's address (default: http://127.0.0.1:4567)",
    )
    parser.add_argument("--fps", type=_positive, default=5.0, help="frames per second (default: 5, QuadSim's)")
    parser.add_argument("--limit", type=_positive_whole, metavar="N", help="play only the first N images")
    parser.add_argument("--loop", action="store_true", help="start over at the end, until Ctrl-C")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")


def _positive_whole(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")


if __name__ == "__main__":
    sys.exit(main())
