"""Stacks of the last four agent views, one for each of several games played side by side."""

import numpy as np
from numpy.typing import NDArray

from rayatari.games.agent_view import VIEW_SIZE

STACK = 4
"""Views that an agent sees at once: the current one and the three before it (Mnih et al., 2015)."""
_WORD = np.dtype("<u4")
"""The four views of one pixel, the oldest in the lowest byte."""


class ViewStack:
    """The last four views of ``count`` games; before an episode's first view all is black."""

    def __init__(self, count: int) -> None:
        self.views: NDArray[np.uint8] = _views(np.zeros((count, VIEW_SIZE, VIEW_SIZE), _WORD))
        """The stacks, uint8 (count, 4, 84, 84), oldest view first, in memory as :func:`interleave` says."""

    def push(self, views: NDArray[np.uint8], starts: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Add one view per game, uint8 (count, 84, 84); ``starts`` bool (count,) marks new episodes.

        Returns the stacks in a new array: one that came through Ray's object store is read-only.
        """
        words: NDArray[np.uint32] = _words(self.views) >> np.uint32(8)
        words[starts] = 0
        newest = views.astype(_WORD)
        newest <<= 24
        words |= newest
        self.views = _views(words)
        return self.views


def interleave(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same stacks, uint8 (B, 4, 84, 84), with the four views of a pixel side by side in memory.

    That is torch's ``channels_last``, which convolutions are fast in; made of whole words, in half of torch's
    time.
    """
    words = views[:, 3].astype(_WORD)
    for k in (2, 1, 0):
        words <<= 8
        words |= views[:, k]
    return _views(words)


def _views(words_BHW: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return words_BHW.view(np.uint8).reshape(*words_BHW.shape, STACK).transpose(0, 3, 1, 2)


def _words(views_B4HW: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """What :func:`_views` was given; a copy where the memory is in another order."""
    return np.ascontiguousarray(views_B4HW.transpose(0, 2, 3, 1)).view(_WORD)[..., 0]
