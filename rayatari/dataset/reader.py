"""Reading a dataset in this process, without Ray."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayatari.dataset.chunk import Chunk, decode_chunk
from rayatari.dataset.info import SPLITS, DatasetInfo, ShardInfo, load_info
from rayatari.dataset.shard import check_shard, read_rows
from rayatari.dataset.storage import Storage
from rayatari.games.interface import Frame


@dataclass(frozen=True)
class Transition:
    """The logical row of a dataset: what was seen, done, and gained in one step."""

    episode: int
    """Number of the episode, unique in the dataset."""
    step: int
    """Number of the step within its episode, from 0."""
    frame: Frame
    """The screen before the step: palette bytes, uint8 (210, 160), read-only."""
    action: int
    """Index of the action's name."""
    reward: float
    """Raw points scored in the step."""
    terminated: bool
    """The game ended with the step."""
    truncated: bool
    """The step limit or the end of the recording cut the episode after the step."""
    lives: int
    """Lives left before the step, as on ``frame``."""
    policy: str
    """Who played."""
    seed: int
    """Emulator seed of the episode."""


def read_transitions(path: str, split: str = "") -> Iterator[Transition]:
    """Yield the transitions of one split, or of all (``""``), in order of episode and step.

    Errors as in :func:`read_chunks`.
    """
    return _transitions(read_chunks(path, split))


def read_chunks(path: str, split: str = "") -> Iterator[Chunk]:
    """Yield the decoded chunks of one split, or of all (``""``), in order of episode and step.

    The dataset's description is read at once, shards one after the other as the iterator advances.
    Raises UserError when there is no dataset, its schema version is another, or a shard is missing,
    truncated or damaged; the message names the file and the remedy.
    """
    storage = Storage(path)
    rows = _rows(storage, _shards(load_info(storage), split))
    return (decode_chunk(row) for row in rows)


def pass_rows(path: str, split: str, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One pass over the physical rows of a split, still compressed, its files in random order.

    The twin of :func:`rayatari.dataset.ray_source.epoch_rows` for training without Ray. Errors as in
    :func:`read_chunks`.
    """
    storage = Storage(path)
    shards = _shards(load_info(storage), split)
    return _rows(storage, [shards[i] for i in random.permutation(len(shards))])


def verify_files(path: str, split: str = "") -> DatasetInfo:
    """Prove that every shard of a split has its recorded size and checksum; UserError names a bad one.

    Reads the files (about 1 GB/s) without decoding them.
    """
    storage = Storage(path)
    info = load_info(storage)
    for shard in _shards(info, split):
        check_shard(storage, shard)
    return info


def _shards(info: DatasetInfo, split: str) -> list[ShardInfo]:
    assert split in ("", *SPLITS), split
    return [shard for shard in info.shards if split in ("", shard.split)]


def _rows(storage: Storage, shards: Sequence[ShardInfo]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        for row in read_rows(storage, shard):
            yield {**row, "path": storage.describe(shard.name)}


def _transitions(chunks: Iterator[Chunk]) -> Iterator[Transition]:
    for chunk in chunks:
        for i in range(chunk.context, len(chunk.actions)):
            yield Transition(
                episode=chunk.episode,
                step=chunk.start_step + i - chunk.context,
                frame=chunk.frames[i],
                action=int(chunk.actions[i]),
                reward=float(chunk.rewards[i]),
                terminated=bool(chunk.terminated[i]),
                truncated=bool(chunk.truncated[i]),
                lives=int(chunk.lives[i]),
                policy=chunk.policy,
                seed=chunk.seed,
            )
