"""The Ray edge of a sweep: trials as Ray Tune runs them, stopped early by ASHA, resumed after a kill."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.progress import progress
from rayatari.ray_session import joins_cluster, ray_session
from rayatari.sweep.plan import Plan
from rayatari.sweep.trial import Point, run_trial, score

EXPERIMENT = "tune"
SCORE = "score"
FAILED = 1e9
"""Score of a trial that cannot go on; finite, since percentiles are taken of scores."""


def search(config: Config, plan: Plan, trials: Mapping[int, Config], folder: Path) -> dict[int, str]:
    """Run the trials that are not finished, and return why trials failed, by their number.

    ``trials`` are the configurations under which they train. What was begun in ``folder`` goes on.
    """
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is an interrupt like everywhere else
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "5")
    with ray_session(config.ray):
        tuner = _make_tuner(config, plan, trials, folder)
        results = tuner.fit()
    failures = {}
    for result in results:
        number = result.config["trial"] if result.config else result.metrics["trial"]
        if result.metrics and result.metrics.get("failure"):
            failures[number] = result.metrics["failure"]
        elif result.error is not None:
            failures[number] = str(result.error).strip().splitlines()[-1]
    return failures


def _make_tuner(config: Config, plan: Plan, trials: Mapping[int, Config], folder: Path) -> tune.Tuner:
    trainable = tune.with_resources(
        tune.with_parameters(_train, trials=dict(trials), file=plan.file), _resources(config)
    )
    space = {"trial": tune.grid_search(sorted(trials))}
    path = folder / EXPERIMENT
    if tune.Tuner.can_restore(str(path)):
        return tune.Tuner.restore(
            str(path), trainable, resume_unfinished=True, restart_errored=True, param_space=space
        )
    return tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="min",
            max_concurrent_trials=config.sweep.parallel or None,
            scheduler=ASHAScheduler(
                time_attr="step",
                max_t=plan.steps + 1,  # a trial ends by itself, when its bundle is written
                grace_period=min(plan.file.early.grace, plan.steps),
                reduction_factor=plan.file.early.reduction,
            ),
        ),
        run_config=tune.RunConfig(
            name=EXPERIMENT,
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=config.sweep.max_failures),
            callbacks=[_Watcher(plan, len(trials))],
            verbose=0,
        ),
    )


def _resources(config: Config) -> dict[str, float]:
    there = ray.cluster_resources()
    if config.sweep.cpus > there.get("CPU", 0) and not joins_cluster(config.ray):
        raise UserError(
            f"sweep.cpus={config.sweep.cpus:g}, but Ray has {there.get('CPU', 0):g} CPUs here: "
            "lower it, or raise ray.num_cpus"
        )
    wanted = {"cpu": config.sweep.cpus}
    if config.training.device != "cpu" and there.get("GPU"):
        wanted["gpu"] = config.sweep.gpus
    return wanted


def _train(settings: dict[str, Any], trials: dict[int, Config], file: Any) -> None:
    """One trial in a process of Ray Tune."""
    own = trials[settings["trial"]]
    heard: list[Point] = []

    def report(point: Point) -> None:
        heard.append(point)
        current = min(score(heard, point.stage, file.metric), FAILED)
        tune.report({SCORE: current, "step": point.step, "stage": point.stage, **point.measures})

    try:
        run_trial(own, file.stages, report)
    except UserError as error:  # it would fail again: told once, and not retried
        step = heard[-1].step if heard else 0
        tune.report({SCORE: FAILED, "step": step, "failure": str(error)})


class _Watcher(tune.Callback):
    """Progress on the terminal: one bar over the steps of all trials, one line for each trial that ends."""

    def __init__(self, plan: Plan, trials: int) -> None:
        self._plan, self._total = plan, trials * plan.steps
        self._bar: Any = None
        self._steps: dict[int, int] = {}
        self._best = (FAILED, -1)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Move the bar."""
        number = trial.config["trial"]
        self._move(number, max(result["step"], self._steps.get(number, 0)))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say how a trial ended."""
        result = trial.last_result or {}
        number, step = trial.config["trial"], result.get("step", 0)
        if result.get("failure"):
            outcome = f"failed: {result['failure']}"
        elif step >= self._plan.steps:
            self._best = min(self._best, (result[SCORE], number))
            outcome = f"{self._plan.file.metric} {result[SCORE]:.4f}"
        else:
            outcome = f"stopped early, {result.get('stage')} {self._plan.file.metric} {result[SCORE]:.4f}"
        self._tell(number, step, outcome)
        self._move(number, self._plan.steps)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial's process died too often."""
        self._tell(trial.config["trial"], 0, "failed: its process died")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _tell(self, number: int, step: int, outcome: str) -> None:
        best = f" (best: trial {self._best[1]}, {self._best[0]:.4f})" if self._best[1] >= 0 else ""
        line = f"trial {number}: step {step}/{self._plan.steps}, {outcome}{best}"
        self._open().write(line, file=sys.stderr)

    def _move(self, number: int, step: int) -> None:
        self._open().update(step - self._steps.get(number, 0))
        self._steps[number] = step

    def _open(self) -> Any:
        if self._bar is None:
            self._bar = progress(self._total, "sweep")
        return self._bar

    def __getstate__(self) -> dict[str, Any]:  # Tune saves callbacks with the experiment
        return {**self.__dict__, "_bar": None}
