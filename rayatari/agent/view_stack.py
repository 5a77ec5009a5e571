"""Stacks of the last four agent views, one for each of several games played side by side."""

import numpy as np
from numpy.typing import NDArray

from rayatari.games.agent_view import VIEW_SIZE

STACK = 4
"""Views that an agent sees at once: the current one and the three before it (Mnih et al., 2015)."""


class ViewStack:
    """The last four views of ``count`` games; before an episode's first view all is black."""

    def __init__(self, count: int) -> None:
        self.views: NDArray[np.uint8] = np.zeros((count, STACK, VIEW_SIZE, VIEW_SIZE), np.uint8)
        """The stacks, uint8 (count, 4, 84, 84), oldest view first."""

    def push(self, views: NDArray[np.uint8], starts: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Add one view per game, uint8 (count, 84, 84); ``starts`` bool (count,) marks new episodes.

        Returns the stacks in a new array: one that came through Ray's object store is read-only.
        """
        stacked = np.concatenate([self.views[:, 1:], views[:, None]], 1)
        stacked[starts, :-1] = 0
        self.views = stacked
        return stacked
