"""What costs nothing to predict: every number of the neural game stands beside these."""

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.interface import Frames


def copy_last_frame(contexts: Frames) -> Frames:
    """The prediction that nothing ever changes: (B, T, 210, 160) -> (B, 210, 160)."""
    return contexts[:, -1]


def most_common_codes(codes_MN: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent code of each cell, the lowest one of several: int (M, N) -> (N,)."""
    return np.array([np.bincount(column).argmax() for column in codes_MN.T], np.int64)


def cross_fitted_codes(codes_MN: NDArray[np.int64], half_M: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each sample the most common codes of the *other* half, int (M, N).

    ``half_M`` (0 or 1) splits by episode, so that no sample votes on its own baseline.
    """
    assert set(np.unique(half_M)) == {0, 1}, "both halves need samples"
    of_half = np.stack([most_common_codes(codes_MN[half_M == half]) for half in (0, 1)])
    return of_half[1 - half_M]
