"""From continuous latents to codes: a learned codebook (VQ) or a fixed grid (FSQ), one interface.

A quantizer maps latents (B, N, ``dim``) to a :class:`Quantized`; ``vectors(codes)`` gives the code
vectors of indices, so that whoever holds codes can decode them.
"""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.config.world import ModelConfig
from rayatari.errors import UserError


@dataclass(frozen=True)
class Quantized:
    """What a quantizer knows of a batch."""

    vectors_BND: Tensor
    """Code vectors; the gradient goes straight through to the latents (Bengio et al., 2013)."""
    codes_BN: Tensor
    """Indices of the codes, int64, 0 to K-1."""
    commitment: Tensor
    """Mean squared distance of latents from their codes; 0 for a grid."""
    entropy: Tensor
    """Entropy, in nats, of the batch's mean soft code use; log K when all codes are used alike."""


def code_perplexity(codes_BN: Tensor, size: int) -> Tensor:
    """Effective number of codes in use, 1 to K: exp of the entropy of their frequencies."""
    codes_M = codes_BN.flatten()
    share = torch.zeros(size, device=codes_M.device).index_add_(
        0, codes_M, torch.ones_like(codes_M, dtype=torch.float)
    )
    share = share / share.sum()
    return torch.special.entr(share).sum().exp()


class VectorQuantizer(nn.Module):
    """Cosine codebook with exponential-moving-average updates and revival of dead codes.

    van den Oord et al. (2017), appendix A.1, for the updates; Yu et al. (2022) for the cosine distance;
    Dhariwal et al. (2020) for replacing codes that are not used by latents of the current batch.
    The updates happen in ``forward`` while the module is in training mode, from the statistics of all
    workers together.
    """

    DECAY = 0.99
    PATIENCE = 20
    """Training steps without use after which a code is replaced."""
    SHARPNESS = 10.0
    """Inverse temperature of the soft assignment behind the entropy."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size, self.dim = size, dim
        self.codebook: Tensor
        self.idle_steps: Tensor
        self.register_buffer("codebook", F.normalize(torch.randn(size, dim), dim=-1))
        self.register_buffer("idle_steps", torch.full((size,), self.PATIENCE))

    def forward(self, latents_BND: Tensor) -> Quantized:
        """Quantize latents (B, N, D)."""
        latents_BND = F.normalize(latents_BND.float(), dim=-1)
        similarity_BNK = latents_BND @ self.codebook.T.clone()  # the codebook moves before backward
        codes_BN = similarity_BNK.argmax(-1)
        nearest_BND = self.vectors(codes_BN)
        soft_K = (self.SHARPNESS * similarity_BNK).softmax(-1).mean((0, 1))
        result = Quantized(
            vectors_BND=latents_BND + (nearest_BND - latents_BND).detach(),
            codes_BN=codes_BN,
            commitment=F.mse_loss(latents_BND, nearest_BND),
            entropy=torch.special.entr(soft_K).sum(),
        )
        if self.training:
            self._update(latents_BND.detach().flatten(0, 1), codes_BN.flatten())
        return result

    def vectors(self, codes_BN: Tensor) -> Tensor:
        """Code vectors (B, N, D) of indices (B, N)."""
        return self.codebook[codes_BN]

    @torch.no_grad()
    def _update(self, latents_MD: Tensor, codes_M: Tensor) -> None:
        uses_K = torch.zeros_like(self.codebook[:, 0]).index_add_(
            0, codes_M, torch.ones_like(latents_MD[:, 0])
        )
        sums_KD = torch.zeros_like(self.codebook).index_add_(0, codes_M, latents_MD)
        if dist.is_initialized():
            dist.all_reduce(uses_K)
            dist.all_reduce(sums_KD)
        used_K = uses_K > 0
        moved_KD = self.codebook.lerp(F.normalize(sums_KD, dim=-1), 1 - self.DECAY)
        self.codebook.copy_(torch.where(used_K[:, None], F.normalize(moved_KD, dim=-1), self.codebook))
        self.idle_steps.add_(1).masked_fill_(used_K, 0)
        self._revive(latents_MD)

    def _revive(self, latents_MD: Tensor) -> None:
        """Put codes that have long been idle where latents of this batch are that are not zero."""
        some_M = latents_MD.any(-1).float()
        ends_M = some_M.cumsum(0)
        drawn_K = torch.rand_like(self.codebook[:, 0]) * ends_M[-1]
        chosen_K = torch.searchsorted(ends_M, drawn_K, right=True).clamp(max=len(some_M) - 1)
        dead_K = (self.idle_steps > self.PATIENCE) & (some_M[chosen_K] > 0)
        self.codebook.copy_(torch.where(dead_K[:, None], latents_MD[chosen_K], self.codebook))
        self.idle_steps.masked_fill_(dead_K, 0)


class FiniteScalarQuantizer(nn.Module):
    """FSQ (Mentzer et al., 2023): each latent dimension is rounded to one of a few fixed levels.

    Half of the dimensions have 4 levels, the rest are of 2, so that their product is K = 2^bits.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        bits = int(math.log2(size))
        if 2**bits != size:
            raise UserError(f"world.model.codes={size} is not a power of 2, which quantizer=fsq needs")
        levels = [4] * (bits // 2) + [2] * (bits % 2)
        self.size, self.dim = size, len(levels)
        self.levels: Tensor
        self.strides: Tensor
        self.register_buffer("levels", torch.tensor(levels))
        self.register_buffer("strides", torch.tensor([1, *levels[:-1]]).cumprod(0))

    def forward(self, latents_BND: Tensor) -> Quantized:
        """Quantize latents (B, N, D) to vectors in [-1, 1]."""
        place_BND = latents_BND.float().sigmoid() * (self.levels - 1)
        steps_BND = place_BND.round().long()
        through_BND = place_BND + (steps_BND - place_BND).detach()
        codes_BN = (steps_BND * self.strides).sum(-1)
        share_D = place_BND.mean((0, 1)) / (self.levels - 1)
        return Quantized(
            vectors_BND=2 * through_BND / (self.levels - 1) - 1,
            codes_BN=codes_BN,
            commitment=latents_BND.new_zeros(()),
            entropy=(torch.special.entr(share_D) + torch.special.entr(1 - share_D)).sum(),
        )

    def vectors(self, codes_BN: Tensor) -> Tensor:
        """Code vectors (B, N, D) of indices (B, N)."""
        steps_BND = codes_BN[..., None] // self.strides % self.levels
        return 2 * steps_BND / (self.levels - 1) - 1


def make_quantizer(config: ModelConfig) -> VectorQuantizer | FiniteScalarQuantizer:
    """The quantizer that ``config`` names."""
    if config.quantizer == "fsq":
        return FiniteScalarQuantizer(config.codes)
    return VectorQuantizer(config.codes, config.code_dim)
