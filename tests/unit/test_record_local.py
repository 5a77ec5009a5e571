"""Recording in processes of this machine, without Ray."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.dataset import record
from rayatari.dataset.local_crew import record_units
from rayatari.dataset.plan import make_plan
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError
from rayatari.games.counting import CountingGame
from rayatari.games.interface import Frame

SETTINGS = (
    "backend=local", "steps=900", "shard_steps=150", "heldout=0.2", "workers=2",
    "players=[{player: random, epsilon: 0.2, hold: 5}, {player: follow, share: 0.5}]",
)  # fmt: skip


def breakout(path: Path, *settings: str) -> Config:
    return load_config(overrides=[*SETTINGS, f"path={path}", *settings], section="record")


def shards(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("data/*.parquet"))}


class Player:
    """Plays the first action; in the middle of it, it may do something else."""

    name = "player"

    def __init__(self, at_frame: int, act: Callable[[], object]) -> None:
        self.at_frame, self.then, self.seen = at_frame, act, 0

    def reset(self, seed: int) -> None:
        """Nothing to begin."""

    def act(self, frame: Frame) -> int:
        self.seen += 1
        if self.seen == self.at_frame:
            self.then()
        return 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise UserError("the player is tired")


class DiesOnce:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self) -> None:
        if not self.mark.exists():
            self.mark.touch()
            die()


def crew_records(tmp_path: Path, player: Player) -> tuple[Storage, list[str], int]:
    config = Config(
        record=replace(breakout(tmp_path).record, players=(breakout(tmp_path).record.players[:1]))
    )
    storage, finished = Storage(str(tmp_path / "data-of-crew")), []
    plan = make_plan(config, {})
    record_units(
        plan, done=0, players=[player], make_game=CountingGame, context=4, storage=storage, workers=2,
        on_unit=lambda: finished.append(1),
    )  # fmt: skip
    return storage, [unit.file for unit in plan], len(finished)


def test_a_recording_that_lost_shards_goes_on_and_is_the_same(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    record.run(breakout(whole))
    record.run(breakout(broken, "workers=1"))
    assert shards(whole) == shards(broken)
    assert len(shards(whole)) >= 6
    (broken / "card.json").unlink()
    (broken / "meta" / "info.json").unlink()
    for name in list(shards(broken))[1:4]:
        (broken / "data" / name).unlink()
    record.run(breakout(broken))
    assert shards(whole) == shards(broken)


def test_a_process_that_dies_is_replaced_and_its_unit_played_anew(tmp_path: Path) -> None:
    storage, files, finished = crew_records(tmp_path, Player(40, DiesOnce(tmp_path / "died")))
    assert (tmp_path / "died").exists()
    assert sorted(storage.sizes("data")) == sorted(files)
    assert finished == len(files)


def test_processes_that_always_die_end_the_recording_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exit code -9"):
        crew_records(tmp_path, Player(10, die))


def test_what_a_player_raises_in_a_process_reaches_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the player is tired"):
        crew_records(tmp_path, Player(10, fail))
