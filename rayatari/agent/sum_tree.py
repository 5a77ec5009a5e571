"""A binary tree of sums: draws leaves in proportion to their weights, many at a time."""

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """``size`` leaves with weights >= 0; updates and draws cost log2(size) numpy calls."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._first = 1 << max(size - 1, 1).bit_length()
        self.nodes = np.zeros(2 * self._first, np.float64)
        """Sums of the weights below each node, the root at 1, the leaves in the second half."""

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.nodes[1])

    @property
    def leaves(self) -> NDArray[np.float64]:
        """The weights, float64 (size,), as a view that must not be written to."""
        return self.nodes[self._first : self._first + self.size]

    def set(self, leaves: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Set the ``weights`` (K,) of ``leaves`` (K,). A leaf named twice must get the same weight."""
        nodes = leaves + self._first
        self.nodes[nodes] = weights
        while nodes.size and nodes[0] > 1:
            nodes = nodes >> 1
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    def fill(self, weights: NDArray[np.float64]) -> None:
        """Set all weights at once, float64 (size,)."""
        assert weights.shape == (self.size,)
        self.nodes[:] = 0
        self.nodes[self._first : self._first + self.size] = weights
        level = self._first
        while level > 1:
            below = self.nodes[level : 2 * level]
            level >>= 1
            self.nodes[level : 2 * level] = below[0::2] + below[1::2]

    def draw(self, count: int, rng: np.random.Generator, batches: int = 1) -> NDArray[np.int64]:
        """Draw ``batches`` times ``count`` leaves, each time one of each ``count``-th part of the total.

        Such stratification is what Schaul et al. (2016) use. A leaf of weight zero is never drawn.
        Returns int64 (batches * count,).
        """
        assert self.total > 0
        points = ((np.arange(count) + rng.random((batches, count))) * (self.total / count)).reshape(-1)
        nodes = np.ones(len(points), np.int64)
        while nodes[0] < self._first:
            left, right = self.nodes[2 * nodes], self.nodes[2 * nodes + 1]
            go_right = (points >= left) & (right > 0)  # rounding may not lead into an empty branch
            points -= np.where(go_right, left, 0.0)
            nodes = 2 * nodes + go_right
        return nodes - self._first
