"""Training windows for one worker, from rows of either backend."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import torch

from rayatari.dataset.chunk import Chunk, decode_chunk
from rayatari.dataset.reader import pass_rows, read_chunks
from rayatari.dataset.windows import shuffled_chunks, window_batches
from rayatari.errors import UserError
from rayatari.models.windows import Windows
from rayatari.progress import progress
from rayatari.training.resident import ResidentFrames, ResidentWindows
from rayatari.training.task import Task

SHUFFLE_BYTES = 64 * 2**20
"""Compressed rows held for shuffling, about 400,000 transitions."""

Rows = Iterable[Mapping[str, Any]]


def endless_local_rows(task: Task) -> Iterator[Rows]:
    """Pass after pass over the training split, read in this process."""
    random = np.random.default_rng(task.config.seed)
    while True:
        yield pass_rows(task.dataset, "train", random)


def training_windows(
    task: Task, passes: Iterable[Rows], share: int, seed: list[int], device: torch.device
) -> Iterator[Windows]:
    """Random windows, ``share`` per batch, as often as the sampling weights say.

    They stream through a shuffle buffer; or, where the config says so, the first pass is taken to the
    device as a whole, and windows are drawn there.
    """
    training = task.config.training
    if training.resident == "always" or (training.resident == "auto" and _fits(task, device)):
        held = _resident(task, passes, device)
        windows = ResidentWindows(
            held, task.history, task.horizon, task.weigh, task.earlier, len(task.info.action_names)
        )
        return windows.batches(share, hash(tuple(seed)) % 2**32)
    batches = window_batches(
        shuffled_chunks(passes, SHUFFLE_BYTES, [*seed, 0]),
        batch=share,
        history=task.history,
        horizon=task.horizon,
        buffer_frames=training.shuffle_frames,
        seed=[*seed, 1],
        weigh=lambda chunk: task.weigh(chunk, partial(task.codec.encode, chunk.frames)),
        earlier=task.earlier,
        past_end=True,
    )
    return (task.to_windows(batch, device) for batch in batches if len(batch.frames) == share)


_held: dict[tuple[str, str], ResidentFrames] = {}
"""The frames of the last dataset taken to a device; both trainings of a pipeline use them."""


def _resident(task: Task, passes: Iterable[Rows], device: torch.device) -> ResidentFrames:
    key = (task.dataset, str(device))
    if key not in _held:
        _held.clear()
        rows = next(iter(passes))
        with ThreadPool() as threads, progress(0, f"{task.label}: frames to {device.type}", "frame") as bar:
            chunks = _counted(threads.imap(decode_chunk, rows, 4), bar)
            _held[key] = ResidentFrames.take(chunks, task.codec, task.info.reward_values, device)
    return _held[key]


def _counted(chunks: Iterable[Chunk], bar: Any) -> Iterator[Chunk]:
    for chunk in chunks:
        bar.update(len(chunk.frames))
        yield chunk


def _fits(task: Task, device: torch.device) -> bool:
    """Whether all workers' frames would fill at most half of one GPU's memory."""
    if device.type != "cuda":
        return False
    height, width = task.codec.padded_shape
    with_context = 1.3 * sum(shard.transitions for shard in task.info.shards)
    return with_context * height * width < torch.cuda.get_device_properties(device).total_memory / 2


def heldout_windows(task: Task, device: torch.device) -> Windows:
    """A fixed choice of windows from the held-out episodes; UserError when there are too few."""
    count = task.config.training.heldout_windows
    batches = window_batches(
        read_chunks(task.dataset, "heldout"),
        batch=count,
        history=task.history,
        horizon=task.horizon,
        buffer_frames=20_000,
        seed=0,
        earlier=task.earlier,
    )
    for batch in itertools.islice(batches, 1):
        if len(batch.frames) == count:
            return task.to_windows(batch, device)
    raise UserError(
        f"the dataset at {task.dataset} has fewer than {count} held-out windows: record more "
        "(record.steps or record.heldout), or lower training.heldout_windows"
    )
