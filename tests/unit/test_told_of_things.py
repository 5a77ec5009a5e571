"""Worlds and games that are told of small things, and the training of what says where they go."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded import counting_run
from worlds import MAPPER, PALETTE, SIZES, TELLING, WORLD, flying_ball, lesson, small_playable, small_world

from rayatari.checkpoint import load_bundle
from rayatari.config.world import ModelConfig, OptimizerConfig, ThingsConfig
from rayatari.dataset.reader import read_chunks
from rayatari.errors import UserError
from rayatari.models.neural_game import NeuralGame
from rayatari.models.packed import pack
from rayatari.models.things import RIM
from rayatari.models.windows import Lesson
from rayatari.paths import stage_dir
from rayatari.training import mapper, world
from rayatari.training.mapper import MapperTask
from rayatari.training.stage import check_world, dataset_path, matching_info
from rayatari.training.things import LOOKED_AT, ThingsTask, train_mover, turned


def test_nothing_else_is_drawn_in_a_things_colour_beside_it() -> None:
    model, taught = small_world(model=TELLING.model).eval(), flying()
    torch.nn.init.zeros_(model.decoder.pixels.bias)
    ink = model.decoder.pixels.bias.view(len(PALETTE), -1)
    torch.nn.init.constant_(ink[1], 50.0)  # a painter that would have all in the ball's colour
    ahead = model.carried(taught.past_BTHW, taught.next_BHW)
    codes = torch.zeros(2, model.cells, dtype=torch.long)
    drawn = model.predict(taught.past_BTHW, codes, ahead)
    ball = (taught.next_BHW == 1).float()[:, None]
    rim = torch.nn.functional.max_pool2d(ball, 2 * RIM + 1, 1, RIM)[:, 0] > 0
    assert torch.equal(drawn[rim], taught.next_BHW[rim])
    assert (drawn != taught.next_BHW).any(), "further away it has its say"
    sight = model.decoder.look(taught.past_BTHW, ahead)
    assert torch.equal(model.decoder.draw(sight, sight.past_BChw).frame()[rim], taught.next_BHW[rim])


def flying(own: bool = False) -> Lesson:
    """A lesson of two windows in which a ball flies on."""
    return replace(lesson(2, flying_ball(2, 5)), own_B=torch.tensor([own, own]))


def test_a_world_told_of_things_begins_with_the_ball_in_its_next_place() -> None:
    """Untrained it repeats the last frame, in which the things have already moved."""
    model, taught = small_world(model=TELLING.model).eval(), flying()
    codes = torch.zeros(2, model.cells, dtype=torch.long)
    ahead = model.carried(taught.past_BTHW, taught.next_BHW)
    assert torch.equal(model.predict(taught.past_BTHW, codes, ahead), taught.next_BHW)
    assert torch.equal(model.predict(taught.past_BTHW, codes), taught.present_BHW)


@pytest.mark.parametrize("flying", [0, 1, 2])
def test_no_more_things_fly_than_the_game_has(flying: int) -> None:
    past = flying_ball(1, 4)
    past[:, -2, 150:154, 40:42] = past[:, -1, 144:148, 45:47] = 1
    world = replace(TELLING, model=replace(TELLING.model, flying=flying))
    sight = small_playable(world=world).eval().look(past, torch.zeros(1, 1, dtype=torch.long))
    assert (sight.last_BhwS == 1).sum() == 8 * (flying or 2)


def test_the_mover_learns_with_the_mapper_but_from_real_pasts_alone() -> None:
    model, generator = small_playable(world=TELLING), torch.Generator().manual_seed(0)
    assert model.mover is not None
    for own, learns in ((False, True), (True, False)):
        model.zero_grad(set_to_none=True)
        loss, logs, _ = model(flying(own), 0.0, generator)
        loss.backward()
        gradient = model.mover.gone.weight.grad
        assert (gradient is not None and bool(gradient.any())) == learns
        assert (logs["thing_loss"] > 0) == learns


def test_damage_done_to_the_past_in_training_stays_where_no_thing_goes() -> None:
    model, taught = small_playable(world=TELLING), flying()
    damaged = taught.past_BTHW.clone()
    damaged[:, -1, 100:104] = 3
    ahead, _ = model._taught_ahead(taught, damaged, taught.actions_BM)
    assert ahead is not None
    expected = taught.next_BHW.clone()
    expected[:, 100:104] = 3
    assert torch.equal(ahead.frame_BHW, expected)


def test_packed_for_play_things_go_the_same_ways() -> None:
    model, taught = small_playable(world=TELLING).eval(), flying()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        before = model.look(taught.past_BTHW, taught.actions_BM).last_BhwS
        after = pack(model).look(taught.past_BTHW, taught.actions_BM).last_BhwS
    assert torch.equal(before, after)


@pytest.mark.parametrize("at", [3, LOOKED_AT + 2])
def test_windows_in_which_something_turns_are_found(at: int) -> None:
    """Also on the border of what is looked through at once."""
    before = flying_ball(1, 4)[0]
    still = before[:1].expand(at - 3, -1, -1)
    after = before[2].expand(3, -1, -1)  # back by the way it came, and at rest there
    assert turned(torch.cat([still, before, after]), 2).nonzero()[0].tolist() == [at, at + 1]


def test_those_windows_are_drawn_more_often(tmp_path: Path) -> None:
    config = counting_run(tmp_path, TELLING, MAPPER)
    config = replace(config, mapper=replace(config.mapper, things=ThingsConfig(turns=7.0)))
    task = ThingsTask(config, matching_info(config), dataset_path(config))
    chunk = next(iter(read_chunks(task.dataset, "train")))
    flies = flying_ball(1, 5)[0]
    film = torch.cat([flies, flies[3:4].expand(len(chunk.frames) - 5, -1, -1)])
    weights = task.weigh(chunk, lambda: film)
    plain = MapperTask(config, task.info, task.dataset).weigh(chunk, lambda: film)
    assert weights[4:6].tolist() == [7.0, 7.0]
    assert (np.delete(weights, [4, 5]) == np.delete(plain, [4, 5])).all()


def test_training_teaches_the_mover_first_and_the_game_takes_it_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = OptimizerConfig(batch=4, lr=1e-3, warmup=2)
    still = replace(small, lr=0.0)
    config = counting_run(
        tmp_path,
        replace(TELLING, steps=2, optimizer=small),
        replace(MAPPER, steps=1, optimizer=still, things=ThingsConfig(2, 0.0, small)),
    )
    world.run(config)
    mapper.run(config)
    assert "of the held-out things go elsewhere" in capsys.readouterr().out
    _, learned = load_bundle(stage_dir(config, "mapper") / "things", "mover", "")
    _, game = load_bundle(stage_dir(config, "mapper"), "neural-game", "")
    for name, value in learned.items():
        torch.testing.assert_close(game[name], value)
    train_mover(ThingsTask(config, matching_info(config), dataset_path(config)))
    assert "mover: finished" in capsys.readouterr().out
    longer = replace(config, mapper=replace(config.mapper, things=ThingsConfig(3, 0.0, small)))
    with pytest.raises(UserError, match=r"mapper\.things\.steps"):
        train_mover(ThingsTask(longer, matching_info(longer), dataset_path(longer)))
    further = replace(config, mapper=replace(config.mapper, start_from=str(stage_dir(config, "mapper"))))
    begun = ThingsTask(further, matching_info(further), dataset_path(further)).build().state_dict()
    assert all(torch.equal(value, game[name]) for name, value in begun.items())
    played = NeuralGame.load(stage_dir(config, "mapper"), temperature=0.0)
    played.reset([0])
    played.look_ahead()
    assert played.step([1]).frames.shape == (1, 210, 160)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (replace(SIZES, things=-1), "negative"),
        (replace(SIZES, things=2, history=2), "3 frames"),
        (replace(SIZES, things=2, decoder="blind"), "copies nothing"),
        (replace(SIZES, things=2, moves=8), "two ways"),
        (replace(SIZES, things=2, flying=-1), "no limit"),
    ],
)
def test_settings_that_cannot_be_are_refused(sizes: ModelConfig, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_world(replace(WORLD, model=sizes))
