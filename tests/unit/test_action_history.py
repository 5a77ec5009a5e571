"""Past actions as an input of the neural game: what a console remembers and no frame shows."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from game_bundle import write_game
from worlds import MAPPER, lesson, small_playable

import rayatari  # noqa: F401  registers the environments
from rayatari.errors import UserError
from rayatari.games.palette import to_rgb
from rayatari.models.neural_game import NeuralGame
from rayatari.serve.session import Session
from rayatari.serve.snapshot import load_session, save_session

REMEMBERING = replace(MAPPER, action_history=3)
UNKNOWN = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_game(tmp_path_factory.mktemp("bundle"), mapper=REMEMBERING)


def remembered(game: NeuralGame) -> list[list[int]]:
    return [loose.earlier_M.tolist() for loose in game.scatter() if loose.earlier_M is not None]


def test_a_game_remembers_its_last_actions_and_forgets_them_at_its_end(bundle: Path) -> None:
    game = NeuralGame.load(bundle)
    game.reset([1, 2])
    assert remembered(game) == [[UNKNOWN] * 3] * 2
    for actions in ([0, 1], [2, 2]):
        game.step(actions)
    assert remembered(game) == [[UNKNOWN, 0, 2], [UNKNOWN, 1, 2]]
    game.step([3, 0])
    game.step([3, 3])
    assert remembered(game) == [[2, 3, 3], [2, 0, 3]]
    game.restart(np.array([False, True]), [5])
    assert remembered(game) == [[2, 3, 3], [UNKNOWN] * 3]


def test_looking_does_not_play(bundle: Path) -> None:
    game = NeuralGame.load(bundle)
    game.reset([1])
    game.step([2])
    game.lives()
    game.sample_codes([3])
    assert remembered(game) == [[UNKNOWN, UNKNOWN, 2]]


def test_what_comes_next_depends_on_what_was_played_before(bundle: Path) -> None:
    game = NeuralGame.load(bundle, temperature=0)
    frames = np.random.default_rng(0).choice(np.array(game.palette, np.uint8), (4, 4, 210, 160))
    frames[:] = frames[:1]
    game.reset([0] * 4, frames, np.array([[0, 1, 2], [0, 1, 2], [3, 3, 3], [0, 0, 0]]))
    first, same, other, _ = game.step([1] * 4).frames
    assert (first == same).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("actions", "kept"), [([], [4, 4, 4]), ([2], [4, 4, 2]), ([1, 2, 3, 0, 2], [3, 0, 2])]
)
def test_a_game_goes_on_from_any_number_of_past_actions(
    bundle: Path, actions: list[int], kept: list[int]
) -> None:
    game = NeuralGame.load(bundle)
    game.reset([0], np.zeros((1, 4, 210, 160), np.uint8), np.array([actions], np.int64))
    assert remembered(game) == [kept]


@pytest.mark.parametrize("actions", [[[4]], [[-1]], [[0], [1]]])
def test_past_actions_that_cannot_be_are_refused(bundle: Path, actions: list[list[int]]) -> None:
    game = NeuralGame.load(bundle)
    frames = np.zeros((1, 4, 210, 160), np.uint8)
    with pytest.raises(UserError, match="indices of 0 to 3"):
        game.reset([0], frames, np.array(actions))


def test_the_environment_takes_past_actions_beside_frames(bundle: Path) -> None:
    env = gymnasium.make("rayatari/Breakout-v0", weights=bundle, temperature=0.0)
    frames = to_rgb(np.full((4, 210, 160), 6, np.uint8))
    env.reset(seed=0, options={"frames": frames, "actions": [1, 1, 1, 2]})
    assert remembered(env.unwrapped.game) == [[1, 1, 2]]
    with pytest.raises(UserError, match="indices"):
        env.reset(seed=0, options={"frames": frames, "actions": [0.5]})
    many = gymnasium.make_vec(
        "rayatari/Breakout-v0", num_envs=2, weights=bundle, vectorization_mode="vector_entry_point"
    )
    many.reset(seed=0, options={"frames": frames, "actions": np.array([[1, 2], [0, 3]])})
    assert remembered(many.game) == [[UNKNOWN, 1, 2], [UNKNOWN, 0, 3]]


def test_games_apart_and_snapshots_keep_the_memory(bundle: Path) -> None:
    game = NeuralGame.load(bundle, temperature=0)
    game.reset([1])
    game.step([2])
    (loose,) = game.scatter()
    copy = load_session(save_session(Session("breakout", 1, 0.0, loose=loose))).loose
    assert copy is not None
    expected = game.step([3]).frames
    game.gather([copy])
    assert (game.step([3]).frames == expected).all()


def test_training_withholds_older_actions_but_never_the_one_to_be_played() -> None:
    model = small_playable(replace(REMEMBERING, action_dropout=1.0))
    played = torch.arange(3).repeat(400, 2)[:, :4]
    seen = model._forget(played, torch.Generator().manual_seed(0))
    known = seen == played
    assert (seen[~known] == UNKNOWN).all()
    assert known[:, -1].all() and not known[:, 0].any()
    assert set(known.sum(1).tolist()) == {1, 2, 3}
    assert (known[:, 1:] >= known[:, :-1]).all()  # what is known are the latest


def test_past_actions_get_gradients() -> None:
    model = small_playable(REMEMBERING).train()
    given = lesson(2)
    given = replace(given, actions_BM=torch.tensor([[4, 1, 2, 3], [0, 0, 1, 1]]))
    model(given, 0.5, torch.Generator().manual_seed(0))[0].backward()
    for features in (model.action, model.mapper.action):
        assert features.before is not None
        assert all(parameter.grad is not None for parameter in features.before.parameters())
    assert features.before[0].weight.grad.abs().sum() > 0
