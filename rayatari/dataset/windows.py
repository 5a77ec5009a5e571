"""Training windows: short runs of consecutive frames cut from chunks, shuffled in bounded memory.

A window has T = history + horizon frames. Its frame ``history - 1`` is the present: the frames up to it
are what a model sees, the ``horizon`` frames after it are what it shall predict. Windows never leave
their episode. Where a window begins before the episode does, the first frame is repeated, with action 0
and reward 0 between the repetitions.

In one pass over the data every window occurs exactly once (times its weight), so with ``horizon`` 1 every
transition is the target once. This holds while ``history + horizon - 2`` is at most the dataset's
``context``; longer windows that would cross the border of two chunks are left out.

With a longer ``horizon`` the last transitions of a game come after no present, unless ``past_end`` lets
windows reach beyond the end. There the last frame is repeated, and ``left`` says how many frames after the
present are real.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayatari.dataset.chunk import Chunk, decode_chunk

UNKNOWN = 255
"""Stands for an action that is not known."""

Weigh = Callable[[Chunk], NDArray[np.float32]]
"""Gives each transition of a chunk, own and repeated ones, its weight, (c+L,), at least 0."""


@dataclass(frozen=True)
class WindowBatch:
    """B windows of T frames: ``frames[b, t] --actions[b, t]--> frames[b, t + 1]``."""

    frames: NDArray[np.uint8]
    """Palette bytes, (B, T, 210, 160)."""
    actions: NDArray[np.uint8]
    """Indices of action names, (B, T-1)."""
    rewards: NDArray[np.float32]
    """Raw points, (B, T-1)."""
    terminated: NDArray[np.bool_]
    """The game ended with that transition, (B, T-1)."""
    lives: NDArray[np.uint8]
    """Lives left as each frame was shown, (B, T)."""
    episodes: NDArray[np.int64]
    """Episode of each window, (B,)."""
    steps: NDArray[np.int32]
    """Step of the last frame of each window within its episode, counted on beyond the episode's end, (B,)."""
    earlier: NDArray[np.uint8]
    """The ``earlier`` actions before the present, oldest first, (B, M); ``UNKNOWN`` before the episode's
    start, and where the chunk does not reach back so far."""
    left: NDArray[np.int64]
    """Recorded frames after the present, 1 to ``horizon``, (B,)."""


@dataclass(frozen=True)
class EventWeights:
    """How often windows with rare events among their targets occur in a pass, against 1 for all others."""

    reward: float = 1.0
    """Weight of a transition that scores."""
    life_loss: float = 1.0
    """Weight of a transition that changes the number of lives or ends the game."""
    actions: Mapping[int, float] | None = None
    """Weight by action index, for example of the button that serves the ball."""

    def __call__(self, chunk: Chunk) -> NDArray[np.float32]:
        """The largest weight that applies to each transition."""
        weights = np.ones(len(chunk.actions), np.float32)
        for action, weight in (self.actions or {}).items():
            weights[chunk.actions == action] = weight
        scored = chunk.rewards != 0
        lost = (chunk.lives[1:] != chunk.lives[:-1]) | chunk.terminated
        weights[scored] = np.maximum(weights[scored], self.reward)
        weights[lost] = np.maximum(weights[lost], self.life_loss)
        return weights


def window_batches(
    chunks: Iterable[Chunk],
    *,
    batch: int,
    history: int,
    horizon: int,
    buffer_frames: int,
    seed: int | Sequence[int],
    weigh: Weigh | None = None,
    earlier: int = 0,
    past_end: bool = False,
) -> Iterator[WindowBatch]:
    """Cut ``chunks`` into windows and yield them shuffled, ``batch`` at a time.

    Chunks are taken until they hold ``buffer_frames`` decoded frames (33.6 kB each); all their windows
    come out in random order before the next chunks are taken. Give the chunks in shuffled order, see
    :func:`shuffled_chunks`. With ``weigh`` a window occurs as often, on average, as the largest weight of
    its target transitions says. The last batch of a stream that ends may be smaller.
    """
    assert batch >= 1 and history >= 1 and horizon >= 1
    random = np.random.default_rng(seed)
    left_over: list[_Window] = []
    for held in _rounds(chunks, buffer_frames):
        windows = left_over
        for chunk in held:
            ends = target_ends(chunk, history, horizon, past_end)
            repeats = _repeats(chunk, ends, horizon, weigh, random)
            windows += [_Window(chunk, int(end)) for end in np.repeat(ends, repeats)]
        order = random.permutation(len(windows))
        whole = len(order) - len(order) % batch
        for start in range(0, whole, batch):
            yield _cut([windows[i] for i in order[start : start + batch]], history, horizon, earlier)
        left_over = [windows[i] for i in order[whole:]]
    if left_over:
        yield _cut(left_over, history, horizon, earlier)


def shuffled_rows(
    rows: Iterable[Mapping[str, Any]], buffer_bytes: int, random: np.random.Generator
) -> Iterator[Mapping[str, Any]]:
    """Yield rows, still compressed, in random order through a buffer of ``buffer_bytes``.

    Compressed rows are small (about 20 kB for 128 transitions), so that 64 MiB mix 400,000 transitions.
    """
    held: list[Mapping[str, Any]] = []
    held_bytes = 0
    for row in rows:
        held.append(row)
        held_bytes += len(row["frames"])
        while held_bytes > buffer_bytes:
            chosen = _take(held, random)
            held_bytes -= len(chosen["frames"])
            yield chosen
    while held:
        yield _take(held, random)


def shuffled_chunks(
    passes: Iterable[Iterable[Mapping[str, Any]]], buffer_bytes: int, seed: int | Sequence[int]
) -> Iterator[Chunk]:
    """Decode the rows of one pass over a dataset after the other, each in random order."""
    random = np.random.default_rng(seed)
    for rows in passes:
        for row in shuffled_rows(rows, buffer_bytes, random):
            yield decode_chunk(row)


@dataclass(frozen=True)
class _Window:
    chunk: Chunk
    end: int
    """Index of the window's last frame in the chunk; beyond its frames where the game ended before."""


def _take(held: list[Mapping[str, Any]], random: np.random.Generator) -> Mapping[str, Any]:
    at = int(random.integers(len(held)))
    held[at], held[-1] = held[-1], held[at]
    return held.pop()


def _rounds(chunks: Iterable[Chunk], buffer_frames: int) -> Iterator[list[Chunk]]:
    """Group chunks so that each group holds about ``buffer_frames`` frames, at least one chunk."""
    held: list[Chunk] = []
    frames = 0
    for chunk in chunks:
        held.append(chunk)
        frames += len(chunk.frames)
        if frames >= buffer_frames:
            yield held
            held, frames = [], 0
    if held:
        yield held


def target_ends(chunk: Chunk, history: int, horizon: int, past_end: bool = False) -> NDArray[np.int64]:
    """Indices of the last frames of the windows that belong to this chunk: those after own transitions,
    and with ``past_end`` those up to ``horizon`` - 1 places beyond the last frame of a game that ended.
    """
    steps = len(chunk.actions)
    beyond = horizon - 1 if past_end and chunk.terminated[-1] else 0
    ends = np.arange(chunk.context, steps + beyond) + 1
    begins_episode = chunk.start_step == chunk.context
    earliest = horizon if begins_episode else history + horizon - 1
    return ends[ends >= earliest]


def window_weights(
    weights: NDArray[np.float32], ends: NDArray[np.int64], horizon: int
) -> NDArray[np.float32]:
    """The largest of the transitions' ``weights`` among each window's targets."""
    targets = np.minimum(ends[:, None] - 1 - np.arange(horizon), len(weights) - 1)
    largest: NDArray[np.float32] = weights[targets].max(1)
    return largest


def _repeats(
    chunk: Chunk, ends: NDArray[np.int64], horizon: int, weigh: Weigh | None, random: np.random.Generator
) -> NDArray[np.int64]:
    """How often each window occurs in this pass: its weight, rounded up or down at random."""
    if weigh is None or not len(ends):
        return np.ones(len(ends), np.int64)
    wanted = window_weights(weigh(chunk), ends, horizon)
    repeats: NDArray[np.int64] = np.floor(wanted + random.random(len(ends))).astype(np.int64)
    return repeats


def _cut(windows: Sequence[_Window], history: int, horizon: int, earlier: int) -> WindowBatch:
    count, length = len(windows), history + horizon
    frame_shape = windows[0].chunk.frames.shape[1:]
    batch = WindowBatch(
        frames=np.empty((count, length, *frame_shape), np.uint8),
        actions=np.zeros((count, length - 1), np.uint8),
        rewards=np.zeros((count, length - 1), np.float32),
        terminated=np.zeros((count, length - 1), np.bool_),
        lives=np.empty((count, length), np.uint8),
        episodes=np.array([window.chunk.episode for window in windows], np.int64),
        steps=np.array([w.chunk.start_step - w.chunk.context + w.end for w in windows], np.int32),
        earlier=np.full((count, earlier), UNKNOWN, np.uint8),
        left=np.empty(count, np.int64),
    )
    for b, window in enumerate(windows):
        chunk, end = window.chunk, window.end
        last = min(end, len(chunk.actions))
        start = max(0, end + 1 - length)
        first, after = length - (end + 1 - start), length - (end - last)
        batch.frames[b, :first] = chunk.frames[start]
        batch.frames[b, first:after] = chunk.frames[start : last + 1]
        batch.frames[b, after:] = chunk.frames[last]
        batch.lives[b, :first] = chunk.lives[start]
        batch.lives[b, first:after] = chunk.lives[start : last + 1]
        batch.lives[b, after:] = chunk.lives[last]
        batch.actions[b, first : after - 1] = chunk.actions[start:last]
        batch.rewards[b, first : after - 1] = chunk.rewards[start:last]
        batch.terminated[b, first : after - 1] = chunk.terminated[start:last]
        known = chunk.actions[max(0, end - horizon - earlier) : end - horizon]
        batch.earlier[b, earlier - len(known) :] = known
        batch.left[b] = horizon - (end - last)
    return batch
