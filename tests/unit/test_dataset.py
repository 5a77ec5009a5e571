"""A dataset on disk: read in order, described, and every kind of damage named in one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded import COUNTING, record_counting

import rayatari.dataset
from rayatari.cli import main
from rayatari.config.load import load_config
from rayatari.dataset.describe import Statistics
from rayatari.dataset.info import load_info, read_info, write_info
from rayatari.dataset.plan import make_plan
from rayatari.dataset.reader import read_chunks, read_transitions, verify_files
from rayatari.dataset.record import unfinished
from rayatari.dataset.shard import read_rows, read_summary
from rayatari.dataset.storage import Storage
from rayatari.dataset.verify import verified_chunks
from rayatari.errors import UserError
from rayatari.games.counting import CountingGame, read


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record_counting(folder)
    return folder


@pytest.fixture
def dataset(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "dataset"))


def first_shard(dataset: Path) -> Path:
    return min(dataset.glob("data/*.parquet"))


def test_transitions_come_in_order_and_replay_in_the_game(dataset: Path) -> None:
    transitions = list(rayatari.dataset.open(str(dataset)))
    assert len(transitions) == 700
    assert [(t.episode, t.step) for t in transitions] == sorted({(t.episode, t.step) for t in transitions})
    game, seen = CountingGame(), 0
    for t, following in zip(transitions, [*transitions[1:], None], strict=True):
        if t.step == 0:
            frame, lives = game.reset(t.seed), game.lives
        np.testing.assert_array_equal(t.frame, frame)
        assert t.lives == lives
        assert read(t.frame).seed == t.seed < 1_000_000
        step = game.step(t.action)
        frame, lives = step.frame, step.lives
        assert (t.reward, t.terminated) == (step.reward, step.terminated)
        assert (t.terminated or t.truncated) == (following is None or following.episode != t.episode)
        seen += 1
    assert seen == 700


def test_reading_needs_neither_ray_nor_torch(dataset: Path) -> None:
    code = (
        "import sys, rayatari.dataset; assert 'pyarrow' not in sys.modules; "
        f"n = sum(1 for _ in rayatari.dataset.open({str(dataset)!r})); "
        "assert n == 700 and not {'ray', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_uri_names_the_same_dataset_as_the_folder(dataset: Path, tmp_path: Path) -> None:
    there = (tmp_path / "by uri").as_uri()
    record_counting(there)
    assert read_info(there) == read_info(str(dataset))
    for ours, theirs in zip(read_transitions(there), read_transitions(str(dataset)), strict=True):
        np.testing.assert_array_equal(ours.frame, theirs.frame)


def test_splits_share_no_episode_and_together_are_everything(dataset: Path) -> None:
    train, heldout = ({c.episode for c in read_chunks(str(dataset), s)} for s in ("train", "heldout"))
    assert train and heldout and not train & heldout
    assert train | heldout == {c.episode for c in read_chunks(str(dataset))}
    info = read_info(str(dataset))
    assert (info.count("train"), info.count("heldout")) == (560, 140)


def test_the_description_agrees_with_the_transitions(dataset: Path) -> None:
    info, transitions = read_info(str(dataset)), list(read_transitions(str(dataset)))
    assert info.transitions == len(transitions)
    assert info.episodes == len({t.episode for t in transitions})
    assert info.reward_values == tuple(sorted({t.reward for t in transitions}))
    assert info.max_lives == max(t.lives for t in transitions)
    assert info.policies == {"random": 700}
    assert set(info.palette) == {int(c) for t in transitions for c in np.unique(t.frame)} | set(
        CountingGame().palette
    )


def test_statistics_add_up(dataset: Path) -> None:
    info, statistics = read_info(str(dataset)), Statistics()
    for chunk in read_chunks(str(dataset)):
        statistics.add(chunk)
    described = statistics.describe("here", info)
    transitions = list(read_transitions(str(dataset)))
    assert sum(described["actions"].values()) == sum(described["rewards"].values()) == 700
    assert described["policies"]["random"]["episodes"] == info.episodes == sum(described["endings"].values())
    total = described["policies"]["random"]["return"]["mean"] * info.episodes
    assert total == pytest.approx(sum(t.reward for t in transitions), abs=0.01 * info.episodes)


def test_describe_verifies_prints_and_draws(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", f"describe={dataset}"]) == 0
    out = capsys.readouterr().out
    assert "700 transitions (train 560, heldout 140)" in out and "sound" in out
    assert json.loads((dataset / "describe.json").read_text())["transitions"] == 700
    assert (dataset / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def flip_a_bit(dataset: Path) -> None:
    content = bytearray(first_shard(dataset).read_bytes())
    content[len(content) // 2] ^= 1
    first_shard(dataset).write_bytes(content)


def cut_the_end(dataset: Path) -> None:
    content = first_shard(dataset).read_bytes()
    first_shard(dataset).write_bytes(content[:-100])


def another_version(dataset: Path) -> None:
    file = dataset / "meta" / "info.json"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 9', 1))


def half_an_info(dataset: Path) -> None:
    file = dataset / "meta" / "info.json"
    file.write_text(file.read_text()[:200])


def info_without_palette(dataset: Path) -> None:
    file = dataset / "meta" / "info.json"
    values = json.loads(file.read_text())
    del values["palette"]
    file.write_text(json.dumps(values))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (flip_a_bit, r"part-00000-train\.parquet is damaged .*delete it .* run 'rayatari record' again"),
    (cut_the_end, r"part-00000-train\.parquet is truncated .*delete it"),
    (lambda dataset: first_shard(dataset).unlink(), r"part-00000-train\.parquet is missing: restore"),
    (lambda dataset: first_shard(dataset).write_bytes(b""), r"part-00000-train\.parquet is truncated \(0 of"),
    (another_version, r"info\.json has schema version 9, this rayatari reads version 1: record"),
    (half_an_info, r"info\.json is damaged \(not JSON\): make one with 'rayatari record'"),
    (info_without_palette, r"info\.json is damaged \(fields are missing or wrong\)"),
    (lambda dataset: shutil.rmtree(dataset), r"no finished dataset at .*: make one with 'rayatari record'"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damage_is_named_with_file_and_remedy(
    dataset: Path, damage: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(dataset)
    for reader in (rayatari.dataset.open, read_chunks):
        with pytest.raises(UserError, match=message):
            list(reader(str(dataset)))
    with pytest.raises(UserError, match=message):
        verify_files(str(dataset))
    assert main(["record", f"describe={dataset}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("place", range(20))
def test_no_flipped_bit_goes_unnoticed(dataset: Path, place: int) -> None:
    content = bytearray(first_shard(dataset).read_bytes())
    random = np.random.default_rng(place)
    content[random.integers(len(content))] ^= 1 << random.integers(8)
    first_shard(dataset).write_bytes(content)
    with pytest.raises(UserError, match=r"part-00000-train\.parquet is damaged"):
        list(read_chunks(str(dataset)))


@pytest.mark.parametrize("place", range(20))
def test_a_shard_damaged_before_the_recording_ended_is_not_taken_over(dataset: Path, place: int) -> None:
    plan, storage = make_plan(COUNTING, {}), Storage(str(dataset))
    before = list(read_rows(storage, read_summary(storage, plan[0].file)[1]))
    content = bytearray(first_shard(dataset).read_bytes())
    random = np.random.default_rng(place)
    content[random.integers(len(content))] ^= 1 << random.integers(8)
    first_shard(dataset).write_bytes(content)
    try:
        unfinished(plan, storage)
    except UserError as error:
        assert "part-00000-train.parquet" in str(error) and "delete" in str(error)
    else:  # Parquet's own unused bytes
        assert list(read_rows(storage, read_summary(storage, plan[0].file)[1])) == before


def test_missing_shards_are_the_work_that_is_left(dataset: Path) -> None:
    plan, storage = make_plan(COUNTING, {}), Storage(str(dataset))
    assert unfinished(plan, storage) == []
    first_shard(dataset).unlink()
    (dataset / "data" / ".part-00000-train.parquet.x1").write_bytes(b"half written")
    assert unfinished(plan, storage) == [plan[0]]


def test_shards_of_another_recording_are_refused(dataset: Path) -> None:
    storage = Storage(str(dataset))
    other = load_config(overrides=["game=counting", "steps=700", "heldout=0.2", "players=[{player: noop}]"],
                        section="record")  # fmt: skip
    with pytest.raises(
        UserError, match=r"part-0000\d-\w+\.parquet belongs to a recording with other settings"
    ):
        unfinished(make_plan(other, {}), storage)


def test_counts_that_disagree_with_the_files_are_noticed(dataset: Path) -> None:
    storage = Storage(str(dataset))
    info = load_info(storage)
    write_info(storage, replace(info, shards=info.shards[1:]))
    with pytest.raises(UserError, match="the files hold"):
        list(verified_chunks(storage, load_info(storage)))
    write_info(storage, replace(info, shards=(info.shards[0], *info.shards)))
    with pytest.raises(UserError, match="the episode occurs twice"):
        list(verified_chunks(storage, load_info(storage)))


def test_an_address_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(UserError, match="'quark://x' is no folder that can be used"):
        read_info("quark://x")
