"""Layers of one-hot pixels in pieces: the numbers and gradients of the plain way."""

import pytest
import torch
from torch import Tensor, nn

from rayatari.models import streamed
from rayatari.models.frames import one_hot
from rayatari.models.losses import palette_loss

COLORS, PIXELS, CHANNELS, ROWS = 5, 16, 8, 300


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_PIECE", 64 * COLORS * PIXELS * 4)  # 300 rows in pieces of 64 or 128


def patches(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, COLORS, (ROWS, PIXELS), dtype=torch.uint8, generator=generator)


def head() -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(0)
    copy = torch.tensor(0.5, requires_grad=True)
    return torch.randn(ROWS, CHANNELS, requires_grad=True), nn.Linear(CHANNELS, COLORS * PIXELS), copy


def logits_of(features: Tensor, layer: nn.Linear, copy: Tensor, last: Tensor) -> Tensor:
    logits: Tensor = layer(features).unflatten(1, (COLORS, PIXELS)) + copy * one_hot(last, COLORS)
    return logits


def test_the_palette_loss_of_features_is_that_of_their_logits() -> None:
    features, layer, copy = head()
    last, following, weights = patches(1), patches(2), torch.rand(ROWS, PIXELS) * 20
    learned = [features, *layer.parameters(), copy]
    plain = palette_loss(
        logits_of(features, layer, copy, last)[None, None], following[None, None], weights[None, None]
    )
    pieces = streamed.palette_loss_of_features(
        features, layer.weight, layer.bias, copy, last, following, weights
    )
    torch.testing.assert_close(pieces, plain)
    for ours, theirs in zip(
        torch.autograd.grad(3 * pieces, learned), torch.autograd.grad(3 * plain, learned), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_likeliest_colours_are_those_of_the_highest_logits() -> None:
    features, layer, copy = head()
    last = patches(1)
    best = streamed.likeliest_of_features(features, layer.weight, layer.bias, copy, last)
    assert torch.equal(best, logits_of(features, layer, copy, last).argmax(1).to(torch.uint8))
    assert 0.1 < (best == last).float().mean() < 0.9


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("differs", [True, False])
def test_patches_are_embedded_as_by_a_linear_layer_of_their_one_hots(biased: bool, differs: bool) -> None:
    layer = nn.Linear(COLORS * PIXELS, CHANNELS, bias=biased)
    after, before = patches(1), patches(2) if differs else None
    hot = one_hot(after, COLORS)
    if before is not None:
        before[:100] = after[:100]
        hot = hot - one_hot(before, COLORS)
    plain, ours = (
        layer(hot.flatten(1)),
        streamed.embed_patches(after, layer.weight, layer.bias, before),
    )
    torch.testing.assert_close(ours, plain)
    if before is not None and not biased:
        assert not ours[:100].any(), "where nothing changes nothing is said, not even by rounding"
    weights = torch.randn_like(plain)
    learned = list(layer.parameters())
    for gradients in zip(
        *(torch.autograd.grad((made * weights).sum(), learned) for made in (plain, ours)), strict=True
    ):
        torch.testing.assert_close(*gradients)
