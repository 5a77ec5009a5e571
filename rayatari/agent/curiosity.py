"""Random network distillation (Burda et al., 2019): novelty is what a network fails to predict of a random
one. Plain torch, for either backend.

Shapes: B batch, G games side by side, E outputs; frames are the newest views, uint8 (B, 84, 84).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rayatari.games.agent_view import VIEW_SIZE

_CLIP = 5.0
"""Normalised pixels are clipped to this, as in the paper."""


@dataclass(frozen=True)
class CuriosityConfig:
    """Sizes of the two networks."""

    games: int
    """Games whose novelty is summed up to returns."""
    channels: tuple[int, int, int] = (32, 64, 64)
    """Channels of the convolutions."""
    features: int = 256
    """Outputs E."""
    gamma: float = 0.99
    """Discount of the returns that novelty is normalised by."""


class Curiosity(nn.Module):
    """A random network, its imitator, and the running statistics that make novelty comparable."""

    pixel_mean: Tensor
    pixel_variance: Tensor
    pixel_count: Tensor
    returns_G: Tensor
    """Discounted novelty of each game so far; games do not end here, as in the paper."""
    return_mean: Tensor
    return_variance: Tensor
    return_count: Tensor

    def __init__(self, config: CuriosityConfig) -> None:
        super().__init__()
        self.config = config
        self.random = _encoder(config, depth=1).requires_grad_(False)
        self.imitator = _encoder(config, depth=3)
        size = (VIEW_SIZE, VIEW_SIZE)
        statistics = {
            "pixel_mean": torch.zeros(size),
            "pixel_variance": torch.ones(size),
            "pixel_count": torch.tensor(0.0),
            "returns_G": torch.zeros(config.games),
            "return_mean": torch.tensor(0.0),
            "return_variance": torch.tensor(1.0),
            "return_count": torch.tensor(0.0),
        }
        for name, value in statistics.items():
            self.register_buffer(name, value)

    def errors(self, frames_BHW: Tensor) -> Tensor:
        """Mean squared errors of the imitation, float32 (B,), with gradients; never in half precision."""
        pixels = (frames_BHW.float() - self.pixel_mean) / self.pixel_variance.sqrt().clamp(min=1.0)
        pixels_B1HW = pixels.clamp(-_CLIP, _CLIP)[:, None]
        with torch.autocast(frames_BHW.device.type, enabled=False):
            with torch.no_grad():
                aims_BE: Tensor = self.random(pixels_B1HW)
            guesses_BE: Tensor = self.imitator(pixels_B1HW)
        return (guesses_BE - aims_BE).square().mean(1)

    @torch.no_grad()
    def novelty(self, frames_BHW: Tensor) -> Tensor:
        """The intrinsic reward of arriving at these frames, float32 (B,)."""
        return self.novelty_of(self.errors(frames_BHW))

    def novelty_of(self, errors_B: Tensor) -> Tensor:
        """Errors in units of the standard deviation of their discounted sums, (B,)."""
        return errors_B / self.return_variance.sqrt().clamp(min=1e-8)

    @torch.no_grad()
    def observe(self, frames_GHW: Tensor, first: int = 0) -> None:
        """Take one new frame of each of G games, number ``first`` on, into the statistics."""
        frames = frames_GHW.float()
        _merge(self.pixel_mean, self.pixel_variance, self.pixel_count, frames)
        games = slice(first, first + len(frames))
        self.returns_G[games] = self.config.gamma * self.returns_G[games] + self.errors(frames_GHW)
        _merge(self.return_mean, self.return_variance, self.return_count, self.returns_G[games])


def mixed_returns(returns_B: Tensor, novelty_B: Tensor, alpha: float | Tensor) -> Tensor:
    """What the exploring agent learns from: (1 - alpha) * returns + alpha * novelty, (B,)."""
    return (1 - alpha) * returns_B + alpha * novelty_B


def two_minds(
    exploiter: Callable[[Tensor], Tensor],
    explorer: Callable[[Tensor], Tensor],
    views: Tensor,
    explores_B: Tensor,
) -> Tensor:
    """Action values (B, A) of the agent that plays each game: of the explorer where ``explores_B``, bool."""
    if not explores_B.any():
        return exploiter(views)
    if explores_B.all():
        return explorer(views)
    exploited, explored = exploiter(views[~explores_B]), explorer(views[explores_B])
    values_BA = exploited.new_empty((len(views), exploited.shape[1]))
    values_BA[~explores_B], values_BA[explores_B] = exploited, explored
    return values_BA


def explorers(share: float, first: int, stride: int, count: int) -> list[bool]:
    """Which of the games ``first``, ``first + stride``, ... the exploring agent plays.

    Of any run of games with neighbouring numbers it plays ``share``, spread evenly.
    """
    numbers = [first + stride * k for k in range(count)]
    return [int((number + 1) * share) > int(number * share) for number in numbers]


def _merge(mean: Tensor, variance: Tensor, count: Tensor, samples: Tensor) -> None:
    """Take ``samples`` (first axis) into running moments, in place (Chan et al., 1979)."""
    fresh_mean, fresh_variance = samples.mean(0), samples.var(0, unbiased=False)
    total = count + len(samples)
    delta = fresh_mean - mean
    squares = variance * count + fresh_variance * len(samples)
    squares = squares + delta.square() * (count * len(samples) / total)
    mean.add_(delta * (len(samples) / total))
    variance.copy_(squares / total)
    count.copy_(total)


def _encoder(config: CuriosityConfig, depth: int) -> nn.Sequential:
    """Three convolutions and ``depth`` linear layers, orthogonal weights, biases of zero."""
    first, second, third = config.channels
    layers: list[nn.Module] = [
        nn.Conv2d(1, first, 8, stride=4), nn.LeakyReLU(),
        nn.Conv2d(first, second, 4, stride=2), nn.LeakyReLU(),
        nn.Conv2d(second, third, 3), nn.LeakyReLU(),
        nn.Flatten(), nn.Linear(third * 7 * 7, config.features),
    ]  # fmt: skip
    for _ in range(depth - 1):
        layers += [nn.ReLU(), nn.Linear(config.features, config.features)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight, 2**0.5)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
