"""The Q-network, in plain torch: RLlib trains it, an exported policy plays it.

Shapes: B batch, A actions, F features; views are (B, 4, 84, 84).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rayatari.agent.view_stack import STACK


@dataclass(frozen=True)
class QNetworkConfig:
    """The sizes of a Q-network."""

    actions: int
    """Number of actions."""
    channels: tuple[int, int, int] = (32, 64, 64)
    """Channels of the three convolutions (Mnih et al., 2015)."""
    hidden: int = 512
    """Width of the hidden layer of each head."""
    dueling: bool = True
    """Separate heads for the state's value and the actions' advantages (Wang et al., 2016)."""


class QNetwork(nn.Module):
    """Three valid convolutions and one or two heads: action values from four stacked views."""

    def __init__(self, config: QNetworkConfig) -> None:
        super().__init__()
        first, second, third = config.channels
        self.encoder = nn.Sequential(
            nn.Conv2d(STACK, first, 8, stride=4), nn.ReLU(),
            nn.Conv2d(first, second, 4, stride=2), nn.ReLU(),
            nn.Conv2d(second, third, 3), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        features = third * 7 * 7
        self.advantage = _head(features, config.hidden, config.actions)
        self.value = _head(features, config.hidden, 1) if config.dueling else None

    def forward(self, views_B4HW: Tensor) -> Tensor:
        """Action values, float32 (B, A), from uint8 (B, 4, 84, 84): the one place that normalises."""
        grey_B4HW = (views_B4HW.float() / 255).contiguous(memory_format=torch.channels_last)  # 15 % faster
        features_BF = self.encoder(grey_B4HW)
        advantage_BA: Tensor = self.advantage(features_BF).float()
        if self.value is None:
            return advantage_BA
        value_B1: Tensor = self.value(features_BF).float()
        return value_B1 + advantage_BA - advantage_BA.mean(dim=1, keepdim=True)


def _head(features: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
