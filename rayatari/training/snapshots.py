"""Training snapshots on disk: whole or not there, and read without unpickling objects."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rayatari.errors import UserError
from rayatari.paths import write_atomic

STATE = "state.pt"


def save_snapshot(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` atomically."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def load_snapshot(path: Path) -> dict[str, Any]:
    """Read a snapshot of tensors and numbers; UserError when it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise UserError(
            f"checkpoint {path} is damaged ({reason}): delete it to go on from the one before"
        ) from None
    return state
