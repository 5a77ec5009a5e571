"""The environment runner: ALE's vector environment driven by the module, giving rollouts."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from rayatari.agent.rollout import LAST, Episode, Rollout
from rayatari.agent.vector_game import VectorGame
from rayatari.seeding import EVALUATION_SEED


class AtariEnvRunner(SingleAgentEnvRunner):
    """Samples single-frame rollouts; actions are drawn as the module's exploration says."""

    def make_env(self) -> None:
        """Build the games; ``env_config`` holds the arguments of :class:`VectorGame`."""
        self.game = VectorGame(**self.config.env_config, count=self.config.num_envs_per_env_runner)
        self.env = self.game.env
        self.num_envs = self.game.count
        self._needs_initial_reset = True
        self._generator: torch.Generator | None = None
        self._episodes: list[Episode] = []
        self._steps_since_sync = 0
        self._first_game = self.num_envs * (max(self.worker_index or 0, 1) - 1)  # remote runners count from 1

    def sample(self, **kwargs: Any) -> Rollout:
        """The next ``rollout_fragment_length`` steps of all games."""
        if self._needs_initial_reset:
            seed = self._first_seed()
            self.game.reset(seed)
            self._generator = torch.Generator(self._device).manual_seed(seed)  # the learner has torch's own
            self._needs_initial_reset = False
        self.module.get_ready_to_play()
        rollout = self.game.play(self._act, self.config.get_rollout_fragment_length())
        self._episodes += rollout.episodes
        self._increase_sampled_metrics(int(np.sum(rollout.outcomes != LAST)), len(rollout.episodes))
        return replace(rollout, first_game=self._first_game)

    def play(self) -> tuple[Rollout, Any]:
        """A rollout, and RLlib's metrics of it."""
        return self.sample(), self.get_metrics()

    def get_metrics(self) -> Any:
        """RLlib's metrics, with the episodes that ended since the last call."""
        for episode in self._episodes:
            self._log_episode_metrics(episode.length, episode.score, 0.0)
        self._episodes.clear()
        return self.metrics.reduce()

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over weights and counters; the counter is that of all runners together."""
        super().set_state(state)
        if NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self._steps_since_sync = 0

    def _act(self, views: NDArray[np.uint8]) -> NDArray[np.int64]:
        step = self.num_env_steps_sampled_lifetime + self._steps_since_sync
        self._steps_since_sync += self.num_envs * max(self.config.num_env_runners, 1)
        observations = torch.from_numpy(views).to(self._device)
        games = self.num_envs * max(self.config.num_env_runners, 1)
        chosen = self.module.forward_exploration(
            {Columns.OBS: observations},
            t=step,
            first_game=self._first_game,
            games=games,
            generator=self._generator,
        )
        actions: NDArray[np.int64] = chosen[Columns.ACTIONS].cpu().numpy()
        return actions

    def _first_seed(self) -> int:
        """Distinct per game and, after a resume, new; always below the evaluation's seeds."""
        offset = self.config.seed * 7919 + self._first_game + self.num_env_steps_sampled_lifetime
        return int(offset % (EVALUATION_SEED - self.num_envs))
