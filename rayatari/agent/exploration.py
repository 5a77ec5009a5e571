"""How actions are drawn from action values while the agent learns."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rayatari.agent.schedule import Linear

ExplorationKind = Literal["epsilon", "boltzmann"]


@dataclass(frozen=True)
class Exploration:
    """One way to explore and how its one parameter is annealed."""

    kind: ExplorationKind
    """``epsilon``: a random action with probability epsilon; ``boltzmann``: softmax(Q / temperature)."""
    schedule: Linear
    """Epsilon, or the temperature in units of Q, by environment step."""

    @property
    def label(self) -> str:
        """Name of the annealed parameter."""
        return "epsilon" if self.kind == "epsilon" else "temperature"

    def choose(self, q_BA: Tensor, step: int) -> Tensor:
        """Actions, int64 (B,), for values ``q_BA`` at environment step ``step``."""
        value = self.schedule.at(step)
        if self.kind == "epsilon":
            return epsilon_greedy(q_BA, value)
        return boltzmann(q_BA, value)


def epsilon_greedy(q_BA: Tensor, epsilon: float) -> Tensor:
    """The best action, or with probability ``epsilon`` any action with equal probability."""
    batch, actions = q_BA.shape
    anything_B = torch.randint(actions, (batch,), device=q_BA.device)
    explore_B = torch.rand(batch, device=q_BA.device) < epsilon
    return torch.where(explore_B, anything_B, q_BA.argmax(dim=1))


def boltzmann(q_BA: Tensor, temperature: float) -> Tensor:
    """Actions drawn from softmax(Q / ``temperature``); towards zero it becomes greedy."""
    if temperature <= 0:
        return q_BA.argmax(dim=1)
    probabilities_BA = torch.softmax(q_BA / temperature, dim=1)
    return torch.multinomial(probabilities_BA, num_samples=1).squeeze(1)
