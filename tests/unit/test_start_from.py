"""Training that goes on from a neural game instead of a world model of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from game_bundle import write_game
from recorded import counting_run
from worlds import MAPPER, SIZES, WORLD

from rayatari.checkpoint import load_bundle, read_card
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.errors import UserError
from rayatari.models.neural_game import KIND, NeuralGame
from rayatari.paths import stage_dir
from rayatari.training import mapper, stage, world
from rayatari.training.mapper import MapperTask
from rayatari.training.stage import dataset_path, matching_info

SMALL = OptimizerConfig(batch=4, lr=1e-3, warmup=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration of a run whose game is trained."""
    folder = tmp_path_factory.mktemp("trained")
    config = counting_run(
        folder, replace(WORLD, steps=2, optimizer=SMALL), replace(MAPPER, steps=2, optimizer=SMALL)
    )
    world.run(config)
    mapper.run(config)
    return config


def begun_from(folder: str | Path, config: Config, tmp_path: Path) -> Config:
    return replace(
        config, runs=str(tmp_path), name="second", mapper=replace(config.mapper, start_from=str(folder))
    )


def task_of(config: Config) -> MapperTask:
    return MapperTask(config, matching_info(config), dataset_path(config))


def test_the_weights_of_the_game_are_where_training_begins(trained: Config, tmp_path: Path) -> None:
    folder = stage_dir(trained, "mapper")
    _, weights = load_bundle(folder, KIND, "")
    begun = task_of(begun_from(folder, trained, tmp_path)).build().state_dict()
    assert begun.keys() == weights.keys() - {"start_frames"}
    assert all(torch.equal(value, weights[name]) for name, value in begun.items())


def test_parts_that_the_game_lacks_begin_untrained_and_the_rest_is_taken(
    trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOVES_MEASURED", 30)
    folder = stage_dir(trained, "mapper")
    config = begun_from(folder, trained, tmp_path)
    config = replace(
        config,
        world=replace(config.world, model=replace(SIZES, moves=8)),
        mapper=replace(config.mapper, action_history=2),
    )
    model = task_of(config).build()
    _, weights = load_bundle(folder, KIND, "")
    found = model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items() if name in found)
    assert {name.split(".")[-2] for name in found.keys() - weights.keys()} <= {"choice", "scores", "0", "2"}
    assert model.world.decoder.choice is not None
    assert model.world.decoder.choice.offsets_M2.any()  # measured on the dataset


def test_what_is_new_learns_at_the_full_rate_and_what_was_taken_slower(
    trained: Config, tmp_path: Path
) -> None:
    config = begun_from(stage_dir(trained, "mapper"), trained, tmp_path)
    moving = replace(config, world=replace(config.world, model=replace(SIZES, moves=8)))
    task = task_of(replace(moving, mapper=replace(moving.mapper, decoder_rate=0.25)))
    assert task.rate_share("world.decoder.choice.scores.weight") == 1.0
    assert task.rate_share("world.decoder.patches.weight") == 0.25
    assert task.rate_share("heads.lives.bias") == 0.25, "it knows that already"


def test_the_new_run_needs_no_world_model_and_tells_where_it_began(trained: Config, tmp_path: Path) -> None:
    config = begun_from(stage_dir(trained, "mapper"), trained, tmp_path)
    mapper.run(config)
    folder = stage_dir(config, "mapper")
    assert not stage_dir(config, "world").exists()
    assert read_card(folder, KIND, "").inputs["start_from"] == str(stage_dir(trained, "mapper"))
    game = NeuralGame.load(folder)
    game.reset([0])
    assert game.step(np.zeros(1, np.int64)).frames.shape == (1, 210, 160)


def test_games_that_do_not_fit_are_named(trained: Config, tmp_path: Path) -> None:
    own = stage_dir(trained, "mapper")
    wider = replace(trained.world, model=replace(SIZES, channels=(8, 8, 8, 24)))
    for folder, config, said in (
        (write_game(tmp_path / "other"), trained, "palette"),
        (own, replace(trained, world=wider), "world.model"),
        ("shipped", trained, "comes with the package"),
        (tmp_path / "nothing", trained, "change mapper.start_from"),
    ):
        with pytest.raises(UserError, match=said):
            task_of(begun_from(folder, config, tmp_path)).build()
