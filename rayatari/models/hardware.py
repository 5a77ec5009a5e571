"""Fitting models to the hardware: arithmetic and memory order."""

from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


@cache
def fast_bf16(device_type: str) -> bool:
    """Whether a ``cpu`` or ``cuda`` device has units for bfloat16, rather than emulating it."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(unit) for unit in ("avx512_bf16", "amx_bf16", "bf16"))


def compute_dtype(device_type: str) -> torch.dtype:
    """The dtype that layers compute in: autocast's, where it is on."""
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return torch.float32


def follows_data(values: Tensor) -> bool:
    """Whether the shapes of what is computed may depend on ``values``: not in CUDA graphs, nor in exports."""
    return not (values.is_cuda or torch.compiler.is_exporting())


def place(model: Model, device: torch.device) -> Model:
    """Move a model to ``device`` with its convolutions in channels-last order, the faster one everywhere."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model
