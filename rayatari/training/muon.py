"""Muon (Jordan et al., 2024) for convolutions, AdamW for all else, as one optimizer.

Muon orthogonalises the momentum of each weight matrix by a few Newton-Schulz steps, so that all its
directions learn alike. Updates are scaled to the size of AdamW's (Liu et al., 2025), which therefore
shares its learning rate and weight decay.
"""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose groups with ``muon`` set are updated by Muon."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters that have a gradient."""
        assert closure is None
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group.get("muon")]
        super().step()
        self.param_groups = groups
        for group in groups:
            if group.get("muon"):
                self._step_muon(group)
        return None

    def _step_muon(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape.setdefault(_as_matrix(parameter).shape, []).append(parameter)
        for shape, parameters in by_shape.items():
            matrices = []
            for parameter in parameters:
                gradient, state = parameter.grad, self.state[parameter]
                assert gradient is not None
                if not state:  # AdamW looks for a step wherever there is a state
                    state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(parameter)}
                state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
                matrices.append(_as_matrix(gradient.lerp(state["momentum"], _MOMENTUM)))
            updates = orthogonalize(torch.stack(matrices), group["newton_schulz"]) * 0.2 * max(shape) ** 0.5
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                rows, columns = parameter.shape[2:]
                filters = update.unflatten(1, (rows, columns, -1)).permute(0, 3, 1, 2)
                parameter.sub_(filters * group["lr"])


def _as_matrix(filters: Tensor) -> Tensor:
    """A convolution's weights (C', C, i, j) as a matrix (C', i · j · C).

    The order of columns makes no difference to Muon; in this one channels-last weights need no copy.
    """
    return filters.permute(0, 2, 3, 1).flatten(1)


def orthogonalize(matrices_LMN: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrices whose singular values are about 1, for L of one shape."""
    a, b, c = _COEFFICIENTS
    x = matrices_LMN.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices_LMN.dtype)
