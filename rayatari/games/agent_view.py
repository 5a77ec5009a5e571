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
    grey_NHW = to_grey(frames).reshape(-1, SCREEN_HEIGHT, SCREEN_WIDTH).astype(np.float32)
    view_NHW = _ROWS @ (grey_NHW @ _COLUMNS)
    return np.rint(view_NHW).astype(np.uint8).reshape(*frames.shape[:-2], VIEW_SIZE, VIEW_SIZE)


def area_weights(size: int) -> NDArray[np.float32]:
    """Share of each of ``size`` pixels in each of the view's pixels, float32 (84, size); rows sum to 1."""
    edges = np.arange(VIEW_SIZE + 1) * (size / VIEW_SIZE)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * (VIEW_SIZE / size)).astype(np.float32)
    return weights


_ROWS = area_weights(SCREEN_HEIGHT)
_COLUMNS = np.ascontiguousarray(area_weights(SCREEN_WIDTH).T)
