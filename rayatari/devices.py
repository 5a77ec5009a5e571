"""Where tensors live."""

import torch

from rayatari.errors import UserError


def pick_device(name: str, setting: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` means here.

    UserError, which names the ``setting`` that asked for it, when there is no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{setting}=cuda, but torch sees no GPU: use {setting}=auto or cpu")
    return torch.device(name)
