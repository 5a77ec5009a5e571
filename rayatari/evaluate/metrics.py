"""Pixel measures between predicted and real frames, all in numpy.

Frames come as palette bytes. Whether a pixel is wrong is decided on the palette; PSNR and SSIM are
computed on the grey levels (0 to 255) of ALE's own palette.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.interface import Frames
from rayatari.games.palette import to_grey

_PEAK = 255.0
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def wrong_pixels(predicted: Frames, real: Frames) -> NDArray[np.int64]:
    """Number of pixels of each frame whose colour is wrong: (..., 210, 160) twice -> int (...)."""
    return _count(predicted != real)


def changed_pixels(current: Frames, following: Frames) -> NDArray[np.int64]:
    """Number of pixels of each frame that differ between now and the next step, int (...)."""
    return _count(current != following)


def wrong_changed_pixels(predicted: Frames, current: Frames, following: Frames) -> NDArray[np.int64]:
    """Number of pixels that really changed from ``current`` to ``following`` and are predicted wrong."""
    return _count((current != following) & (predicted != following))


def squared_error(predicted: Frames, real: Frames) -> NDArray[np.float64]:
    """Mean squared difference of the grey levels of each frame, float (...)."""
    difference = to_grey(predicted).astype(np.float64) - to_grey(real)
    return np.asarray(np.mean(difference**2, axis=(-2, -1)))


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(255² / MSE)``; infinite for equal frames."""
    return math.inf if mean_squared_error == 0 else 10 * math.log10(_PEAK**2 / mean_squared_error)


def ssim(predicted: Frames, real: Frames) -> NDArray[np.float64]:
    """Structural similarity of each frame, 1 for equal ones, float (...).

    Wang, Bovik, Sheikh and Simoncelli (2004): means, variances and covariance under a Gaussian
    window of 11 × 11 pixels with deviation 1.5, K1 = 0.01, K2 = 0.03, averaged over all positions
    at which the window lies inside the frame.
    """
    x, y = to_grey(predicted).astype(np.float64), to_grey(real).astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return np.asarray(np.mean(luminance * structure, axis=(-2, -1)))


def _count(pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(pixels, axis=(-2, -1)), np.int64)


def _blur(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window at every inside position, (..., H - 10, W - 10): two products with band matrices."""
    height, width = images.shape[-2:]
    return np.asarray(_band(height) @ images @ _band(width).T)


@cache
def _band(size: int) -> NDArray[np.float64]:
    """Matrix (size - 10, size) whose rows are the one-dimensional window at each inside position."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    band = np.zeros((size - _WINDOW + 1, size))
    for row in range(len(band)):
        band[row, row : row + _WINDOW] = window
    return band
