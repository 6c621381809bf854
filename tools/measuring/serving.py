"""Measure servers with simulated QuadSims; several versions take turns, so that other load affects all equally."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil

from tools.measuring.figures import Figure
from tools.measuring.versions import Version
from tools.simulator.load import EncodedFrame, encode_flight, fly_side_by_side, page_viewer
from tools.simulator.server_process import ServerProcess

VIEWERS = 2
TURNS = 4


class FlightMeasurements(NamedTuple):
    """Measurements of a server by QuadSims, in all of its turns.

    Attributes:
        latencies_ms: time from each frame to the command that answers it, of the answered frames.
        pings_ms: time from each ping to its pong.
        sent: number of frames.
        server_s: CPU time of the server.
        clients_s: CPU time of the QuadSims.
        elapsed_s: duration of the turns.
    """

    latencies_ms: list[float]
    pings_ms: list[float]
    sent: int
    server_s: float
    clients_s: float
    elapsed_s: float

    @property
    def server_ms_per_frame(self) -> float:
        """CPU time of the whole server for each answered frame, ms."""
        return 1e3 * self.server_s / max(1, len(self.latencies_ms))


def measure_in_turns(
    servers: Sequence[ServerProcess], frames: Sequence[EncodedFrame], seconds: float, drones: int
) -> list[FlightMeasurements]:
    """Measure each of the servers for `seconds` in all; if there are several, in `TURNS` turns each.

    Raises:
        ValueError: if a server answered no frame or no ping, so that there is nothing to measure.
    """
    turns = TURNS if len(servers) > 1 else 1
    messages = encode_flight(frames, seconds / turns)
    parts = [[_fly(server, messages, drones) for server in servers] for _ in range(turns)]
    return [joined(of_one) for of_one in zip(*parts, strict=True)]


def joined(parts: Sequence[FlightMeasurements]) -> FlightMeasurements:
    """Join the turns of one server.

    Raises:
        ValueError: as `measure_in_turns` does.
    """
    flown = FlightMeasurements(
        [latency_ms for part in parts for latency_ms in part.latencies_ms],
        [ping_ms for part in parts for ping_ms in part.pings_ms],
        sum(part.sent for part in parts),
        sum(part.server_s for part in parts),
        sum(part.clients_s for part in parts),
        sum(part.elapsed_s for part in parts),
    )
    if not flown.latencies_ms or not flown.pings_ms:
        raise ValueError(
            f"expected answers to frames and to pings, got {len(flown.latencies_ms)} and {len(flown.pings_ms)} for "
            f"{flown.sent} frames: this machine is too busy, or --seconds are too few"
        )
    return flown


def _fly(server: ServerProcess, messages: Sequence[bytes], drones: int) -> FlightMeasurements:
    process = psutil.Process(server.process.pid)
    start_s, server_before, clients_before = time.monotonic(), process.cpu_times(), time.process_time()
    latencies_ms, pings_ms = fly_side_by_side(server, messages, drones)
    return FlightMeasurements(
        latencies_ms,
        pings_ms,
        drones * len(messages),
        sum(process.cpu_times()[:2]) - sum(server_before[:2]),
        time.process_time() - clients_before,
        time.monotonic() - start_s,
    )


def measure_start(versions: Sequence[Version]) -> list[list[Figure]]:
    """Time from start to ready, and memory; the converted network is shipped, or in the cache."""
    return [_start(version) for version in versions]


def _start(version: Version) -> list[Figure]:
    with version.running():
        pass  # converts the network if it is not in the cache
    with version.running() as server:
        memory_mb = psutil.Process(server.process.pid).memory_info().rss / 1e6
        return [
            Figure("start", "start to ready", server.ready_after_s, "s", 2),
            Figure("memory_ready", "resident memory when ready", memory_mb, "MB"),
        ]


def measure_latency(
    versions: Sequence[Version], frames: Sequence[EncodedFrame], seconds: float, kind: str = ""
) -> list[list[Figure]]:
    """Latency, frame → command, and CPU time of one QuadSim at 5 Hz; `kind` of the frames is part of keys and names."""
    key, name = (f"{kind}_", f"{kind}: ") if kind else ("", "")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(version.running()) for version in versions]
        return [
            [
                Figure(f"{key}latency", f"{name}frame → command, median", statistics.median(flown.latencies_ms), "ms"),
                Figure(
                    f"{key}latency_p99",
                    f"{name}frame → command, p99",
                    float(np.percentile(flown.latencies_ms, 99)),
                    "ms",
                ),
                Figure(f"{key}cpu_ms", f"{name}CPU time of the server per frame", flown.server_ms_per_frame, "ms"),
            ]
            for flown in measure_in_turns(servers, frames, seconds, drones=1)
        ]


def measure_load(
    versions: Sequence[Version], frames: Sequence[EncodedFrame], drones: int, seconds: float, kind: str = ""
) -> list[list[Figure]]:
    """Latency and load with many QuadSims at 5 Hz each; `kind` of frames is part of keys and names."""
    key, name = (f"{kind}_", f"{kind}, ") if kind else ("", "")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(version.running()) for version in versions]
        flights = measure_in_turns(servers, frames, seconds, drones)
        memory_mb = [psutil.Process(server.process.pid).memory_info().rss / 1e6 for server in servers]
    return [
        _load(flown, memory, f"{name}{drones} QuadSims", key) for flown, memory in zip(flights, memory_mb, strict=True)
    ]


def _load(flown: FlightMeasurements, memory_mb: float, many: str, key: str) -> list[Figure]:
    p95_ms, answered = float(np.percentile(flown.latencies_ms, 95)), 100 * len(flown.latencies_ms) / flown.sent
    return [
        Figure(f"{key}many_p95", f"{many}: frame → command, p95", p95_ms, "ms", 100),
        Figure(f"{key}many_latency", f"{many}: frame → command, median", statistics.median(flown.latencies_ms), "ms"),
        Figure(f"{key}many_answered", f"{many}: frames answered", answered, "%", 98, True),
        Figure(f"{key}many_ping", f"{many}: ping answered, p99", float(np.percentile(flown.pings_ms, 99)), "ms", 20),
        Figure(f"{key}many_cpu_ms", f"{many}: CPU time of the server per frame", flown.server_ms_per_frame, "ms"),
        Figure(f"{key}many_cores", f"{many}: cores busy, server", flown.server_s / flown.elapsed_s, "cores"),
        Figure(f"{key}many_clients", f"{many}: cores busy, these clients", flown.clients_s / flown.elapsed_s, "cores"),
        Figure(f"{key}memory_after", f"{many}: resident memory afterwards", memory_mb, "MB", 500),
    ]


def measure_watched(version: Version, frames: Sequence[EncodedFrame], seconds: float) -> list[Figure]:
    """Latency of a QuadSim that is drawn, recorded and watched by `VIEWERS` pages, and its ratio to that of another."""
    with (
        tempfile.TemporaryDirectory() as folder,
        version.running() as alone,
        version.running("--record", folder, "--pred-viz") as watched,
        contextlib.ExitStack() as viewers,
    ):
        for _ in range(VIEWERS):
            viewers.enter_context(page_viewer(watched))
        alone_ms, watched_ms = (flown.latencies_ms for flown in measure_in_turns([alone, watched], frames, seconds, 1))
    name, median_ms = f"drawn, recorded, {VIEWERS} viewers", statistics.median(watched_ms)
    over_alone, tail = median_ms / statistics.median(alone_ms), float(np.percentile(watched_ms, 99)) / median_ms
    return [
        Figure("watched", f"{name}: frame → command, median", median_ms, "ms"),
        Figure("watched_ratio", f"{name}: median over that without", over_alone, "×", 1.15),
        Figure("watched_p99", f"{name}: p99 over median", tail, "×", 3),
    ]
