"""The mapper: p(codes | past, action), the controls of the neural game.

The N cells of one frame depend on each other (a ball is served here or there, not half here and half
there), so they are sampled jointly: by masked decoding in a few rounds (Chang et al., 2022), each of
which fixes the cells that the mapper is surest of and shows them to the next round.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import ResidualBlock

MASKED = -1
"""Marks a cell whose code is not known yet."""


class ActionFeatures(nn.Embedding):
    """Features (B, C) of the action to be played and of ``earlier`` ones that were.

    Index ``actions`` stands for an earlier one that is not known.
    """

    HIDDEN = 64

    def __init__(self, actions: int, earlier: int, channels: int) -> None:
        super().__init__(actions, channels)
        self.kinds, self.before = actions + 1, None
        if earlier:
            wide = nn.Linear(earlier * self.kinds, self.HIDDEN)
            self.before = nn.Sequential(wide, nn.SiLU(), nn.Linear(self.HIDDEN, channels))

    def forward(self, actions_BM: Tensor) -> Tensor:
        """Features of the actions (B, M), M = 1 + ``earlier``, the one to be played last."""
        now_BC: Tensor = super().forward(actions_BM[:, -1])
        if self.before is None:
            return now_BC
        earlier_BX = F.one_hot(actions_BM[:, :-1], self.kinds).flatten(1).to(now_BC.dtype)
        before_BC: Tensor = self.before(earlier_BX)
        return now_BC + before_BC


class Mapper(nn.Module):
    """Scores codes from the decoder's sight of the past, the actions, and the codes known so far."""

    def __init__(
        self, past_channels: int, code_dim: int, codes: int, actions: int, earlier: int,
        channels: int, blocks: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.past = nn.Sequential(nn.GroupNorm(1, past_channels), nn.Conv2d(past_channels, channels, 1))
        self.action = ActionFeatures(actions, earlier, channels)
        self.known = nn.Conv2d(code_dim + 1, channels, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.scores = nn.Conv2d(channels, codes, 1)

    def forward(self, past_BChw: Tensor, actions_BM: Tensor, known_BDhw: Tensor, mask_B1hw: Tensor) -> Tensor:
        """Logits (B, N, K). ``known`` holds the vectors of known codes, ``mask`` is 1 where none is."""
        known = torch.cat([known_BDhw * (1 - mask_B1hw), mask_B1hw], 1)
        x = self.past(past_BChw) + self.action(actions_BM)[:, :, None, None] + self.known(known)
        scores_BKhw: Tensor = self.scores(self.blocks(x))
        return scores_BKhw.flatten(2).transpose(1, 2)


class OutcomeHeads(nn.Module):
    """Reward, end of the game, and lives of a step, from the bottleneck of past and codes."""

    SQUEEZED = 16

    def __init__(self, channels: int, cells: int, rewards: int, lives: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.GroupNorm(1, channels), nn.SiLU(), nn.Conv2d(channels, self.SQUEEZED, 1), nn.Flatten(),
            nn.Linear(self.SQUEEZED * cells, 128), nn.SiLU(),
        )  # fmt: skip
        self.reward = nn.Linear(128, rewards)
        self.done = nn.Linear(128, 2)
        self.lives = nn.Linear(128, lives)

    def forward(self, mixed_BChw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits over the reward values (B, R), over going on / over (B, 2), and over lives (B, L)."""
        shared_BF = self.shared(mixed_BChw)
        return self.reward(shared_BF), self.done(shared_BF), self.lives(shared_BF)
