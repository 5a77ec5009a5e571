"""What whoever plays sees of a game, real or neural: reset, step and the names of the actions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SCREEN_HEIGHT, SCREEN_WIDTH = 210, 160

Frame = NDArray[np.uint8]
"""One screen as palette bytes (ALE colour indices), uint8 (210, 160)."""


@dataclass(frozen=True)
class Step:
    """What one step of a game returns."""

    frame: Frame
    """The screen after the step: palette bytes, uint8 (210, 160)."""
    reward: float
    """Points scored in the step, unclipped."""
    terminated: bool
    """The game is over."""
    truncated: bool
    """The step limit cut the episode off."""
    lives: int
    """Lives left; 0 in games without lives."""


class Game(Protocol):
    """One game being played."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in the order of ALE's minimal action set."""

    @property
    def palette(self) -> tuple[int, ...]:
        """Palette bytes that its frames consist of, ascending."""

    def reset(self, seed: int) -> Frame:
        """Start a new episode and return its first frame."""

    def step(self, action: int) -> Step:
        """Play the action of that index for one step (``frame_skip`` emulator frames)."""
