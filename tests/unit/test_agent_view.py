import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from rayatari.config.runtime import EmulatorConfig
from rayatari.games.agent_view import agent_view
from rayatari.games.emulator import Emulator
from rayatari.games.specs import SPECS


@pytest.mark.parametrize("game", SPECS)
def test_view_equals_the_preprocessing_of_atari_vector_env(game: str) -> None:
    """Real play side by side: the same actions, without no-ops, fire or sticky actions of either's own."""
    spec = SPECS[game]
    vector_env = AtariVectorEnv(
        game, num_envs=1, stack_num=1, frameskip=4, maxpool=spec.flicker, noop_max=0,
        use_fire_reset=False, repeat_action_probability=0.0, reward_clipping=False,
    )  # fmt: skip
    emulator = Emulator(spec, EmulatorConfig(noop_max=0))
    rng = np.random.default_rng(1)
    screens, views = [emulator.reset(0)], [vector_env.reset(seed=0)[0][0, 0]]
    for _ in range(250):
        action = int(rng.integers(len(spec.action_names)))
        step = emulator.step(action)
        observation, reward, terminated, _, info = vector_env.step(np.array([action]))
        assert (step.reward, step.terminated, step.lives) == (reward[0], terminated[0], info["lives"][0])
        if step.terminated:  # within a step: there the vector env goes on showing an earlier screen
            break
        screens.append(step.frame)
        views.append(observation[0, 0].copy())
    views_THW = np.stack(views)
    assert np.abs(agent_view(np.stack(screens)).astype(int) - views_THW).max() <= 1
    assert (views_THW[1:] != views_THW[:-1]).any(axis=(1, 2)).sum() > 50


def test_any_leading_axes_are_kept() -> None:
    frames = np.random.default_rng(0).integers(0, 128, (2, 3, 210, 160), dtype=np.uint8) * 2
    views = agent_view(frames)
    assert views.shape == (2, 3, 84, 84) and views.dtype == np.uint8
    np.testing.assert_array_equal(agent_view(frames[1, 2]), views[1, 2])


def test_brightness_is_kept() -> None:
    assert (agent_view(np.full((210, 160), 14, np.uint8)) == 236).all()
