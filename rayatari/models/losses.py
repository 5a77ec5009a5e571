"""Training losses and errors on frames. Frames are classes of any one layout, (B, H, W) or patches."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_weights(
    present: Tensor, following: Tensor, motion: float | Tensor, color_weights_P: Tensor | None = None
) -> Tensor:
    """Weight of each pixel, float of the same shape: 1, plus ``motion`` where the pixel changes in the step.

    Plain averages ignore a ball of 8 pixels among 33,600; this is what makes it count. With
    ``color_weights_P`` each pixel's weight is multiplied by that of its next colour.
    """
    weights = 1 + motion * (following != present).float()
    if color_weights_P is not None:
        weights = weights * color_weights_P[following.long()]
    return weights


def rare_color_weights(frames: Tensor, colors: int, exponent: float) -> Tensor:
    """Weight (P,) of each colour: (its mean frequency / its frequency)^exponent, at most 100."""
    counts_P = torch.bincount(frames.flatten().long(), minlength=colors).float() + 1
    return (counts_P.mean() / counts_P).pow(exponent).clamp(max=100)


def near_motion(past_BTHW: Tensor, side: int, cells: int = 2) -> Tensor:
    """1 in the cells of ``side``² pixels near to where the past moves, else 0; float (B, h, w, 1).

    Near is up to ``cells`` cells away. What counts is the past alone: a weight that the outcome decides
    would teach the model to see motion where there is none.
    """
    moved_B1HW = (past_BTHW[:, 1:] != past_BTHW[:, :-1]).any(1, keepdim=True).float()
    moved_B1hw = F.max_pool2d(moved_B1HW, side)
    return F.max_pool2d(moved_B1hw, 2 * cells + 1, 1, cells).permute(0, 2, 3, 1)


def palette_loss(logits_BhwPS: Tensor, next_BhwS: Tensor, weights_BhwS: Tensor) -> Tensor:
    """Weighted mean cross-entropy, in nats, of palette logits for the next frame's classes."""
    logits_MPS, next_MS = logits_BhwPS.flatten(0, 2), next_BhwS.flatten(0, 2)
    loss_MS = F.cross_entropy(logits_MPS.float(), next_MS.long(), reduction="none")
    weights_MS = weights_BhwS.flatten(0, 2)
    return (loss_MS * weights_MS).sum() / weights_MS.sum()


def changed_error(
    predicted: Tensor, present: Tensor, following: Tensor, counted_B: Tensor | None = None
) -> Tensor:
    """Share of the pixels that change in the step which are predicted wrong; copying is wrong on all.

    Of the samples ``counted``, bool (B,); NaN where none changes.
    """
    changed = following != present
    if counted_B is not None:
        changed = changed & counted_B.view(-1, *[1] * (changed.ndim - 1))
    return ((predicted != following) & changed).sum() / changed.sum()


def pixel_error(predicted: Tensor, following: Tensor) -> Tensor:
    """Share of all pixels that are predicted wrong."""
    return (predicted != following).float().mean()


def relative_error(predicted: Tensor, start: Tensor, real: Tensor) -> Tensor:
    """Wrong pixels for each pixel that differs from the start: below 1 beats copying the start frame.

    Missing objects and ghosts both count, unlike in the error on changed pixels alone.
    """
    return (predicted != real).sum() / (start != real).sum().clamp(min=1)
