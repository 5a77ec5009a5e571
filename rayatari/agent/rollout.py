"""What the environment runners hand to the replay memory: a few steps of several games."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTINUES, TERMINATED, TRUNCATED, LAST = range(4)
"""What follows a frame. CONTINUES: the next frame. TERMINATED: nothing that is worth anything (the
game is over, or a life is lost and that counts as the end). TRUNCATED: a frame that is worth
something, but the episode was cut off there. LAST: the frame is the last of its episode; no action
was taken on it, and the frame stored after it belongs to another episode."""

MAX_AGE = 255
NO_ADVICE = 0
"""Advice of no teacher. Of one, bit a is set where action a does as well as any that it knows of."""


@dataclass(frozen=True)
class Episode:
    """One finished episode."""

    score: float
    """Points, unclipped."""
    length: int
    """Steps."""


@dataclass(frozen=True)
class Rollout:
    """T steps of N games. Each frame is held once, with what was done on it and what came of it."""

    views: NDArray[np.uint8]
    """What the agent saw, uint8 (T, N, 84, 84)."""
    ages: NDArray[np.uint8]
    """Steps since the start of the episode, at most 255, uint8 (T, N)."""
    actions: NDArray[np.uint8]
    """Actions taken on the frames, uint8 (T, N); 0 where the outcome is LAST."""
    rewards: NDArray[np.float32]
    """Rewards of the actions, float32 (T, N); 0 where the outcome is LAST."""
    outcomes: NDArray[np.uint8]
    """CONTINUES, TERMINATED, TRUNCATED or LAST, uint8 (T, N)."""
    first_game: int = 0
    """Number of the first of these games among all games of the run."""
    advice: NDArray[np.int32] | None = None
    """The actions that a teacher would have done on the frames, as bits, int32 (T, N); None without one."""
    episodes: tuple[Episode, ...] = ()
    """Episodes that ended in these steps."""
