"""The physical row of a dataset, schema version 1: up to 128 transitions of one episode.

A row is self-contained. Beside its own ``length`` transitions it repeats the ``context`` transitions
before them, so that training windows which begin earlier can be cut from the row alone, and it ends
with the frame after its last transition:

    frame     0 … context-1        context … context+length-1        context+length
    what      repeated history     own transitions                   frame after the last one

``frames[i] --actions[i]--> frames[i + 1]`` holds for every i, and frame ``context`` is the episode's
frame number ``start_step``. Frames are palette bytes, compressed together with zstd (neighbouring
frames are nearly equal); the other columns are plain little-endian arrays. ``crc32`` covers all the
other columns, so that a flipped bit anywhere in the row is noticed when it is decoded.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rayatari.errors import UserError
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH

SCHEMA_VERSION = 1
CHUNK_STEPS = 128
"""Most own transitions of one chunk."""
DAMAGE_REMEDY = (
    "restore the file, or delete it together with card.json and run 'rayatari record' again, "
    "which plays exactly the missing files anew"
)

_ZSTD = pa.Codec("zstd", compression_level=7)  # a third of level 1's size, at 40,000 frames a second
_NUMBERS = ("episode", "start_step", "context", "length", "seed")
_ARRAYS = ("frames", "actions", "rewards", "terminated", "truncated", "lives")

ROW_SCHEMA = pa.schema(
    [
        pa.field("episode", pa.int64(), nullable=False),
        pa.field("start_step", pa.int32(), nullable=False),
        pa.field("context", pa.int32(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("frames", pa.large_binary(), nullable=False),
        pa.field("actions", pa.binary(), nullable=False),
        pa.field("rewards", pa.binary(), nullable=False),
        pa.field("terminated", pa.binary(), nullable=False),
        pa.field("truncated", pa.binary(), nullable=False),
        pa.field("lives", pa.binary(), nullable=False),
        pa.field("crc32", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Chunk:
    """Consecutive transitions of one episode; c = context, L = own transitions. Arrays are read-only."""

    episode: int
    """Number of the episode, unique in the dataset."""
    start_step: int
    """Step of the first own transition within its episode."""
    context: int
    """c: transitions repeated from before ``start_step``."""
    seed: int
    """Emulator seed of the episode."""
    policy: str
    """Who played."""
    frames: NDArray[np.uint8]
    """Palette bytes, (c+L+1, 210, 160); the last one follows the last transition."""
    actions: NDArray[np.uint8]
    """Indices of action names, (c+L,)."""
    rewards: NDArray[np.float32]
    """Raw points, (c+L,)."""
    terminated: NDArray[np.bool_]
    """The game ended with that transition, (c+L,)."""
    truncated: NDArray[np.bool_]
    """The step limit or the end of the recording cut the episode after that transition, (c+L,)."""
    lives: NDArray[np.uint8]
    """Lives left as each frame was shown, (c+L+1,)."""

    @property
    def length(self) -> int:
        """L: own transitions."""
        return len(self.actions) - self.context


def encode_chunk(chunk: Chunk) -> dict[str, Any]:
    """The Parquet row of a chunk, by column of ``ROW_SCHEMA``."""
    row: dict[str, Any] = {
        "episode": chunk.episode,
        "start_step": chunk.start_step,
        "context": chunk.context,
        "length": chunk.length,
        "seed": chunk.seed,
        "policy": chunk.policy,
        "frames": _ZSTD.compress(np.ascontiguousarray(chunk.frames), asbytes=True),
        "actions": chunk.actions.tobytes(),
        "rewards": chunk.rewards.astype("<f4").tobytes(),
        "terminated": chunk.terminated.tobytes(),
        "truncated": chunk.truncated.tobytes(),
        "lives": chunk.lives.tobytes(),
    }
    return {**row, "crc32": _checksum(row)}


def decode_chunk(row: Mapping[str, Any], source: str = "") -> Chunk:
    """The chunk of a Parquet row; UserError naming ``source`` (or the row's ``path``) when it is damaged."""
    check_row(row, source)
    steps = int(row["context"]) + int(row["length"])
    size = (steps + 1) * SCREEN_HEIGHT * SCREEN_WIDTH
    pixels = np.frombuffer(_ZSTD.decompress(row["frames"], size), np.uint8)
    return Chunk(
        episode=int(row["episode"]),
        start_step=int(row["start_step"]),
        context=int(row["context"]),
        seed=int(row["seed"]),
        policy=str(row["policy"]),
        frames=pixels.reshape(steps + 1, SCREEN_HEIGHT, SCREEN_WIDTH),
        actions=np.frombuffer(row["actions"], np.uint8),
        rewards=np.frombuffer(row["rewards"], "<f4"),
        terminated=np.frombuffer(row["terminated"], np.bool_),
        truncated=np.frombuffer(row["truncated"], np.bool_),
        lives=np.frombuffer(row["lives"], np.uint8),
    )


def check_row(row: Mapping[str, Any], source: str = "") -> None:
    """UserError as :func:`decode_chunk` raises it when any column differs from what was written."""
    if _checksum(row) != row["crc32"]:
        where = source or row.get("path") or "the dataset"
        place = f"episode {row['episode']} at step {row['start_step']}"
        raise UserError(f"{where} is damaged (checksum of {place} differs): {DAMAGE_REMEDY}")


def _checksum(row: Mapping[str, Any]) -> int:
    head = " ".join(str(int(row[name])) for name in _NUMBERS)
    crc = zlib.crc32(f"{head} {row['policy']}".encode())
    for name in _ARRAYS:
        crc = zlib.crc32(row[name], crc)
    return crc
