"""What the training loop runs on: device, precision, threads, memory."""

import os

import torch

from rayatari.config.runtime import TrainingConfig
from rayatari.memory import keep_freed_memory
from rayatari.models.hardware import fast_bf16


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of autocast that ``auto``, ``bf16`` or ``fp32`` means on ``device``."""
    if name == "auto":
        name = "bf16" if fast_bf16(device.type) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def set_up_cpu(config: TrainingConfig) -> None:
    """Give torch its share of the cores, and keep freed memory in the process.

    Each training step frees and takes the same hundreds of megabytes. Returned to the system, they come
    back as page faults, which cost a third of the step.
    """
    torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // config.workers))
    keep_freed_memory()
