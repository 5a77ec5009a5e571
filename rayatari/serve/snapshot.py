"""A session as bytes, so that it can outlive the process that plays it. No pickle."""

import json
import struct
import zlib
from typing import Any

import numpy as np
import torch

from rayatari.models.neural_game import LooseGame
from rayatari.serve.session import Session

_KEPT = (
    "game", "seed", "temperature", "token", "lives", "score", "step", "sequence", "echo", "action",
    "terminated", "paused", "agent", "turns",
)  # fmt: skip
_LENGTH = struct.Struct("<I")


def save_session(session: Session) -> bytes:
    """The session between two turns: about 10 kB. It must have begun."""
    loose = session.loose
    assert loose is not None
    past = loose.past_THW.numpy(force=True)
    noise = loose.noise.get_state().numpy()
    head: dict[str, Any] = {name: getattr(session, name) for name in _KEPT}
    for name, values in (("earlier", loose.earlier_M), ("memory", loose.memory_M)):
        if values is not None:
            head[name] = values.tolist()
    head |= {"past": past.shape, "frame": session.frame.shape, "noise": len(noise)}
    text = json.dumps(head).encode()
    body = past.tobytes() + session.frame.tobytes() + noise.tobytes()
    return _LENGTH.pack(len(text)) + text + zlib.compress(body, 1)


def load_session(data: bytes) -> Session:
    """The session that :func:`save_session` wrote; its messages in line are not part of it."""
    (length,) = _LENGTH.unpack_from(data)
    head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
    body = np.frombuffer(bytearray(zlib.decompress(data[_LENGTH.size + length :])), np.uint8)
    past, frame, noise = np.split(body, np.cumsum([np.prod(head["past"]), np.prod(head["frame"])]))
    generator = torch.Generator()
    generator.set_state(torch.from_numpy(noise.copy()))
    earlier, memory = (
        torch.tensor(head[name], dtype=torch.long) if name in head else None for name in ("earlier", "memory")
    )
    return Session(
        loose=LooseGame(torch.from_numpy(past.reshape(head["past"])), generator, None, earlier, memory),
        frame=frame.reshape(head["frame"]),
        **{name: head[name] for name in _KEPT},
    )
