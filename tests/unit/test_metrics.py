"""Pixel measures against values that are known from their definitions."""

import math

import numpy as np
import pytest

from rayatari.evaluate import metrics
from rayatari.games.palette import GREY


def frame(fill: int = 0) -> np.ndarray:
    return np.full((210, 160), fill, np.uint8)


def with_ball(x: int, y: int) -> np.ndarray:
    picture = frame()
    picture[y : y + 4, x : x + 2] = 54
    return picture


def test_wrong_pixels_are_counted_for_each_frame():
    predicted = np.stack([frame(), with_ball(10, 20)])
    assert metrics.wrong_pixels(predicted, np.stack([frame(), frame()])).tolist() == [0, 8]


def test_copying_the_last_frame_gets_every_changed_pixel_wrong():
    current, following = with_ball(10, 20), with_ball(14, 24)
    assert metrics.changed_pixels(current, following) == 16
    assert metrics.wrong_changed_pixels(current, current, following) == 16


def test_an_erased_ball_gets_the_half_right_where_the_ball_was():
    current, following = with_ball(10, 20), with_ball(14, 24)
    assert metrics.wrong_changed_pixels(frame(), current, following) == 8


def test_false_changes_are_wrong_pixels_but_not_wrong_changed_pixels():
    current = following = with_ball(10, 20)
    ghost = np.maximum(current, with_ball(50, 50))
    assert metrics.wrong_changed_pixels(ghost, current, following) == 0
    assert metrics.wrong_pixels(ghost, following) == 8


def test_psnr_of_an_erased_ball_follows_from_its_brightness():
    error = float(metrics.squared_error(frame(), with_ball(10, 20)))
    assert error == pytest.approx(8 * float(GREY[54]) ** 2 / 33_600)
    assert metrics.psnr(error) == pytest.approx(10 * math.log10(255**2 / error))


def test_psnr_of_equal_frames_is_infinite():
    assert metrics.psnr(0.0) == math.inf


def test_ssim_of_equal_frames_is_one():
    picture = np.random.default_rng(0).choice(np.array([0, 54, 142], np.uint8), (3, 210, 160))
    assert metrics.ssim(picture, picture) == pytest.approx([1, 1, 1], abs=1e-9)


def test_ssim_of_flat_frames_is_the_luminance_term():
    a, b, c1 = float(GREY[142]), float(GREY[54]), (0.01 * 255) ** 2
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    assert float(metrics.ssim(frame(142), frame(54))) == pytest.approx(luminance, abs=1e-9)


def test_ssim_equals_the_definition_summed_window_by_window():
    random = np.random.default_rng(1)
    x, y = random.choice(np.array([0, 54, 142, 198], np.uint8), (2, 14, 13))
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(window, window) / window.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    scores = []
    for row in range(4):
        for column in range(3):
            p = GREY[x[row : row + 11, column : column + 11]].astype(float)
            q = GREY[y[row : row + 11, column : column + 11]].astype(float)
            mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
            var_p, var_q = (weights * (p - mean_p) ** 2).sum(), (weights * (q - mean_q) ** 2).sum()
            covariance = (weights * (p - mean_p) * (q - mean_q)).sum()
            scores.append(
                (2 * mean_p * mean_q + c1) * (2 * covariance + c2)
                / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
            )  # fmt: skip
    assert float(metrics.ssim(x, y)) == pytest.approx(np.mean(scores), abs=1e-9)
