"""Fitting models to the hardware: arithmetic and memory order."""

import ctypes
import sys
from functools import cache
from typing import TypeVar

import torch
from torch import nn

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8

Model = TypeVar("Model", bound=nn.Module)


@cache
def fast_bf16(device_type: str) -> bool:
    """Whether a ``cpu`` or ``cuda`` device has units for bfloat16, rather than emulating it."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(unit) for unit in ("avx512_bf16", "amx_bf16", "bf16"))


def place(model: Model, device: torch.device) -> Model:
    """Move a model to ``device`` with its convolutions in channels-last order, the faster one everywhere."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def keep_freed_memory(one_arena: bool = False) -> None:
    """Have the C library keep what is freed: given back, it would return as page faults at every step.

    ``one_arena`` is for a model that runs beside the main thread, whose own arena would be given back.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 128 * 2**20)
    if one_arena:
        mallopt(_M_ARENA_MAX, 1)
