"""Learning in bf16, weights in single precision (Micikevicius et al., 2018, "Mixed precision training")."""

import copy

import torch
from torch import Tensor

from rayatari.agent.network import QNetwork


class Bf16Copy:
    """A network's copy that is learned with in its place; the weights that are updated stay as they are.

    Autocast converts all weights into new memory at each pass, and their gradients back, which is a tenth
    of an update on a CPU. Here both are converted once, into memory that is kept.
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = copy.deepcopy(network).in_bf16()
        self.network.encoder[0].float()  # its few weights are divided by 255 before they are rounded
        self._originals: list[Tensor] = list(network.parameters())
        self._copies: list[Tensor] = list(self.network.parameters())
        self._gradients = [torch.zeros_like(parameter) for parameter in self._originals]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights of this moment, and forget all gradients."""
        torch._foreach_copy_(self._copies, self._originals)
        for parameter in self._copies:
            parameter.grad = None

    @torch.no_grad()
    def hand_over(self) -> None:
        """Give the original parameters the copies' gradients."""
        learned = [
            (original, kept, parameter.grad)
            for original, kept, parameter in zip(self._originals, self._gradients, self._copies, strict=True)
            if parameter.grad is not None
        ]
        torch._foreach_copy_([kept for _, kept, _ in learned], [gradient for *_, gradient in learned])
        for original, kept, _ in learned:
            original.grad = kept
