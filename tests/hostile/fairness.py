"""Measure the effect of ten hostile clients on a neighbour: its time from frame to answer.

    .venv/bin/python tests/hostile/fairness.py

For each kind of hostile client, ten of them run between two runs of ten good clients, so that other load on the machine
affects both equally. The clients are a process of low priority, as if they were on another machine. Takes four minutes.
The network is the tests' fake one, which takes hardly any time, so the ratios are those of decoding and of the loop.
Goal: the 95th percentile is at most twice that beside good clients, the watchdog stops no drone, and memory grows by at
most 60 MB.
"""

import argparse
import base64
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]  # pytest's path is not there

import numpy as np
from support.fake_engine import FAKE_SERVER
from support.live import DEPTH_M, fields, picture

from hostile.images import expensive_images
from hostile.inspection import Memory
from tools.simulator.frames import encode_depth_png, encode_jpeg
from tools.simulator.load import EncodedFrame, encoded_frames
from tools.simulator.packets import sensor_frame_message
from tools.simulator.server_process import FOLLOWER, ServerProcess, running_server
from tools.simulator.websocket import encode_message, handshake_request, new_key
from tools.simulator.wire import QuadSimClient

CLIENTS = 10
PERIOD_S = 0.2  # of a QuadSim's frames
NEIGHBOUR_PERIOD_S = 0.1
# If this process itself did not run for this time, a flight says nothing about the server, and is repeated.
LONGEST_GAP_S = 0.5
PATIENCE_S = 60.0
GOOD = "good clients"
DATA = Path(os.environ.get("FOLLOWME_DATA", TESTS.parent.parent / "shared" / "data"))


class Flown(NamedTuple):
    """A neighbour's flight: time from each frame to its answer, ms; times it was lost; largest growth of memory, MB.

    `gap_s` is the longest time for which this process did not run, for example because the machine stood still.
    """

    answers_ms: list[float]
    lost: int
    growth_mb: float
    gap_s: float

    @property
    def p95_ms(self) -> float:
        """95th percentile."""
        return sorted(self.answers_ms)[round(0.95 * (len(self.answers_ms) - 1))]


class Gaps:
    """The longest time for which a thread that wakes up all the time did not run; a context manager."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Gaps":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        latest_s = time.monotonic()
        while not self._is_over.wait(0.05):
            now_s = time.monotonic()
            self.longest_s, latest_s = max(self.longest_s, now_s - latest_s), now_s


# --- clients, in a process of their own


def good(port: int) -> None:
    """Whole frames at a QuadSim's pace."""
    message = encode_message(sensor_frame_message(fields()))
    with QuadSimClient(port=port, connect_timeout_s=PATIENCE_S) as client:
        while True:
            client.send_raw_bytes(message)
            time.sleep(PERIOD_S)


def without_end(text: str, period_s: float = 0.0) -> Callable[[int], None]:
    """The same message again and again."""
    message = encode_message(text)

    def run(port: int) -> None:
        with QuadSimClient(port=port, ping_period_s=float("inf"), connect_timeout_s=PATIENCE_S) as client:
            while True:
                client.send_raw_bytes(message)
                time.sleep(period_s)

    return run


def come_and_go(port: int) -> None:
    """Connect, send a frame of 98 kB, leave."""
    message = encode_message(sensor_frame_message(fields() | {"more": "x" * 80_000}))

    while True:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(handshake_request("127.0.0.1", port, new_key()) + message)


def requests(path: str, method: str = "GET", body: bytes = b"") -> Callable[[int], None]:
    """HTTP requests on connections of their own."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def run(port: int) -> None:
        while True:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
                connection.sendall(data)
                while connection.recv(65536):
                    pass

    return run


def expensive(name: str, period_s: float = 0.0) -> Callable[[], Callable[[int], None]]:
    """Frames with an expensive image."""
    return lambda: without_end(
        sensor_frame_message(fields(depth_image=base64.b64encode(expensive_images()[name]).decode())), period_s
    )


# Made in the process of the clients only, because some take a second to encode.
KINDS: dict[str, Callable[[], Callable[[int], None]]] = {
    GOOD: lambda: good,
    "62 zTXt, 3 a second": expensive("62 zTXt before the data", 1 / 3),
    "62 zTXt without end": expensive("62 zTXt before the data"),
    "640 × 480 without end": expensive("noise of 640 × 480"),
    "43,000 scans without end": expensive("43,000 empty scans, called an MPO"),
    "frames without end": lambda: without_end(sensor_frame_message(fields())),
    "bad frames without end": lambda: without_end('42["sensor_frame",{}]'),
    "connect, send, leave": lambda: come_and_go,
    "pings without end": lambda: without_end("2"),
    "rubbish without end": lambda: without_end("rubbish"),
    "1 MB of JSON without end": lambda: without_end('42["sensor_frame",[' + "[]," * 300_000 + "[]]]"),
    "1 MB of text without end": lambda: without_end('42["sensor_frame","' + "x" * 999_000 + '"]'),
    "GET /metrics": lambda: requests("/metrics"),
    "GET /": lambda: requests("/"),
    "POST /hold of brackets": lambda: requests("/hold", "POST", b"[" * 990),
    "sessions by polling": lambda: requests("/socket.io/?EIO=4&transport=polling"),
}


def run_clients(kind: str, port: int) -> None:
    """Run ten clients of a kind until killed; a client that is disconnected connects anew."""
    os.nice(19)
    run = KINDS[kind]()

    def again() -> None:
        while True:
            with contextlib.suppress(OSError):
                run(port)
            time.sleep(0.01)

    for _ in range(CLIENTS):
        threading.Thread(target=again).start()


# --- the neighbour


@contextlib.contextmanager
def clients_of(kind: str, port: int) -> Iterator[None]:
    """Ten clients of a kind."""
    process = subprocess.Popen([sys.executable, __file__, "--clients", kind, "--port", str(port)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def fly(server: ServerProcess, frames: list[EncodedFrame], seconds: float, memory: Memory) -> Flown:
    """Fly a neighbour beside the present clients, after some frames that do not count."""
    answers_ms, growth_mb, number = [], 0.0, 0
    with Gaps() as gaps, QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S) as client:
        counted_s = time.monotonic() + seconds / 4
        while time.monotonic() < counted_s + seconds:
            number += 1
            sent_s = client.send_frame(frames[number % len(frames)].fields(1.7e9 + PERIOD_S * number), number)
            client.wait_answered(number, PATIENCE_S)
            answer_ms = 1e3 * (time.monotonic() - sent_s)
            if sent_s >= counted_s or not answers_ms:
                answers_ms.append(answer_ms)
            growth_mb = max(growth_mb, memory.growth_bytes / 1e6)
            time.sleep(max(0.0, NEIGHBOUR_PERIOD_S - answer_ms / 1e3))
        lost = sum(event.name == "object_lost" and event.arrived_s >= counted_s for event in client.events)
    return Flown(answers_ms, lost, growth_mb, gaps.longest_s)


def measure(weights: str | None, seconds: float, kinds: list[str]) -> None:
    """Print a line for each kind; without weights, for the fake network."""
    if weights is None:
        frames = [EncodedFrame(encode_jpeg(picture()), encode_depth_png(np.full((256, 256), DEPTH_M), 100.0))]
    else:
        frames = encoded_frames(DATA if DATA.is_dir() else None)
    script = FAKE_SERVER if weights is None else FOLLOWER
    print(f"{'ten of':28} {'median':>8} {'p95':>8} {'p95 beside good':>16} {'ratio':>6} {'lost':>5} {'memory':>8}")
    with running_server(weights or "unused", "--log-level", "warning", script=script) as server:

        def flown(kind: str, memory: Memory) -> Flown:
            while True:
                with clients_of(kind, server.port):
                    flight = fly(server, frames, seconds, memory)
                if flight.gap_s <= LONGEST_GAP_S:
                    return flight
                print(f"({kind}: this machine stood still for {flight.gap_s:.1f} s; again)", flush=True)

        flown(GOOD, Memory(server))  # warms up
        memory = Memory(server)
        before = flown(GOOD, memory)
        for kind in kinds:
            hostile, after = flown(kind, memory), flown(GOOD, memory)
            beside_good_ms = (before.p95_ms + after.p95_ms) / 2
            print(
                f"{kind:28} {statistics.median(hostile.answers_ms):5.0f} ms {hostile.p95_ms:5.0f} ms "
                f"{beside_good_ms:13.0f} ms {hostile.p95_ms / beside_good_ms:6.1f} {hostile.lost:5} "
                f"{hostile.growth_mb:5.0f} MB",
                flush=True,
            )
            before = after


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure what a neighbour notices of hostile clients.")
    parser.add_argument("--weights", help="network, such as weights/fcn4 (default: the fake one of the tests)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each flight (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given several times")
    parser.add_argument("--clients", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clients:
        run_clients(options.clients, options.port)
    else:
        measure(options.weights, options.seconds, options.kind or [kind for kind in KINDS if kind != GOOD])


if __name__ == "__main__":
    main()
