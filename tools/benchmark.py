"""Measure how fast the server is, in comparison with the original follower on the same machine.

    python tools/benchmark.py [--weights weights/model_weights] [--data ../shared/data] [--json FILE]

Takes five minutes on an otherwise idle machine. The baseline is the original follower's work on a frame, without a
connection; the server runs as a separate process and is reached through a real websocket, in fragments like QuadSim's.
The frames come from the dataset if there is one, else from the simulator.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import contextlib
import io
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

from model.command import check_output_file, command, run_command
from model.engines import Engine, add_precision_option, load_engine
from model.images import open_image, resize_rgb
from model.loading import input_px, load_network, resolve_weights
from model.scoring import EVALUATION_SETS, FOLLOWING, HERO, has_hero, intersection_over_union, threshold
from server.sight.parts import find_parts
from tools.simulator.faults import Faults
from tools.simulator.load import (
    FRAME_PERIOD_S,
    EncodedFrame,
    encode_flight,
    encoded_frames,
    fly_side_by_side,
    mean_message_kb,
    page_viewer,
)
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.recorded import dataset_directory, image_files
from tools.simulator.server_process import SHIPPED_WEIGHTS, running_server
from tools.simulator.wire import sensor_frame_message
from tools.simulator.world import FRAMES_PER_S, World, frame_fields

PEOPLE, SIMULATED_FRAMES = 30, 200
VIEWERS = 2
# The watched and the unwatched server take turns, so that other load on the machine affects both alike.
TURNS = 4


class Figure(NamedTuple):
    """A line of the table; `goal` is None for a figure that only explains another."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return bool(self.value >= self.goal if self.at_least else self.value <= self.goal)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        return f"{self.name:<58}{self.value:>9.2f} {self.unit:<7}{goal:<13}{verdict}"


@command("benchmark")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, help="the network (default: the shipped weights)"
    )
    parser.add_argument("--data", type=Path, default=dataset_directory(), help="the dataset (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="JSON file for the figures")
    parser.add_argument(
        "--seconds", type=float, default=40, help="duration of each measurement with a server, s (default: %(default)s)"
    )
    parser.add_argument(
        "--drones", type=int, default=24, help="number of simulators in the load test (default: %(default)s)"
    )
    add_precision_option(parser)
    options = parser.parse_args(arguments)
    if not 0 < options.seconds < math.inf:
        parser.error(f"expected --seconds above 0 and finite, got {options.seconds}")
    if options.drones < 1:
        parser.error(f"expected --drones of at least 1, got {options.drones}")
    weights, precision = resolve_weights(options.weights.resolve()), options.precision
    check_output_file(options.json)
    frames = encoded_frames(options.data)
    kind = "recorded" if options.data else "simulated"
    print(f"{len(frames)} {kind} frames, {mean_message_kb(frames):.0f} kB per message")
    figures: list[Figure] = []
    for measure in (
        lambda: measure_baseline(weights, precision, frames),
        lambda: measure_start(weights, precision),
        lambda: measure_latency(weights, precision, frames, options.seconds),
        lambda: measure_watched(weights, precision, frames, options.seconds),
        lambda: measure_load(weights, precision, frames, options.drones, options.seconds),
        lambda: measure_simulator(weights, precision, options.seconds),
    ):
        figures += measure()
    value = {figure.name: figure.value for figure in figures}
    answered = value["frame → command, median"]
    figures.append(
        Figure("speed-up over the original's steps", value["the original's steps, median"] / answered, "×", 12, True)
    )
    figures.append(Figure("frame → command, p99 over median", value["frame → command, p99"] / answered, "×", 3))
    figures.append(Figure("frame → command over the engine alone", answered / value["engine alone, median"], "×"))
    if options.data:
        figures += measure_agreement(weights, precision, options.data)
    print(*figures, sep="\n")
    if options.json:
        options.json.write_text(
            json.dumps([{**f._asdict(), "value": float(f.value), "is_met": f.is_met} for f in figures], indent=1) + "\n"
        )
    return int(any(figure.is_met is False for figure in figures))


def measure_baseline(weights: Path, precision: str, frames: Sequence[EncodedFrame]) -> list[Figure]:
    """Time of the original's steps on a frame, and of the engine alone, in this process."""
    network = load_network(weights)
    px = input_px(network)

    def original(frame: EncodedFrame) -> None:
        image = np.asarray(Image.open(io.BytesIO(frame.jpeg)))
        resized = np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BILINEAR))
        probabilities = network.predict(resized[None].astype(np.float32) / 127.5 - 1, verbose=0)[0]
        find_parts(probabilities[..., 2] > 0.5, np.zeros((px, px), np.uint8), window=1, min_px=10)
        np.asarray(Image.open(io.BytesIO(frame.depth_png)))

    engine = load_engine("openvino", weights, precision)
    image = np.zeros((1, px, px, 3), np.uint8)
    return [
        Figure("the original's steps, median", _median_ms(original, frames, FRAME_PERIOD_S), "ms"),
        Figure("the original's steps without pauses, median", _median_ms(original, frames), "ms"),
        Figure("engine alone, median", _median_ms(lambda _: engine.infer(image), frames, FRAME_PERIOD_S), "ms"),
        Figure("engine alone without pauses, median", _median_ms(lambda _: engine.infer(image), [*frames] * 5), "ms"),
    ]


def measure_start(weights: Path, precision: str) -> list[Figure]:
    """Time from start to ready, and memory; the network is shipped converted, or in the cache."""
    with running_server(weights, "--precision", precision):
        pass  # converts the network if it is not in the cache
    with running_server(weights, "--precision", precision) as server:
        memory_mb = psutil.Process(server.process.pid).memory_info().rss / 1e6
        return [
            Figure("start to ready", server.ready_after_s, "s", 2),
            Figure("resident memory when ready", memory_mb, "MB"),
        ]


def measure_latency(weights: Path, precision: str, frames: Sequence[EncodedFrame], seconds: float) -> list[Figure]:
    """Latency, frame → command, of one QuadSim at 5 Hz."""
    with running_server(weights, "--precision", precision) as server:
        latencies_ms, _ = fly_side_by_side(server, encode_flight(frames, seconds), drones=1)
    return [
        Figure("frame → command, median", statistics.median(latencies_ms), "ms"),
        Figure("frame → command, p99", float(np.percentile(latencies_ms, 99)), "ms"),
    ]


def measure_watched(weights: Path, precision: str, frames: Sequence[EncodedFrame], seconds: float) -> list[Figure]:
    """Latency of a QuadSim that is drawn, recorded and watched by `VIEWERS` pages, against that of a QuadSim alone."""
    messages = encode_flight(frames, seconds / TURNS)
    alone_ms: list[float] = []
    watched_ms: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(weights, "--precision", precision) as alone,
        running_server(weights, "--precision", precision, "--record", folder, "--pred-viz") as watched,
        contextlib.ExitStack() as viewers,
    ):
        for _ in range(VIEWERS):
            viewers.enter_context(page_viewer(watched))
        for _ in range(TURNS):
            alone_ms += fly_side_by_side(alone, messages, drones=1)[0]
            watched_ms += fly_side_by_side(watched, messages, drones=1)[0]
    name, median_ms = f"drawn, recorded, {VIEWERS} viewers", statistics.median(watched_ms)
    return [
        Figure(f"{name}: frame → command, median", median_ms, "ms"),
        Figure(f"{name}: median over that without", median_ms / statistics.median(alone_ms), "×", 1.15),
        Figure(f"{name}: p99 over median", float(np.percentile(watched_ms, 99)) / median_ms, "×", 3),
    ]


def measure_load(
    weights: Path, precision: str, frames: Sequence[EncodedFrame], drones: int, seconds: float
) -> list[Figure]:
    """Latency and load with many QuadSims at 5 Hz each."""
    messages = encode_flight(frames, seconds)
    with running_server(weights, "--precision", precision) as server:
        process = psutil.Process(server.process.pid)
        start_s, server_before, client_before = time.monotonic(), process.cpu_times(), time.process_time()
        latencies_ms, pings_ms = fly_side_by_side(server, messages, drones)
        elapsed_s = time.monotonic() - start_s
        server_s = sum(process.cpu_times()[:2]) - sum(server_before[:2])
        client_s = time.process_time() - client_before
        memory_mb = process.memory_info().rss / 1e6
    return [
        Figure(f"{drones} QuadSims: frame → command, p95", float(np.percentile(latencies_ms, 95)), "ms", 100),
        Figure(f"{drones} QuadSims: frame → command, median", statistics.median(latencies_ms), "ms"),
        Figure(
            f"{drones} QuadSims: frames answered", 100 * len(latencies_ms) / (drones * len(messages)), "%", 98, True
        ),
        Figure(f"{drones} QuadSims: ping answered, p99", float(np.percentile(pings_ms, 99)), "ms", 20),
        Figure(f"{drones} QuadSims: cores busy, server", server_s / elapsed_s, "cores"),
        Figure(f"{drones} QuadSims: cores busy, these clients", client_s / elapsed_s, "cores"),
        Figure("resident memory after this load", memory_mb, "MB", 500),
    ]


def measure_simulator(weights: Path, precision: str, seconds: float) -> list[Figure]:
    """Speed of the simulator alone, and of simulator and server in lock-step, with `PEOPLE` people."""
    name = f"simulator, {PEOPLE} people"
    with World(seed=0, people=PEOPLE) as world:
        start_s = time.perf_counter()
        for _ in range(SIMULATED_FRAMES):
            world.step(1 / FRAMES_PER_S)
            sensor_frame_message(frame_fields(world.observe()))
        rate = SIMULATED_FRAMES / (time.perf_counter() - start_s)
    with (
        running_server(weights, "--precision", precision) as server,
        World(seed=0, people=PEOPLE) as world,
        QuadSim(world, "127.0.0.1", server.port, faults=Faults.none(), is_lock_step=True) as simulator,
    ):
        start_s = time.perf_counter()
        run([simulator], seconds, speed=None)
        factor = seconds / (time.perf_counter() - start_s)
    return [
        Figure(f"{name}: frames made and encoded on one core", rate, "/s", 25, True),
        Figure(f"{name}: in lock-step with the server", factor, "× real", 3, True),
    ]


def measure_agreement(weights: Path, precision: str, data: Path) -> list[Figure]:
    """How well OpenVINO and TensorFlow agree on all evaluation frames."""
    engines: tuple[Engine, Engine] = load_engine("openvino", weights, precision), load_engine("tensorflow", weights)
    agreements, overlaps = [], []
    for name in EVALUATION_SETS:
        for file in image_files(data / "sample_evaluation_data" / name):
            batch = resize_rgb(open_image(file), engines[0].input_px)[None]
            one, other = (threshold(engine.infer(batch)[0]) for engine in engines)
            agreements.append(has_hero(one) == has_hero(other))
            if name == FOLLOWING and has_hero(one) and has_hero(other):
                overlaps.append(intersection_over_union(one, other)[HERO])
    return [
        Figure(
            "engines agree on a hero or none, 1134 recorded frames",
            100 * statistics.mean(agreements),
            "%",
            99,
            True,
        ),
        Figure("mean IoU of the engines' masks of near heroes", statistics.mean(overlaps), "", 0.99, True),
    ]


def _median_ms(call: Callable[[EncodedFrame], object], frames: Sequence[EncodedFrame], pause_s: float = 0.0) -> float:
    for frame in frames[:5]:
        call(frame)
    times_s = []
    for frame in frames:
        time.sleep(pause_s)
        start_s = time.perf_counter()
        call(frame)
        times_s.append(time.perf_counter() - start_s)
    return 1e3 * statistics.median(times_s)


if __name__ == "__main__":
    run_command(main)
