"""Measure how fast the server is, in comparison with the original follower on the same machine.

    python tools/benchmark.py [--weights weights/model_weights] [--data ../shared/data] [--json FILE]
    python tools/benchmark.py --compare HEAD~10
    python tools/benchmark.py --fleet [--seconds 30]

Takes seven minutes on an otherwise idle machine. The baseline is the original follower's work on a frame, without a
connection; the server runs as a separate process and is reached through a real websocket, in fragments like QuadSim's.
The frames come from the dataset if there is one. There, the hero jumps from frame to frame, so the server looks at
whole frames. "flight" is a simulated flight behind the hero. There, the server looks at only a part of three frames in
four.

With --fleet, Ray's replicas on this machine (docs/fleet.md) are measured instead, in four minutes: the latency that
they add, and how many frames one replica and two replicas infer.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import contextlib
import io
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model.card import read_card
from model.command import check_output_file, command, command_parser, run_command
from model.engines import Engine, add_precision_option, load_engine
from model.images import open_image, resize_rgb
from model.loading import input_px, is_converted, load_network, resolve_weights
from model.options import check
from model.scoring import EVALUATION_SETS, EXAM_FOLDER, FOLLOWING, HERO, has_hero, intersection_over_union, threshold
from server.sight.parts import find_parts
from tools.measuring.figures import Figure, comparison_table, read_values, values_of, write_figures
from tools.measuring.fleet import measure_fleet
from tools.measuring.serving import measure_latency, measure_load, measure_start, measure_watched
from tools.measuring.tracking import measure_tracking
from tools.measuring.versions import Version, checked_out
from tools.simulator.faults import Faults
from tools.simulator.load import FRAME_PERIOD_S, EncodedFrame, encoded_frames, mean_message_kb
from tools.simulator.packets import sensor_frame_message
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.recorded import dataset_directory, image_files
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS
from tools.simulator.targets import HERO as HERO_NAME
from tools.simulator.world import FRAMES_PER_S, World, frame_fields

PEOPLE, SIMULATED_FRAMES = 30, 200
DRONES = 24
FLIGHT = "flight"


@command("benchmark")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a goal is missed."""
    options = parse(arguments)
    weights, precision = resolve_weights(options.weights.resolve()), options.precision
    check_output_file(options.json)
    if is_converted(weights):
        raise ValueError(f"expected a network with its .keras file, for the original's steps, got {weights}")
    if (target := read_card(weights).profile.name) != HERO_NAME:
        raise ValueError(f"expected a network of the hero, who is in the measured frames, got one of a {target}")
    saved = read_values(options.compare) if options.compare and options.compare.suffix == ".json" else None
    frames = encoded_frames(options.data)
    kind = "recorded" if options.data else "simulated"
    print(f"{len(frames)} {kind} frames, {mean_message_kb(frames):.0f} kB per message")
    if options.fleet:
        return report(measure_fleet(weights, frames, options.seconds), options.json)
    flight = encoded_frames(None) if options.data else frames
    here = Version("here", REPOSITORY, weights, () if precision == "auto" else ("--precision", precision))
    with contextlib.ExitStack() as stack:
        versions = [here]
        if options.compare and saved is None:
            versions.append(stack.enter_context(checked_out(str(options.compare), weights, here.options)))
        figures, *others = measure_servers(versions, frames, flight, options.drones, options.seconds)
    engine = load_engine("auto", weights, precision)  # as the server loads it
    figures = measure_baseline(weights, engine, frames) + figures
    figures += measure_watched(here, frames, options.seconds)
    figures += measure_tracking(engine)
    figures += measure_simulator(here, options.seconds)
    figures += ratios(values_of(figures))
    if options.data:
        figures += measure_agreement(weights, precision, options.data)
    status = report(figures, options.json)
    if options.compare:
        there = values_of(others[0]) if saved is None else saved
        print("", comparison_table(figures, there, str(options.compare)), sep="\n")
    return status


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, help="the network (default: the shipped weights)"
    )
    parser.add_argument("--data", type=Path, default=dataset_directory(), help="the dataset (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="JSON file for the figures")
    parser.add_argument(
        "--seconds", type=float, default=40, help="duration of each measurement with a server, s (default: %(default)s)"
    )
    parser.add_argument(
        "--drones", type=int, default=DRONES, help="number of simulators in the load test (default: %(default)s)"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="COMMIT|FILE",
        help="also measure the servers of this commit, in turns, or read the figures that --json wrote into FILE.json",
    )
    parser.add_argument("--fleet", action="store_true", help="measure a fleet on this machine instead; needs Ray")
    add_precision_option(parser)
    options = parser.parse_args(arguments)
    check(
        options,
        ("seconds", 0 < options.seconds < math.inf, "above 0 and finite"),
        ("drones", options.drones >= 1, "of at least 1"),
    )
    if options.fleet and (options.compare or options.precision != "auto" or options.drones != DRONES):
        raise ValueError("expected --fleet without --compare, --precision and --drones")
    return options


def report(figures: Sequence[Figure], file: Path | None) -> int:
    """Print figures, and write them into a file if there is one; returns 1 if a goal is missed."""
    print(*figures, sep="\n")
    if file:
        write_figures(file, figures)
    return int(any(figure.is_met is False for figure in figures))


def measure_servers(
    versions: Sequence[Version],
    frames: Sequence[EncodedFrame],
    flight: Sequence[EncodedFrame],
    drones: int,
    seconds: float,
) -> list[list[Figure]]:
    """Start, latency and load of each version's server, measured in turns; returns the figures of each version."""
    measured = (
        measure_start(versions),
        measure_latency(versions, frames, seconds),
        measure_load(versions, frames, drones, seconds),
        measure_latency(versions, flight, seconds, FLIGHT),
        measure_load(versions, flight, drones, seconds, FLIGHT),
    )
    return [[figure for part in parts for figure in part] for parts in zip(*measured, strict=True)]


def ratios(value: Mapping[str, float]) -> list[Figure]:
    """What follows from measured values, by their keys."""
    latency, in_flight = value["latency"], value[f"{FLIGHT}_latency"]
    name = "speed-up over the original's steps"
    return [
        Figure("speed_up", name, value["original"] / latency, "×", 12, True),
        Figure(f"{FLIGHT}_speed_up", f"{FLIGHT}: {name}", value["original"] / in_flight, "×", 12, True),
        Figure("p99_ratio", "frame → command, p99 over median", value["latency_p99"] / latency, "×", 3),
        Figure("over_engine", "frame → command over the engine alone", latency / value["engine"], "×"),
    ]


def measure_baseline(weights: Path, engine: Engine, frames: Sequence[EncodedFrame]) -> list[Figure]:
    """Time of the original's steps on a frame, and of the engine alone, in this process."""
    network = load_network(weights)
    px = input_px(network)

    def original(frame: EncodedFrame) -> None:
        image = np.asarray(Image.open(io.BytesIO(frame.jpeg)))
        resized = np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BILINEAR))
        probabilities = network.predict(resized[None].astype(np.float32) / 127.5 - 1, verbose=0)[0]
        find_parts(probabilities[..., 2] > 0.5, np.zeros((px, px), np.uint8), window=1, min_px=10)
        np.asarray(Image.open(io.BytesIO(frame.depth_png)))

    image = np.zeros((1, px, px, 3), np.uint8)
    paused = _median_ms(lambda _: engine.infer(image), frames, FRAME_PERIOD_S)
    in_loop = _median_ms(lambda _: engine.infer(image), [*frames] * 5)
    return [
        Figure("original", "the original's steps, median", _median_ms(original, frames, FRAME_PERIOD_S), "ms"),
        Figure("original_loop", "the original's steps without pauses, median", _median_ms(original, frames), "ms"),
        Figure("engine", "engine alone, median", paused, "ms"),
        Figure("engine_loop", "engine alone without pauses, median", in_loop, "ms"),
    ]


def measure_simulator(version: Version, seconds: float) -> list[Figure]:
    """Speed of the simulator alone, and of simulator and server in lock-step, with `PEOPLE` people."""
    name = f"simulator, {PEOPLE} people"
    with World(seed=0, people=PEOPLE) as world:
        start_s = time.perf_counter()
        for _ in range(SIMULATED_FRAMES):
            world.step(1 / FRAMES_PER_S)
            sensor_frame_message(frame_fields(world.observe()))
        rate = SIMULATED_FRAMES / (time.perf_counter() - start_s)
    with (
        version.running() as server,
        World(seed=0, people=PEOPLE) as world,
        QuadSim(world, "127.0.0.1", server.port, faults=Faults.none(), is_lock_step=True) as simulator,
    ):
        start_s = time.perf_counter()
        run([simulator], seconds, speed=None)
        factor = seconds / (time.perf_counter() - start_s)
    return [
        Figure("simulator", f"{name}: frames made and encoded on one core", rate, "/s", 25, True),
        Figure("lock_step", f"{name}: in lock-step with the server", factor, "× real", 3, True),
    ]


def measure_agreement(weights: Path, precision: str, data: Path) -> list[Figure]:
    """How well OpenVINO and TensorFlow agree on all evaluation frames."""
    engines = load_engine("openvino", weights, precision), load_engine("tensorflow", weights)
    agreements, overlaps = [], []
    for name in EVALUATION_SETS:
        for file in image_files(data / EXAM_FOLDER / name):
            batch = resize_rgb(open_image(file), engines[0].input_px)[None]
            one, other = (threshold(engine.infer(batch)[0]) for engine in engines)
            agreements.append(has_hero(one) == has_hero(other))
            if name == FOLLOWING and has_hero(one) and has_hero(other):
                overlaps.append(intersection_over_union(one, other)[HERO])
    return [
        Figure(
            "agreement",
            f"engines agree on a hero or none, {len(agreements)} recorded frames",
            100 * statistics.mean(agreements),
            "%",
            99,
            True,
        ),
        Figure("overlap", "mean IoU of the engines' masks of near heroes", statistics.mean(overlaps), "", 0.99, True),
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
