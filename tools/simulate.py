"""Fly the stand-in for QuadSim: it connects to a running server as an unmodified QuadSim does, and tells how it goes.

    python tools/simulate.py
    python tools/simulate.py --seed 3 --people 40 --lock-step --report report.json
    python tools/simulate.py --faults drop=0.2 delay=0.2
    python tools/simulate.py --no-server --record data/raw_sim_data/train/run1 --duration 3000

The first flies two minutes at QuadSim's pace. In lock-step the simulator waits for the server's answer to each frame:
as fast as the two go, and with the same seed the same flight. Without a server the drone is flown by what the simulator
knows, to record the hero near and far; a recorded frame takes some 40 ms. `tools/preprocess_ims.py` makes a training
set of recordings.

Exit status: 0; 1, no server, or one that QuadSim could not have understood; 2, refused for the reason given.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from tqdm import tqdm

from tools.play_frames import server_address
from tools.simulator.cameraman import Cameraman
from tools.simulator.faults import FaultConfig, Faults, parse_faults
from tools.simulator.frames import LOCALES
from tools.simulator.quadsim import QuadSim, record_by_truth, run
from tools.simulator.recording import RECORD_EVERY_S, Recorder
from tools.simulator.world import EPOCH_S, MOST_PEOPLE, World

_PRINT_EVERY_S = 1.0


class Pace(NamedTuple):
    """How fast a flight went, by the wall clock.

    Args:
        seconds: from the first frame on; worlds are built, and simulators connected, before.
        real_time_factor: simulated seconds of one drone, however many fly side by side, in a second.
        frames_per_s_of_all_drones: sent in a second.
    """

    seconds: float
    real_time_factor: float
    frames_per_s_of_all_drones: float

    @classmethod
    def of(cls, simulators: Sequence[QuadSim], wall_s: float) -> Self:
        """That of simulators that flew side by side for `wall_s`; 0 if they did not come to fly."""
        if wall_s == 0:
            return cls(0.0, 0.0, 0.0)
        simulated_s = max(simulator.world.time_s for simulator in simulators)
        return cls(wall_s, simulated_s / wall_s, _frames(simulators) / wall_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parse(arguments)
    try:
        recorder = None if options.record is None else Recorder(options.record)
    except OSError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    try:
        if recorder is not None and options.no_server:
            return _record(options, recorder)
        return _fly(options, recorder)
    except KeyboardInterrupt:
        print()
        return 130


def _record(options: argparse.Namespace, recorder: Recorder) -> int:
    """Record without a server."""
    count = math.ceil(options.duration / options.record_every)
    shown = 0
    with World(options.seed, options.people, opengl=options.opengl) as world:
        cameraman = Cameraman(world.drone, np.random.default_rng([options.seed, 1]))
        frames = record_by_truth(world, recorder, cameraman, options.duration, options.record_every)
        for observation in tqdm(frames, desc="recording", unit=" frames", total=count):
            shown += observation.truth.hero_px > 0
    print(f"{recorder.frames} frames in {options.record}, {shown / recorder.frames:.0%} of them with the hero")
    return 0


def _fly(options: argparse.Namespace, recorder: Recorder | None) -> int:
    """Fly with a server and tell how it went."""
    host, port = options.server
    worlds: list[World] = []
    simulators: list[QuadSim] = []
    begin_s: float | None = None
    failure = ""
    with contextlib.ExitStack() as stack:
        for number in range(options.drones):
            seed = options.seed + number
            start_s = EPOCH_S if options.lock_step else time.time()
            world = World(seed, options.people, opengl=options.opengl, start_s=start_s)
            worlds.append(stack.enter_context(world))
            simulators.append(
                QuadSim(
                    world,
                    host,
                    port,
                    faults=Faults(options.faults, np.random.default_rng([seed, 2])),
                    is_lock_step=options.lock_step,
                    locale=options.locale,
                    speed=options.speed,
                    recorder=recorder,
                    record_every_s=options.record_every,
                    on_notice=functools.partial(_notice, _name(options, number)),
                )
            )
        try:
            for simulator in simulators:
                stack.enter_context(simulator)
            speed = None if options.lock_step else options.speed
            ticker = _Ticker(options, simulators)
            begin_s = time.monotonic()
            run(simulators, options.duration, speed=speed, on_frame=ticker)
        except KeyboardInterrupt:
            print()
        except OSError as error:
            failure = _explain(error, host, port, simulators)
        wall_s = 0.0 if begin_s is None else time.monotonic() - begin_s
    pace = Pace.of(simulators, wall_s)
    if options.report is not None:
        options.report.write_text(json.dumps(_report(options, simulators, pace), indent=1) + "\n")
    for number, simulator in enumerate(simulators):
        if simulator.log.rows:
            print(f"{_name(options, number)}{_summary(simulator)}")
    if frames := _frames(simulators):
        of_whom = " of all drones together" if options.drones > 1 else ""
        rate = f"{pace.frames_per_s_of_all_drones:.1f} a second{of_whom}"
        print(f"{frames} frames in {pace.seconds:.0f} s: {rate}, {pace.real_time_factor:.1f} × real time")
    violations = [violation for simulator in simulators for violation in simulator.violations]
    for violation in violations:
        print(f"QuadSim could not have understood: {violation}")
    if failure:
        print(f"simulate: {failure}", file=sys.stderr)
    return 1 if failure or violations else 0


class _Ticker:
    """Prints each drone's latest row once a second of wall time."""

    def __init__(self, options: argparse.Namespace, simulators: Sequence[QuadSim]) -> None:
        self._options, self._simulators = options, simulators
        self._next_s = time.monotonic()

    def __call__(self, simulator: QuadSim) -> None:
        if simulator is self._simulators[-1] and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PRINT_EVERY_S
            for number, each in enumerate(self._simulators):
                if each.log.rows:
                    print(f"{_name(self._options, number)}{each.log.describe_latest()}", flush=True)


def _notice(name: str, text: str) -> None:
    print(f"{name}{text}", flush=True)


def _name(options: argparse.Namespace, number: int) -> str:
    return f"drone {number + 1}: " if options.drones > 1 else ""


def _frames(simulators: Sequence[QuadSim]) -> int:
    return sum(len(simulator.log.rows) for simulator in simulators)


def _summary(simulator: QuadSim) -> str:
    summary = simulator.log.summary()
    lines = [
        f"{summary['frames']} frames, hero in view in {summary['hero_in_view']:.0%}, "
        f"following in {summary['following']:.0%}"
    ]
    if summary["first_followed_s"] is not None:
        lines.append(
            f"first followed after {summary['first_followed_s']:.1f} s, {summary['losses']} times back to patrol, "
            f"on target in {summary['on_target_of_following'] or 0:.0%} of the frames following, "
            f"coordinates {summary['position_error_median_m'] or math.nan:.2f} m off, "
            f"hero {summary['distance_following_median_m']:.1f} m away (medians)"
        )
    return "; ".join(lines)


def _report(options: argparse.Namespace, simulators: Sequence[QuadSim], pace: Pace) -> dict[str, Any]:
    """What a run was and how it went; all that depends on the machine's speed is in `wall_clock`."""
    return {
        "settings": {
            "seed": options.seed,
            "people": options.people,
            "duration_s": options.duration,
            "lock_step": options.lock_step,
            "speed": None if options.lock_step else options.speed,
            "locale": options.locale,
            "faults": dataclasses.asdict(options.faults),
        },
        "drones": [
            {
                "seed": options.seed + number,
                "summary": simulator.log.summary(),
                "violations": simulator.violations,
                "frames": simulator.log.rows,
            }
            for number, simulator in enumerate(simulators)
        ],
        "wall_clock": pace._asdict(),
    }


def _explain(error: OSError, host: str, port: int, simulators: Sequence[QuadSim]) -> str:
    if any(simulator.log.rows for simulator in simulators):
        return f"stopped: {error}"
    return (
        f"expected a server at http://{host}:{port}, got: {error}; "
        "start it with: python server/follower.py weights/model_weights"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fly the stand-in for QuadSim against a running server.")
    parser.add_argument(
        "--server",
        type=server_address,
        default=("127.0.0.1", 4567),
        metavar="URL",
        help="the server's address (default: http://127.0.0.1:4567)",
    )
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="of the block, the people and all chance"
    )
    parser.add_argument(
        "--people", type=_whole(0, MOST_PEOPLE), default=30, metavar="N", help="others than the hero (default: 30)"
    )
    parser.add_argument(
        "--drones", type=_whole(1), default=1, metavar="N", help="simulators, with seeds from N on (default: 1)"
    )
    parser.add_argument(
        "--duration", type=_positive, default=120.0, metavar="S", help="simulated time, seconds (default: 120)"
    )
    parser.add_argument(
        "--speed", type=_positive, default=1.0, metavar="FACTOR", help="simulated seconds a second (default: 1)"
    )
    parser.add_argument("--lock-step", action="store_true", help="wait for the server's answer to each frame")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what happened as JSON")
    parser.add_argument("--record", type=Path, metavar="DIR/RUN", help="write QuadSim's raw recording into this folder")
    parser.add_argument(
        "--record-every",
        type=_positive,
        default=RECORD_EVERY_S,
        metavar="S",
        help=f"simulated time from one recorded frame to the next, seconds (default: {RECORD_EVERY_S})",
    )
    parser.add_argument("--no-server", action="store_true", help="only record, and fly by what the simulator knows")
    parser.add_argument("--locale", choices=sorted(LOCALES), default="en", help="how numbers are written (default: en)")
    parser.add_argument("--opengl", action="store_true", help="render with OpenGL instead of in software")
    names = ", ".join(f"{field.name} ({field.metadata['help']})" for field in dataclasses.fields(FaultConfig))
    parser.add_argument("--faults", nargs="+", default=[], metavar="NAME=VALUE", help=f"what goes wrong: {names}")
    options = parser.parse_args(arguments)
    try:
        options.faults = parse_faults(options.faults)
    except ValueError as error:
        parser.error(str(error))
    if options.no_server and options.record is None:
        parser.error("expected --record with --no-server, got none: there would be nothing to do")
    if options.record is not None and options.drones > 1:
        parser.error(f"expected one drone with --record, got {options.drones}: record each in a process of its own")
    return options


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")


def _whole(least: int, most: int | None = None) -> Any:
    def parse(text: str) -> int:
        if text.isdecimal() and least <= int(text) and (most is None or int(text) <= most):
            return int(text)
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"expected a whole number {limits}, got {text!r}")

    return parse


if __name__ == "__main__":
    sys.exit(main())
