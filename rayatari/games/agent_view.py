"""What the DQN agent sees of a screen: 84×84 grey (Mnih et al., 2015)."""

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH
from rayatari.games.palette import to_grey

VIEW_SIZE = 84


def agent_view(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey views uint8 (..., 84, 84) of palette-byte ``frames``, uint8 (..., 210, 160).

    Brightness, then resized by area, as ``ale_py.vector_env.AtariVectorEnv`` does it, to within one grey
    level. Its maximum over two frames is not taken here: frames of flickering games come merged.
    """
    return shrink(to_grey(frames))


def shrink(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Views uint8 (..., 84, 84) of the brightness of whole screens, uint8 (..., 210, 160)."""
    (above, middle, below), (above_share, middle_share, below_share) = _ROWS
    view: NDArray[np.float32] = grey[..., above, :] * above_share[:, None]
    view += grey[..., middle, :] * middle_share[:, None]
    view += grey[..., below, :] * below_share[:, None]
    (left, centre, right), (left_share, centre_share, right_share) = _COLUMNS
    view = view[..., left] * left_share + view[..., centre] * centre_share + view[..., right] * right_share
    return np.rint(view).astype(np.uint8)


def area_weights(size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The three of ``size`` pixels that each of the view's pixels can cover, and their shares in it.

    Indices (3, 84) and shares float32 (3, 84); the shares of one pixel sum to 1. Three are enough for a
    ratio of up to 2.5. Plain sums and not a matrix product, for which BLAS would start threads.
    """
    edges = np.arange(VIEW_SIZE + 1) * size / VIEW_SIZE
    pixels = np.floor(edges[:-1]).astype(np.intp) + np.arange(3)[:, None]
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    shares = (np.clip(overlap, 0, None) * VIEW_SIZE / size).astype(np.float32)
    return np.minimum(pixels, size - 1), shares


_ROWS = area_weights(SCREEN_HEIGHT)
_COLUMNS = area_weights(SCREEN_WIDTH)
