"""The decoder, which is the world model: past frames and codes -> the next frame.

A U-Net (Ronneberger et al., 2015) over the past frames with the codes at its bottleneck. It works in two
halves, so that the mapper can look at the bottleneck before it chooses the codes: ``look`` goes down,
``draw`` goes up.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.config.world import ModelConfig
from rayatari.models.blocks import Downsample, ResidualBlock, Upsample, zero
from rayatari.models.frames import FramePatches, from_patches, one_hot, to_patches
from rayatari.models.hardware import follows_data
from rayatari.models.losses import palette_loss
from rayatari.models.moves import Flow, MoveChoice, MovedDrawing
from rayatari.models.streamed import likeliest, likeliest_of_features, palette_loss_of_features
from rayatari.models.things import Ahead

CERTAIN = 10.0
"""Logit of a colour that is decided, against 0 for all others."""


@dataclass(frozen=True)
class Sight:
    """What ``look`` saw of the past."""

    past_BChw: Tensor
    """Features at the bottleneck, before any code."""
    skips: tuple[Tensor, ...]
    """Features of the finer levels, finest first."""
    last_BhwS: Tensor
    """The last frame in patches, with its things moved on where the decoder is shown that; classes uint8."""
    arriving_BhwM: Tensor | None = None
    """Which moves go on to each patch, where the decoder knows of flow."""
    decided_BhwS: Tensor | None = None
    """Which pixels things leave or come to, where the decoder is told of things, bool."""
    barred_BhwS: Tensor | None = None
    """1 + the class that must not be drawn there, beside things of that class; 0 bars none; uint8."""

    def split(self) -> list["Sight"]:
        """The sight of each sample, as a batch of one."""
        parts = zip(*(tensor.split(1) for tensor in self._tensors()), strict=True)
        return [self._of(tensors) for tensors in parts]

    @classmethod
    def join(cls, sights: Sequence[Self]) -> "Sight":
        """One batch of several."""
        if len(sights) == 1:
            return sights[0]
        parts = zip(*(sight._tensors() for sight in sights), strict=True)
        return sights[0]._of([torch.cat(part) for part in parts])

    def _tensors(self) -> list[Tensor]:
        told = (self.arriving_BhwM, self.decided_BhwS, self.barred_BhwS)
        return [self.past_BChw, self.last_BhwS, *self.skips, *(part for part in told if part is not None)]

    def _of(self, tensors: Sequence[Tensor]) -> "Sight":
        """The sight that such tensors belong to, in the order of :meth:`_tensors`."""
        past, last, *skips = tensors
        barred = None if self.barred_BhwS is None else skips.pop()
        decided = None if self.decided_BhwS is None else skips.pop()
        arriving = None if self.arriving_BhwM is None else skips.pop()
        return Sight(past, tuple(skips), last, arriving, decided, barred)


@dataclass(frozen=True)
class PaintedDrawing:
    """Palette logits of the next frame, a choice of its own for each pixel."""

    features_BhwC: Tensor
    """What the pixels are painted from."""
    sight: Sight
    painter: nn.Linear
    """From features to palette logits (P·S)."""
    copied: Tensor
    """Logit that a pixel keeps its colour by."""
    colors: int

    def logits(self) -> Tensor:
        """The logits themselves, (B, h, w, P, S): the widest tensor there is."""
        change_BhwPS = self.painter(self.features_BhwC).unflatten(3, (self.colors, -1))
        last_BhwPS = one_hot(self.sight.last_BhwS, self.colors)
        logits_BhwPS: Tensor = change_BhwPS + self.copied * last_BhwPS
        if self.sight.decided_BhwS is not None:
            decided_Bhw1S = self.sight.decided_BhwS[..., None, :]
            logits_BhwPS = torch.where(decided_Bhw1S, CERTAIN * last_BhwPS, logits_BhwPS)
        if self.sight.barred_BhwS is not None:
            barred_BhwPS = one_hot(self.sight.barred_BhwS, self.colors + 1)[..., 1:, :] > last_BhwPS
            logits_BhwPS = logits_BhwPS.masked_fill(barred_BhwPS, -3 * CERTAIN)
        return logits_BhwPS

    def loss(self, next_BhwS: Tensor, weights_BhwS: Tensor) -> Tensor:
        """Weighted mean cross-entropy, in nats, on the next frame's classes."""
        told = self.sight.decided_BhwS is not None or self.sight.barred_BhwS is not None
        if told or not follows_data(self.features_BhwC):
            return palette_loss(self.logits(), next_BhwS, weights_BhwS)
        rows = (self.features_BhwC, self.sight.last_BhwS, next_BhwS, weights_BhwS)
        features_MC, last_MS, next_MS, weights_MS = (each.flatten(0, 2) for each in rows)
        return palette_loss_of_features(
            features_MC, self.painter.weight, self.painter.bias, self.copied, last_MS, next_MS, weights_MS
        )

    def frame(self) -> Tensor:
        """The likeliest frame, classes uint8 (B, H, W): what has the highest logits.

        Each colour's logits lie in a plane of their own here, which is what a CPU compares fast.
        """
        last_BhwS, painter = self.sight.last_BhwS, self.painter
        B, h, w, S = last_BhwS.shape
        features_MC, last_MS = self.features_BhwC.flatten(0, 2), last_BhwS.flatten(0, 2)
        if follows_data(features_MC):
            frame_MS = likeliest_of_features(features_MC, painter.weight, painter.bias, self.copied, last_MS)
        else:
            change_YM = _across(painter, features_MC)
            copied_PX = self.copied * one_hot(last_MS.T.flatten(), self.colors)
            frame_MS = likeliest(change_YM.view(self.colors, -1) + copied_PX).view(S, B * h * w).T
        frame_BhwS = frame_MS.reshape(B, h, w, S)
        if self.sight.decided_BhwS is not None:
            frame_BhwS = torch.where(self.sight.decided_BhwS, last_BhwS.to(torch.uint8), frame_BhwS)
        if self.sight.barred_BhwS is not None:
            barred_BhwS = self.sight.barred_BhwS == frame_BhwS + 1
            frame_BhwS = torch.where(barred_BhwS, last_BhwS.to(torch.uint8), frame_BhwS)
        return from_patches(frame_BhwS, math.isqrt(S))

    def evidence(self, colours_H: Tensor) -> Tensor:
        """Logit of its row's class (H,) in each pixel, against the likeliest one's, float (B, H, W)."""
        logits_BhwPS = self.logits().float()
        B, h, w, _, S = logits_BhwPS.shape
        side = math.isqrt(S)
        class_hS = colours_H.long().view(h, side, 1).expand(-1, -1, side).flatten(1)
        class_Bhw1S = class_hS[None, :, None, None].expand(B, -1, w, -1, -1)
        own_BhwS = logits_BhwPS.gather(3, class_Bhw1S)[..., 0, :]
        return from_patches(own_BhwS - logits_BhwPS.amax(3), side)


Drawing = PaintedDrawing | MovedDrawing
"""A next frame before it is decided: ``loss`` judges it, ``frame`` decides for the likeliest."""


class Decoder(nn.Module):
    """U-Net with history, code input at the bottleneck, and a copy of the last frame as its prior.

    The logits start as ``copy`` · (one-hot last frame), so that an untrained decoder repeats the last
    frame and training has to learn only what moves.
    """

    def __init__(self, config: ModelConfig, colors: int, code_dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        channels = config.channels
        finest = tuple(side * 2 ** (len(channels) - 1) for side in grid)
        self.colors, self.grid, self.patch = colors, grid, config.patch
        pixels = config.patch**2 * colors
        self.patches = FramePatches(config.history * config.patch**2, colors, channels[0])
        self.position = nn.Parameter(torch.zeros(1, channels[0], *finest))
        self.down_blocks = nn.ModuleList(ResidualBlock(c) for c in channels)
        self.downs = nn.ModuleList(Downsample(a, b) for a, b in itertools.pairwise(channels))
        self.codes = nn.Linear(code_dim, channels[-1])
        nn.init.normal_(self.codes.weight)  # unit code vectors then count as much as the past
        self.no_code = nn.Parameter(torch.zeros(channels[-1]))
        self.middle = nn.Sequential(ResidualBlock(channels[-1]), ResidualBlock(channels[-1]))
        self.ups = nn.ModuleList(Upsample(b, a) for a, b in itertools.pairwise(channels))
        self.up_blocks = nn.ModuleList(ResidualBlock(c) for c in channels[:-1])
        self.pixels = nn.Linear(channels[0], pixels)
        self.copy = nn.Parameter(torch.tensor(6.0))
        zero(self.pixels)
        self.choice = MoveChoice(channels[0], colors, config.patch, config.moves) if config.moves else None
        self.flow = Flow(config.history - 1, config.moves, channels[0]) if config.flow else None
        self.ahead = FramePatches(config.patch**2, colors, channels[0]) if config.things else None
        if self.ahead is not None:
            zero(self.ahead)

    def look(self, past_BTHW: Tensor, ahead: Ahead | None = None) -> Sight:
        """Take in the last T = history frames, classes uint8 (B, T, H, W).

        ``ahead`` says where their things are next, to a decoder that is told of things. That frame then
        takes the last one's place as what is copied, and pixels that things leave or come to are decided.
        Beside them nothing may be drawn in their colour: who draws balls by other means must not draw a
        second one there.
        """
        patches_BhwX = to_patches(past_BTHW, self.patch)
        features_BhwC, arriving_BhwM = self.patches(patches_BhwX), None
        if self.flow is not None and self.choice is not None:
            past_BhwTS = patches_BhwX.unflatten(3, (-1, self.patch**2))
            flow_BhwC, arriving_BhwM = self.flow(past_BhwTS, self.choice.offsets_M2)
            features_BhwC = features_BhwC + flow_BhwC
        last_BhwS, decided_BhwS, barred_BhwS = patches_BhwX[..., -(self.patch**2) :], None, None
        if self.ahead is not None:
            present_BhwS = last_BhwS
            if ahead is not None:
                last_BhwS = to_patches(ahead.frame_BHW[:, None], self.patch)
                barred_BhwS = to_patches(ahead.rims_BHW[:, None], self.patch)
            decided_BhwS = last_BhwS != present_BhwS
            features_BhwC = features_BhwC + self.ahead(last_BhwS)
        x = features_BhwC.permute(0, 3, 1, 2) + self.position.to(features_BhwC.dtype)
        skips = []
        for block, down in zip(self.down_blocks, self.downs, strict=False):
            x = block(x)
            skips.append(x)
            x = down(x)
        past_BChw = self.down_blocks[-1](x)
        return Sight(past_BChw, tuple(skips), last_BhwS, arriving_BhwM, decided_BhwS, barred_BhwS)

    def enter_codes(self, vectors_BND: Tensor, shown_B: Tensor | None = None) -> Tensor:
        """Code vectors as bottleneck input (B, C, h, w); samples that are not ``shown`` get none."""
        entered_BNC = self.codes(vectors_BND)
        if shown_B is not None:
            entered_BNC = torch.where(shown_B[:, None, None], entered_BNC, self.no_code.to(entered_BNC.dtype))
        return entered_BNC.transpose(1, 2).unflatten(2, self.grid)

    def mapper_view(self, sight: Sight) -> Tensor:
        """What the mapper knows of the past, (B, C, h, w)."""
        return sight.past_BChw

    def mapper_eyes(self) -> list[nn.Parameter]:
        """Parameters that only the mapper needs: none, it sees what the decoder sees."""
        return []

    def mix(self, sight: Sight, entered_BChw: Tensor) -> Tensor:
        """Past and codes together: the bottleneck (B, C, h, w) from which all is predicted."""
        mixed: Tensor = self.middle(sight.past_BChw + entered_BChw)
        return mixed

    def draw(self, sight: Sight, mixed_BChw: Tensor) -> Drawing:
        """The next frame, to be judged or decided."""
        features_BhwC = self._rise(sight, mixed_BChw)
        if self.choice is not None:
            scores_BhwK = self.choice.scores(features_BhwC)
            if self.flow is not None and sight.arriving_BhwM is not None:
                scores_BhwK = self.flow.scores(scores_BhwK, features_BhwC, sight.arriving_BhwM)
            return MovedDrawing(
                scores_BhwK, features_BhwC, sight.last_BhwS, self.choice, self.pixels, self.copy
            )
        return PaintedDrawing(features_BhwC, sight, self.pixels, self.copy, self.colors)

    def _rise(self, sight: Sight, mixed_BChw: Tensor) -> Tensor:
        """The way up to the finest level: features (B, h, w, C)."""
        x = mixed_BChw
        finest_last = reversed(list(zip(self.ups, self.up_blocks, sight.skips, strict=True)))
        for up, block, skip in finest_last:
            x = block(up(x) + skip)
        return F.silu(x).permute(0, 2, 3, 1)


def _across(layer: nn.Linear, features_MC: Tensor) -> Tensor:
    """What a linear layer makes of features, transposed: (X, M)."""
    dtype = features_MC.dtype
    return torch.addmm(layer.bias[:, None].to(dtype), layer.weight.to(dtype), features_MC.T)
