"""The stages from recordings to flight. Each calls the library behind the tool of that job."""

import json
import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.calibration import OneSidedError
from model.dataset import read_dataset
from model.evaluation import VALIDATION, evaluate, find_sets
from model.pair_files import IMAGE_PX, is_litter, list_pairs
from model.profile import read_profile
from model.raw_recordings import find_runs
from model.recipes import TrainingConfig, find_preset, preset_text
from model.report import draw
from model.run_folder import SETTINGS, WEIGHTS
from model.scoring import HeroScore
from model.training_run import run_training
from model.training_set import make_set
from tools.labelled.calibrating import calibrate, draw_reliability
from tools.shipping.converting import ship_converted
from tools.shipping.quantizing import ship_quantised
from tools.simulator.targets import NAMES
from tools.teaching import flights, recordings
from tools.teaching.data_check import check_data, words
from tools.teaching.planning import START, describe_plan, plan_advice, plan_training
from tools.teaching.report import Results, write_report
from tools.teaching.stages import Stage, fingerprint

# Names of the files of results that the report shows; see `Course.file`.
REPORTED = ("check", "calibration", "int8", "score", "flights")


@dataclass(frozen=True)
class Course:
    """The inputs of teaching, and its stages.

    Args:
        profile: TOML file of the target.
        raw: folder of the recordings; None: the stand-in records.
        hours: time for the training.
        out: folder for everything that is made.

    Raises:
        OSError, ValueError: if the profile can't be read, the stand-in does not have the target, there are no
            recordings, or `out` has other files.
    """

    profile: Path
    raw: Path | None
    hours: float
    out: Path

    def __post_init__(self) -> None:
        target = self.target  # raises if the profile can't be read
        if self.raw is None and target not in NAMES:
            raise ValueError(
                f"expected a profile of a target of the stand-in, {', '.join(NAMES)}, for --stand-in, "
                f"got {target} in {self.profile}"
            )
        if self.raw is not None and not self.raw.is_dir():
            raise ValueError(f"expected a folder of recordings, found none at {self.raw}")
        if self.raw is not None and self.raw.resolve().is_relative_to(self.out.resolve()):
            raise ValueError(f"expected recordings outside of {self.out}, which is for what is made, got {self.raw}")
        if self.raw is not None and self.out.resolve().is_relative_to(self.raw.resolve()):
            raise ValueError(f"expected --out outside of the recordings in {self.raw}, got {self.out}")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"expected a folder for everything that is made, got the file {self.out}")
        if (
            self.out.exists()
            and not self.state.exists()
            and not all(is_litter(file.name) for file in self.out.iterdir())
        ):
            raise ValueError(
                f"expected a new or empty folder, or that of an earlier run, got other files in {self.out}"
            )

    @property
    def target(self) -> str:
        """Name of the target."""
        return read_profile(self.profile).name

    @property
    def state(self) -> Path:
        """File with the state of each stage."""
        return self.out / "state.json"

    @property
    def recorded(self) -> Path:
        """Folder of the recordings."""
        return self.out / "raw" if self.raw is None else self.raw

    @property
    def data(self) -> Path:
        """Folder of the dataset that is made of the recordings."""
        return self.out / "data"

    @property
    def run(self) -> Path:
        """Folder of the training."""
        return self.out / "run"

    @property
    def weights(self) -> Path:
        """The taught network."""
        return self.run / WEIGHTS

    @property
    def pictures(self) -> Path:
        """Folder of pictures for the report."""
        return self.out / "pictures"

    def file(self, name: str) -> Path:
        """JSON file with results of a stage."""
        return self.out / f"{name}.json"

    def stages(self) -> list[Stage]:
        """The stages, in order."""
        files = self.file
        record = Stage(
            "record",
            f"the stand-in flies around a {self.target}",
            lambda: [self.target, recordings.SEEDS, recordings.RECORDING_S],
            [self.recorded],
            self._record,
        )
        return [
            *([record] if self.raw is None else []),
            Stage(
                "preprocess",
                "make images and masks of the recordings, and hold whole recordings out",
                lambda: fingerprint(self.recorded),
                [files("preprocess"), self.data],
                self._preprocess,
            ),
            Stage(
                "check",
                f"look for what the recordings lack to learn the {self.target} from",
                lambda: [fingerprint(self.data), self._profile_text],
                [files("check")],
                self._check,
            ),
            Stage(
                "plan",
                f"time a few steps, to fit the training into {self.hours:g} h",
                lambda: [self.hours, str(self.profile), fingerprint(self.data, START)],
                [self.out / "plan.toml"],
                self._plan,
            ),
            Stage(
                "train",
                "train the shipped network further",
                lambda: [fingerprint(self.out / "plan.toml", self.data), self._profile_text],
                [self.weights, self.weights.with_suffix(".json")],
                self._train,
            ),
            Stage("quantise", "convert and quantise, to serve it fast", self._learned, [files("int8")], self._quantise),
            Stage(
                "calibrate",
                "calibrate the evidence on the held-out recordings",
                lambda: [self._learned(), fingerprint(files("int8"))],  # it depends on the precision that is served
                [files("calibration")],
                self._calibrate,
            ),
            Stage(
                "score",
                "score it on the held-out recordings, and draw where it fails",
                self._learned,
                [files("score")],
                self._score,
            ),
            Stage(
                "fly",
                f"fly after the {self.target} in the stand-in",
                lambda: [
                    fingerprint(self.weights, files("calibration"), files("int8")),
                    flights.SEEDS,
                    flights.FLIGHT_S,
                ],
                [files("flights")],
                self._fly,
            ),
            Stage(
                "report",
                "write the report",
                lambda: fingerprint(*map(files, REPORTED)),
                [self.out / "report.html"],
                self._report,
            ),
        ]

    @property
    def _profile_text(self) -> str:
        return self.profile.read_text("utf-8")

    def _learned(self) -> str:
        return fingerprint(self.weights, self.data)

    def _record(self, goes_on: bool) -> None:
        if not goes_on:
            shutil.rmtree(self.recorded, ignore_errors=True)
        recordings.record_stand_in(self.target, self.recorded, self.out / "part")

    def _preprocess(self, goes_on: bool) -> None:
        runs = recordings.split_recordings(find_runs(self.recorded))
        if not goes_on:  # recordings may have other numbers now
            recordings.refuse_corrected(self.data)
            shutil.rmtree(self.data, ignore_errors=True)
        skipped = make_set(self.recorded, self.data, runs)
        self._write("preprocess", {"skipped": skipped, "names": {str(run.fold): run.name for run in runs}})

    def _check(self, _: bool) -> None:
        made = self._read("preprocess")
        read = read_dataset([self.data], IMAGE_PX).recordings
        check = check_data(read, made["names"], read_profile(self.profile), made["skipped"])
        print(words(check, self.target), flush=True)
        if check.problems:
            raise ValueError(f"nothing can be learned from {self.recorded}: {check.problems[0]}")
        self._write("check", check._asdict())

    def _plan(self, _: bool) -> None:
        config = plan_training(self.hours, self.data, self.profile)
        print("\n".join([describe_plan(config), *plan_advice(config)]), flush=True)
        (self.out / "plan.toml").write_text(preset_text(config))

    @property
    def _config(self) -> TrainingConfig:
        return find_preset(str(self.out / "plan.toml"))

    def _train(self, goes_on: bool) -> None:
        was_begun = goes_on and (self.run / SETTINGS).exists()
        if not was_begun:
            shutil.rmtree(self.run, ignore_errors=True)
        run_training(self._config, [self.data], self.run, preset=self._config.network, resume=was_begun)

    def _calibrate(self, _: bool) -> None:
        self.pictures.mkdir(exist_ok=True)
        held_out = list_pairs(self.data / VALIDATION)
        try:
            found = calibrate(self.weights, [("held out", held_out)])
        except OneSidedError as error:  # a network that has learned too little finds nobody
            print(f"not calibrated: {error}", flush=True)
            self._write("calibration", {"why_not": str(error)})
            return
        draw_reliability(found.reliability, self.pictures / "reliability.png")
        scores = {"log_loss": found.loss, "without": found.loss_without, "warning": found.reliability.warning}
        self._write("calibration", {**scores, **asdict(found.fitted.first)})

    def _quantise(self, _: bool) -> None:
        lines = ship_converted(self.weights)
        comparisons, folder = ship_quantised(self.weights, self.data)
        (comparison,) = comparisons.values()
        print("\n".join([*lines, str(comparison)]), flush=True)
        size = sum(file.stat().st_size for file in folder.iterdir()) if folder else None
        self._write("int8", {"bytes": size, "validation": comparison.as_json()})

    def _score(self, _: bool) -> None:
        self.pictures.mkdir(exist_ok=True)
        evaluation = evaluate(self.weights, find_sets(self.data, VALIDATION), "native")
        draw([evaluation], self.pictures)
        score = evaluation.sets[VALIDATION]
        hero = HeroScore.of(score)
        figures = {"px": evaluation.px, "ms_per_frame": evaluation.ms_per_frame, "frames": score.n}
        self._write("score", {**figures, "quality": hero.quality, **hero._asdict()})

    def _fly(self, _: bool) -> None:
        self.pictures.mkdir(exist_ok=True)
        if self.target not in NAMES:
            why = f"the stand-in has no {self.target}, only {', '.join(NAMES)}"
            print(f"not flown: {why}", flush=True)
            self._write("flights", {"why_not": why})
            return
        flights.fly_target(self.weights, self.target, self.file("flights"), self.pictures / "flights.png")

    def _report(self, _: bool) -> None:
        results = Results(
            profile=read_profile(self.profile),
            plan=self._config,
            command=shlex.join(["server/follower.py", str(self.weights.with_suffix(""))]),
            run=self.run,
            pictures=self.pictures,
            **{name: self._read(name) for name in REPORTED},
        )
        write_report(results, self.out / "report.html")

    def _read(self, name: str) -> Any:
        return json.loads(self.file(name).read_bytes())

    def _write(self, name: str, found: Any) -> None:
        self.file(name).write_text(json.dumps(found, indent=1) + "\n")
