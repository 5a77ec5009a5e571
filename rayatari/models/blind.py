"""The ancestor's decoder as a baseline: blind to the frame that it should continue.

It draws the next frame from the codes and a glance at the current frame at the codes' own resolution,
taken by interpolation without averaging, so that most pixels leave no trace in it. There is no path for
pixels past the bottleneck and no copy of the last frame. What moves has to be written into the codes, and
whoever guesses the codes has to know the game.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.config.world import ModelConfig
from rayatari.models.decoder import Decoder, Sight
from rayatari.models.frames import FramePatches, to_patches
from rayatari.models.things import Ahead


class BlindDecoder(Decoder):
    """Codes and a low-resolution glance at the current frame -> the next frame.

    The way down, which the U-Net decodes with, is here only the eyes of the mapper: ``mapper_view``.
    """

    def __init__(self, config: ModelConfig, colors: int, code_dim: int, grid: tuple[int, int]) -> None:
        super().__init__(config, colors, code_dim, grid)
        self.glance = FramePatches(config.patch**2, colors, config.channels[0])
        self.context = nn.Conv2d(config.channels[0], config.channels[-1], 1)
        del self.copy
        self.register_buffer("copy", torch.zeros(()))

    def look(self, past_BTHW: Tensor, ahead: Ahead | None = None) -> Sight:
        """The glance at the present in place of the past's features; these are the only "skip" left."""
        seen = super().look(past_BTHW, ahead)
        fine_BChw = self.glance(to_patches(past_BTHW[:, -1:], self.patch)).permute(0, 3, 1, 2)
        coarse_BChw = F.interpolate(F.silu(fine_BChw), self.grid, mode="bilinear", align_corners=False)
        return Sight(self.context(coarse_BChw), (seen.past_BChw,), seen.last_BhwS)

    def mapper_view(self, sight: Sight) -> Tensor:
        """What the mapper's own eyes saw of the past."""
        return sight.skips[0]

    def mapper_eyes(self) -> list[nn.Parameter]:
        """The parameters of those eyes, which the video stage leaves untrained."""
        parts = (self.patches, self.down_blocks, self.downs)
        return [self.position, *(parameter for part in parts for parameter in part.parameters())]

    def _rise(self, sight: Sight, mixed_BChw: Tensor) -> Tensor:
        """The way up without skips: features (B, h, w, C)."""
        x = mixed_BChw
        for up, block in reversed(list(zip(self.ups, self.up_blocks, strict=True))):
            x = block(up(x))
        return F.silu(x).permute(0, 2, 3, 1)


def make_decoder(config: ModelConfig, colors: int, code_dim: int, grid: tuple[int, int]) -> Decoder:
    """The decoder that ``config.decoder`` names."""
    kind = BlindDecoder if config.decoder == "blind" else Decoder
    return kind(config, colors, code_dim, grid)
