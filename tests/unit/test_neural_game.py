"""The neural game and its Gymnasium environments (contract C2)."""

import json
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from game_bundle import write_game
from gymnasium.utils.env_checker import check_env

import rayatari  # noqa: F401  registers the environments
from rayatari.errors import UserError
from rayatari.games.palette import to_rgb
from rayatari.games.specs import SPECS
from rayatari.models.neural_game import LooseGame, NeuralGame
from rayatari.paths import SHIPPED, shipped_games

ID = "rayatari/Breakout-v0"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_game(tmp_path_factory.mktemp("bundle"))


def play(game: NeuralGame, seeds: list[int], actions: list[list[int]]) -> np.ndarray:
    return np.stack([game.reset(seeds), *(game.step(a).frames for a in actions)])


def test_same_seed_and_actions_give_the_same_frames(bundle: Path) -> None:
    actions = [[1, 2], [0, 3], [3, 3], [2, 0]]
    first = play(NeuralGame.load(bundle), [1, 2], actions)
    again = play(NeuralGame.load(bundle), [1, 2], actions)
    other = play(NeuralGame.load(bundle), [1, 3], actions)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:, 0], other[:, 0])
    assert (first[:, 1] != other[:, 1]).any()


def test_every_frame_is_a_legal_screen(bundle: Path) -> None:
    game = NeuralGame.load(bundle)
    frames = play(game, [0], [[i % 4] for i in range(20)])
    assert frames.dtype == np.uint8 and frames.shape == (21, 1, 210, 160)
    assert set(np.unique(frames)) <= set(game.palette)


@pytest.mark.parametrize("length", [1, 3, 4, 9])
def test_a_game_goes_on_from_any_number_of_real_frames(bundle: Path, length: int) -> None:
    game = NeuralGame.load(bundle, temperature=0)
    frames = np.random.default_rng(1).choice(np.array(game.palette, np.uint8), (2, 9, 210, 160))
    present = game.reset([0, 0], frames[:, -length:])
    np.testing.assert_array_equal(present, frames[:, -1])
    follows = game.step([0, 0]).frames
    same = NeuralGame.load(bundle, temperature=0)
    same.reset([5, 6], frames[:, -max(length, 4) :] if length >= 4 else frames[:, -length:])
    np.testing.assert_array_equal(follows, same.step([0, 0]).frames)


def test_codes_of_a_step_can_be_named_and_replayed(bundle: Path) -> None:
    game = NeuralGame.load(bundle, temperature=0)
    game.reset([0])
    chosen = game.sample_codes([2])
    followed = game.step_with_codes(chosen, [2]).frames
    game.reset([0])
    np.testing.assert_array_equal(game.step([2]).frames, followed)
    assert game.true_codes(followed, followed).shape == (1, 35)


def test_restarting_one_game_leaves_the_others_alone(bundle: Path) -> None:
    game, reference = NeuralGame.load(bundle), NeuralGame.load(bundle)
    for each in (game, reference):
        each.reset([1, 2])
        each.step([0, 0])
    game.restart(np.array([True, False]), [9])
    np.testing.assert_array_equal(game.step([1, 1]).frames[1], reference.step([1, 1]).frames[1])


@pytest.mark.parametrize("actions", [[4], [-1], [0, 0]])
def test_actions_that_do_not_exist_are_refused(bundle: Path, actions: list[int]) -> None:
    game = NeuralGame.load(bundle)
    game.reset([0])
    with pytest.raises(UserError, match="indices of 0 to 3"):
        game.step(actions)


def test_the_environment_passes_gymnasiums_checker(bundle: Path) -> None:
    env = gymnasium.make(ID, weights=bundle, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not within.*|.*spec.*|.*autoreset.*")
        check_env(env.unwrapped, skip_close_check=True)
    assert env.observation_space.shape == (210, 160, 3)
    assert env.action_space.n == len(SPECS["breakout"].action_names)


def test_the_environment_is_seeded_and_says_how_many_lives_are_left(bundle: Path) -> None:
    def play_env(seed: int) -> list[np.ndarray]:
        env = gymnasium.make(ID, weights=bundle)
        first, info = env.reset(seed=seed)
        assert 0 <= info["lives"] <= 5
        shown = [first]
        for action in (1, 2, 3, 0):
            frame, reward, terminated, _truncated, info = env.step(action)
            assert isinstance(reward, float) and isinstance(terminated, bool) and "lives" in info
            shown.append(frame)
        return shown

    np.testing.assert_array_equal(play_env(3), play_env(3))
    assert not np.array_equal(play_env(3), play_env(4))


def test_the_environment_goes_on_from_real_rgb_frames(bundle: Path) -> None:
    env = gymnasium.make(ID, weights=bundle)
    palette = np.array(env.unwrapped.game.palette, np.uint8)
    frames = to_rgb(np.random.default_rng(0).choice(palette, (2, 210, 160)))
    shown, _ = env.reset(seed=0, options={"frames": frames})
    np.testing.assert_array_equal(shown, frames[-1])
    with pytest.raises(UserError, match="uint8"):
        env.reset(options={"frames": frames[0].astype(float)})


def test_the_vector_environment_steps_all_games_in_one_batch_and_begins_lost_ones_anew(bundle: Path) -> None:
    envs = gymnasium.make_vec(
        ID, num_envs=3, vectorization_mode="vector_entry_point", weights=bundle, max_steps=2
    )
    shown, info = envs.reset(seed=1)
    assert shown.shape == (3, 210, 160, 3) and info["lives"].shape == (3,)
    actions = np.array([0, 1, 2])
    assert not envs.step(actions)[3].any()
    assert envs.step(actions)[3].all()
    begun, rewards, terminated, truncated, _ = envs.step(actions)
    assert not (rewards.any() or terminated.any() or truncated.any())
    starts = to_rgb(envs.unwrapped.game._starts[:, -1])
    assert all(any(np.array_equal(frame, start) for start in starts) for frame in begun)


def test_each_of_the_seven_games_is_registered() -> None:
    for spec in SPECS.values():
        assert f"rayatari/{spec.title}-v0" in gymnasium.registry


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: (b / "card.json").unlink(), "not found"),
        (lambda b: (b / "card.json").write_text("{"), "damaged"),
        (lambda b: (b / "weights.safetensors").unlink(), "not found"),
        (lambda b: (b / "weights.safetensors").write_bytes(b"\0" * 100), "damaged"),
        (lambda b: _flip_a_bit(b / "weights.safetensors"), "checksum"),
        (lambda b: _edit_card(b, kind="world"), "world artifact"),
        (lambda b: _edit_card(b, model={"palette": [0, 2]}), "does not fit"),
    ],
)
def test_a_broken_bundle_is_named_with_a_remedy(tmp_path: Path, damage: object, message: str) -> None:
    bundle = write_game(tmp_path)
    damage(bundle)
    with pytest.raises(UserError, match=message):
        NeuralGame.load(bundle)


def _flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1000] ^= 1
    file.write_bytes(data)


def test_every_shipped_game_is_small_and_plays() -> None:
    assert "breakout" in shipped_games()
    for folder in (SHIPPED / game for game in shipped_games()):
        assert (folder / "weights.safetensors").stat().st_size <= 12e6
        assert str(Path.home()) not in (folder / "card.json").read_text()
        env = gymnasium.make(f"rayatari/{SPECS[folder.name].title}-v0")
        first, _ = env.reset(seed=1)
        frames = [env.step(env.action_space.sample())[0] for _ in range(20)]
        assert any((frame != first).any() for frame in frames)


def test_weights_of_another_game_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not of pong"):
        gymnasium.make("rayatari/Pong-v0", weights=write_game(tmp_path))
    with pytest.raises(UserError, match="rayatari pipeline game=qbert"):
        gymnasium.make("rayatari/Qbert-v0")


def _edit_card(bundle: Path, **values: object) -> None:
    card = json.loads((bundle / "card.json").read_text())
    (bundle / "card.json").write_text(json.dumps({**card, **values}))


@pytest.mark.parametrize("ahead", [False, True])
def test_games_taken_out_of_a_batch_go_on_as_they_would_have(tmp_path: Path, ahead: bool) -> None:
    together, apart = (NeuralGame.load(write_game(tmp_path)) for _ in range(2))
    together.reset([1, 2, 3])
    apart.reset([3, 1])
    others = apart.scatter()
    apart.reset([2])
    joined = [others[1], apart.scatter()[0], others[0]]
    for actions in ([1, 2, 3], [0, 0, 1], [3, 3, 2]):
        apart.gather(joined, [1.0, 1.0, 1.0])
        step = apart.step(actions)
        if ahead:
            apart.look_ahead()
        joined = apart.scatter()
        assert all((game.sight is not None) == ahead for game in joined)
        assert (step.frames == together.step(actions).frames).all()


def test_each_game_of_a_batch_has_its_own_temperature(tmp_path: Path) -> None:
    game = NeuralGame.load(write_game(tmp_path))
    game.reset([1, 1, 2])
    games = game.scatter()
    game.gather([games[0], games[1], games[2]], [0.0, 1.0, 0.0])
    codes = game.sample_codes([1, 1, 1])
    game.reset([5, 1])
    cold, warm = game.scatter()
    game.gather([LooseGame(games[0].past_THW, cold.noise), warm], [0.0, 1.0])
    alone = game.sample_codes([1, 1])
    assert (codes[:2] == alone).all()
    assert (codes[0] != codes[1]).any()
