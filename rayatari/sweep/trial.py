"""One trial of a sweep: ordinary training stages in a folder of its own, watched through their records."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rayatari.checkpoint import is_finished
from rayatari.config.schema import Config
from rayatari.paths import run_dir, stage_dir
from rayatari.records import read_jsonl
from rayatari.sweep.plan import Trial
from rayatari.training import mapper, world
from rayatari.training.stage import dataset_path

POLL_SECONDS = 0.3
_RUN = {"world": world.run, "mapper": mapper.run}
_HELDOUT = "heldout/"


@dataclass(frozen=True)
class Point:
    """A test on held-out windows."""

    stage: str
    """Stage that was being trained."""
    step: int
    """Steps so far, over all stages of the trial."""
    measures: dict[str, float]
    """Measures of the averaged weights."""


def trial_config(trial: Trial, config: Config, folder: Path) -> Config:
    """The configuration under which a trial trains: in this process, in ``folder/<number>``."""
    threads = trial.config.training.threads or max(1, int(config.sweep.cpus))
    training = replace(trial.config.training, backend="local", workers=1, threads=threads)
    return replace(
        trial.config,
        runs=str(folder),
        name=f"{trial.number:03d}",
        training=training,
        world=replace(trial.config.world, dataset=dataset_path(trial.config)),
    )


def prepare_folder(config: Config, own: Config, stages: Sequence[str]) -> None:
    """Make a trial's folder, with links to what it takes from the run: the agent, and a finished world."""
    run_dir(own).mkdir(parents=True, exist_ok=True)
    for part in ("agent", "world"):
        source, link = stage_dir(config, part), stage_dir(own, part)
        if part not in stages and source.exists() and not link.exists():
            link.symlink_to(source.resolve(), target_is_directory=True)


def run_trial(own: Config, stages: Sequence[str], hear: Callable[[Point], None]) -> None:
    """Train the stages, from their newest snapshots where there are some, and tell of each test.

    Raises what a stage raises: UserError where training diverges or what it needs is missing.
    """
    done = 0
    for stage in stages:
        for point in _watch(own, stage, done):
            hear(point)
        done += getattr(own, stage).steps


def points(own: Config, stages: Sequence[str]) -> list[Point]:
    """All tests of a trial so far, from its records."""
    found, done = [], 0
    for stage in stages:
        found += _read(own, stage, done, 0)
        done += getattr(own, stage).steps
    return found


def score(tests: Sequence[Point], stage: str, metric: str) -> float:
    """``metric`` where ``stage`` was best: at the weights it keeps, those of the least relative error."""
    tests = [test for test in tests if test.stage == stage]
    best = min(tests, key=lambda test: test.measures["relative_error"], default=None)
    return math.inf if best is None else best.measures[metric]


def is_done(own: Config, stages: Sequence[str]) -> bool:
    """Whether a trial has trained all its stages to the end."""
    return all(is_finished(stage_dir(own, stage)) for stage in stages)


def _watch(own: Config, stage: str, done: int) -> Iterator[Point]:
    """Run a stage in a thread and yield its tests as they appear in its records."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            _RUN[stage](own)
        except BaseException as error:  # raised again in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    told = 0
    while True:
        ended = not thread.is_alive()
        for point in _read(own, stage, done, told):
            told = point.step - done
            yield point
        if ended:
            break
        thread.join(POLL_SECONDS)
    if failed:
        raise failed[0]


def _read(own: Config, stage: str, done: int, after: int) -> list[Point]:
    found = []
    for record in read_jsonl(stage_dir(own, stage) / "metrics.jsonl"):
        measures = _measures(record)
        if measures and record["step"] > after:
            found.append(Point(stage, done + record["step"], measures))
    return found


def _measures(record: dict[str, Any]) -> dict[str, float]:
    """The held-out measures of a record; one that was not finite is infinite."""
    return {
        name.removeprefix(_HELDOUT): math.inf if value is None else float(value)
        for name, value in record.items()
        if name.startswith(_HELDOUT)
    }
