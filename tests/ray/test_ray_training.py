"""World-model training on Ray Train workers fed by Ray Data."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from rayatari.checkpoint import is_finished
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.dataset import record
from rayatari.errors import UserError
from rayatari.paths import stage_dir
from rayatari.records import read_jsonl
from rayatari.training import world

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

SMALL = [
    "record.steps=16000", "record.heldout=0.05", "record.shard_steps=4000",
    "record.players=[{player: random, epsilon: 1.0, hold: 8}]",
    "training.threads=1", "training.precision=fp32", "training.report_every=1",
    "training.checkpoint_every=4", "training.heldout_windows=8", "training.shuffle_frames=600",
    "world.model.channels=[8,8,8,16]", "world.model.encoder_channels=[8,8,8,8]", "world.model.codes=16",
    "world.optimizer.batch=4", "world.optimizer.lr=1e-3", "world.optimizer.warmup=2", "world.steps=60",
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real Breakout, recorded by Ray actors."""
    folder = tmp_path_factory.mktemp("runs")
    record.run(load_config([], ["name=recorded", f"runs={folder}", *SMALL]))
    return folder / "recorded" / "dataset"


def config_for(recorded: Path, runs: Path, *words: str) -> Config:
    return load_config([], [f"runs={runs}", f"world.dataset={recorded}", *SMALL, *words])


def losses(config: Config) -> dict[int, float]:
    return {r["step"]: r["frame_loss"] for r in read_jsonl(stage_dir(config, "world") / "metrics.jsonl")}


@dataclass
class Run:
    """A training that something was done to, and what came of it."""

    config: Config
    killed: list[int] = field(default_factory=list)
    mistake: str = ""


@pytest.fixture(scope="module")
def killed_run(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One worker, killed after its 9th step."""
    run = Run(config_for(recorded, tmp_path_factory.mktemp("one"), "training.workers=1"))
    log = stage_dir(run.config, "world") / "metrics.jsonl"

    def kill_the_worker_after_step(step: int) -> None:
        while not any(r["step"] >= step for r in read_jsonl(log)):
            time.sleep(0.2)
        run.killed.append(next(workers()))
        os.kill(run.killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_after_step, args=(9,), daemon=True)
    killer.start()
    world.run(run.config)
    killer.join(5)
    return run


@pytest.fixture(scope="module")
def mistaken_run(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two workers that were asked for too much, then for the right thing."""
    run = Run(config_for(recorded, tmp_path_factory.mktemp("two"), "training.workers=2"))
    asked = replace(run.config.training, heldout_windows=50_000, max_failures=0)
    with pytest.raises(UserError) as error:
        world.run(replace(run.config, training=asked))
    run.mistake = str(error.value)
    world.run(run.config)
    return run


def test_a_killed_worker_is_replaced_and_training_goes_on_from_the_last_checkpoint(killed_run: Run) -> None:
    assert killed_run.killed
    assert is_finished(stage_dir(killed_run.config, "world"))
    assert list(losses(killed_run.config)) == list(range(1, 61))


def test_a_mistake_in_a_worker_reaches_the_user_as_it_is(mistaken_run: Run) -> None:
    assert re.search(r"held-out windows.*record more", mistaken_run.mistake)
    assert is_finished(stage_dir(mistaken_run.config, "world"))


def test_two_workers_give_the_loss_curve_of_one(killed_run: Run, mistaken_run: Run) -> None:
    one, two = losses(killed_run.config), losses(mistaken_run.config)
    assert list(one) == list(two) == list(range(1, 61))
    curve, other = np.array(list(one.values())), np.array(list(two.values()))
    # The workers see other windows in another order, and rank 0 reports its half of the batch.
    for part in (curve[:20], curve[-20:]), (other[:20], other[-20:]):
        assert part[1].mean() < 0.8 * part[0].mean()
    for phase in (slice(0, 20), slice(20, 40), slice(40, 60)):
        # Means of 20 noisy losses differ by chance, by a factor of 1.9 once.
        assert abs(np.log(other[phase].mean() / curve[phase].mean())) < np.log(2.5)


def workers() -> Iterator[int]:
    """Ray Train's worker processes on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text()
        except OSError:  # it has just ended
            continue
        if title.startswith("ray::RayTrainWorker"):
            yield int(folder.name)
