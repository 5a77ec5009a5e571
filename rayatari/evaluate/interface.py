"""What evaluation asks of a game and of a reader. Any model that wears these can be measured."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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

    def reset(
        self, seeds: Sequence[int], frames: Frames | None = None, actions: NDArray[np.int64] | None = None
    ) -> Frames:
        """Start games after real ``frames``, uint8 (B, T, 210, 160), one a seed; return the last ones.

        ``actions``, int (B, any number), are the last ones that led there, oldest first.
        """

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


@runtime_checkable
class RestartableGame(BatchGame, Protocol):
    """A game that can begin anew while those beside it go on."""

    def restart(self, which: NDArray[np.bool_], seeds: Sequence[int]) -> Frames:
        """Begin the games ``which`` (B,) anew, one a seed; return their first frames."""
