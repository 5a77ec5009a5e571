"""Quantizers: codes, gradients, and codebooks that stay alive."""

import pytest
import torch

from rayatari.errors import UserError
from rayatari.models.quantizer import FiniteScalarQuantizer, VectorQuantizer, code_perplexity


def test_vq_takes_the_nearest_code_by_cosine_and_passes_the_gradient_through() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(32, 4).eval()
    latents = torch.randn(3, 5, 4, requires_grad=True)
    found = quantizer(latents)
    nearest = torch.nn.functional.cosine_similarity(
        latents[:, :, None], quantizer.codebook[None, None], dim=-1
    ).argmax(-1)
    assert torch.equal(found.codes_BN, nearest)
    torch.testing.assert_close(found.vectors_BND, quantizer.vectors(found.codes_BN))
    found.vectors_BND.sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0


def test_vq_revives_idle_codes_until_a_spread_of_latents_uses_most() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(64, 8)
    quantizer.codebook[:] = quantizer.codebook[:1]  # all codes dead but one
    points = torch.randn(8, 35, 8)
    for _ in range(200):
        found = quantizer(points + 0.05 * torch.randn_like(points))
    assert code_perplexity(found.codes_BN, 64) > 32


def test_vq_does_not_learn_in_evaluation() -> None:
    quantizer = VectorQuantizer(16, 4).eval()
    before = quantizer.codebook.clone()
    quantizer(torch.randn(4, 5, 4))
    assert torch.equal(quantizer.codebook, before)


@pytest.mark.parametrize("size", [8, 64, 256])
def test_fsq_gives_every_code_its_own_vector_and_finds_it_again(size: int) -> None:
    quantizer = FiniteScalarQuantizer(size)
    codes = torch.arange(size)[None]
    vectors = quantizer.vectors(codes)
    assert len(vectors[0].unique(dim=0)) == size
    assert vectors.min() == -1 and vectors.max() == 1
    latents = torch.logit(((vectors + 1) / 2).clamp(0.01, 0.99))
    assert torch.equal(quantizer(latents).codes_BN, codes)


def test_fsq_passes_the_gradient_through() -> None:
    latents = torch.randn(2, 3, 4, requires_grad=True)
    FiniteScalarQuantizer(256)(latents).vectors_BND.sum().backward()
    assert latents.grad is not None and (latents.grad != 0).all()


def test_fsq_needs_a_power_of_two() -> None:
    with pytest.raises(UserError, match="power of 2"):
        FiniteScalarQuantizer(100)


def test_perplexity_counts_codes_in_use() -> None:
    assert code_perplexity(torch.zeros(4, 5, dtype=torch.long), 8) == pytest.approx(1)
    assert code_perplexity(torch.arange(8)[None], 8) == pytest.approx(8)
