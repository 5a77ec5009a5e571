"""The neural game as Gymnasium environments (contract C2), single and vectorised."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rayatari.errors import UserError
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH
from rayatari.games.palette import from_rgb, to_rgb
from rayatari.models.neural_game import NeuralGame
from rayatari.paths import SHIPPED

SCREEN = spaces.Box(0, 255, (SCREEN_HEIGHT, SCREEN_WIDTH, 3), np.uint8)
Observation = NDArray[np.uint8]
Info = dict[str, Any]


def load_game(game: str, weights: str | Path | None, temperature: float, device: str) -> NeuralGame:
    """The neural game in the bundle ``weights``, or the shipped one; UserError when there is none."""
    folder = Path(weights) if weights else SHIPPED / game
    if not weights and not folder.exists():
        raise UserError(
            f"no weights for {game} come with this version: train them ('rayatari pipeline game={game}') "
            f"and name them (weights='runs/{game}/mapper')"
        )
    loaded = NeuralGame.load(folder, device, temperature)
    if loaded.game != game:
        raise UserError(f"the bundle in {folder} is of {loaded.game}, not of {game}: name one of {game}")
    if loaded.facts.frame_shape != (SCREEN_HEIGHT, SCREEN_WIDTH):
        raise UserError(f"the bundle in {folder} draws {loaded.facts.frame_shape} frames, not 210x160")
    return loaded


class NeuralEnv(gymnasium.Env[Observation, np.int64]):
    """One neural game. Observations are RGB, uint8 (210, 160, 3); one step is one frame skip of play.

    ``reset(options={"frames": frames})`` goes on from real frames, uint8 (T, 210, 160, 3) RGB, any T of at
    least 1; else the game begins at the start of a recorded episode. ``options["actions"]`` may name the
    actions (any number) that led to these frames, oldest first. ``info["lives"]`` are the lives left.
    Same seed and actions give the same frames.
    """

    def __init__(
        self, game: str, weights: str | Path | None = None, temperature: float = 1.0,
        device: str = "cpu", render_mode: str | None = None, max_steps: int = 27_000,
    ) -> None:  # fmt: skip
        self.game = load_game(game, weights, temperature, device)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 60 // self.game.frame_skip}
        self.render_mode, self.max_steps = render_mode, max_steps
        self.observation_space = SCREEN
        self.action_space = spaces.Discrete(len(self.game.action_names))
        self._steps = 0
        self._shown = np.zeros(SCREEN.shape, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin a game."""
        super().reset(seed=seed)
        past, actions = given_frames(self.game, options, 1), given_actions(options, 1)
        present = self.game.reset(game_seeds(self.np_random, 1), past, actions)
        self._steps, self._shown = 0, to_rgb(present[0])
        return self._shown.copy(), {"lives": int(self.game.lives()[0])}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, Info]:
        """Play one action."""
        step = self.game.step([int(action)])
        self._steps += 1
        self._shown = to_rgb(step.frames[0])
        truncated = self._steps >= self.max_steps
        info = {"lives": int(step.lives[0])}
        return self._shown.copy(), float(step.rewards[0]), bool(step.terminated[0]), truncated, info

    def render(self) -> Any:
        """The screen, for ``render_mode="rgb_array"``."""
        return self._shown.copy() if self.render_mode == "rgb_array" else None


class NeuralVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """N neural games in one batch; a game that is over begins anew with the next step.

    Spaces and options are those of :class:`NeuralEnv`, with N in front; ``options["frames"]`` may be
    (T, 210, 160, 3) for all games or (N, T, 210, 160, 3), and ``options["actions"]`` likewise.
    """

    def __init__(
        self, game: str, num_envs: int = 1, weights: str | Path | None = None, temperature: float = 1.0,
        device: str = "cpu", render_mode: str | None = None, max_steps: int = 27_000,
    ) -> None:  # fmt: skip
        self.game = load_game(game, weights, temperature, device)
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": 60 // self.game.frame_skip,
            "autoreset_mode": AutoresetMode.NEXT_STEP,
        }
        self.num_envs, self.render_mode, self.max_steps = num_envs, render_mode, max_steps
        self.single_observation_space = SCREEN
        self.single_action_space = spaces.Discrete(len(self.game.action_names))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, np.bool_)
        self._shown = np.zeros(self.observation_space.shape or (), np.uint8)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin all games, from one seed or from one seed each."""
        if isinstance(seed, list):
            seeds = [int(s) for s in seed]
            super().reset(seed=seeds[0])
        else:
            super().reset(seed=seed)
            seeds = game_seeds(self.np_random, self.num_envs)
        past, actions = given_frames(self.game, options, self.num_envs), given_actions(options, self.num_envs)
        self._shown = to_rgb(self.game.reset(seeds, past, actions))
        self._steps[:], self._over[:] = 0, False
        return self._shown.copy(), {"lives": self.game.lives()}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Play one action in each game; in those that were over, begin anew instead."""
        begun = self._over
        step = self.game.step(np.where(begun, 0, actions))
        frames, lives = step.frames.copy(), step.lives.copy()
        if begun.any():
            frames[begun] = self.game.restart(begun, game_seeds(self.np_random, int(begun.sum())))
            lives[begun] = self.game.lives()[begun]
        self._steps = np.where(begun, 0, self._steps + 1)
        terminated = step.terminated & ~begun
        truncated = (self._steps >= self.max_steps) & ~begun
        self._over = terminated | truncated
        self._shown = to_rgb(frames)
        rewards = np.where(begun, 0.0, step.rewards)
        return self._shown.copy(), rewards, terminated, truncated, {"lives": lives}

    def render(self) -> Any:
        """The screens, for ``render_mode="rgb_array"``."""
        return tuple(self._shown.copy()) if self.render_mode == "rgb_array" else None


def game_seeds(random: np.random.Generator, count: int) -> list[int]:
    """Seeds for ``count`` games."""
    return [int(seed) for seed in random.integers(2**31, size=count)]


def given_frames(game: NeuralGame, options: dict[str, Any] | None, count: int) -> Observation | None:
    """The past that ``options["frames"]`` asks for, as palette bytes (count, T, 210, 160)."""
    frames = (options or {}).get("frames")
    if frames is None:
        return None
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim not in (4, 5) or frames.shape[-3:] != SCREEN.shape:
        raise UserError(
            f"options['frames'] is {frames.dtype} {frames.shape}: uint8 (T, 210, 160, 3) RGB is needed"
        )
    past = from_rgb(frames[..., -game.history :, :, :, :], game.palette)
    return past if frames.ndim == 5 else np.broadcast_to(past, (count, *past.shape)).copy()


def given_actions(options: dict[str, Any] | None, count: int) -> NDArray[np.int64] | None:
    """The actions before the start that ``options["actions"]`` names, int (count, any number)."""
    actions = (options or {}).get("actions")
    if actions is None:
        return None
    actions = np.asarray(actions)
    if (actions.size and not np.issubdtype(actions.dtype, np.integer)) or actions.ndim not in (1, 2):
        raise UserError(
            f"options['actions'] is {actions.dtype} {actions.shape}: indices (any number) are needed"
        )
    actions = actions.astype(np.int64)
    return actions if actions.ndim == 2 else np.broadcast_to(actions, (count, len(actions))).copy()


def make_env(**settings: Any) -> NeuralEnv:
    """Entry point of ``gymnasium.make``."""
    return NeuralEnv(**settings)


def make_vector_env(**settings: Any) -> NeuralVectorEnv:
    """Entry point of ``gymnasium.make_vec``."""
    return NeuralVectorEnv(**settings)
