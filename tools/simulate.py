"""Connect a stand-in for QuadSim to a running server, as an unmodified QuadSim connects, and report how it flies.

    python tools/simulate.py
    python tools/simulate.py --seed 3 --people 40 --lock-step --report report.json
    python tools/simulate.py --drop 0.2 --delay 0.2
    python tools/simulate.py --people 60 --lookalikes 6
    python tools/simulate.py --target dog
    python tools/simulate.py --no-server --record data/raw_sim_data/train/run1 --duration 3000

The first command flies for two minutes at QuadSim's pace. In lock-step, the simulator waits for the server's answer to
each frame: it runs as fast as both programs can, and the same seed gives the same flight. Without a server, the
simulator steers the drone by its ground truth and records the hero near and far; a recorded frame takes about 40 ms.
`tools/preprocess_ims.py` makes a training set of recordings.

Exit status: 0, success; 1, no server, or a server that sent messages which QuadSim cannot parse; 2, invalid settings;
130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import contextlib
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from model.command import check_output_file, command, command_parser, error_text, print_text, run_command
from model.options import add_options, check, flag, from_options, option
from tools.simulator.address import ServerAddress
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.frames import LOCALES
from tools.simulator.quadsim import QuadSim, record_run, run
from tools.simulator.recording import RECORD_EVERY_S, Recorder
from tools.simulator.targets import HERO, LOOKALIKES_HELP, NAMES, lookalikes_of
from tools.simulator.world import EPOCH_S, MOST_PEOPLE, World, population_rules

_PRINT_EVERY_S = 1.0


@dataclass(frozen=True)
class SimulationSettings:
    """The options of this command, without the faults.

    Raises:
        ValueError: if a setting is out of its range, or two settings contradict each other.
    """

    server: ServerAddress = option(ServerAddress(), "address of the server", parse=ServerAddress.parse, metavar="URL")
    seed: int = option(0, "seed of the first drone's world and of all random events; each further drone adds 1")
    people: int = option(30, f"number of people besides the hero, 0 to {MOST_PEOPLE}")
    target: str = option(HERO, "target to follow instead of the hero", choices=NAMES)
    lookalikes: int | None = option(None, LOOKALIKES_HELP)
    drones: int = option(1, "number of drones, each with its own world and its own connection")
    duration: float = option(120.0, "simulated time, s")
    speed: float = option(1.0, "simulated seconds per second of wall-clock time; not used in lock-step")
    lock_step: bool = option(False, "wait for the server's answer to each frame")
    report: Path | None = option(None, "JSON file for settings, figures and every frame")
    record: Path | None = option(None, "folder for a recording in QuadSim's raw format")
    record_every: float = option(RECORD_EVERY_S, "simulated time between recorded frames, s")
    no_server: bool = option(False, "fly by the ground truth, without a server; needs --record")
    locale: str = option("en", "number format of the messages", choices=sorted(LOCALES))
    opengl: bool = option(False, "render with OpenGL instead of in software")

    def __post_init__(self) -> None:
        check(
            self,
            ("seed", self.seed >= 0, "of at least 0"),
            *population_rules(self.people, self.lookalikes),
            ("drones", self.drones >= 1, "of at least 1"),
            ("record_every", self.record is not None or self.record_every == RECORD_EVERY_S, "only with --record"),
            *(
                (name, 0 < getattr(self, name) < math.inf, "above 0 and finite")
                for name in ("duration", "speed", "record_every")
            ),
        )
        object.__setattr__(self, "lookalikes", lookalikes_of(self.target, self.lookalikes, self.people))
        if self.no_server and self.record is None:
            raise ValueError("expected --record with --no-server, got none: there would be nothing to do")
        for name in ("server", "report", "lock_step", "speed", "locale"):
            if self.no_server and getattr(self, name) != getattr(SimulationSettings, name):
                raise ValueError(f"expected {flag(name)} only with a server, got it with --no-server")
        if self.record is not None and self.drones > 1:
            raise ValueError(f"expected one drone with --record, got {self.drones}: record each in its own process")


class Pace(NamedTuple):
    """Speed of a run by the wall clock.

    Args:
        seconds: wall-clock time from the first frame on, without building worlds and connecting.
        real_time_factor: simulated seconds of one drone per second of wall-clock time.
        frames_per_s_of_all_drones: frames that all drones together sent per second of wall-clock time.
    """

    seconds: float
    real_time_factor: float
    frames_per_s_of_all_drones: float

    @classmethod
    def of(cls, simulators: Sequence[QuadSim], wall_s: float) -> Self:
        """Compute the speed of simulators that flew side by side for `wall_s`; all 0 if they never flew."""
        if wall_s == 0:
            return cls(0.0, 0.0, 0.0)
        simulated_s = max(simulator.world.time_s for simulator in simulators)
        return cls(wall_s, simulated_s / wall_s, _frames(simulators) / wall_s)


@command("simulate")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    settings, faults = _parse(arguments)
    check_output_file(settings.report)
    recorder = None if settings.record is None else Recorder(settings.record)
    if recorder is not None and settings.no_server:
        return _record(settings, recorder)
    return _fly(settings, faults, recorder)


def _record(settings: SimulationSettings, recorder: Recorder) -> int:
    """Record a flight without a server."""
    with _world(settings, settings.seed) as world:
        shown = record_run(world, recorder, settings.seed, settings.duration, settings.record_every)
    share = f"{shown / recorder.frames:.0%}"
    print(f"{recorder.frames} frames in {settings.record}, {share} of them with the {settings.target}")
    return 0


def _world(settings: SimulationSettings, seed: int, start_s: float = EPOCH_S) -> World:
    return World(
        seed,
        settings.people,
        opengl=settings.opengl,
        start_s=start_s,
        lookalikes=settings.lookalikes,
        target=settings.target,
    )


def _fly(settings: SimulationSettings, faults: FaultConfig, recorder: Recorder | None) -> int:
    """Fly with a server and print the results."""
    simulators: list[QuadSim] = []
    begin_s: float | None = None
    failure, is_interrupted = "", False
    with contextlib.ExitStack() as stack:
        for number in range(settings.drones):
            seed = settings.seed + number
            start_s = EPOCH_S if settings.lock_step else time.time()
            simulators.append(
                QuadSim(
                    stack.enter_context(_world(settings, seed, start_s)),
                    *settings.server,
                    faults=Faults(faults, np.random.default_rng([seed, 2])),
                    is_lock_step=settings.lock_step,
                    locale=settings.locale,
                    speed=settings.speed,
                    recorder=recorder,
                    record_every_s=settings.record_every,
                    on_notice=functools.partial(_print_notice, _name(settings, number)),
                )
            )
        try:
            if note := settings.server.describe_other_target(settings.target):
                print_text(note)
            for simulator in simulators:
                stack.enter_context(simulator)
            speed = None if settings.lock_step else settings.speed
            ticker = _Ticker(settings, simulators)
            begin_s = time.monotonic()
            run(simulators, settings.duration, speed=speed, on_frame=ticker)
        except KeyboardInterrupt:  # the flight so far is reported first
            is_interrupted = True
            print()
        except OSError as error:
            failure = _explain(error, settings.server, simulators)
        wall_s = 0.0 if begin_s is None else time.monotonic() - begin_s
    pace = Pace.of(simulators, wall_s)
    _print_figures(settings, simulators, pace)
    violations = [violation for simulator in simulators for violation in simulator.violations]
    for violation in violations:
        print_text(f"message that QuadSim cannot parse: {violation}")
    if failure:
        print_text(f"simulate: {failure}", file=sys.stderr)
    if settings.report is not None:
        settings.report.write_text(json.dumps(_report(settings, faults, simulators, pace), indent=1) + "\n")
    if is_interrupted:
        raise KeyboardInterrupt
    return 1 if failure or violations else 0


class _Ticker:
    """Prints the latest row of each drone once per second of wall-clock time."""

    def __init__(self, settings: SimulationSettings, simulators: Sequence[QuadSim]) -> None:
        self._settings, self._simulators = settings, simulators
        self._next_s = time.monotonic()

    def __call__(self, simulator: QuadSim) -> None:
        if simulator is self._simulators[-1] and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PRINT_EVERY_S
            for number, each in enumerate(self._simulators):
                if each.log.rows:
                    print(f"{_name(self._settings, number)}{each.log.describe_latest()}", flush=True)


def _print_figures(settings: SimulationSettings, simulators: Sequence[QuadSim], pace: Pace) -> None:
    for number, simulator in enumerate(simulators):
        if simulator.log.rows:
            print(f"{_name(settings, number)}{_summary(simulator)}")
    if frames := _frames(simulators):
        of_drones = " of all drones together" if settings.drones > 1 else ""
        rate = f"{pace.frames_per_s_of_all_drones:.1f} frames/s{of_drones}"
        print(f"{frames} frames in {pace.seconds:.0f} s: {rate}, {pace.real_time_factor:.1f} × real time")


def _print_notice(name: str, text: str) -> None:
    print_text(f"{name}{text}")


def _name(settings: SimulationSettings, number: int) -> str:
    return f"drone {number + 1}: " if settings.drones > 1 else ""


def _frames(simulators: Sequence[QuadSim]) -> int:
    return sum(len(simulator.log.rows) for simulator in simulators)


def _summary(simulator: QuadSim) -> str:
    summary = simulator.log.summary()
    lines = [
        f"{summary['frames']} frames, {simulator.log.target} in view in {summary['hero_in_view']:.0%} of them, "
        f"drone following in {summary['following']:.0%}"
    ]
    if summary["first_followed_s"] is not None:
        lines.append(
            f"first followed after {summary['first_followed_s']:.1f} s, back to patrol {summary['losses']} times, "
            f"on target in {summary['on_target_of_following'] or 0:.0%} of the frames while following, "
            f"median position error {summary['position_error_median_m'] or math.nan:.2f} m, "
            f"median distance to the {simulator.log.target} {summary['distance_following_median_m']:.1f} m"
        )
    return "; ".join(lines)


def _report(
    settings: SimulationSettings, faults: FaultConfig, simulators: Sequence[QuadSim], pace: Pace
) -> dict[str, Any]:
    """Settings and results of a run; only `wall_clock` depends on the speed of the machine."""
    return {
        "settings": {
            "seed": settings.seed,
            "people": settings.people,
            "lookalikes": settings.lookalikes,
            "target": settings.target,
            "duration_s": settings.duration,
            "lock_step": settings.lock_step,
            "speed": None if settings.lock_step else settings.speed,
            "locale": settings.locale,
            "faults": dataclasses.asdict(faults),
        },
        "drones": [
            {
                "seed": settings.seed + number,
                "summary": simulator.log.summary(),
                "violations": simulator.violations,
                "frames": simulator.log.rows,
            }
            for number, simulator in enumerate(simulators)
        ],
        "wall_clock": pace._asdict(),
    }


def _explain(error: OSError, server: ServerAddress, simulators: Sequence[QuadSim]) -> str:
    has_flown = any(simulator.log.rows for simulator in simulators)
    return f"stopped: {error_text(error)}" if has_flown else server.describe_failure(error)


def _parse(arguments: Sequence[str] | None) -> tuple[SimulationSettings, FaultConfig]:
    parser = command_parser(__doc__)
    add_options(parser, SimulationSettings)
    add_options(parser, FaultConfig, title="faults on the way from the simulator to the server")
    options = parser.parse_args(arguments)
    settings, faults = from_options(SimulationSettings, options), from_options(FaultConfig, options)
    if settings.no_server and faults != FaultConfig():
        raise ValueError("expected faults on the way to the server only with a server, got them with --no-server")
    return settings, faults


if __name__ == "__main__":
    run_command(main)
