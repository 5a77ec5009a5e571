"""One game as it was played, neural or real: what rules, sanity and scores look at."""

from dataclasses import dataclass, field

import numpy as np

from rayatari.evaluate.interface import Frames
from rayatari.games.readers import Reading


@dataclass
class Play:
    """One game as it was played, neural or real."""

    player: str
    """Who played."""
    actions: list[int] = field(default_factory=list)
    """Action of each step."""
    rewards: list[float] = field(default_factory=list)
    """Points of each step."""
    readings: list[Reading] = field(default_factory=list)
    """What the reader sees before the first step and after each; empty for games without a reader."""
    frames: list[Frames] = field(default_factory=list)
    """Screens before the first step and after each, kept for pictures only where asked for."""
    terminated: bool = False
    """Whether the game came to its end, rather than to the step limit."""
    episode: int = 0
    """The real episode that it follows or began with, by its seed: what intervals resample."""

    @property
    def score(self) -> float:
        """Points of the whole game."""
        return float(np.sum(self.rewards))
