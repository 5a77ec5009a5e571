"""Linear layers of the heads: in single precision, and with learned noise. Shapes: B batch, I in, O out."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class HeadLinear(nn.Linear):
    """A linear layer that takes the same arguments as a noisy one; ``noisy`` changes nothing."""

    def forward(self, features: Tensor, noisy: bool = False) -> Tensor:
        """(B, ..., O) of (B, ..., I)."""
        return functional.linear(features, self.weight, self.bias)


class NoisyLinear(nn.Linear):
    """A linear layer whose weights carry factorised Gaussian noise (Fortunato et al., 2018).

    weight + sigma_weight * f(e_out) f(e_in)^T and bias + sigma_bias * f(e_out) with f(x) = sign(x) sqrt|x|:
    ``weight`` and ``bias`` are the means and are initialised as the paper asks, which is torch's default.
    The noise is drawn anew at every pass, one pair (e_in, e_out) for each row B and the same for what lies
    between B and I (IQN's quantiles): the paper draws one for the whole batch, which has the same mean.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float) -> None:
        super().__init__(inputs, outputs)
        start = sigma / inputs**0.5
        self.sigma_weight = nn.Parameter(torch.full((outputs, inputs), start))
        self.sigma_bias = nn.Parameter(torch.full((outputs,), start))

    def forward(self, features: Tensor, noisy: bool = False) -> Tensor:
        """(B, ..., O) of (B, ..., I), with fresh noise or without any."""
        means = functional.linear(features, self.weight, self.bias)
        if not noisy:
            return means
        rows = (len(features), *(1 for _ in features.shape[1:-1]))
        e_in = _noise(rows, self.in_features, features)
        e_out = _noise(rows, self.out_features, features)
        return means + e_out * functional.linear(features * e_in, self.sigma_weight, self.sigma_bias)


class Head(nn.Sequential):
    """Two layers with a ReLU between; the last in single precision even under autocast, because bf16
    would round the values to 1 in 256.
    """

    def __init__(self, features: int, hidden: int, outputs: int, sigma: float) -> None:
        super().__init__(_linear(features, hidden, sigma), nn.ReLU(), _linear(hidden, outputs, sigma))

    def forward(self, features: Tensor, noisy: bool = False) -> Tensor:
        """Float32 outputs (B, ..., O) of features (B, ..., F)."""
        first, activation, last = self
        hidden = activation(first(features, noisy))
        with torch.autocast(features.device.type, enabled=False):
            outputs: Tensor = last(hidden.float(), noisy)
        return outputs


def without_noise(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights by name that a network without noise has: the means."""
    return {name: value for name, value in weights.items() if "sigma_" not in name}


def _linear(inputs: int, outputs: int, sigma: float) -> nn.Module:
    return NoisyLinear(inputs, outputs, sigma) if sigma else HeadLinear(inputs, outputs)


def _noise(rows: tuple[int, ...], width: int, like: Tensor) -> Tensor:
    noise = torch.randn((*rows, width), device=like.device, dtype=like.dtype)
    return noise.sign() * noise.abs().sqrt()
