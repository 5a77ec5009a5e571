"""The training stages on real windows of the counting game, in this process."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recorded import COUNTING, record_counting
from worlds import MAPPER, WORLD

from rayatari.checkpoint import is_finished, load_bundle, read_card
from rayatari.config.runtime import TrainingConfig
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.dataset.reader import read_chunks
from rayatari.dataset.windows import window_batches
from rayatari.errors import UserError
from rayatari.games.counting import read, reward_of
from rayatari.models.neural_game import NeuralGame
from rayatari.models.windows import Windows
from rayatari.paths import stage_dir
from rayatari.records import read_jsonl
from rayatari.training import mapper, world
from rayatari.training.feed import endless_local_rows, training_windows
from rayatari.training.flight import Flight
from rayatari.training.loop import Trainer, learning_rate
from rayatari.training.muon import orthogonalize
from rayatari.training.resident import ResidentFrames, ResidentWindows
from rayatari.training.stage import dataset_path, matching_info

UNKNOWN_ACTION = 4
"""Index behind the last of the counting game's actions."""

SMALL = OptimizerConfig(batch=4, lr=1e-3, warmup=2)
TRAINING = TrainingConfig(
    backend="local",
    precision="fp32",
    threads=1,
    report_every=1,
    checkpoint_every=2,
    heldout_windows=4,
    shuffle_frames=300,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record_counting(folder)
    return folder


@pytest.fixture
def config(recorded: Path, tmp_path: Path) -> Config:
    return replace(
        COUNTING,
        runs=str(tmp_path),
        training=TRAINING,
        world=replace(WORLD, steps=6, dataset=str(recorded), optimizer=SMALL),
        mapper=replace(MAPPER, steps=4, optimizer=SMALL),
    )


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make training be interrupted, as by Ctrl-C, before that step."""
    train_step = Trainer._train_step

    def interrupted(self: Trainer, flight: Flight) -> object:
        if self.step == step:
            raise KeyboardInterrupt
        return train_step(self, flight)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    return monkeypatch.undo


def fed(
    config: Config, resident: str, batch: int, **settings: int
) -> tuple[mapper.MapperTask, Iterator[Windows]]:
    """The mapper's training with such settings, and the windows that it learns from."""
    config = replace(
        config,
        mapper=replace(config.mapper, **settings),
        training=replace(config.training, resident=resident),
    )
    task = mapper.MapperTask(config, matching_info(config), dataset_path(config))
    return task, training_windows(task, endless_local_rows(task), batch, [0], torch.device("cpu"))


@pytest.mark.parametrize("resident", ["never", "always"])
def test_frame_action_and_reward_stay_aligned_from_the_game_to_the_network(
    config: Config, resident: str
) -> None:
    task, batches = fed(config, resident, 4, unroll=3, action_history=6)
    seen = set()
    for windows in islice(batches, 20):
        shown = task.codec.decode(windows.frames_BTHW)
        columns = (windows.actions_BT, windows.rewards_BT, windows.earlier_BM, windows.left_B)
        for frames, actions, rewards, earlier, left in zip(shown, *columns, strict=True):
            counts = [read(frame) for frame in frames[: task.history + int(left)]]
            shows = [count.action if count.step else UNKNOWN_ACTION for count in counts[: task.history]]
            assert earlier[1 - task.history :].tolist() == shows[1:]
            assert (earlier == UNKNOWN_ACTION).sum() >= 6 - counts[task.history - 1].step
            for before, after, action, reward in zip(counts, counts[1:], actions, rewards, strict=False):
                if after.step == before.step == 0:
                    continue  # the past before the first frame is that frame repeated
                assert (after.seed, after.step, after.action) == (before.seed, before.step + 1, int(action))
                value = task.info.reward_values[int(reward)]
                assert value == pytest.approx(reward_of(before.seed, before.step, int(action)))
            seen.add((counts[-1].seed, counts[-1].step))
    assert len(seen) > 40


@pytest.mark.parametrize("resident", ["never", "always"])
def test_every_step_of_a_game_up_to_its_end_is_learned_from_real_frames(
    config: Config, resident: str
) -> None:
    task, batches = fed(config, resident, 8, unroll=5)
    flight = Flight(batches, 8, task.history, 0.5, np.random.default_rng(0))
    by_seed: dict[int, list[bool]] = {}
    for chunk in read_chunks(task.dataset, "train"):
        by_seed.setdefault(chunk.seed, []).extend(chunk.terminated[chunk.context :].tolist())
    expected = {(seed, t): end for seed, ends in by_seed.items() if ends[-1] for t, end in enumerate(ends)}
    assert sum(expected.values()) == 2
    seen: dict[tuple[int, int], bool] = {}
    for _ in range(1_500):
        lesson = flight.next(5)
        presents = task.codec.decode(lesson.present_BHW[~lesson.own_B])
        for frame, done in zip(presents, lesson.done_B[~lesson.own_B].tolist(), strict=True):
            shown = read(frame)
            if (shown.seed, shown.step) in expected:
                seen[shown.seed, shown.step] = bool(done)
        flight.land(lesson.next_BHW)
    assert seen == expected


def test_a_dataset_held_on_the_device_gives_the_windows_that_stream(config: Config) -> None:
    task = mapper.MapperTask(config, matching_info(config), dataset_path(config))
    chunks = list(read_chunks(task.dataset, "train"))
    cpu = torch.device("cpu")
    held = ResidentFrames.take(chunks, task.codec, task.info.reward_values, cpu)
    resident = ResidentWindows(held, 4, task.horizon, task.weigh, 6, UNKNOWN_ACTION)
    streamed = window_batches(
        chunks, batch=64, history=4, horizon=task.horizon, buffer_frames=10_000, seed=0, earlier=6,
        past_end=True,
    )  # fmt: skip
    expected = {_fingerprint(w) for batch in streamed for w in _singles(task.to_windows(batch, cpu))}
    found = {_fingerprint(w) for w in _singles(resident.gather(torch.arange(len(resident.mass_W))))}
    assert found == expected


def _singles(windows: Windows) -> list[Windows]:
    return [windows.pick(slice(i, i + 1)) for i in range(len(windows))]


def _fingerprint(windows: Windows) -> int:
    return hash(tuple(value.numpy().tobytes() for value in vars(windows).values()))


def test_both_stages_train_and_leave_a_game_that_plays(config: Config) -> None:
    world.run(config)
    mapper.run(config)
    folder = stage_dir(config, "mapper")
    card = read_card(folder, "neural-game", "")
    assert {"changed_error", "relative_error"} <= set(card.metrics)
    assert card.config["world"]["steps"] == 6 and card.seconds > 0
    game = NeuralGame.load(folder)
    frames = game.reset([0, 1])
    assert game.step([0, 1]).frames.shape == frames.shape == (2, 210, 160)
    picture = np.asarray(Image.open(folder / "pictures" / "step-0000004.png"))
    assert picture.shape[2] == 3 and picture.std() > 0
    assert list((folder / "tensorboard").iterdir())


def test_an_interrupted_training_goes_on_where_it_was(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = stop_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        world.run(config)
    folder = stage_dir(config, "world")
    assert not is_finished(folder)
    before = {r["step"]: r["loss"] for r in read_jsonl(folder / "metrics.jsonl")}
    assert list(before) == [1, 2, 3, 4, 5]
    undo()
    world.run(config)
    after = {r["step"]: r["loss"] for r in read_jsonl(folder / "metrics.jsonl")}
    assert list(after) == [1, 2, 3, 4, 5, 6]
    assert [after[step] for step in (1, 2, 3, 4)] == [before[step] for step in (1, 2, 3, 4)]
    assert is_finished(folder)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_resumed_trainer_equals_one_that_never_stopped(config: Config, kind: str) -> None:
    optimizer = replace(config.world.optimizer, kind=kind)
    config = replace(config, world=replace(config.world, optimizer=optimizer))
    task = world.WorldTask(config, matching_info(config), dataset_path(config))
    batches = training_windows(task, endless_local_rows(task), 4, [0], torch.device("cpu"))
    given = list(islice(batches, 6))

    def flight(part: slice) -> Flight:
        return Flight(iter(given[part]), 4, task.history, 0.0, np.random.default_rng(0))

    early, late = slice(0, 3), slice(3, 6)
    torch.manual_seed(0)
    straight = Trainer(task, task.build(), torch.device("cpu"), torch.float32, 0)
    torch.manual_seed(0)
    first = Trainer(task, task.build(), torch.device("cpu"), torch.float32, 0)
    torch.manual_seed(1)
    under_way = flight(early)
    for _ in range(3):
        first._train_step(under_way)
    resumed = Trainer(task, task.build(), torch.device("cpu"), torch.float32, 0)
    resumed.resume(first.state())
    torch.manual_seed(1)
    under_way = flight(early)
    for _ in range(3):
        straight._train_step(under_way)
    for trainer in (straight, resumed):
        torch.manual_seed(2)
        under_way = flight(late)
        for _ in range(3):
            trainer._train_step(under_way)
    expected, found = straight.state(), resumed.state()
    for part in ("model", "averaged"):
        for name, value in expected[part].items():
            torch.testing.assert_close(found[part][name], value, msg=f"{part}.{name}")


def test_a_finished_stage_is_skipped(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    world.run(config)
    weights = stage_dir(config, "world") / "weights.safetensors"
    made = weights.stat().st_mtime_ns
    world.run(config)
    assert "finished" in capsys.readouterr().out
    assert weights.stat().st_mtime_ns == made


def test_fsq_and_every_loss_can_be_switched_on(config: Config) -> None:
    losses = replace(config.world.losses, rare_color=0.5, entropy=0.01)
    sizes = replace(config.world.model, quantizer="fsq")
    config = replace(config, world=replace(config.world, losses=losses, model=sizes, steps=2))
    world.run(config)
    mapper.run(replace(config, mapper=replace(config.mapper, steps=2)))
    assert NeuralGame.load(stage_dir(config, "mapper")).history == 4


def test_a_damaged_checkpoint_is_named(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = stop_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        world.run(config)
    undo()
    newest = max((stage_dir(config, "world") / "checkpoints").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(UserError, match=rf"{newest.name}.*delete it"):
        world.run(config)
    newest.unlink()
    world.run(config)
    assert is_finished(stage_dir(config, "world"))


def test_divergence_is_said_and_loses_nothing(config: Config) -> None:
    wild = replace(SMALL, lr=1e18, warmup=0, clip=1e9)
    with pytest.raises(UserError, match="lower the optimizer's lr"):
        world.run(replace(config, world=replace(config.world, optimizer=wild, steps=50)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, game="pong"), "is of counting, not of pong"),
        (lambda c: replace(c, training=replace(TRAINING, workers=3)), "shared by 3 workers"),
        (lambda c: replace(c, training=replace(TRAINING, workers=2)), "backend=ray"),
        (lambda c: replace(c, training=replace(TRAINING, device="cuda")), "no GPU"),
        (
            lambda c: replace(
                c, training=replace(TRAINING, workers=2, backend="ray"), world=replace(c.world, minutes=1.0)
            ),
            "in steps",
        ),
        (lambda c: replace(c, training=replace(TRAINING, heldout_windows=10_000)), "held-out windows"),
        (lambda c: replace(c, world=replace(c.world, dataset="nowhere")), "no finished dataset"),
    ],
)
def test_mistakes_are_named_before_training(
    config: Config, change: Callable[[Config], Config], message: str
) -> None:
    if message == "no GPU" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=message):
        world.run(change(config))


def test_the_mapper_needs_a_world_of_the_same_sizes(config: Config) -> None:
    with pytest.raises(UserError, match="train-world"):
        mapper.run(config)
    world.run(config)
    wider = replace(config.world.model, mapper_channels=32)
    with pytest.raises(UserError, match="other sizes"):
        mapper.run(replace(config, world=replace(config.world, model=wider)))


def test_the_bundle_needs_nothing_but_itself(config: Config, tmp_path: Path) -> None:
    world.run(config)
    mapper.run(config)
    moved = stage_dir(config, "mapper").rename(tmp_path / "elsewhere")
    for extra in ("checkpoints", "metrics.jsonl"):
        assert (moved / extra).exists()
    card, weights = load_bundle(moved, "neural-game", "")
    assert not any("perception" in name for name in weights)
    assert json.dumps(card.config)
    (moved / "metrics.jsonl").unlink()
    NeuralGame.load(moved)


def test_muon_moves_all_directions_alike() -> None:
    torch.manual_seed(0)
    narrow, wide = torch.randn(2, 8, 24), torch.randn(2, 24, 8)
    for matrices in (narrow, wide):
        uneven = matrices * torch.logspace(0, 1, matrices.shape[2])
        values = torch.linalg.svdvals(orthogonalize(uneven))
        assert torch.linalg.svdvals(uneven).max() > 5 * torch.linalg.svdvals(uneven).min()
        assert values.min() > 0.5 and values.max() < 1.5


def test_training_can_end_by_the_clock(config: Config) -> None:
    world.run(replace(config, world=replace(config.world, steps=1_000_000, minutes=0.03)))
    folder = stage_dir(config, "world")
    rates = [r["learning_rate"] for r in read_jsonl(folder / "metrics.jsonl")]
    assert 1 < len(rates) < 1000 and rates[-1] < 0.1 * max(rates)
    assert is_finished(folder)


def test_the_learning_rate_warms_up_and_falls() -> None:
    settings = OptimizerConfig(lr=1.0, warmup=10, final_lr=0.1)
    rates = [learning_rate(settings, step, step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[99] == pytest.approx(0.1, abs=0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
