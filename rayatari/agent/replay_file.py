"""The replay memory on disk: one zstd stream of frames (a tenth of their size or less) and one npz."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from rayatari.agent.replay import Replay

_FRAMES = "frames.zst"
_ARRAYS = "arrays.npz"


def save_replay(replay: Replay, folder: Path) -> None:
    """Write ``replay`` to ``folder``; only what the rings hold, lane by lane."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / _ARRAYS, allow_pickle=False, **replay.arrays())
    with pa.CompressedOutputStream(str(folder / _FRAMES), "zstd") as stream:
        for frames, held in zip(replay.views, replay.held(), strict=True):
            stream.write(np.ascontiguousarray(frames[:held]))


def load_replay(replay: Replay, folder: Path) -> None:
    """Fill ``replay``, built from the same configuration, with what :func:`save_replay` wrote."""
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        replay.restore(dict(arrays))
    with pa.CompressedInputStream(str(folder / _FRAMES), "zstd") as stream:
        for frames, held in zip(replay.views, replay.held(), strict=True):
            for frame in frames[:held]:
                stream.readinto(frame)
