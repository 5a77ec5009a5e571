"""The average of the networks that training goes through.

Each update with a few dozen samples throws the weights about; their exponential moving average (Polyak and
Juditsky, 1992) stays where they circle, as if the learning rate had come down.
It is no sure gain (docs/log.md).
"""

import torch
from torch import nn

_SOON = 10
"""The n-th update leaves at most n / (n + 10) of the average, so that it soon forgets the start."""


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float, updates: int, made: int) -> None:
    """Let the parameters of ``average`` follow ``network``, in place, after ``made`` of ``updates`` updates.

    ``decay`` (0 to 1) is what an update leaves of the average; it grows to that with ``updates``, those of
    the whole training.
    """
    kept = min(decay, updates / (updates + _SOON)) ** made
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - kept)
