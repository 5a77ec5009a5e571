"""The Breakout reader against the console's memory on real play, and on frames that no console draws."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from rayatari.config.runtime import EmulatorConfig
from rayatari.games.emulator import Emulator
from rayatari.games.interface import Frame
from rayatari.games.readers import BreakoutReader, BreakoutReading, get_reader
from rayatari.games.specs import SPECS

NOOP, FIRE, RIGHT, LEFT = range(4)
LIVES, PADDLE, SCORE_HUNDREDS, SCORE_TENS, BALL_X, BALL_Y = 57, 72, 76, 77, 99, 101
BRICK_BITS = [
    (30, 7), (24, 7), (24, 5), (24, 3), (24, 1), (18, 1), (18, 3), (18, 5), (18, 7),
    (12, 5), (12, 7), (6, 7), (6, 5), (6, 3), (6, 1), (0, 1), (0, 3), (0, 5),
]  # fmt: skip
"""Byte (of the bottom row; each row above is one byte on) and bit of each column of bricks."""
POINTS = np.array([7, 7, 4, 4, 1, 1])
FRAMES, EVERY = 5100, 3
SHARE = 0.995


@dataclass(frozen=True)
class Sample:
    """One real frame, the memory after it, and the memory one emulator frame earlier."""

    frame: Frame
    ram: np.ndarray
    ram_before: np.ndarray
    reading: BreakoutReading


def bricks_in(ram: np.ndarray) -> np.ndarray:
    return np.array([[ram[byte + 5 - row] >> bit & 1 for byte, bit in BRICK_BITS] for row in range(6)], bool)


def score_in(ram: np.ndarray) -> int:
    return int(ram[SCORE_HUNDREDS] & 15) * 100 + int(ram[SCORE_TENS] >> 4) * 10 + int(ram[SCORE_TENS] & 15)


def follow(ram: np.ndarray, aim: int) -> int:
    """The action that brings the paddle under the ball, ``aim`` pixels off its middle."""
    if ram[BALL_Y] == 0:
        return FIRE
    distance = (int(ram[BALL_X]) - 48) - (int(ram[PADDLE]) - 39 + aim)
    return RIGHT if distance > 2 else LEFT if distance < -2 else NOOP


@cache
def real_play() -> list[Sample]:
    """Every third emulator frame of games of a player who follows the ball, but for moments of noise."""
    emulator = Emulator(SPECS["breakout"], EmulatorConfig(frame_skip=1))
    reader = BreakoutReader()
    samples: list[Sample] = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        emulator.reset(seed)
        ram, aim, action, noisy = emulator.ram, 0, NOOP, False
        for number in range(6000):
            if number % 40 == 0:
                aim = int(rng.integers(-4, 5))
                noisy = rng.random() < 0.2 * (seed % 3)
            if number % 10 == 0 or not noisy:
                action = int(rng.integers(4)) if noisy else follow(ram, aim)
            before = ram
            step = emulator.step(action)
            ram = emulator.ram
            if number % EVERY == 0:
                samples.append(Sample(step.frame, ram, before, reader.read(step.frame)))
            if step.terminated or len(samples) == FRAMES:
                break
        if len(samples) == FRAMES:
            return samples
    raise AssertionError("the games were too short")


def share(right: list[bool]) -> float:
    return sum(right) / len(right)


def ball_place(ram: np.ndarray) -> tuple[int, int] | None:
    """Where the ball's top left pixel is drawn: one line higher above the seam below the bricks."""
    if ram[BALL_Y] == 0:
        return None
    y = int(ram[BALL_Y]) + 9
    return int(ram[BALL_X]) - 49, y - 1 if y <= 93 else y


def visible_pixels(ram: np.ndarray) -> int:
    """Pixels of the ball in the field that no brick and no paddle of its own colour hides."""
    place = ball_place(ram)
    if place is None:
        return 0
    bricks, paddle = bricks_in(ram), int(ram[PADDLE]) - 47
    x, y = place
    bottom = y + 5 if 89 <= y <= 92 else y + 4
    visible = 0
    for row in range(y, min(bottom, 195)):
        for column in range(max(x, 8), min(x + 2, 152)):
            in_brick = 57 <= row < 93 and bricks[(row - 57) // 6, (column - 8) // 8]
            in_paddle = 189 <= row < 193 and paddle <= column < paddle + 16
            visible += not in_brick and not in_paddle
    return visible


def test_the_play_shows_what_a_reader_must_be_able_to_read() -> None:
    samples = real_play()
    assert len(samples) == FRAMES >= 5000
    assert max(score_in(sample.ram) for sample in samples) > 99
    assert {int(sample.ram[LIVES]) for sample in samples} == set(range(6))
    assert {int(sample.ram[PADDLE]) - 47 for sample in samples} >= {8, 144}
    assert sum(ball_place(sample.ram) is None for sample in samples) > 10
    heights = [place[1] for sample in samples if (place := ball_place(sample.ram))]
    assert min(heights) < 50 and sum(54 <= y < 93 for y in heights) > 200


def test_the_ball_is_where_memory_says() -> None:
    """Memory and screen differ where the ball is hidden (wholly before bricks of its own colour, within the
    paddle, in the walls, below the field), and by a pixel where only a part is visible.
    """
    right = []
    for sample in real_play():
        place, ball = ball_place(sample.ram), sample.reading.ball
        if place is None or visible_pixels(sample.ram) == 0:
            right.append(ball is None)
        else:
            slack = 0 if visible_pixels(sample.ram) >= 8 else 1
            right.append(ball is not None and np.abs(np.subtract(ball, place)).max() <= slack)
    assert share(right) >= SHARE


def test_there_is_one_ball_where_it_can_be_seen_and_none_elsewhere() -> None:
    samples = real_play()
    right = [sample.reading.ball_count == (visible_pixels(sample.ram) > 0) for sample in samples]
    assert share(right) >= SHARE


def test_the_paddle_is_where_memory_says() -> None:
    """They may differ where the ball touches the paddle's end: one colour, and nothing between them."""
    right = [sample.reading.paddle == int(sample.ram[PADDLE]) - 47 for sample in real_play()]
    assert share(right) >= SHARE


def test_the_bricks_are_those_in_memory() -> None:
    right = [np.array_equal(sample.reading.bricks, bricks_in(sample.ram)) for sample in real_play()]
    assert share(right) >= SHARE


def test_score_and_lives_are_those_in_memory_before_the_frame() -> None:
    """The digits are drawn first and the ball is moved last: a frame shows the score before its own hits."""
    samples = real_play()
    scores = [sample.reading.score == score_in(sample.ram_before) for sample in samples]
    lives = [sample.reading.lives == int(sample.ram_before[LIVES]) for sample in samples]
    assert share(scores) >= SHARE
    assert share(lives) >= SHARE


def test_points_are_the_worth_of_the_bricks_that_are_gone() -> None:
    """Screen against screen; they part for one frame, as score and bricks are drawn in different ones."""
    right = []
    for sample in real_play():
        gone = int(((~sample.reading.bricks).sum(axis=1) * POINTS).sum())
        right.append(gone - (sample.reading.score or 0) in (0, *POINTS))
    assert share(right) == 1.0


def test_nothing_is_unexplained_in_real_frames() -> None:
    assert share([sample.reading.unexplained == 0 for sample in real_play()]) >= SHARE


@pytest.fixture
def served() -> Frame:
    """A real frame with the ball in flight below the bricks, away from everything."""
    emulator = Emulator(SPECS["breakout"], EmulatorConfig())
    emulator.reset(0)
    for _ in range(8):
        frame = emulator.step(FIRE).frame
    reading = BreakoutReader().read(frame)
    assert reading.ball is not None and 100 < reading.ball[1] < 180
    return frame


def ball_of(frame: Frame) -> tuple[int, int]:
    x, y = BreakoutReader().read(frame).ball or (0, 0)
    return int(x), int(y)


def test_a_second_ball_is_counted(served: Frame) -> None:
    served[110:114, 20:22] = 70
    reading = BreakoutReader().read(served)
    assert reading.ball_count == 2 and reading.ball is not None


def test_half_a_ball_is_a_blob_but_no_ball(served: Frame) -> None:
    x, y = ball_of(served)
    served[y : y + 2, x : x + 2] = 0
    reading = BreakoutReader().read(served)
    assert (reading.ball, reading.ball_count, reading.unexplained) == (None, 1, 4)


def test_a_swollen_ball_is_neither(served: Frame) -> None:
    x, y = ball_of(served)
    served[y : y + 4, x : x + 4] = 70
    reading = BreakoutReader().read(served)
    assert (reading.ball, reading.ball_count, reading.unexplained) == (None, 0, 16)


def test_a_ball_of_another_colour_is_none(served: Frame) -> None:
    x, y = ball_of(served)
    served[y : y + 4, x : x + 2] = 198
    reading = BreakoutReader().read(served)
    assert (reading.ball, reading.ball_count, reading.unexplained) == (None, 0, 8)


def test_a_vanished_ball_is_none(served: Frame) -> None:
    x, y = ball_of(served)
    served[y : y + 4, x : x + 2] = 0
    reading = BreakoutReader().read(served)
    assert (reading.ball, reading.ball_count, reading.unexplained) == (None, 0, 0)


def test_a_torn_or_missing_paddle_is_none(served: Frame) -> None:
    paddle = BreakoutReader().read(served).paddle
    assert paddle is not None
    served[189:193, int(paddle) + 7] = 0
    assert BreakoutReader().read(served).paddle is None
    served[189:193, 8:152] = 0
    assert BreakoutReader().read(served).paddle is None


def test_an_eroded_brick_stands_until_half_of_it_is_gone(served: Frame) -> None:
    served[57:59, 8:16] = 0
    reading = BreakoutReader().read(served)
    assert reading.bricks.all() and reading.unexplained == 16
    served[57:61, 8:16] = 0
    reading = BreakoutReader().read(served)
    assert not reading.bricks[0, 0] and reading.bricks.sum() == 107 and reading.unexplained == 16


def test_a_broken_digit_makes_no_number(served: Frame) -> None:
    served[5:15, 52:64] = 6
    served[5:7, 100:112] = 0
    reading = BreakoutReader().read(served)
    assert reading.score is None and reading.lives is None


@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_can_be_read(seed: int) -> None:
    rng = np.random.default_rng(seed)
    colours = np.array([SPECS["breakout"].palette, range(9)][seed % 2], np.uint8)
    reading = BreakoutReader().read(rng.choice(colours, (210, 160)))
    assert reading.paddle is None and reading.score is None and reading.lives is None
    assert reading.unexplained > 1000


@pytest.mark.parametrize("colour", SPECS["breakout"].palette)
def test_a_plain_screen_holds_nothing(colour: int) -> None:
    reading = BreakoutReader().read(np.full((210, 160), colour, np.uint8))
    assert (reading.ball, reading.ball_count, reading.paddle, reading.score) == (None, 0, None, None)


def test_games_without_a_reader_have_none() -> None:
    assert isinstance(get_reader("breakout"), BreakoutReader)
    assert get_reader("qbert") is None
