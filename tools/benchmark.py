"""How fast the server is, as ratios measured in one run on this machine.

    python tools/benchmark.py [--weights weights/model_weights] [--data ../shared/data] [--json FILE]

Five minutes on an otherwise idle machine. Every figure comes from this one run: the baseline is what the original
follower does with a frame, without any network in between; the server is a process of its own, reached through a real
websocket in QuadSim's fragments. Frames are real ones where the dataset is beside the project, else simulated.
"""

import argparse
import contextlib
import http.client
import io
import json
import math
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

from model.engines import Engine
from model.engines.openvino import OpenVinoEngine
from model.engines.tensorflow import TensorFlowEngine
from model.images import resize_rgb
from model.loading import input_px, load_network, resolve_weights
from model.scoring import EVALUATION_SETS, FOLLOWING, HERO, has_hero, intersection_over_union, threshold
from server.sight.geometry import Pose
from server.sight.people import largest_blobs
from tools.simulator.faults import Faults
from tools.simulator.frames import encode_depth_png, encode_jpeg, sensor_frame_fields
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.recorded import (
    CAMERA_POSE,
    PlayedFrame,
    UnreadableImageError,
    dataset_directory,
    image_files,
    mask_files,
    read_frames,
)
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.websocket import encode_message
from tools.simulator.wire import QuadSimClient, sensor_frame_message
from tools.simulator.world import FRAMES_PER_S, World, frame_fields

FRAME_PERIOD_S = 1 / FRAMES_PER_S
SCENES = 40
PEOPLE, SIMULATED_FRAMES = 30, 200
VIEWERS = 2
# A watched server and a plain one take turns, so that what else the machine does meets both.
TURNS = 4


class Figure(NamedTuple):
    """One line of the table; `goal` is None for a figure that explains another."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return bool(self.value >= self.goal if self.at_least else self.value <= self.goal)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g} {self.unit}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        return f"{self.name:<58}{self.value:>9.2f} {self.unit:<7}{goal:<13}{verdict}"


class Scene(NamedTuple):
    """A frame with the hero in it, encoded once."""

    jpeg: bytes
    depth_png: bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--weights", default="weights/model_weights", help="the network (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=dataset_directory(), help="the dataset (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--seconds", type=float, default=40, help="of each live part (default: %(default)s)")
    parser.add_argument("--drones", type=int, default=24, help="simulators at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    scenes = read_scenes(options.data)
    print(
        f"frames: {len(scenes)} {'real' if options.data else 'simulated'} ones, {_message_kb(scenes):.0f} kB a message"
    )
    figures: list[Figure] = []
    for measure in (
        lambda: measure_baseline(options.weights, scenes),
        lambda: measure_start(options.weights),
        lambda: measure_latency(options.weights, scenes, options.seconds),
        lambda: measure_watched(options.weights, scenes, options.seconds),
        lambda: measure_load(options.weights, scenes, options.drones, options.seconds),
        lambda: measure_simulator(options.weights, options.seconds),
    ):
        figures += measure()
    value = {figure.name: figure.value for figure in figures}
    answered = value["frame → command, median"]
    figures.append(
        Figure("speed-up over the original's steps", value["the original's steps, median"] / answered, "×", 12, True)
    )
    figures.append(Figure("frame → command, p99 over median", value["frame → command, p99"] / answered, "×", 3))
    figures.append(Figure("frame → command over the bare engine", answered / value["bare engine, median"], "×"))
    if options.data:
        figures += measure_agreement(options.weights, options.data)
    print(*figures, sep="\n")
    if options.json:
        options.json.write_text(
            json.dumps([{**f._asdict(), "value": float(f.value), "is_met": f.is_met} for f in figures], indent=1) + "\n"
        )
    return int(any(figure.is_met is False for figure in figures))


def read_scenes(data: Path | None) -> list[Scene]:
    """`SCENES` near heroes: recorded ones with synthesised depth, or simulated ones where there is no dataset."""
    frames: Sequence[PlayedFrame | UnreadableImageError]
    if data is not None:
        files = image_files(data / "sample_evaluation_data" / "following_images")
        frames = list(read_frames(files[: SCENES * 4 : 4], mask_files(files)))
    else:
        frames = simulate_scenes()
    rng = np.random.default_rng(0)
    scenes = []
    for frame in frames:
        if isinstance(frame, UnreadableImageError):
            raise frame
        jpeg = frame.image if isinstance(frame.image, bytes) else encode_jpeg(frame.image)
        # Real depth images are not as smooth as flat ground: half a metre of roughness makes them as large.
        rough_m = frame.depth_m + np.where(np.isfinite(frame.depth_m), rng.normal(0, 0.5, frame.depth_m.shape), 0)
        scenes.append(Scene(jpeg, encode_depth_png(np.maximum(rough_m, 0.1), 100.0)))
    return scenes


def simulate_scenes() -> list[PlayedFrame]:
    """`SCENES` frames from where the drone follows: 2 m behind the hero, 3 m above the ground."""
    frames = []
    with World(seed=0) as world:
        for number in range(SCENES):
            world.step(0.5)
            hero = world.walkers.people[0]
            heading_rad = math.radians(hero.heading_deg)
            pose = Pose(
                hero.x_m - 2 * math.cos(heading_rad), hero.y_m - 2 * math.sin(heading_rad), 3, 0, 45, hero.heading_deg
            )
            view = world.observe(pose).view
            frames.append(PlayedFrame(f"simulated {number}", view.rgb, view.depth_m, pose))
    return frames


def measure_baseline(weights: str, scenes: Sequence[Scene]) -> list[Figure]:
    """The original's steps on a frame, and the bare engine, in this process."""
    network = load_network(weights)
    px = input_px(network)

    def original(scene: Scene) -> None:
        image = np.asarray(Image.open(io.BytesIO(scene.jpeg)))
        resized = np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BILINEAR))
        probabilities = network.predict(resized[None].astype(np.float32) / 127.5 - 1, verbose=0)[0]
        largest_blobs(probabilities[..., 2] > 0.5, 10)
        np.asarray(Image.open(io.BytesIO(scene.depth_png)))

    engine = OpenVinoEngine(resolve_weights(weights))
    image = np.zeros((1, px, px, 3), np.uint8)
    return [
        Figure("the original's steps, median", _median_ms(original, scenes, FRAME_PERIOD_S), "ms"),
        Figure("the original's steps without pauses, median", _median_ms(original, scenes), "ms"),
        Figure("bare engine, median", _median_ms(lambda _: engine.infer(image), scenes, FRAME_PERIOD_S), "ms"),
        Figure("bare engine without pauses, median", _median_ms(lambda _: engine.infer(image), [*scenes] * 5), "ms"),
    ]


def measure_start(weights: str) -> list[Figure]:
    """Start to ready and memory, the converted network being cached."""
    with running_server(weights):
        pass  # converts it, if need be
    with running_server(weights) as server:
        memory_mb = psutil.Process(server.process.pid).memory_info().rss / 1e6
        return [
            Figure("start to ready, network cached", server.ready_after_s, "s", 2),
            Figure("resident memory when ready", memory_mb, "MB"),
        ]


def measure_latency(weights: str, scenes: Sequence[Scene], seconds: float) -> list[Figure]:
    """Frame → command of one QuadSim at 5 Hz."""
    with running_server(weights) as server:
        latencies_ms, _ = _fly(server, encode_flights(scenes, seconds), drones=1)
    return [
        Figure("frame → command, median", statistics.median(latencies_ms), "ms"),
        Figure("frame → command, p99", float(np.percentile(latencies_ms, 99)), "ms"),
    ]


def measure_watched(weights: str, scenes: Sequence[Scene], seconds: float) -> list[Figure]:
    """Frame → command of one QuadSim that is drawn, recorded and watched by `VIEWERS` pages, and of one alone."""
    messages = encode_flights(scenes, seconds / TURNS)
    alone_ms: list[float] = []
    watched_ms: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(weights) as alone,
        running_server(weights, "--record", folder, "--pred-viz") as watched,
        contextlib.ExitStack() as viewers,
    ):
        for _ in range(VIEWERS):
            viewers.enter_context(_viewer(watched))
        for _ in range(TURNS):
            alone_ms += _fly(alone, messages, drones=1)[0]
            watched_ms += _fly(watched, messages, drones=1)[0]
    name, median_ms = f"drawn, recorded, {VIEWERS} viewers", statistics.median(watched_ms)
    return [
        Figure(f"{name}: frame → command, median", median_ms, "ms"),
        Figure(f"{name}: median over that without", median_ms / statistics.median(alone_ms), "×", 1.15),
        Figure(f"{name}: p99 over median", float(np.percentile(watched_ms, 99)) / median_ms, "×", 3),
    ]


@contextlib.contextmanager
def _viewer(server: ServerProcess) -> Iterator[None]:
    """Read the page's stream of events all along, as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set() and stream.readline():
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        is_over.set()  # the next sign of life, within a second, ends it
        reader.join()
        connection.close()


def measure_load(weights: str, scenes: Sequence[Scene], drones: int, seconds: float) -> list[Figure]:
    """Many QuadSims at 5 Hz each."""
    messages = encode_flights(scenes, seconds)
    with running_server(weights) as server:
        process = psutil.Process(server.process.pid)
        start_s, server_before, client_before = time.monotonic(), process.cpu_times(), time.process_time()
        latencies_ms, pings_ms = _fly(server, messages, drones)
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
        Figure("resident memory after that", memory_mb, "MB", 500),
    ]


def measure_simulator(weights: str, seconds: float) -> list[Figure]:
    """The stand-in by itself, and the whole loop in lock-step; with 30 people."""
    name = f"stand-in with {PEOPLE} people"
    with World(seed=0, people=PEOPLE) as world:
        start_s = time.perf_counter()
        for _ in range(SIMULATED_FRAMES):
            world.step(1 / FRAMES_PER_S)
            sensor_frame_message(frame_fields(world.observe()))
        rate = SIMULATED_FRAMES / (time.perf_counter() - start_s)
    with (
        running_server(weights) as server,
        World(seed=0, people=PEOPLE) as world,
        QuadSim(world, "127.0.0.1", server.port, faults=Faults.none(), is_lock_step=True) as simulator,
    ):
        start_s = time.perf_counter()
        run([simulator], seconds, speed=None)
        factor = seconds / (time.perf_counter() - start_s)
    return [
        Figure(f"{name}: moved, drawn and encoded, on one core", rate, "/s", 25, True),
        Figure(f"{name}: the loop in lock-step", factor, "× real", 3, True),
    ]


def measure_agreement(weights: str, data: Path) -> list[Figure]:
    """How far OpenVINO and TensorFlow see the same in all evaluation frames."""
    path = resolve_weights(weights)
    engines: tuple[Engine, Engine] = OpenVinoEngine(path), TensorFlowEngine(path)
    agreements, overlaps = [], []
    for name in EVALUATION_SETS:
        for file in image_files(data / "sample_evaluation_data" / name):
            with Image.open(file) as image:
                batch = resize_rgb(image, engines[0].input_px)[None]
            one, other = (threshold(engine.infer(batch)[0]) for engine in engines)
            agreements.append(has_hero(one) == has_hero(other))
            if name == FOLLOWING and has_hero(one) and has_hero(other):
                overlaps.append(intersection_over_union(one, other)[HERO])
    return [
        Figure(
            "engines agree on found or not, of 1134 real frames", 100 * statistics.mean(agreements), "%", 99.5, True
        ),
        Figure("engines' masks of near heroes, mean IoU", statistics.mean(overlaps), "", 0.99, True),
    ]


def encode_flights(scenes: Sequence[Scene], seconds: float) -> list[bytes]:
    """The messages of one flight, masked and cut into fragments, so that sending them costs next to nothing."""
    start_s = time.time()
    return [
        encode_message(sensor_frame_message(_fields(scenes[number % len(scenes)], start_s + number * FRAME_PERIOD_S)))
        for number in range(round(seconds / FRAME_PERIOD_S))
    ]


def _fields(scene: Scene, timestamp_s: float) -> dict[str, str]:
    return sensor_frame_fields(scene.jpeg, scene.depth_png, CAMERA_POSE, timestamp_s=timestamp_s)


def _fly(server: ServerProcess, messages: Sequence[bytes], drones: int) -> tuple[list[float], list[float]]:
    """Send each drone's messages at 5 Hz, evenly spread; milliseconds to each answer, and to each pong."""
    sent_s: list[list[float]] = [[] for _ in range(drones)]
    clients = [QuadSimClient(port=server.port) for _ in range(drones)]

    def pilot(number: int) -> None:
        due_s = start_s + FRAME_PERIOD_S * number / drones
        for message in messages:
            time.sleep(max(0.0, due_s - time.monotonic()))
            sent_s[number].append(clients[number].send_raw_bytes(message))
            due_s += FRAME_PERIOD_S

    for client in clients:
        client.connect()
    start_s = time.monotonic() + 0.1
    pilots = [threading.Thread(target=pilot, args=(number,)) for number in range(drones)]
    for thread in pilots:
        thread.start()
    for thread in pilots:
        thread.join()
    time.sleep(2 * FRAME_PERIOD_S)
    for client in clients:
        client.close()
    latencies_ms = [
        1e3 * delay_s
        for number, client in enumerate(clients)
        for delay_s in _delays_s(
            sent_s[number], [event.arrived_s for event in client.events if event.name == "object_detected"]
        )
    ]
    return latencies_ms, [1e3 * trip_s for client in clients for trip_s in client.round_trips_s]


def _delays_s(sent_s: Sequence[float], answered_s: Sequence[float]) -> list[float]:
    """From each frame to the first answer after it, if that came before the next frame."""
    ends_s = [*sent_s[1:], float("inf")]
    delays_s, answers = [], iter(answered_s)
    answer_s = next(answers, None)
    for begin_s, end_s in zip(sent_s, ends_s, strict=True):
        while answer_s is not None and answer_s < begin_s:
            answer_s = next(answers, None)
        if answer_s is not None and answer_s < end_s:
            delays_s.append(answer_s - begin_s)
    return delays_s


def _median_ms(call: Callable[[Scene], object], scenes: Sequence[Scene], pause_s: float = 0.0) -> float:
    for scene in scenes[:5]:
        call(scene)
    times_s = []
    for scene in scenes:
        time.sleep(pause_s)
        start_s = time.perf_counter()
        call(scene)
        times_s.append(time.perf_counter() - start_s)
    return 1e3 * statistics.median(times_s)


def _message_kb(scenes: Sequence[Scene]) -> float:
    return statistics.mean(len(sensor_frame_message(_fields(scene, 0.0))) for scene in scenes) / 1e3


if __name__ == "__main__":
    sys.exit(main())
