"""World-model training on Ray Train workers fed by Ray Data."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
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
    "record.steps=1500", "record.heldout=0.1", "record.shard_steps=500",
    "record.players=[{player: random, epsilon: 1.0, hold: 8}]",
    "training.threads=1", "training.precision=fp32", "training.report_every=1",
    "training.checkpoint_every=4", "training.heldout_windows=8", "training.shuffle_frames=600",
    "world.model.channels=[8,8,8,16]", "world.model.encoder_channels=[8,8,8,8]", "world.model.codes=16",
    "world.optimizer.batch=4", "world.optimizer.lr=1e-3", "world.optimizer.warmup=2", "world.steps=12",
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


def test_two_workers_give_the_loss_curve_of_one(recorded: Path, tmp_path: Path) -> None:
    one = config_for(recorded, tmp_path / "one", "training.workers=1", "world.steps=60")
    two = config_for(recorded, tmp_path / "two", "training.workers=2", "world.steps=60")
    for config in (one, two):
        world.run(config)
    curve, other = (np.array(list(losses(config).values())) for config in (one, two))
    assert list(losses(one)) == list(losses(two)) == list(range(1, 61))
    # The workers see other windows in another order, and rank 0 reports its half of the batch.
    for part in (curve[:20], curve[-20:]), (other[:20], other[-20:]):
        assert part[1].mean() < 0.8 * part[0].mean()
    for phase in (slice(0, 20), slice(20, 40), slice(40, 60)):
        assert abs(np.log(other[phase].mean() / curve[phase].mean())) < np.log(1.6)


def test_a_killed_worker_is_replaced_and_training_goes_on_from_the_last_checkpoint(
    recorded: Path, tmp_path: Path
) -> None:
    config = config_for(recorded, tmp_path, "world.steps=40")
    log = stage_dir(config, "world") / "metrics.jsonl"
    killed: list[int] = []

    def kill_the_worker_after_step(step: int) -> None:
        while not any(r["step"] >= step for r in read_jsonl(log)):
            time.sleep(0.2)
        killed.append(next(workers()))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_after_step, args=(9,), daemon=True)
    killer.start()
    world.run(config)
    killer.join(5)
    assert killed
    assert is_finished(stage_dir(config, "world"))
    assert list(losses(config)) == list(range(1, 41))


def workers() -> Iterator[int]:
    """Ray Train's worker processes on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text()
        except OSError:  # it has just ended
            continue
        if title.startswith("ray::RayTrainWorker"):
            yield int(folder.name)


def test_a_mistake_in_a_worker_reaches_the_user_as_it_is(recorded: Path, tmp_path: Path) -> None:
    config = config_for(recorded, tmp_path, "training.heldout_windows=5000", "training.max_failures=0")
    with pytest.raises(UserError, match=r"held-out windows.*record more"):
        world.run(config)
    world.run(replace(config, training=replace(config.training, heldout_windows=8)))
    assert is_finished(stage_dir(config, "world"))
