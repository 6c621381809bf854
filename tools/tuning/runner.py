"""The search itself: Optuna's sampler chooses, Ray Tune trains in its workers, ASHA stops trials with a low score.

The trials on disk are the only state. A search that goes on after a kill passes them to the sampler and to ASHA, and
begins with the trials that were not over.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from model.command import one_line
from model.dataset import Frames
from tools.tuning.space import Parameters, Range, Space
from tools.tuning.table import score_of
from tools.tuning.trials import Record, Trial, end, new_number, read_trials, run_folder, scored, write_record
from tools.tuning.worker import EPOCH, SCORE, run_trial

RAY_FOLDER = "ray"
"""In the folder of a search: Ray's own notes; it may be deleted."""
LONGEST_REASON = 500
DEAD_ACTOR = "The actor is dead because "
# Ctrl-C ends the search at once because its results are on disk. Only this program writes tables. Ray gets no
# statistics.
QUIET = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Resources(NamedTuple):
    """Where trials run.

    Args:
        cluster: address of a running Ray cluster, or `auto`; None: this machine.
        at_once: most trials at a time; None: as many as there are CPUs and GPUs for.
        cpus: CPUs of a trial.
        gpus: GPUs of a trial; a fraction shares one.
    """

    cluster: str | None = None
    at_once: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """The space in Optuna's terms."""
    return {name: _distribution(among) for name, among in space.search.items()}


def _distribution(among: Range | tuple[Any, ...]) -> optuna.distributions.BaseDistribution:
    if not isinstance(among, Range):
        return optuna.distributions.CategoricalDistribution(among)
    is_log = among.scale == "log"
    if isinstance(among.low, int):
        return optuna.distributions.IntDistribution(among.low, among.high, log=is_log, step=among.step or 1)
    return optuna.distributions.FloatDistribution(among.low, among.high, log=is_log, step=among.step)


class Sampler(OptunaSearch):
    """Suggests trials, and puts each on disk before it starts.

    Args:
        space: the space.
        out: folder of the search.
        known: its trials so far.
    """

    def __init__(self, space: Space, out: Path, known: Sequence[Trial]) -> None:
        unfinished = [trial for trial in known if not trial.is_over]
        tried = [trial.record.parameters for trial in known]
        super().__init__(
            distributions(space),
            metric=SCORE,
            mode="max",
            points_to_evaluate=[
                *(trial.record.parameters for trial in unfinished),
                *(parameters for parameters in space.first if parameters not in tried),
            ],
            # With the same seed, the sampler would draw the same first trials again.
            sampler=optuna.samplers.TPESampler(seed=space.seed + len(known)),
        )
        for trial in known:
            if trial.is_over:
                score = score_of(trial, space)
                self.add_evaluated_point(trial.record.parameters, score, error=score is None)
        self._out, self._unfinished = out, unfinished

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Number and parameters of the next trial."""
        parameters: Parameters = super().suggest(trial_id)
        if self._unfinished:
            return {"number": self._unfinished.pop(0).number, "parameters": parameters}
        number = new_number(self._out)
        write_record(run_folder(self._out, number), Record(parameters))
        return {"number": number, "parameters": parameters}


class NumberedAsha(ASHAScheduler):
    """ASHA that identifies trials by their numbers on disk, so that it can also take the scores of earlier trials.

    Args:
        space: the space.
        known: the trials so far.
    """

    def __init__(self, space: Space, known: Sequence[Trial]) -> None:
        super().__init__(
            time_attr=EPOCH,
            metric=SCORE,
            mode="max",
            max_t=max(space.most_epochs, space.stop.grace_epochs),
            grace_period=space.stop.grace_epochs,
            reduction_factor=space.stop.reduction,
        )
        for trial in known:
            if trial.record.state != "failed":
                self._tell(trial, space)

    def _tell(self, trial: Trial, space: Space) -> None:
        """Pass a trial's scores to ASHA; if the trial continues, all but the last, which its worker reports."""
        earlier = SimpleNamespace(config={"number": trial.number})
        self.on_trial_add(None, earlier)
        for count, line in enumerate(trial.log if trial.is_over else trial.log[:-1], start=1):
            best = scored(trial.log[:count], space.base)
            if line.validation and best:
                self.on_trial_result(None, earlier, {EPOCH: line.epoch, SCORE: best.quality})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Ray calls this with a new trial."""
        super().on_trial_add(tune_controller, _numbered(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Ray calls this with a report; returns whether the trial goes on."""
        return super().on_trial_result(tune_controller, _numbered(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Ray calls this with the last report."""
        super().on_trial_complete(tune_controller, _numbered(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Ray calls this with a trial that ended otherwise."""
        super().on_trial_remove(tune_controller, _numbered(trial))


def _numbered(trial: Any) -> SimpleNamespace:
    return SimpleNamespace(trial_id=trial.config["number"])


class Progress(Protocol):
    """Is told how the search proceeds, with the numbers of trials."""

    def begin(self, number: int, parameters: Parameters) -> None:
        """A trial begins, or goes on after a kill."""

    def score(self, number: int, epoch: int, score: float) -> None:
        """A trial has reported the score of its best epoch so far, or of its last, as the settings say."""

    def end(self, number: int) -> None:
        """A trial is over, and its folder says so."""


class TrialRecorder(tune.Callback):
    """Records how each trial ends, and tells how the search proceeds.

    Args:
        out: folder of the search.
        progress: is told.
    """

    def __init__(self, out: Path, progress: Progress) -> None:
        self._out, self._progress = out, progress

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray calls this with a trial that begins."""
        self._progress.begin(trial.config["number"], trial.config["parameters"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Ray calls this with a report."""
        self._progress.score(trial.config["number"], result[EPOCH], result[SCORE])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray calls this with a trial that finished or was stopped early."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray calls this with a trial that raised, or whose worker died."""
        self._end(trial, reason_of(trial))

    def _end(self, trial: Any, error: str = "") -> None:
        number = trial.config["number"]
        end(run_folder(self._out, number), error)
        self._progress.end(number)


def reason_of(trial: Any) -> str:
    """Why a trial of Ray's failed, in a line."""
    # So far, the files are on Ray's own machine only. Ray's methods are not used because they look for copies.
    if trial.pickled_error_file is None:
        return one_line(Path(trial.error_file).read_text(), LONGEST_REASON)
    error = ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    cause = getattr(error, "cause", None) or error
    # If a worker died, Ray's text begins with numbers of its own.
    return one_line(f"{type(cause).__name__}: {str(cause).rpartition(DEAD_ACTOR)[-1]}", LONGEST_REASON)


def search(
    space: Space,
    training: Frames,
    validation: Frames,
    out: Path,
    resources: Resources,
    progress: Progress,
) -> None:
    """Run the trials that are missing.

    Args:
        space: what to try.
        training: frames to learn from.
        validation: frames to score.
        out: folder of the search, which may have trials; of a cluster: the same folder on each of its machines.
        resources: where trials run.
        progress: is told how it proceeds.

    Raises:
        ConnectionError: if there is no cluster at the address.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = read_trials(out)
    missing = space.trials - sum(trial.is_over for trial in known)
    if missing <= 0:
        return
    os.environ |= QUIET
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the table says of each trial why it failed
    ray.init(address=resources.cluster or "local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    trainable = tune.with_parameters(
        run_trial, space=space, out=out.resolve(), cpus=resources.cpus, training=training, validation=validation
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": resources.cpus, "GPU": resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=Sampler(space, out, known),
            scheduler=NumberedAsha(space, known),
            num_samples=missing,
            max_concurrent_trials=resources.at_once,
            trial_dirname_creator=lambda trial: f"{trial.config['number']:04}_{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=RAY_FOLDER,
            storage_path=str(out.resolve()),
            callbacks=[TrialRecorder(out, progress)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )
    try:
        tuner.fit()
    finally:
        ray.shutdown()
