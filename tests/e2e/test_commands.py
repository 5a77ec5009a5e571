"""Whole commands as a user types them: help, bad input, full disks, interrupts."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from rayatari.cli import main

pytestmark = pytest.mark.e2e

COMMANDS = (
    "games",
    "show-config",
    "train-agent",
    "record",
    "train-world",
    "train-mapper",
    "evaluate",
    "sweep",
    "play",
    "pipeline",
)
TINY = [
    "training.backend=local", "training.threads=1", "training.heldout_windows=8",
    "training.shuffle_frames=600", "training.checkpoint_every=2", "training.report_every=1",
    "world.model.channels=[8,8,8,16]", "world.model.encoder_channels=[8,8,8,8]", "world.model.codes=16",
    "world.optimizer.batch=4", "mapper.optimizer.batch=4", "mapper.unroll=2",
    "record.players=[{player: follow, share: 1, epsilon: 0.1}]",
    "record.steps=1500", "record.shard_steps=250", "record.heldout=0.1", "record.workers=1",
    "evaluate.players=[{player: follow, epsilon: 0.1}, {player: random, epsilon: 1.0}]",
    "agent.steps=1200", "agent.learning_starts=200", "agent.evaluation_episodes=1", "agent.final_episodes=1",
    "agent.evaluation_every=600", "agent.evaluation_steps=100", "agent.checkpoint_every=300",
    "agent.report_every=150", "agent.replay_capacity=3000", "agent.channels=[4,4,4]", "agent.hidden=16",
]  # fmt: skip


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rayatari", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def rayatari(*words: str) -> tuple[int, str, str]:
    """Run a command in this process, which has its libraries loaded: (exit code, output, errors)."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as done:  # --help and --version
            code = int(done.code or 0)
    return code, out.getvalue(), err.getvalue()


def refused(*words: str) -> str:
    """Run a command that has to end with one line of error, and return that line."""
    code, out, err = rayatari(*words)
    lines = [line for line in err.splitlines() if line.startswith("rayatari: error: ")]
    assert code == 2, (code, out, err)
    assert "Traceback" not in out + err
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs folder with a dataset, a world and a neural game of a few steps."""
    runs = tmp_path_factory.mktemp("runs")
    for words in (["record"], ["train-world", "steps=2"], ["train-mapper", "steps=2"]):
        code, _, err = rayatari(*words, f"runs={runs}", *TINY)
        assert code == 0, err
    return runs


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    code, out, _ = rayatari(command, "--help")
    assert code == 0 and "key=value" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_unknown_keys_and_says_what_was_meant(command: str) -> None:
    assert "did you mean 'game'" in refused(command, "gane=pong")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("games", "show-config")])
def test_every_stage_refuses_unknown_games(command: str, tmp_path: Path) -> None:
    line = refused(command, "game=brakeout", f"runs={tmp_path}")
    assert "brakeout" in line
    if command in ("train-agent", "record", "pipeline"):
        assert "breakout" in line.replace("brakeout", "")
    assert not any(tmp_path.rglob("card.json"))


def test_the_command_line_itself_is_checked() -> None:
    assert "invalid choice: 'fly'" in refused("fly")
    assert "COMMAND" in refused()
    assert "not found" in refused("--config", "nowhere.yaml", "games")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-world"], "rayatari record"),
        (["train-mapper"], "rayatari record"),
        (["evaluate"], "rayatari pipeline"),
        (["sweep"], "rayatari record"),
        (["sweep", "file=nowhere.yaml"], "nowhere.yaml"),
        (["record", "game=freeway", "players=[{player: agent}]"], "rayatari train-agent"),
        (["record", "players=[{player: 'policy:nowhere'}]"], "nowhere"),
        (["record", "describe=nowhere"], "nowhere"),
        (["evaluate", "weights=nowhere"], "nowhere"),
    ],
)
def test_missing_data_and_weights_are_named_with_the_command_that_makes_them(
    words: list[str], message: str, tmp_path: Path
) -> None:
    assert message in refused(*words, f"runs={tmp_path}", "training.backend=local")


def damage_info(dataset: Path) -> None:
    info = dataset / "meta" / "info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "schema_version": 99}))


def truncate_shard(dataset: Path) -> None:
    shard = max(dataset.rglob("*train.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1000])


def flip_bit(dataset: Path) -> None:
    for shard in dataset.rglob("*.parquet"):
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 4
        shard.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(damage_info, "schema version 99"), (truncate_shard, "truncated"), (flip_bit, "damaged")],
)
@pytest.mark.parametrize("command", ["train-world", "train-mapper", "record"])
def test_damaged_datasets_are_named_by_whoever_reads_them(
    command: str, damage: Callable[[Path], None], message: str, runs: Path
) -> None:
    dataset = runs / "breakout" / "dataset"
    for stage in ("world", "mapper") if command == "train-world" else ("mapper",):
        shutil.rmtree(runs / "breakout" / stage)
    damage(dataset)
    words = [f"describe={dataset}"] if command == "record" else ["steps=2"]
    line = refused(command, *words, f"runs={runs}", *TINY)
    assert message in line and str(dataset) in line


def test_damaged_weights_are_named(runs: Path) -> None:
    weights = runs / "breakout" / "mapper" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(weights) in refused("evaluate", f"runs={runs}", *TINY)


@pytest.mark.parametrize("command", ["record", "train-world", "train-agent"])
def test_a_target_that_cannot_be_written_is_named(command: str, trained: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    dataset = f"world.dataset={trained / 'breakout' / 'dataset'}"
    assert str(blocked) in refused(command, f"runs={blocked}", dataset, *TINY)


def test_a_full_disk_is_named_and_loses_nothing(trained: Path) -> None:
    """A limit on the size of files stands in for the full disk: the write fails half-way all the same."""
    runs = trained.parent / "full"
    limited = f"ulimit -f 60; exec {sys.executable} -m rayatari train-world steps=4 runs={runs}"
    words = [f"'{word}'" for word in (*TINY, f"world.dataset={trained / 'breakout' / 'dataset'}")]
    done = subprocess.run(
        ["bash", "-c", " ".join([limited, *words])], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2, done.stderr
    assert "rayatari: error" in done.stderr and "Traceback" not in done.stderr
    assert not list(runs.rglob("card.json")) and not list(runs.rglob("*.pt"))
    code, _, err = rayatari("train-world", "steps=4", f"runs={runs}", *words_of(trained))
    assert code == 0, err


def words_of(trained: Path) -> list[str]:
    return [*TINY, f"world.dataset={trained / 'breakout' / 'dataset'}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "started", "more"),
    [
        ("train-agent", "agent/metrics.jsonl", []),
        ("record", "dataset/data/*.parquet", ["record.steps=6000"]),
        ("train-world", "world/checkpoints/*.pt", ["steps=300"]),
        ("train-mapper", "mapper/checkpoints/*.pt", ["steps=300"]),
    ],
)
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    command: str, started: str, more: list[str], trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "breakout"
    if command == "train-mapper":
        shutil.copytree(trained / "breakout" / "world", run / "world")
    dataset = [] if command == "record" else [f"world.dataset={trained / 'breakout' / 'dataset'}"]
    words = [command, f"runs={run.parent}", *TINY, *dataset]
    process = start(*words, *more)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in run.glob(started)) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again" in err and "Traceback" not in err
    if command in ("record", "train-agent"):
        code, _, err = rayatari(*words, *more)
        assert code == 0, err
        folder = "dataset" if command == "record" else "agent"
        assert (run / folder / "card.json").exists()
    else:
        kept = list(run.glob(started))
        assert kept, "nothing to resume from"
        folder = command.removeprefix("train-")
        before = (run / folder / "metrics.jsonl").read_text().splitlines()
        resumed = start(*words, *more)
        while len((run / folder / "metrics.jsonl").read_text().splitlines()) <= len(before):
            assert resumed.poll() is None, resumed.communicate()
            time.sleep(0.1)
        resumed.send_signal(signal.SIGINT)
        resumed.communicate(timeout=60)
        steps = [json.loads(s)["step"] for s in (run / folder / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, len(steps) + 1))


def test_python_m_rayatari_is_the_command() -> None:
    process = start("games")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(name in out for name in ("breakout", "pong", "enduro", "beam_rider", "qbert"))
    assert rayatari("--version")[1].startswith("rayatari ")


def test_ctrl_c_in_an_evaluation_leaves_nothing_half_done(runs: Path) -> None:
    process = start("evaluate", f"runs={runs}", *TINY)
    time.sleep(6)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not (runs / "breakout" / "evaluation" / "card.json").exists()
