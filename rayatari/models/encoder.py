"""The latent-action encoder: what happened between two frames, as a small grid of latents."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import Downsample, ResidualBlock
from rayatari.models.frames import one_hot


class LatentActionEncoder(nn.Module):
    """Frames t and t+1 -> latents (B, N, D), one for each cell of the decoder's bottleneck."""

    def __init__(self, colors: int, patch: int, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.colors = colors
        self.patches = nn.Conv2d(2 * colors, channels[0], patch, stride=patch)
        levels: list[nn.Module] = []
        for finer, coarser in itertools.pairwise(channels):
            levels += [Downsample(finer, coarser), ResidualBlock(coarser)]
        self.levels = nn.Sequential(*levels)
        self.latents = nn.Conv2d(channels[-1], dim, 1)

    def forward(self, present_BHW: Tensor, next_BHW: Tensor) -> Tensor:
        """Encode two frames, classes uint8 (B, H, W)."""
        pair_BTHW = torch.stack([present_BHW, next_BHW], 1)
        latents_BDhw = self.latents(F.silu(self.levels(self.patches(one_hot(pair_BTHW, self.colors)))))
        return latents_BDhw.flatten(2).transpose(1, 2)
