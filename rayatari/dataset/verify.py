"""Proof that a dataset is whole: every file, every chunk, every episode, and the counts."""

from collections.abc import Iterator

import numpy as np

from rayatari.dataset.chunk import DAMAGE_REMEDY, Chunk, decode_chunk
from rayatari.dataset.info import DatasetInfo, ShardInfo
from rayatari.dataset.shard import read_rows
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError

_PER_TRANSITION = ("actions", "rewards", "terminated", "truncated")


def verified_chunks(storage: Storage, info: DatasetInfo) -> Iterator[Chunk]:
    """Yield every chunk of a dataset in reading order, having checked it against all before it.

    Checksums, lengths, the unbroken sequence of steps and of frames, the end of every episode,
    no episode twice, colours and actions that exist, and counts equal to those in ``info``.
    Raises UserError that names the file at the first fault.
    """
    seen: set[int] = set()
    for shard in info.shards:
        yield from _verified_shard(storage, info, shard, seen)
    transitions = sum(shard.transitions for shard in info.shards)
    if (transitions, len(seen)) != (info.transitions, info.episodes):
        raise UserError(
            f"meta/info.json of {storage.location} promises {info.transitions} transitions of "
            f"{info.episodes} episodes, the files hold {transitions} of {len(seen)}: {DAMAGE_REMEDY}"
        )


def _verified_shard(storage: Storage, info: DatasetInfo, shard: ShardInfo, seen: set[int]) -> Iterator[Chunk]:
    file = storage.describe(shard.name)
    transitions, episodes, previous = 0, 0, None
    for row in read_rows(storage, shard):
        chunk = decode_chunk(row, file)
        follows = previous is not None and not _ended(previous)
        fault = _fault_inside(chunk, info) or _fault_of_order(
            chunk, previous if follows else None, info, seen
        )
        if fault:
            raise UserError(
                f"{file}: episode {chunk.episode}, step {chunk.start_step}: {fault}: {DAMAGE_REMEDY}"
            )
        seen.add(chunk.episode)
        transitions += chunk.length
        episodes += chunk.start_step == 0
        previous = chunk
        yield chunk
    if previous is not None and not _ended(previous):
        raise UserError(f"{file}: episode {previous.episode} has no end: {DAMAGE_REMEDY}")
    if (transitions, episodes) != (shard.transitions, shard.episodes):
        raise UserError(f"{file} holds other counts than meta/info.json says: {DAMAGE_REMEDY}")


def _fault_inside(chunk: Chunk, info: DatasetInfo) -> str:
    """What is wrong with a chunk by itself, or nothing."""
    steps = chunk.context + chunk.length
    if any(len(getattr(chunk, name)) != steps for name in _PER_TRANSITION) or len(chunk.lives) != steps + 1:
        return "its columns differ in length"
    if chunk.length < 1:
        return "it holds no transition"
    if chunk.actions.max() >= len(info.action_names):
        return f"action {chunk.actions.max()} does not exist"
    if chunk.frames.tobytes().translate(None, delete=bytes(info.palette)):
        return "a frame has colours outside the palette"
    if (chunk.terminated | chunk.truncated)[:-1].any():
        return "it goes on after the end of the episode"
    return ""


def _fault_of_order(chunk: Chunk, previous: Chunk | None, info: DatasetInfo, seen: set[int]) -> str:
    """What is wrong with a chunk's place after ``previous``, the last one of an unfinished episode."""
    if previous is None:
        if chunk.episode in seen:
            return "the episode occurs twice"
        return "" if chunk.start_step == chunk.context == 0 else "the episode's beginning is missing"
    if chunk.episode != previous.episode or chunk.seed != previous.seed:
        return f"the end of episode {previous.episode} is missing before it"
    if chunk.start_step != previous.start_step + previous.length:
        return f"step {previous.start_step + previous.length} should come next"
    if chunk.context != min(info.context, chunk.start_step):
        return f"it repeats {chunk.context} transitions"
    known = min(chunk.context, len(previous.actions))
    same = [
        np.array_equal(
            getattr(chunk, name)[chunk.context - known : chunk.context],
            getattr(previous, name)[len(previous.actions) - known :],
        )
        for name in _PER_TRANSITION
    ]
    repeated = chunk.frames[chunk.context - known : chunk.context + 1]
    same.append(np.array_equal(repeated, previous.frames[-known - 1 :]))
    return "" if all(same) else "it does not repeat the end of the chunk before it"


def _ended(chunk: Chunk) -> bool:
    return bool(chunk.terminated[-1] or chunk.truncated[-1])
