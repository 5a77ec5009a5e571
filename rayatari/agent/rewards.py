"""From the points of a game to the rewards that are learned from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.config.agent import AgentConfig


@dataclass(frozen=True)
class RewardRule:
    """How the points of one step become its reward; without settings they are the reward."""

    clip: bool = False
    """Only the sign of the points counts (Mnih et al., 2015)."""
    living_penalty: float = 0.0
    """Taken from every step."""
    life_penalty: float = 0.0
    """Taken from a step that loses a life."""

    def __call__(self, points: NDArray[np.float64], lives_lost: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Rewards, float32 (N,), of steps that scored ``points`` (N,) and lost a life, bool (N,), or not."""
        earned = np.sign(points) if self.clip else points
        return (earned - self.living_penalty - self.life_penalty * lives_lost).astype(np.float32)


POINTS = RewardRule()
"""The points themselves."""


def reward_rule(agent: AgentConfig) -> RewardRule:
    """The rule that ``agent`` asks for."""
    return RewardRule(agent.clip_rewards, agent.living_penalty, agent.life_penalty)
