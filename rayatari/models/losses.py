"""Training losses on palette logits."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_weights(
    present_BHW: Tensor, next_BHW: Tensor, motion: float, color_weights_P: Tensor | None = None
) -> Tensor:
    """Weight of each pixel, float (B, H, W): 1, plus ``motion`` where the pixel changes in the step.

    Plain averages ignore a ball of 8 pixels among 33,600; this is what makes it count. With
    ``color_weights_P`` each pixel's weight is multiplied by that of its next colour.
    """
    weights_BHW = 1 + motion * (next_BHW != present_BHW).float()
    if color_weights_P is not None:
        weights_BHW = weights_BHW * color_weights_P[next_BHW.long()]
    return weights_BHW


def rare_color_weights(frames: Tensor, colors: int, exponent: float) -> Tensor:
    """Weight (P,) of each colour: (its mean frequency / its frequency)^exponent, at most 100."""
    counts_P = torch.bincount(frames.flatten().long(), minlength=colors).float() + 1
    return (counts_P.mean() / counts_P).pow(exponent).clamp(max=100)


def palette_loss(logits_BPHW: Tensor, next_BHW: Tensor, weights_BHW: Tensor) -> Tensor:
    """Weighted mean cross-entropy, in nats, of the next frame's classes."""
    loss_BHW = F.cross_entropy(logits_BPHW.float(), next_BHW.long(), reduction="none")
    return (loss_BHW * weights_BHW).sum() / weights_BHW.sum()


def changed_error(predicted_BHW: Tensor, present_BHW: Tensor, next_BHW: Tensor) -> Tensor:
    """Share of the pixels that change in the step which are predicted wrong; copying is wrong on all."""
    changed_BHW = next_BHW != present_BHW
    wrong = ((predicted_BHW != next_BHW) & changed_BHW).sum()
    return wrong / changed_BHW.sum().clamp(min=1)


def pixel_error(predicted_BHW: Tensor, next_BHW: Tensor) -> Tensor:
    """Share of all pixels that are predicted wrong."""
    return (predicted_BHW != next_BHW).float().mean()
