"""Show the main job at work: start the server on the shipped weights, play frames to it, print each decision.

    make demo

Takes about 20 s. Plays real frames where the recorded dataset is beside the project (or at $FOLLOWME_DATA), and a short
drawn sequence where it is not.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.simulator.drawn import draw_sequence
from tools.simulator.player import Summary, play
from tools.simulator.recorded import (
    PlayedFrame,
    UnreadableImageError,
    dataset_directory,
    image_files,
    mask_files,
    read_frames,
)
from tools.simulator.server_process import (
    REPOSITORY,
    ServerError,
    ServerProcess,
    free_port,
    is_port_free,
    running_server,
)
from tools.simulator.wire import QuadSimClient

QUADSIM_PORT = 4567
SHIPPED_WEIGHTS = REPOSITORY / "weights" / "model_weights"

NEXT_STEPS = """
What next:
    make test       proves it
    .venv/bin/python server/follower.py weights/model_weights
                    then start QuadSim and choose Follow Me: it connects by itself
    README.md       options, results, limits"""


class Act(NamedTuple):
    """A part of the demo: what it shows, and its frames."""

    title: str
    frames: Iterable[PlayedFrame | UnreadableImageError]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 if the server followed the hero."""
    parser = argparse.ArgumentParser(description="Start the server, play frames to it, print what it decides.")
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="a network (default: the shipped one)")
    weights = parser.parse_args(arguments).weights.resolve()
    summary = Summary()
    try:
        with running_server(weights, port=_choose_port()) as server:
            _introduce(server)
            _play(server, choose_acts(), summary)
        print(f"\nServer stopped, exit status {server.process.returncode}. {summary}")
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.")
        return 130
    except (ServerError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if not summary.followed:
        print(f"demo: {server.failure('expected a follow on some frames, got none')}", file=sys.stderr)
        return 1
    if summary.violations or server.process.returncode != 0:
        return 1
    print(NEXT_STEPS)
    return 0


def choose_acts() -> list[Act]:
    """Real frames if the recorded dataset is there, else drawn ones; says which."""
    dataset = dataset_directory()
    if dataset is None:
        print("Playing a drawn sequence: the recorded dataset is neither at ../shared/data nor at $FOLLOWME_DATA.")
        return [Act("The camera looks around, finds the hero, follows, and looks away:", _drawn_frames())]
    print(f"Playing real frames, recorded from QuadSim, from {dataset}.")
    return [
        _real_act(dataset, "following_images", 40, "Behind the hero, so FOLLOW is right:"),
        _real_act(dataset, "patrol_non_targ", 15, "Only other people, so PATROL is right:"),
        _real_act(
            dataset, "patrol_with_targ", 20, "The hero mostly far, each frame from elsewhere, so seldom confirmed:"
        ),
    ]


def _real_act(dataset: Path, name: str, count: int, title: str) -> Act:
    files = image_files(dataset / "sample_evaluation_data" / name)[:count]
    return Act(f"{title} ({name})", read_frames(files, mask_files(files)))


def _drawn_frames() -> Iterator[PlayedFrame]:
    for frame in draw_sequence():
        x_m, y_m, _ = frame.hero_position_m
        truth = f"hero at ({x_m:.2f}, {y_m:.2f}) m" if frame.hero_px else "no hero in sight"
        yield PlayedFrame(truth, frame.image, frame.depth_m, frame.gimbal_pose)


def _choose_port() -> int:
    if is_port_free(QUADSIM_PORT):
        return QUADSIM_PORT
    port = free_port()
    print(f"Port {QUADSIM_PORT}, the only one that QuadSim itself tries, is taken; using {port} instead.")
    return port


def _introduce(server: ServerProcess) -> None:
    print(f"Server ready after {server.ready_after_s:.1f} s:")
    for line in server.log:
        print(f"    {line}")


def _play(server: ServerProcess, acts: Iterable[Act], summary: Summary) -> None:
    """Play each act as a simulator of its own, so that none starts with what the server made of the one before."""
    for act in acts:
        print(f"\n{act.title}")
        try:
            with QuadSimClient(port=server.port) as client:
                play(client, act.frames, summary=summary)
        except ConnectionError as error:
            raise server.failure(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
