"""Pictures of frames that stay exact to the palette: indices of one fixed colour table.

Indices 0-127 are the colours of ALE's palette (a palette byte is even, so byte // 2), 128-159 dimmed
greys for what a difference shows as equal; then the marks.
"""

import numpy as np
from numpy.typing import NDArray

from rayatari.games.palette import RGB, to_grey

WRONG, HALO, INK, BACK, CLEAR = 160, 161, 162, 163, 255
"""Marks: a pixel that differs, what surrounds it, letters, background, and transparency."""

_DIM = 128
_DIM_BRIGHTEST = 110
_MARKS = [(255, 0, 200), (110, 0, 86), (225, 225, 225), (24, 24, 28)]
_HALO_PIXELS = 2


def _table() -> NDArray[np.uint8]:
    dimmed = np.linspace(0, _DIM_BRIGHTEST, 32).astype(np.uint8)[:, None].repeat(3, axis=1)
    table = np.zeros((256, 3), np.uint8)
    rows = np.concatenate([RGB[::2], dimmed, np.array(_MARKS, np.uint8)])
    table[: len(rows)] = rows
    table.flags.writeable = False
    return table


COLOURS = _table()
"""Red, green and blue of each index, uint8 (256, 3)."""


def indices(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Palette bytes as indices into ``COLOURS``."""
    return np.right_shift(frames, np.uint8(1))


def difference(neural: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Indices of a picture of ``real``, grey and dimmed, with every wrong pixel in magenta and haloed.

    Both are palette bytes, uint8 (..., H, W), and so is the result's shape.
    """
    wrong = neural != real
    picture = (_DIM + (to_grey(real) >> 3)).astype(np.uint8)
    picture[_grown(wrong, _HALO_PIXELS)] = HALO
    picture[wrong] = WRONG
    return picture


def _grown(marked: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """What lies within ``pixels`` rows and columns of a marked pixel, bool (..., H, W)."""
    grown = marked.copy()
    for shift in range(1, pixels + 1):
        grown[..., shift:, :] |= marked[..., :-shift, :]
        grown[..., :-shift, :] |= marked[..., shift:, :]
    tall = grown.copy()
    for shift in range(1, pixels + 1):
        grown[..., shift:] |= tall[..., :-shift]
        grown[..., :-shift] |= tall[..., shift:]
    return grown
