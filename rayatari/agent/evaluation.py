"""How well a policy plays the real game: full episodes on seeds that nothing is trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

import numpy as np
from PIL import Image

from rayatari.agent.policy import Policy
from rayatari.agent.view_stack import ViewStack
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.agent_view import agent_view
from rayatari.games.emulator import Emulator
from rayatari.games.interface import Frame
from rayatari.games.palette import RGB
from rayatari.games.spec import GameSpec
from rayatari.seeding import EVALUATION_SEED

FRAMES_PER_SECOND = 60
FINAL_SEED = EVALUATION_SEED + 500_000
"""First seed of final reports: no policy was selected by them."""


@dataclass(frozen=True)
class PlayedEpisode:
    """One episode; the emulator plays it again from the seed and the actions."""

    seed: int
    actions: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Evaluation:
    """The episodes of one evaluation and how they were played."""

    episodes: tuple[PlayedEpisode, ...]
    epsilon: float
    emulator: EmulatorConfig

    @property
    def scores(self) -> list[float]:
        """Points of each episode."""
        return [episode.score for episode in self.episodes]

    @property
    def mean(self) -> float:
        """Mean score in points."""
        return fmean(self.scores)

    @property
    def best(self) -> PlayedEpisode:
        """The episode of the highest score."""
        return max(self.episodes, key=lambda episode: episode.score)

    def summary(self) -> dict[str, Any]:
        """Scores and protocol, as they stand in a policy's card."""
        steps = [len(episode.actions) for episode in self.episodes]
        return {
            "mean": round(self.mean, 3),
            "median": median(self.scores),
            "std": round(pstdev(self.scores), 3),
            "min": min(self.scores),
            "max": max(self.scores),
            "episodes": len(self.episodes),
            "protocol": {
                "epsilon": self.epsilon,
                "sticky": self.emulator.sticky,
                "frame_skip": self.emulator.frame_skip,
                "noop_max": self.emulator.noop_max,
                "max_steps": self.emulator.max_steps,
                "full_episodes": True,
                "first_seed": self.episodes[0].seed,
                "frames": sum(steps) * self.emulator.frame_skip,
                "mean_length": round(fmean(steps), 1),
            },
        }


def evaluate_policy(
    policy: Policy,
    spec: GameSpec,
    emulator: EmulatorConfig,
    *,
    episodes: int,
    epsilon: float,
    first_seed: int,
    ended: Callable[[int], Any] = lambda episodes: None,
) -> Evaluation:
    """Play ``episodes`` full episodes side by side, seeded from ``first_seed`` on.

    With probability ``epsilon`` an action is drawn at random, so that a policy cannot wait for ever.
    ``ended`` is called with the number of episodes that ended, when some did.
    """
    assert first_seed >= EVALUATION_SEED
    rng = np.random.default_rng(first_seed)
    games = [_Game(Emulator(spec, emulator), first_seed + i) for i in range(episodes)]
    playing = list(range(episodes))
    stacks = ViewStack(episodes)
    starts = np.ones(episodes, bool)
    while playing:
        views = agent_view(np.stack([game.frame for game in games]))
        values = policy.q_values(stacks.push(views, starts)[playing])
        anything = rng.integers(len(spec.action_names), size=len(playing))
        actions = np.where(rng.random(len(playing)) < epsilon, anything, values.argmax(axis=1))
        for i, action in zip(playing, actions, strict=True):
            games[i].step(int(action))
        still_playing = [i for i in playing if not games[i].over]
        ended(len(playing) - len(still_playing))
        playing = still_playing
        starts[:] = False
    return Evaluation(tuple(game.episode() for game in games), epsilon, emulator)


class _Game:
    """One emulator and the record of its episode."""

    def __init__(self, emulator: Emulator, seed: int) -> None:
        self.frame: Frame = emulator.reset(seed)
        self.over = False
        self._emulator = emulator
        self._seed = seed
        self._actions: list[int] = []
        self._score = 0.0

    def step(self, action: int) -> None:
        step = self._emulator.step(action)
        self._actions.append(action)
        self._score += step.reward
        self.frame = step.frame
        self.over = step.terminated or step.truncated

    def episode(self) -> PlayedEpisode:
        return PlayedEpisode(self._seed, tuple(self._actions), self._score)


def write_gif(
    path: Path, episode: PlayedEpisode, spec: GameSpec, emulator: EmulatorConfig, steps: int
) -> None:
    """Play the first ``steps`` steps of ``episode`` again and write them as an animated GIF."""
    game = Emulator(spec, emulator)
    frames = [game.reset(episode.seed)]
    frames += [game.step(action).frame for action in episode.actions[:steps]]
    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.putpalette(RGB.tobytes())
    duration = round(1000 * emulator.frame_skip / FRAMES_PER_SECOND)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)
