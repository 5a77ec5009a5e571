"""The latent-action encoder: what happened between two frames, as a small grid of latents."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import Downsample, ResidualBlock
from rayatari.models.frames import patch_features, to_patches


class LatentActionEncoder(nn.Module):
    """Frames t and t+1 -> latents (B, N, D), one for each cell of the decoder's bottleneck.

    It sees the difference of the one-hot frames, through layers without bias: where nothing changed the
    latents are exactly zero, all alike, and share one code. An encoder that sees the frames themselves
    comes to name the places of the still background, one code a cell, and what happens goes unsaid.
    """

    def __init__(self, colors: int, patch: int, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.colors, self.patch = colors, patch
        self.patches = nn.Linear(patch**2 * colors, channels[0], bias=False)
        levels: list[nn.Module] = []
        for finer, coarser in itertools.pairwise(channels):
            levels += [Downsample(finer, coarser, bias=False), ResidualBlock(coarser, bias=False)]
        self.levels = nn.Sequential(*levels)
        self.latents = nn.Conv2d(channels[-1], dim, 1, bias=False)

    def forward(self, present_BHW: Tensor, next_BHW: Tensor) -> Tensor:
        """Encode two frames, classes uint8 (B, H, W)."""
        before_BhwS, after_BhwS = (
            to_patches(frame[:, None], self.patch) for frame in (present_BHW, next_BHW)
        )
        happened_BhwC = patch_features(after_BhwS, self.colors, self.patches.weight, before_BhwX=before_BhwS)
        latents_BDhw = self.latents(F.silu(self.levels(happened_BhwC.permute(0, 3, 1, 2))))
        return latents_BDhw.flatten(2).transpose(1, 2)
