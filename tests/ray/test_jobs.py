"""Commands as jobs on a real ``ray start --head`` with token authentication."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import Head, ray_head

from rayatari.checkpoint import is_finished

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
RECORD = (
    "record", "record.steps=300", "record.heldout=0.2", "record.shard_steps=100", "record.workers=1",
    "record.players=[{player: random, epsilon: 1.0}]",
)  # fmt: skip
TRAIN_AGENT = (
    "train-agent", "agent.steps=400", "agent.learning_starts=200", "agent.train_every=8", "agent.runners=1",
    "agent.batch_size=8", "agent.channels=[4,4,4]", "agent.hidden=8", "agent.envs=4", "agent.gif_steps=0",
    "agent.replay_capacity=2000", "agent.final_episodes=1", "agent.evaluation_episodes=1",
    "emulator.max_steps=60",
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(cpus=2) as cluster:
        yield cluster


def start(head: Head, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(ROOT / "scripts" / "submit.sh"), "--address", head.address, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**head.environment, **environment},
    )


def submitted(head: Head, *words: str, **environment: str) -> tuple[int, str, str]:
    process = start(head, *words, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_command_runs_on_the_cluster_and_its_output_comes_back(head: Head) -> None:
    code, out, err = submitted(head, "games")
    assert code == 0, out + err
    assert "breakout" in out and "Running entrypoint" in out


def test_a_stage_leaves_its_artifact_where_it_was_told_to(head: Head, tmp_path: Path) -> None:
    code, out, err = submitted(head, *RECORD, f"runs={tmp_path}")
    assert code == 0, out + err
    assert is_finished(tmp_path / "breakout" / "dataset")


def test_an_agent_trains_with_a_remote_runner(head: Head, tmp_path: Path) -> None:
    code, out, err = submitted(head, *TRAIN_AGENT, f"runs={tmp_path}")
    assert code == 0, out + err
    assert is_finished(tmp_path / "breakout" / "agent")


def test_the_exit_code_of_a_users_mistake_comes_through(head: Head, tmp_path: Path) -> None:
    code, out, err = submitted(head, "record", "game=brakeout", f"runs={tmp_path}")
    assert code == 2, out + err
    assert "brakeout" in out and "did you mean" not in err


def test_ctrl_c_stops_the_job(head: Head, tmp_path: Path) -> None:
    process = start(head, *RECORD, "record.steps=1000000", f"runs={tmp_path}")
    deadline = time.monotonic() + 120
    while not any(tmp_path.rglob("*.parquet")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "stopping job" in err and "Traceback" not in err
    shards = set(tmp_path.rglob("*.parquet"))
    assert shards
    time.sleep(3)
    assert set(tmp_path.rglob("*.parquet")) == shards, "the job goes on"


def test_a_wrong_token_is_one_line(head: Head) -> None:
    code, out, err = submitted(head, "games", RAY_AUTH_TOKEN="0" * 64)
    assert code == 2, out + err
    assert err.startswith("submit: error: ") and "RAY_AUTH_TOKEN" in err
    assert len(err.splitlines()) == 1, err


def test_mistakes_are_found_before_anything_is_sent() -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    nobody = Head("http://127.0.0.1:9", environment)
    code, _, err = submitted(nobody, "record", "record.stepz=3")
    assert code == 2 and "did you mean 'steps'" in err
    code, _, err = submitted(Head("http://head.example:8265", environment), "record")
    assert code == 2 and "runs=DIR" in err
    code, _, err = submitted(nobody, "games")
    assert code == 2 and "ray start --head" in err and len(err.splitlines()) == 1
