"""Convolutional building blocks. Feature maps are (B, C, h, w) in channels-last memory order."""

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """``x + conv(silu(conv(silu(x))))``; the last convolution starts at zero, so the block as identity."""

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        change: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + change


class Downsample(nn.Module):
    """Halve height and width by a strided 2x2 convolution."""

    def __init__(self, channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 2, stride=2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h/2, w/2)."""
        out: Tensor = self.conv(F.silu(x))
        return out


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Upsample(nn.Module):
    """Double height and width: 1x1 convolution to four times the channels, then pixel shuffle."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', 2h, 2w)."""
        return F.pixel_shuffle(self.conv(F.silu(x)), 2)
