"""Recording on Ray: nothing twice, nothing missing, whatever dies on the way."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rayatari.agent.players import Player, RandomPlayer
from rayatari.cli import main
from rayatari.config.load import load_config
from rayatari.config.record import PlayerConfig, RecordConfig
from rayatari.config.schema import Config
from rayatari.dataset import record
from rayatari.dataset.chunk import decode_chunk
from rayatari.dataset.crew import record_units
from rayatari.dataset.info import load_info, write_info
from rayatari.dataset.plan import Unit, make_plan
from rayatari.dataset.ray_source import chunk_dataset, epoch_rows
from rayatari.dataset.reader import read_transitions
from rayatari.dataset.record import compile_info
from rayatari.dataset.storage import Storage
from rayatari.dataset.verify import verified_chunks
from rayatari.dataset.windows import shuffled_chunks, window_batches
from rayatari.errors import UserError
from rayatari.games.counting import COUNTING, CountingGame, read
from rayatari.games.interface import Step

pytestmark = pytest.mark.ray

SETTINGS = (
    "steps=6000", "shard_steps=300", "heldout=0.1", "ray.num_cpus=2", "ray.object_store_mb=100",
    "players=[{player: random, epsilon: 0.2, hold: 5}, {player: noop, share: 0.2}]",
)  # fmt: skip
"""24 shards of Breakout."""
COUNTED = Config(
    game="counting",
    record=RecordConfig(steps=1500, heldout=0.2, shard_steps=250, players=(PlayerConfig("random"),)),
)


def shards(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("data/*.parquet"))}


def breakout(path: Path) -> Config:
    return load_config(overrides=[*SETTINGS, f"path={path}"], section="record")


def test_a_recording_killed_outright_goes_on_without_loss_or_repetition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "rayatari", "record", *SETTINGS, f"path={killed}"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 150
        while len(shards(killed)) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        os.killpg(process.pid, signal.SIGKILL)
    before = shards(killed)
    assert 3 <= len(before) < 24
    assert not (killed / "card.json").exists()

    record.run(breakout(killed))
    record.run(breakout(whole))
    assert shards(killed) == shards(whole)
    assert before.items() <= shards(killed).items()
    storage = Storage(str(killed))
    assert sum(chunk.length for chunk in verified_chunks(storage, load_info(storage))) == 6000

    capsys.readouterr()
    record.run(breakout(killed))
    assert "finished, 6,000 transitions" in capsys.readouterr().out


def record_counted(
    location: Path | str, make_game: Callable[[], CountingGame] = CountingGame, player: Player | None = None
) -> Storage:
    storage, units = Storage(str(location)), list[Unit]()
    plan = make_plan(COUNTED, {})
    record_units(
        plan,
        done=0,
        players=[player or RandomPlayer(len(COUNTING.action_names))],
        make_game=make_game,
        context=COUNTED.record.context,
        storage=storage,
        workers=2,
        on_unit=lambda: units.append(plan[0]),
    )
    assert len(units) == len(plan)
    write_info(storage, compile_info(COUNTED, COUNTING, plan, storage))
    return storage


def test_frames_actions_and_rewards_stay_aligned_from_actors_through_ray_data_to_windows(
    tmp_path: Path,
) -> None:
    uri = tmp_path.as_uri()
    record_counted(uri)
    truth = {(t.seed, t.step): t for t in read_transitions(uri)}
    assert len(truth) == 1500
    halves = chunk_dataset(uri, "train").streaming_split(1, equal=True)
    passes = (epoch_rows(halves[0]) for _ in range(2))
    chunks = shuffled_chunks(passes, 10**6, seed=0)
    seen: dict[tuple[int, int], int] = {}
    for batch in window_batches(chunks, batch=16, history=3, horizon=1, buffer_frames=1000, seed=0):
        for frames, actions, rewards in zip(batch.frames, batch.actions, batch.rewards, strict=True):
            before, after = read(frames[2]), read(frames[3])
            step = truth[before.seed, before.step]
            assert after == replace(before, step=before.step + 1, action=step.action)
            assert (actions[2], rewards[2]) == (step.action, step.reward)
            seen[before.seed, before.step] = seen.get((before.seed, before.step), 0) + 1
    assert set(seen.values()) == {2}
    assert len(seen) == 1200


def test_the_heldout_split_is_read_alone(tmp_path: Path) -> None:
    record_counted(tmp_path)
    rows = chunk_dataset(str(tmp_path), "heldout").take_all()
    assert sum(row["length"] for row in rows) == 300
    assert all(row["path"].endswith("-heldout.parquet") for row in rows)
    training = {row["episode"] for row in chunk_dataset(str(tmp_path), "train").take_all()}
    assert training.isdisjoint(row["episode"] for row in rows)


def test_a_dead_actor_is_replaced_and_its_unit_played_anew(tmp_path: Path) -> None:
    marker = tmp_path / "died"

    class Mortal(CountingGame):
        def step(self, action: int) -> Step:
            if self._count.step == 150 and not marker.exists():
                marker.touch()
                os._exit(1)
            return super().step(action)

    record_counted(tmp_path / "one died", Mortal)
    assert marker.exists()
    record_counted(tmp_path / "none died")
    assert shards(tmp_path / "one died") == shards(tmp_path / "none died")


def test_a_unit_that_kills_every_actor_ends_the_recording_with_a_remedy(tmp_path: Path) -> None:
    class Deadly(CountingGame):
        def step(self, action: int) -> Step:
            os._exit(1)

    with pytest.raises(UserError, match=r"actors die again and again .*lower record\.workers"):
        record_counted(tmp_path, Deadly)


def test_what_goes_wrong_in_an_actor_is_raised_as_it_was(tmp_path: Path) -> None:
    class Unlucky(RandomPlayer):
        def act(self, frame: np.ndarray) -> int:
            raise UserError("no more coins")

    with pytest.raises(UserError, match=r"^no more coins$"):
        record_counted(tmp_path, player=Unlucky(4))


def test_a_flipped_bit_is_noticed_by_the_worker_that_decodes_it(tmp_path: Path) -> None:
    record_counted(tmp_path)
    dataset = chunk_dataset(str(tmp_path), "train")
    row = dataset.take(1)[0]
    row["actions"] = bytes([row["actions"][0] ^ 1]) + row["actions"][1:]
    with pytest.raises(UserError, match=r"-train\.parquet is damaged \(checksum of episode"):
        decode_chunk(row)


def damaged(folder: Path) -> None:
    file = min(folder.glob("data/*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])


def test_damage_stops_a_ray_dataset_before_it_is_read(tmp_path: Path) -> None:
    record_counted(tmp_path)
    damaged(tmp_path)
    with pytest.raises(UserError, match=r"part-00000-train\.parquet is truncated"):
        chunk_dataset(str(tmp_path), "train")
    with pytest.raises(UserError, match="no finished dataset"):
        chunk_dataset(str(tmp_path / "nowhere"), "train")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "game=freeway; players=[{player: agent}]",
            "no trained agent in .*run 'rayatari train-agent' first, name the run",
        ),
        ("players=[{player: 'agent:step-7'}]", "unknown player 'agent:step-7': choose agent:weak"),
        ("players=[{player: 'policy:nowhere'}]", "nowhere"),
        ("players=[{player: ramdon}]", "unknown player 'ramdon': choose random, noop"),
        ("emulator.frame_skip=0", "emulator.frame_skip=0 is wrong"),
        ("path=quark://x", "'quark://x' is no folder that can be used"),
        ("game=brakeout", "unknown game 'brakeout': did you mean breakout"),
    ],
)
def test_a_mistake_is_named_in_one_line_before_anything_is_played(
    setting: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["record", *SETTINGS, f"runs={tmp_path}", *setting.split("; ")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_a_file_in_the_way_of_the_dataset_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("in the way")
    assert main(["record", *SETTINGS, f"path={tmp_path}"]) == 2
    assert "a file stands where a folder is needed" in capsys.readouterr().err


def test_the_local_backend_records_the_same_bytes(tmp_path: Path) -> None:
    on_ray, local = tmp_path / "ray", tmp_path / "local"
    settings = [*SETTINGS, "steps=1200"]
    record.run(load_config(overrides=[*settings, f"path={on_ray}"], section="record"))
    record.run(load_config(overrides=[*settings, f"path={local}", "backend=local"], section="record"))
    assert shards(on_ray) == shards(local)
    assert len(shards(local)) >= 4
