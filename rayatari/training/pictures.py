"""Predictions as pictures: rows of samples, columns of what was, what is predicted, and the difference."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.games.palette import to_rgb

GAP = 4
"""Pixels between the frames of a sheet."""


def prediction_sheet(
    past: NDArray[np.uint8], real: NDArray[np.uint8], predictions: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """One row a sample: last frame, real next frame, then each prediction beside its wrong pixels.

    All frames are palette bytes (B, height, width). Returns uint8 RGB (rows, columns, 3).
    """
    columns = [to_rgb(past), to_rgb(real)]
    for predicted in predictions:
        columns += [to_rgb(predicted), mark_wrong(real, predicted)]
    padded = [np.pad(c, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=40) for c in columns]
    return np.concatenate(list(np.concatenate(padded, axis=2)), axis=0)


def mark_wrong(real: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The real frames, dimmed, with every wrongly predicted pixel in magenta; uint8 (..., 3) RGB."""
    marked = (to_rgb(real) // 4).astype(np.uint8)
    marked[real != predicted] = (255, 0, 255)
    return marked
