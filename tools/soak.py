"""Check that memory, threads and descriptors of the server do not grow while many QuadSims send an hour of frames.

    python tools/soak.py [--minutes 60] [--drones 24] [--idle 100] [--data ../shared/data]

The drones send as many frames as in `--minutes` at 5 Hz, but as fast as the server takes them. They connect anew after
each five minutes of frames. The idle QuadSims send one frame and stay connected. Threads and descriptors are counted
twice when only the idle QuadSims are left: after each drone has connected once, and at the end. Memory may grow by at
most 10 MB within the second half, when all bounded histories are full. An hour of 24 drones takes some 54 minutes on
two cores.

Exit status: 0; 1, something grew; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from model.bars import counting_bar
from model.command import command, command_parser, print_text, run_command
from model.loading import resolve_weights
from model.options import check
from tools.simulator.load import FRAME_PERIOD_S, EncodedFrame, encoded_frames
from tools.simulator.recorded import dataset_directory
from tools.simulator.server_process import SHIPPED_WEIGHTS, ServerProcess, running_server
from tools.simulator.wire import QuadSimClient

MINUTES_PER_CONNECTION = 5.0
MOST_GROWTH_MB = 10.0
SAMPLE_PERIOD_S = 0.5
# Most frames of a drone that wait for the server's answer. Without a bound, the drone's pings would be late behind its
# frames, and the server would drop it. The server infers the newest frame only, so it spends its time on messages,
# sessions and answers.
MOST_AHEAD = 20
# Time for the server to close what its clients used, after they have gone.
SETTLING_S = 10.0


class Resources(NamedTuple):
    """Resources of a process, on Linux and macOS."""

    memory_mb: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Resources":
        """Resident memory, threads and file descriptors of a process."""
        return cls(process.memory_info().rss / 1e6, process.num_threads(), process.num_fds())


@command("soak")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if something grew."""
    options = parse(arguments)
    weights = resolve_weights(options.weights.resolve())
    frames = encoded_frames(options.data)
    with running_server(weights) as server, idle_simulators(server, frames[0], options.idle):
        process = psutil.Process(server.process.pid)
        fly(server, frames, options.drones, frames_each=len(frames))
        before = settled_resources(process)
        start_s = time.monotonic()
        sent, memory_mb = fly(server, frames, options.drones, round(options.minutes * 60 / FRAME_PERIOD_S))
        taken_s = time.monotonic() - start_s
        after = settled_resources(process, before)
    growth_mb = memory_growth_mb(sent, memory_mb)
    memory = f"memory {before.memory_mb:.0f} → {after.memory_mb:.0f} MB, {growth_mb:+.1f} MB in the second half"
    verdicts = {
        memory: growth_mb <= MOST_GROWTH_MB,
        f"threads {before.threads} → {after.threads}": after.threads <= before.threads,
        f"descriptors {before.descriptors} → {after.descriptors}": after.descriptors <= before.descriptors,
    }
    flown = f"{options.minutes:g} minutes of {options.drones} QuadSims beside {options.idle} idle ones"
    print_text(f"{flown}: {sent[-1]} frames in {taken_s:.0f} s, {sent[-1] / taken_s:.0f} a second")
    for line, is_good in verdicts.items():
        print_text(f"{line}: {'does not grow' if is_good else 'GROWS'}")
    return int(not all(verdicts.values()))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, help="the network (default: the shipped weights)"
    )
    parser.add_argument("--data", type=Path, default=dataset_directory(), help="the dataset (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=60, help="minutes of frames of each drone (default: %(default)s)"
    )
    parser.add_argument("--drones", type=int, default=24, help="number of QuadSims that fly (default: %(default)s)")
    parser.add_argument("--idle", type=int, default=100, help="number of idle QuadSims (default: %(default)s)")
    options = parser.parse_args(arguments)
    least = FRAME_PERIOD_S / 60
    check(
        options,
        ("minutes", least <= options.minutes < math.inf, f"of at least one frame, {least:.4f}, and finite"),
        ("drones", options.drones >= 1, "of at least 1"),
        ("idle", options.idle >= 0, "of at least 0"),
    )
    return options


@contextlib.contextmanager
def idle_simulators(server: ServerProcess, frame: EncodedFrame, count: int) -> Iterator[None]:
    """Keep simulators connected that have sent a single frame."""
    with contextlib.ExitStack() as clients:
        for _ in range(count):
            clients.enter_context(QuadSimClient(port=server.port)).send_frame(frame.fields(time.time()))
        yield


def fly(
    server: ServerProcess, frames: Sequence[EncodedFrame], drones: int, frames_each: int
) -> tuple[list[int], list[float]]:
    """Let drones send frames as fast as the server takes them.

    Returns:
        Number of frames sent so far, and the server's resident memory then, MB, at regular times.

    Raises:
        ServerError: if the server drops a drone, or does not answer.
    """
    process = psutil.Process(server.process.pid)
    sent = [0] * drones
    failures: list[OSError] = []

    def pilot(number: int) -> None:
        per_connection = round(MINUTES_PER_CONNECTION * 60 / FRAME_PERIOD_S)
        try:
            while sent[number] < frames_each:
                with QuadSimClient(port=server.port) as client:
                    for count in range(min(per_connection, frames_each - sent[number])):
                        fields = frames[sent[number] % len(frames)].fields(start_s + sent[number] * FRAME_PERIOD_S)
                        client.send_frame(fields, count)
                        sent[number] += 1
                        if count % MOST_AHEAD == MOST_AHEAD - 1:
                            client.wait_answered(count)
        except OSError as error:
            failures.append(error)

    start_s = time.time()
    pilots = [threading.Thread(target=pilot, args=(number,), daemon=True) for number in range(drones)]
    for thread in pilots:
        thread.start()
    counts, memory_mb = [], []
    with counting_bar(drones * frames_each, unit=" frames") as shown:
        while any(thread.is_alive() for thread in pilots):
            time.sleep(SAMPLE_PERIOD_S)
            counts.append(sum(sent))
            memory_mb.append(Resources.of(process).memory_mb)
            shown.update(counts[-1] - shown.n)
    if failures:
        raise server.failure(str(failures[0])) from failures[0]
    return counts, memory_mb


def settled_resources(process: psutil.Process, before: Resources | None = None) -> Resources:
    """Wait until there are no more threads and descriptors than before, at most `SETTLING_S`; returns the resources.

    Without `before`, wait for `SETTLING_S`.
    """
    until_s = time.monotonic() + SETTLING_S
    while True:
        now = Resources.of(process)
        is_back = before and now.threads <= before.threads and now.descriptors <= before.descriptors
        if is_back or time.monotonic() >= until_s:
            return now
        time.sleep(SAMPLE_PERIOD_S)


def memory_growth_mb(sent: Sequence[int], memory_mb: Sequence[float]) -> float:
    """Growth of memory within the second half of the frames, MB, by a line through the samples; 0 for one moment."""
    half = [(count, size) for count, size in zip(sent, memory_mb, strict=True) if count >= sent[-1] / 2]
    counts, sizes = np.array(half, float).T
    if len(set(counts)) < 2:
        return 0.0
    return float(np.polyfit(counts, sizes, 1)[0] * sent[-1] / 2)


if __name__ == "__main__":
    run_command(main)
