"""Measure a fleet on this machine: the latency that it adds to a frame, and how many images its replicas infer."""

import contextlib
import statistics
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from model.engines import Engine, load_engine
from model.engines.engine import UnavailableError
from model.engines.inference_client import MOST_TOGETHER
from model.engines.remote import InferenceHost, connect
from server.sight.images import decode_rgb
from tools.measuring.figures import Figure
from tools.simulator.fleet_process import running_fleet
from tools.simulator.load import FRAME_PERIOD_S, EncodedFrame
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.wire import QuadSimClient

REPLICAS = (1, 2)
TURNS = 4
WARM_UP_S = 5.0  # a fleet answers before all of its replicas do
# Deadline for a fleet's answers, half of the server's watchdog time. Both are long, so that answers on a busy machine
# are late, but not missing.
DEADLINE_S = 1.5
WATCHDOG = ("--watchdog-s", str(2 * DEADLINE_S))


def measure_fleet(weights: Path, frames: Sequence[EncodedFrame], seconds: float) -> list[Figure]:
    """Measure how many images fleets of one and two replicas infer, and the latency that the larger fleet adds.

    Args:
        weights: of the network.
        frames: the frames to send.
        seconds: duration of each measurement.

    Raises:
        FleetError: if Ray is not installed, or a fleet does not start.
    """
    local = load_engine("auto", weights)
    images = np.stack([decode_rgb(frame.jpeg, local.input_px)[0] for frame in frames])
    rate = measure_rate(local, images, seconds)
    figures = [Figure("local_rate", "local engine: frames inferred, one at a time", rate, "/s")]
    for replicas in REPLICAS:
        with running_fleet(weights=str(weights), replicas=replicas, most_replicas=replicas) as fleet:
            engine = connect(InferenceHost(fleet.url, DEADLINE_S), weights)
            try:
                rate = measure_rate(engine, images, seconds)
            finally:
                engine.close()
            name = f"fleet, {replicas} of one thread each: frames inferred, {MOST_TOGETHER} at a time"
            figures.append(Figure(f"fleet_rate_{replicas}", name, rate, "/s"))
            if replicas == max(REPLICAS):
                figures += measure_added(fleet.url, weights, frames, seconds)
    return figures


def measure_rate(engine: Engine, images: np.ndarray, seconds: float) -> float:
    """Number of images that an engine infers in a second, in its largest batches; `images` is (N, px, px, 3)."""
    size = engine.most_per_batch
    batches = cycle([images[start : start + size] for start in range(0, len(images) - size + 1, size)])

    def rate_over(duration_s: float) -> float:
        begin_s, inferred = time.perf_counter(), 0
        while time.perf_counter() < begin_s + duration_s:
            with contextlib.suppress(UnavailableError):  # the answer is too late
                inferred += len(engine.infer(next(batches)))
        return inferred / (time.perf_counter() - begin_s)

    rate_over(WARM_UP_S)
    return rate_over(seconds)


def measure_added(url: str, weights: Path, frames: Sequence[EncodedFrame], seconds: float) -> list[Figure]:
    """Latency of one QuadSim's frames, with the local engine and with the fleet at `url` in turns."""
    with (
        running_server(weights, *WATCHDOG) as alone,
        running_server(weights, *WATCHDOG, "--engine", url) as by_fleet,
        QuadSimClient(port=alone.port) as client,
        QuadSimClient(port=by_fleet.port) as client_of_fleet,
    ):
        local_ms, fleet_ms = [], []
        for _ in range(TURNS):
            local_ms += latencies_ms(client, frames, seconds / TURNS)
            fleet_ms += latencies_ms(client_of_fleet, frames, seconds / TURNS)
        failed = failed_share(by_fleet)
    local_median, fleet_median = statistics.median(local_ms), statistics.median(fleet_ms)
    local_p95, fleet_p95 = (float(np.percentile(each, 95)) for each in (local_ms, fleet_ms))
    return [
        Figure("local_latency", "local engine: frame → command, median", local_median, "ms"),
        Figure("local_latency_p95", "local engine: frame → command, p95", local_p95, "ms"),
        Figure("fleet_latency", "fleet: frame → command, median", fleet_median, "ms"),
        Figure("fleet_latency_p95", "fleet: frame → command, p95", fleet_p95, "ms"),
        Figure("fleet_added", "the fleet adds to the median", fleet_median - local_median, "ms"),
        Figure("fleet_added_p95", "the fleet adds to the p95", fleet_p95 - local_p95, "ms"),
        Figure("fleet_failed", "fleet: frames not answered in time", 100 * failed, "%"),
    ]


def latencies_ms(client: QuadSimClient, frames: Sequence[EncodedFrame], seconds: float) -> list[float]:
    """Time from each frame to the end of its answer; the next frame is sent after that, and at 5 Hz at most."""
    times_ms = []
    for number in range(round(seconds / FRAME_PERIOD_S)):
        due_s = time.monotonic() + FRAME_PERIOD_S
        sent_s = client.send_frame(frames[number % len(frames)].fields(time.time()), number)
        client.wait_answered(number)
        times_ms.append(1e3 * (time.monotonic() - sent_s))
        time.sleep(max(0.0, due_s - time.monotonic()))
    return times_ms


def failed_share(server: ServerProcess) -> float:
    """Share of the frames of a server's simulator that were not perceived."""
    [session] = server.health()[1]["sessions"]
    return session["failed"] / max(1, session["received"])
