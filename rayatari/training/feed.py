"""Training windows for one worker, from rows of either backend."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rayatari.dataset.reader import pass_rows, read_chunks
from rayatari.dataset.windows import EventWeights, WindowBatch, shuffled_chunks, window_batches
from rayatari.errors import UserError
from rayatari.training.task import Task

SHUFFLE_BYTES = 64 * 2**20
"""Compressed rows held for shuffling, about 400,000 transitions."""

Rows = Iterable[Mapping[str, Any]]


def endless_local_rows(task: Task) -> Iterator[Rows]:
    """Pass after pass over the training split, read in this process."""
    random = np.random.default_rng(task.config.seed)
    while True:
        yield pass_rows(task.dataset, "train", random)


def training_batches(
    task: Task, passes: Iterable[Rows], share: int, seed: list[int]
) -> Iterator[WindowBatch]:
    """Shuffled windows, ``share`` per batch, as often as the sampling weights say."""
    config = task.config
    chunks = shuffled_chunks(passes, SHUFFLE_BYTES, [*seed, 0])
    sampling = config.world.sampling
    weigh = EventWeights(reward=sampling.reward, life_loss=sampling.life_loss)
    batches = window_batches(
        chunks,
        batch=share,
        history=config.world.model.history,
        horizon=task.horizon,
        buffer_frames=config.training.shuffle_frames,
        seed=[*seed, 1],
        weigh=weigh,
    )
    return (batch for batch in batches if len(batch.frames) == share)


def heldout_windows(task: Task) -> WindowBatch:
    """A fixed choice of windows from the held-out episodes; UserError when there are too few."""
    count = task.config.training.heldout_windows
    batches = window_batches(
        read_chunks(task.dataset, "heldout"),
        batch=count,
        history=task.config.world.model.history,
        horizon=task.horizon,
        buffer_frames=20_000,
        seed=0,
    )
    for batch in itertools.islice(batches, 1):
        if len(batch.frames) == count:
            return batch
    raise UserError(
        f"the dataset at {task.dataset} has fewer than {count} held-out windows: record more "
        "(record.steps or record.heldout), or lower training.heldout_windows"
    )


PassMaker = Callable[[], Iterable[Rows]]
