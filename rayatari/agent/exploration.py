"""How actions are drawn from action values while the agent learns."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rayatari.agent.schedule import Linear

ExplorationKind = Literal["epsilon", "boltzmann", "greedy"]


@dataclass(frozen=True)
class Exploration:
    """One way to explore and how its one parameter is annealed."""

    kind: ExplorationKind
    """``epsilon``: a random action with probability epsilon; ``boltzmann``: softmax(Q / temperature);
    ``greedy``: the best action, which is epsilon 0."""
    schedule: Linear
    """Epsilon, or the temperature in units of Q, by environment step."""
    ladder: float = 0.0
    """Above 0, game i of N explores with epsilon ** (1 + ladder * i / (N - 1)) (Ape-X)."""

    @property
    def label(self) -> str:
        """Name of the annealed parameter."""
        return "temperature" if self.kind == "boltzmann" else "epsilon"

    def choose(
        self,
        q_BA: Tensor,
        step: int,
        first: int = 0,
        stride: int = 1,
        games: int = 0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Actions, int64 (B,), for values ``q_BA`` at environment step ``step``.

        The B games are number ``first``, ``first + stride``, ... of ``games`` on the ladder; 0 games are
        B * stride.
        """
        value = self.schedule.at(step)
        if self.kind == "boltzmann":
            return boltzmann(q_BA, value, generator)
        if self.ladder:
            games_B = torch.arange(len(q_BA), device=q_BA.device) * stride + first
            rungs_B = games_B / max((games or len(q_BA) * stride) - 1, 1)
            return epsilon_greedy(q_BA, value ** (1 + self.ladder * rungs_B), generator)
        return epsilon_greedy(q_BA, value, generator)


def epsilon_greedy(q_BA: Tensor, epsilon: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The best action, or with probability ``epsilon`` (one or B) any with equal probability."""
    batch, actions = q_BA.shape
    anything_B = torch.randint(actions, (batch,), device=q_BA.device, generator=generator)
    explore_B = torch.rand(batch, device=q_BA.device, generator=generator) < epsilon
    return torch.where(explore_B, anything_B, q_BA.argmax(dim=1))


def boltzmann(q_BA: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
    """Actions drawn from softmax(Q / ``temperature``); towards zero it becomes greedy."""
    if temperature <= 0:
        return q_BA.argmax(dim=1)
    probabilities_BA = torch.softmax(q_BA / temperature, dim=1)
    return torch.multinomial(probabilities_BA, num_samples=1, generator=generator).squeeze(1)
