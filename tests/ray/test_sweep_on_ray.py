"""A real Ray Tune sweep: run, killed, resumed from the trials' snapshots, and finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import yaml

from rayatari.checkpoint import is_finished
from rayatari.cli import main
from rayatari.config.load import load_config
from rayatari.dataset import record
from rayatari.records import read_jsonl

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

SMALL = [
    "training.precision=fp32", "training.report_every=1", "training.checkpoint_every=4",
    "training.heldout_windows=8", "training.shuffle_frames=600",
    "world.model.channels=[8,8,8,16]", "world.model.encoder_channels=[8,8,8,8]", "world.model.codes=16",
    "world.optimizer.batch=4", "world.optimizer.warmup=2", "world.steps=12",
    "mapper.optimizer.batch=4", "mapper.optimizer.warmup=2", "mapper.unroll=1", "mapper.steps=8",
]  # fmt: skip
FILE = {
    "space": {
        "world.losses.motion": {"log_uniform": [5, 100]},
        "world.optimizer.lr": {"choice": [1e-3, 1e12]},
    },
    "samples": 4,
    "early": {"grace": 12, "reduction": 2},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real Breakout, recorded by Ray actors."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["record.steps=900", "record.heldout=0.2", "record.shard_steps=300", "name=recorded"]
    players = "record.players=[{player: random, epsilon: 1.0, hold: 8}]"
    record.run(load_config([], [f"runs={folder}", players, *words]))
    return folder / "recorded" / "dataset"


def words(tmp_path: Path, dataset: Path, **values: object) -> list[str]:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({**FILE, **values}))
    return ["sweep", f"file={file}", f"runs={tmp_path}", f"world.dataset={dataset}", *SMALL]


def records(folder: Path, trial: int, stage: str = "world") -> list[dict[str, float]]:
    return list(read_jsonl(folder / "trials" / f"{trial:03d}" / stage / "metrics.jsonl"))


def steps_of(folder: Path, trial: int, stage: str = "world") -> list[float]:
    return [record["step"] for record in records(folder, trial, stage)]


def test_a_killed_sweep_goes_on_from_the_snapshots_of_its_trials(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words(tmp_path, dataset)
    folder = tmp_path / "breakout" / "sweep"
    address = ray.get_runtime_context().gcs_address
    process = subprocess.Popen(
        [sys.executable, "-m", "rayatari", *command],
        env={**os.environ, "RAY_ADDRESS": address},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 200
    while not any(8 in steps_of(folder, trial) for trial in range(4)) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not is_finished(folder)
    wait_for_the_trials_to_die(folder)
    begun = {trial: records(folder, trial) for trial in range(4)}
    assert any(len(before) >= 8 for before in begun.values())

    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "| rank | trial" in shown and "(base)" in shown and "best.yaml" in shown
    assert is_finished(folder)
    found = json.loads((folder / "results.json").read_text())
    states = {trial["trial"]: trial["state"] for trial in found["trials"]}
    assert sorted(states) == [0, 1, 2, 3] and found["trials"][0]["state"] == "finished"
    failures = [trial["failure"] for trial in found["trials"] if trial["state"] == "failed"]
    assert failures and all("diverged" in failure for failure in failures), "a learning rate of 1e12"
    for trial, before in begun.items():
        saved = len(before) // 4 * 4
        assert records(folder, trial)[:saved] == before[:saved], "steps before the snapshot are not redone"
        if states[trial] == "finished":
            assert steps_of(folder, trial) == list(range(1, 13)), "no step twice, none missing"
            assert steps_of(folder, trial, "mapper") == list(range(1, 9))
    best = load_config([str(folder / "best.yaml")])
    values = found["trials"][0]["values"]
    assert best.world.losses.motion == values["world.losses.motion"]
    assert "<svg" in (folder / "report.html").read_text()
    assert not list(folder.rglob("checkpoints"))

    assert main(command) == 0
    assert "finished" in capsys.readouterr().out
    assert main(words(tmp_path, dataset, samples=3)) == 2
    assert "other settings" in capsys.readouterr().err


def test_trials_that_never_fit_are_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(tmp_path, dataset), "cpus=64"]) == 2
    assert "sweep.cpus=64" in capsys.readouterr().err


def wait_for_the_trials_to_die(folder: Path) -> None:
    """Wait until the processes of the killed sweep write no more."""
    seen, quiet = -1, 0
    while quiet < 5:
        size = sum(path.stat().st_size for path in folder.rglob("metrics.jsonl"))
        quiet = quiet + 1 if size == seen else 0
        seen = size
        time.sleep(0.5)
