"""What evaluation asks of a game and of a reader. Any model that wears these can be measured."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import Frame

Frames = NDArray[np.uint8]
"""Palette bytes, uint8 (..., 210, 160)."""


class BatchResult(Protocol):
    """What one step of B games returns."""

    @property
    def frames(self) -> Frames:
        """The screens after the step, uint8 (B, 210, 160)."""

    @property
    def rewards(self) -> NDArray[np.float32]:
        """Points scored in the step, float32 (B,)."""

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """Which games are over, bool (B,)."""

    @property
    def lives(self) -> NDArray[np.int64]:
        """Lives left, int (B,)."""


class BatchGame(Protocol):
    """B games that are played side by side, whatever draws their frames."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in the order of ALE's minimal action set."""

    @property
    def history(self) -> int:
        """Frames of context that a prediction depends on."""

    def reset(self, seeds: Sequence[int], frames: Frames | None = None) -> Frames:
        """Start games after real ``frames``, uint8 (B, T, 210, 160), one a seed; return the last ones."""

    def step(self, actions: Sequence[int]) -> BatchResult:
        """Play one action in each game."""


@runtime_checkable
class CodedGame(BatchGame, Protocol):
    """A game that draws each frame from a grid of N discrete codes."""

    def true_codes(self, present: Frames, following: Frames) -> NDArray[np.int64]:
        """The codes (B, N) that the encoder gives to the step between two frames (B, 210, 160)."""

    def sample_codes(self, actions: Sequence[int]) -> NDArray[np.int64]:
        """The codes (B, N) that the mapper chooses for ``actions`` now; the games stand still."""

    def step_with_codes(self, codes: NDArray[np.int64], actions: Sequence[int]) -> BatchResult:
        """Go one step by ``actions``, with given codes (B, N) in place of those it would choose."""


class Reading(Protocol):
    """What a reader sees in one frame of a game with a ball and a paddle."""

    @property
    def ball(self) -> tuple[float, float] | None:
        """Column and row of the ball's top-left pixel, None when there is no ball."""

    @property
    def ball_count(self) -> int:
        """Ball-like blobs on the screen."""

    @property
    def paddle(self) -> float | None:
        """Column of the paddle's left edge, None when there is no paddle."""


class Reader(Protocol):
    """Finds a game's objects in its frames."""

    def read(self, frame: Frame) -> Reading:
        """The objects in one frame of palette bytes, uint8 (210, 160)."""
