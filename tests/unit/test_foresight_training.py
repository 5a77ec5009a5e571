"""``rayatari train-mapper`` trains the foresight of a game on a recording of the real one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds import MAPPER, SIZES, WORLD

from rayatari.checkpoint import load_bundle, read_card, save_bundle
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.config.world import ForesightConfig, OptimizerConfig
from rayatari.dataset import record
from rayatari.errors import UserError
from rayatari.models.mover import Mover
from rayatari.models.neural_game import KIND, NeuralGame
from rayatari.paths import stage_dir
from rayatari.training import foresight, mapper, stage, world

SMALL = OptimizerConfig(batch=2, lr=0.0, warmup=2)
MODEL = replace(
    SIZES, things=2, bodies=4, pieces=1, tiles=128, signs=4, presence=True, foresight=16
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration of a run whose game is trained on some minutes of Breakout."""
    players = "[{player: follow, share: 1.0, epsilon: 0.05, hold: 4}]"
    config = load_config(
        [],
        [
            "game=breakout", f"runs={tmp_path_factory.mktemp('runs')}", "record.backend=local",
            "record.workers=1", "record.steps=3000", "record.shard_steps=1500", "record.heldout=0.5",
            f"record.players={players}", "training.backend=local", "training.threads=1",
            "training.heldout_windows=4",
        ],
    )  # fmt: skip
    config = replace(
        config,
        world=replace(WORLD, model=MODEL, steps=1, optimizer=SMALL),
        mapper=replace(MAPPER, steps=1, optimizer=SMALL, foresight=ForesightConfig(steps=30, batch=64)),
    )
    record.run(config)
    world.run(config)
    mapper.run(config)
    return config


def test_the_game_foresees_what_was_learned_and_the_card_says_how_well(trained: Config) -> None:
    folder = stage_dir(trained, "mapper")
    _, learned = load_bundle(folder / "foresight", foresight.KIND, "")
    _, game = load_bundle(folder, KIND, "")
    assert all(torch.equal(game[f"foresight.{name}"], value) for name, value in learned.items())
    assert not any(name.startswith("mover.") for name in game)
    assert {"steps", "turns", "tiles"} == read_card(folder / "foresight", foresight.KIND, "").metrics.keys()
    assert learned["known"] > 20 and learned["rows_H"].sum() > 50 and learned["open_HW"].any()
    played = NeuralGame.load(folder, temperature=0.0)
    assert played.model.foresees
    played.reset([0])
    for _ in range(20):
        assert played.step([1]).frames.shape == (1, 210, 160)
    assert played.model.mover is None


def test_it_is_not_trained_twice_nor_with_other_settings(
    trained: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    task = mapper.MapperTask(trained, stage.matching_info(trained), stage.dataset_path(trained))
    foresight.train_foresight(task, task.build())
    assert "foresight: finished" in capsys.readouterr().out
    longer = replace(trained, mapper=replace(trained.mapper, foresight=ForesightConfig(steps=31)))
    with pytest.raises(UserError, match=r"mapper\.foresight\.steps"):
        foresight.train_foresight(replace(task, config=longer), task.build())


def test_a_training_begun_with_other_settings_is_not_gone_on_with(trained: Config, tmp_path: Path) -> None:
    config = replace(
        trained, runs=str(tmp_path), world=replace(trained.world, dataset=stage.dataset_path(trained))
    )
    for name in ("world", "mapper"):
        shutil.copytree(stage_dir(trained, name), stage_dir(config, name))
    folder = foresight.foresight_folder(config)
    (folder / "card.json").unlink()
    config = replace(config, mapper=replace(config.mapper, foresight=ForesightConfig(steps=31)))
    task = mapper.MapperTask(config, stage.matching_info(config), stage.dataset_path(config))
    with pytest.raises(UserError, match=r"other settings \(steps, batch\)"):
        foresight.train_foresight(task, task.build())


def test_a_game_with_a_mover_gives_it_up_for_foresight(trained: Config, tmp_path: Path) -> None:
    card, weights = load_bundle(stage_dir(trained, "mapper"), KIND, "")
    palette, actions = card.model["palette"], card.model["action_names"]
    mover = Mover(len(palette), 224, len(actions), trained.mapper.action_history).state_dict()
    kept = {name: value for name, value in weights.items() if not name.startswith("foresight.")}
    save_bundle(tmp_path / "moved", card, kept | {f"mover.{name}": value for name, value in mover.items()})
    begun = replace(
        trained, name="begun", world=replace(trained.world, dataset=stage.dataset_path(trained)),
        mapper=replace(trained.mapper, start_from=str(tmp_path / "moved")),
    )  # fmt: skip
    task = mapper.MapperTask(begun, stage.matching_info(begun), stage.dataset_path(begun))
    model = task.build()
    assert model.mover is None and not task.begins_with("foresight.")
    assert torch.equal(model.mapper.known.weight, weights["mapper.known.weight"])
