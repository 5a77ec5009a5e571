"""Lessons on the model's own frames: windows stay under way for some steps, each step a lesson.

A game that is played sees only its own frames, so that is what it has to learn from. Unrolling each
window anew would cost a pass of the network per own frame. Here B windows are under way side by side,
at different ages; the frame that the model draws in one training step is the past of the next. An own
past of any length then costs no more than a real one, at the price that it was drawn by slightly older
weights.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rayatari.config.world import MapperConfig
from rayatari.models.windows import Lesson, Windows, lesson_at


def longest_unroll(config: MapperConfig, progress: float) -> int:
    """Steps that a window may be under way at this share of the training, 1 to ``unroll``."""
    if progress < config.unroll_from or config.unroll < 2:
        return 1
    grown = min(1.0, 2 * (progress - config.unroll_from) / (1 - config.unroll_from))
    return max(2, round(config.unroll * grown))


class Flight:
    """``lanes`` windows under way."""

    def __init__(
        self,
        batches: Iterator[Windows],
        lanes: int,
        history: int,
        own_share: float,
        random: np.random.Generator,
    ) -> None:
        self.lanes, self.history, self.own_share = lanes, history, own_share
        self._batches, self._random = batches, random
        self._waiting: Windows | None = None
        self._used = 0
        self._windows: Windows | None = None
        self._past_BTHW = torch.empty(0)
        self._ages = np.zeros(lanes, np.int64)
        self._limits = np.zeros(lanes, np.int64)

    def next(self, longest: int) -> Lesson:
        """The next step of every window; windows that have come to their end are replaced first.

        ``longest`` is the most steps that a new window stays, 1 for real pasts only. Above that,
        ``own_share`` of the lessons are on own frames.
        """
        landed = np.flatnonzero(self._ages >= self._limits)
        if len(landed):
            left = self._board(landed)
            self._ages[landed] = 0
            self._limits[landed] = np.minimum(self._draw_limits(len(landed), longest), left)
        assert self._windows is not None
        device = self._past_BTHW.device
        ages_B = torch.from_numpy(self._ages.copy()).to(device, non_blocking=True)
        return lesson_at(self._windows, self._past_BTHW, ages_B + self.history - 1, ages_B > 0)

    def land(self, drawn_BHW: Tensor) -> None:
        """Go on by the frames that the model drew, classes (B, H, W)."""
        self._past_BTHW = torch.cat([self._past_BTHW[:, 1:], drawn_BHW[:, None]], 1)
        self._ages += 1

    def _draw_limits(self, count: int, longest: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Steps that new windows stay: 1, or 2 to ``longest``, so that the share of own steps comes out."""
        limits = np.ones(count, np.int64)
        if longest < 2 or not self.own_share:
            return limits
        mean = 1 / (1 - min(self.own_share, 0.99))
        long = self._random.random(count) < (mean - 1) / (
            longest / 2
        )  # 2 to longest: longest / 2 more than 1
        limits[long] = self._random.integers(2, longest + 1, int(long.sum()))
        return limits

    def _board(self, lanes: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Put fresh windows on ``lanes``; returns how many recorded steps each has."""
        fresh = self._fresh(len(lanes))
        left: np.ndarray[Any, np.dtype[np.int64]] = fresh.left_B.numpy()
        if self._windows is None or len(lanes) == self.lanes:
            self._windows = fresh
            self._past_BTHW = fresh.frames_BTHW[:, : self.history]
            return left
        rows = torch.from_numpy(lanes).to(self._past_BTHW.device, non_blocking=True)
        for name, held in vars(self._windows).items():
            if name != "left_B":  # it is needed as a window boards and never again
                held[rows] = getattr(fresh, name)
        self._past_BTHW[rows] = fresh.frames_BTHW[:, : self.history]
        return left

    def _fresh(self, count: int) -> Windows:
        """``count`` windows from the stream of batches, which hold ``lanes`` each."""
        if self._waiting is None or self._used == len(self._waiting):
            self._waiting, self._used = next(self._batches), 0
        first = self._waiting.pick(slice(self._used, self._used + count))
        self._used += len(first)
        if len(first) == count:
            return first
        rest = self._fresh(count - len(first))
        return Windows(*(torch.cat([a, getattr(rest, name)]) for name, a in vars(first).items()))
