"""First and last layer of a model of palette pixels, computed in pieces that stay in a core's cache.

One-hot frames going in and palette logits coming out are the widest tensors of a training step: P numbers
for each pixel, where all else has a few for each patch. Here they are not written to main memory and read
again: rows of patches pass through one after the other, and the gradient is made beside the loss, as for
the vocabularies of language models (Hsu et al., 2024, "Liger Kernel"). It saves a tenth of a step with the
many colours of Enduro, and nothing with the nine of Breakout. For CPUs; a GPU's memory is fast enough for the
plain way, which gives the same numbers.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rayatari.models.hardware import compute_dtype

_PIECE = 512 * 1024
"""Bytes that the widest tensor of a piece may have: half of a core's second cache."""


def embed_patches(
    patches_MX: Tensor, weight_CY: Tensor, bias_C: Tensor | None = None, before_MX: Tensor | None = None
) -> Tensor:
    """A linear layer's answer (M, C) to one-hot patches of X pixels, classes uint8, with Y = P · X.

    With ``before`` to the difference of the two patches' one-hots: exactly zero where they are equal.
    """
    dtype = compute_dtype(patches_MX.device.type)
    features_MC: Tensor = _Embedding.apply(patches_MX, before_MX, weight_CY, bias_C, dtype)
    return features_MC


def palette_loss_of_features(
    features_MC: Tensor, weight_YC: Tensor, bias_Y: Tensor, copy: Tensor,
    last_MS: Tensor, next_MS: Tensor, weights_MS: Tensor,
) -> Tensor:  # fmt: skip
    """Weighted mean cross-entropy, in nats, of a linear layer's palette logits, Y = P · S.

    The logit of the colour that a pixel had last is raised by ``copy``. ``last`` and ``next`` are classes
    uint8; ``weights`` are constants. It is :func:`rayatari.models.losses.palette_loss` of these logits.
    """
    loss: Tensor = _PaletteLoss.apply(
        features_MC, weight_YC, bias_Y, copy, last_MS, next_MS, weights_MS,
        compute_dtype(features_MC.device.type),
    )  # fmt: skip
    return loss


def likeliest_of_features(
    features_MC: Tensor, weight_YC: Tensor, bias_Y: Tensor, copy: Tensor, last_MS: Tensor
) -> Tensor:
    """The colour of each pixel that has the highest of these logits, uint8 (M, S); the first of equals."""
    dtype = compute_dtype(features_MC.device.type)
    layer_Y1, layer_YC = bias_Y.to(dtype)[:, None], weight_YC.to(dtype)
    best_MS = torch.empty_like(last_MS, dtype=torch.uint8, memory_format=torch.contiguous_format)
    M, S = last_MS.shape
    for piece in _pieces(M, len(weight_YC) * 4):
        logits_PX = (
            torch.addmm(layer_Y1, layer_YC, features_MC[piece].to(dtype).T).float().view(len(bias_Y) // S, -1)
        )
        last_1X = last_MS[piece].T.reshape(1, -1).long()
        logits_PX.scatter_add_(0, last_1X, copy.float().expand_as(last_1X))
        best_MS[piece] = likeliest(logits_PX).view(S, -1).T
    return best_MS


def likeliest(logits_PX: Tensor) -> Tensor:
    """Argmax over the first dimension, uint8 (X,): the colour of each pixel from planes of logits.

    Four times faster on a CPU than ``argmax``, which compares one number at a time.
    """
    colors = len(logits_PX)
    best_X = logits_PX.amax(0)
    is_best_PX = torch.eq(logits_PX, best_X, out=torch.empty_like(logits_PX))
    ranks_P1 = torch.arange(colors, 0, -1, dtype=logits_PX.dtype, device=logits_PX.device)[:, None]
    return (colors - is_best_PX.mul_(ranks_P1).amax(0)).to(torch.uint8)


class _Embedding(torch.autograd.Function):
    """Forward as a sum of table rows, one a pixel; backward as a product with one-hots, piece by piece."""

    @staticmethod
    def forward(
        ctx: Any, patches_MX: Tensor, before_MX: Tensor | None, weight_CY: Tensor, bias_C: Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(patches_MX, before_MX)
        ctx.wide, ctx.dtype, ctx.biased = weight_CY.shape[1], dtype, bias_C is not None
        X = patches_MX.shape[1]
        rows_YC = weight_CY.float().unflatten(1, (-1, X)).permute(1, 2, 0).flatten(0, 1).contiguous()

        def summed(classes_MX: Tensor) -> Tensor:
            places_MX = classes_MX.int() * X + torch.arange(X, dtype=torch.int32)
            return F.embedding_bag(places_MX, rows_YC, mode="sum")

        features_MC = summed(patches_MX)
        if before_MX is not None:
            features_MC -= summed(before_MX)
        if bias_C is not None:
            features_MC += bias_C
        return features_MC.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient_MC = gradients[0].to(ctx.dtype)
        patches_MX, before_MX = ctx.saved_tensors
        weight_CY = torch.zeros(gradient_MC.shape[1], ctx.wide)
        for piece, hot_mY in _hot_pieces(patches_MX, before_MX, ctx.wide, ctx.dtype):
            weight_CY += gradient_MC[piece].T @ hot_mY
        return None, None, weight_CY, gradient_MC.float().sum(0) if ctx.biased else None, None


class _PaletteLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features_MC: Tensor, weight_YC: Tensor, bias_Y: Tensor, copy: Tensor,
        last_MS: Tensor, next_MS: Tensor, weights_MS: Tensor, dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        M, S = next_MS.shape
        Y, C = weight_YC.shape
        features_MC, layer_YC = features_MC.to(dtype), weight_YC.to(dtype)
        layer_Y1, total = bias_Y.to(dtype)[:, None], weights_MS.sum()
        loss, by_copy, by_features_MC = torch.zeros(()), torch.zeros(()), torch.empty_like(features_MC)
        by_weight_YC, by_bias_Y = torch.zeros(Y, C), torch.zeros(Y)
        for piece in _pieces(M, Y * 4):
            some_mC = features_MC[piece]
            logits_Ym = torch.addmm(layer_Y1, layer_YC, some_mC.T).float()
            logits_PX = logits_Ym.view(Y // S, -1)  # colours lie in planes, X = S · m
            last_1X, next_1X = (classes[piece].T.reshape(1, -1).long() for classes in (last_MS, next_MS))
            weights_X = weights_MS[piece].T.reshape(-1) / total
            logits_PX.scatter_add_(0, last_1X, copy.float().expand_as(last_1X))
            logits_PX -= logits_PX.amax(0)
            chosen_X = logits_PX.gather(0, next_1X)[0]
            sums_X = logits_PX.exp_().sum(0)
            loss += ((sums_X.log() - chosen_X) * weights_X).sum()
            by_logits_PX = logits_PX.mul_(weights_X / sums_X)
            by_logits_PX.scatter_add_(0, next_1X, -weights_X[None])
            by_copy += by_logits_PX.gather(0, last_1X).sum()
            by_logits_Ym = logits_Ym.to(dtype)
            by_bias_Y += logits_Ym.sum(1)
            by_weight_YC += by_logits_Ym @ some_mC
            torch.mm(by_logits_Ym.T, layer_YC, out=by_features_MC[piece])
        ctx.save_for_backward(by_features_MC, by_weight_YC, by_bias_Y, by_copy)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        by_loss = gradients[0]
        return *(part * by_loss.to(part.dtype) for part in ctx.saved_tensors), None, None, None, None


def _hot_pieces(
    patches_MX: Tensor, before_MX: Tensor | None, wide: int, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """One-hot patches (m, Y) piece by piece, in memory that is used again; colours before pixels."""
    M, X = patches_MX.shape
    pieces = _pieces(M, wide * dtype.itemsize)
    if not pieces:
        return
    hot_mY = torch.zeros(pieces[0].stop, wide, dtype=dtype)
    start_mX = torch.arange(len(hot_mY))[:, None] * wide + torch.arange(X)
    for piece in pieces:
        rows = piece.stop - piece.start
        ones = [
            start_mX[:rows] + classes_MX[piece].long() * X
            for classes_MX in (patches_MX, before_MX)
            if classes_MX is not None
        ]
        flat = hot_mY.view(-1)
        flat[ones[0]] = 1
        if before_MX is not None:
            flat[ones[1]] -= 1
        yield piece, hot_mY[:rows]
        for places_mX in ones:
            flat[places_mX] = 0


def _pieces(rows: int, row_bytes: int) -> list[slice]:
    """Rows in pieces that fit into the cache."""
    step = max(16, _PIECE // row_bytes)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
