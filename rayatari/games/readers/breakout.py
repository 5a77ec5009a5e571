"""Breakout: ball, paddle, bricks, score and lives."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import SCREEN_HEIGHT, Frame
from rayatari.games.readers.base import Blob, Seen, blobs, block_digit, one

_LEFT, _RIGHT = 8, 152
_TOP, _BOTTOM = 32, 195
"""The field between the walls, down to where the ball stops being drawn."""

_BRICKS_TOP, _BRICK_HEIGHT, _BRICK_WIDTH = 57, 6, 8
BRICK_ROWS, BRICK_COLUMNS = 6, 18
_BRICK_COLOURS = np.array([70, 54, 38, 22, 198, 134], np.uint8)
_BRICKS_BOTTOM = _BRICKS_TOP + BRICK_ROWS * _BRICK_HEIGHT

_PADDLE_TOP, _PADDLE_BOTTOM = 189, 193
_PADDLE_WIDTHS = (16, 12)
"""Its width, and its width after the ball has reached the top wall."""
_BALL_WIDTH, _BALL_HEIGHT = 2, 4
_SEAM = _BRICKS_BOTTOM
"""First line below the bricks. From here the game draws the ball a line lower, so that a ball across the
seam is a line taller, and none begins just here."""

_PADDLE_COLOUR = 70
_WALL_COLOUR = 6
_BALL_COLOURS = np.full((SCREEN_HEIGHT, 1), _PADDLE_COLOUR, np.uint8)
"""The ball has the colour of the playfield of each line: the wall's, the bricks' or the paddle's."""
_BALL_COLOURS[:_BRICKS_TOP] = _WALL_COLOUR
_BALL_COLOURS[_BRICKS_TOP:_BRICKS_BOTTOM, 0] = _BRICK_COLOURS.repeat(_BRICK_HEIGHT)

_DIGITS_TOP, _DIGIT_COLOUR = 5, 6
_SCORE_LEFT, _LIVES_LEFT = (36, 52, 68), 100


@dataclass(frozen=True)
class BreakoutReading:
    """What a Breakout screen shows."""

    ball: tuple[float, float] | None
    """x and y of the top left pixel of the ball, a part of which may be hidden; the middle of what is
    possible where its visible part leaves that open; None without a whole ball of 2×4 pixels."""
    ball_count: int
    """Ball-like blobs: of the ball's colour and no larger than it, and neither brick nor paddle. One in a
    sane frame, none before the serve and where a brick, a wall or the paddle hides the ball."""
    paddle: float | None
    """x of the paddle's leftmost pixel, 8 to 144."""
    paddle_width: int
    """Its width, 16, or 12 after the ball has reached the top wall; 0 without a paddle."""
    bricks: NDArray[np.bool_]
    """Which bricks stand, bool (6, 18), top row first."""
    score: int | None
    """The three score digits."""
    lives: int | None
    """The digit of lives left."""
    unexplained: int
    """Pixels of the field that are not as bricks, paddle and ball would draw it; 0 in every real frame."""

    @property
    def seen(self) -> Mapping[str, Seen]:
        """Ball and paddle."""
        paddle = None if self.paddle is None else (self.paddle, float(_PADDLE_TOP))
        return {"ball": one(self.ball, self.ball_count), "paddle": one(paddle)}

    @property
    def legal(self) -> bool:
        """Whole bricks, a paddle, at most one ball, score and lives, and nothing else in the field."""
        read = None not in (self.paddle, self.score, self.lives)
        return read and self.ball_count <= 1 and not self.unexplained


class BreakoutReader:
    """Reads Breakout."""

    def read(self, frame: Frame) -> BreakoutReading:
        """Read one frame of palette bytes, uint8 (210, 160); any bytes will do."""
        bricks = _read_bricks(frame)
        paddle, paddle_width = _read_paddle(frame)
        expected_HW = _draw_field(bricks, paddle, paddle_width)
        odd_HW = frame[_TOP:_BOTTOM, _LEFT:_RIGHT] != expected_HW
        ball_coloured_HW = frame[_TOP:_BOTTOM, _LEFT:_RIGHT] == _BALL_COLOURS[_TOP:_BOTTOM]
        found = [blob for blob in blobs(odd_HW & ball_coloured_HW) if _fits_ball(blob)]
        balls = [(len(blob), places) for blob in found if (places := _ball_places(blob, ball_coloured_HW))]
        ball, visible = None, 0
        if balls:
            visible, places = max(balls)
            x, y = np.mean(places, axis=0).tolist()
            ball = (x, y)
        return BreakoutReading(
            ball=ball,
            ball_count=len(found),
            paddle=paddle,
            paddle_width=paddle_width,
            bricks=bricks,
            score=_read_number(frame, _SCORE_LEFT),
            lives=_read_number(frame, (_LIVES_LEFT,)),
            unexplained=int(np.count_nonzero(odd_HW)) - visible,
        )


def _read_bricks(frame: Frame) -> NDArray[np.bool_]:
    """A brick stands where more than half of its pixels are of its colour; a ball is a sixth of it."""
    cells = frame[_BRICKS_TOP:_BRICKS_BOTTOM, _LEFT:_RIGHT].reshape(
        BRICK_ROWS, _BRICK_HEIGHT, BRICK_COLUMNS, _BRICK_WIDTH
    )
    own_pixels = (cells == _BRICK_COLOURS[:, None, None, None]).sum(axis=(1, 3))
    bricks: NDArray[np.bool_] = own_pixels > _BRICK_HEIGHT * _BRICK_WIDTH // 2
    return bricks


def _read_paddle(frame: Frame) -> tuple[int | None, int]:
    """Leftmost pixel and visible width of the paddle; (None, 0) without a legal one.

    The longest run of its colour must be as wide as a paddle, or end at the right wall, which is of the
    same colour there and covers up to half of it. A touching ball may add its width to the run.
    """
    strip = frame[_PADDLE_TOP:_PADDLE_BOTTOM, _LEFT:_RIGHT] == _PADDLE_COLOUR
    height = strip.sum(axis=0)
    edges = np.flatnonzero(np.diff(height >= 3, prepend=False, append=False))
    if not len(edges):
        return None, 0
    runs = edges.reshape(-1, 2)
    start, end = runs[(runs[:, 1] - runs[:, 0]).argmax()].tolist()
    length = end - start
    if end == _RIGHT - _LEFT and _PADDLE_WIDTHS[0] // 2 <= length <= _PADDLE_WIDTHS[0]:
        return start + _LEFT, length
    for width in _PADDLE_WIDTHS:
        if width <= length <= width + _BALL_WIDTH:
            sums = [int(height[at : at + width].sum()) for at in range(start, end - width + 1)]
            return start + int(np.argmax(sums)) + _LEFT, width
    return None, 0


def _draw_field(bricks: NDArray[np.bool_], paddle: int | None, paddle_width: int) -> NDArray[np.uint8]:
    """The field, rows ``_TOP`` to ``_BOTTOM`` and columns ``_LEFT`` to ``_RIGHT``, without a ball."""
    field_HW = np.zeros((_BOTTOM - _TOP, _RIGHT - _LEFT), np.uint8)
    wall = (bricks * _BRICK_COLOURS[:, None]).repeat(_BRICK_HEIGHT, axis=0).repeat(_BRICK_WIDTH, axis=1)
    field_HW[_BRICKS_TOP - _TOP : _BRICKS_BOTTOM - _TOP] = wall
    if paddle is not None:
        columns = slice(paddle - _LEFT, paddle - _LEFT + paddle_width)
        field_HW[_PADDLE_TOP - _TOP : _PADDLE_BOTTOM - _TOP, columns] = _PADDLE_COLOUR
    return field_HW


def _fits_ball(blob: Blob) -> bool:
    """Whether a ball, with its additional line at the seam, could cover all of ``blob``."""
    rows = [row for row, _ in blob]
    columns = [column for _, column in blob]
    return max(rows) - min(rows) <= _BALL_HEIGHT and max(columns) - min(columns) < _BALL_WIDTH


def _ball_places(blob: Blob, ball_coloured_HW: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Places (x, y of its top left pixel) where a ball covers the whole ``blob``.

    Each of the ball's pixels must be of its colour, or outside the field, where it would not be seen.
    """
    rows, columns = zip(*blob, strict=True)
    places = []
    for top in range(max(rows) - _BALL_HEIGHT, min(rows) + 1):
        bottom = _ball_bottom(top + _TOP) - _TOP
        for left in range(max(columns) - _BALL_WIDTH + 1, min(columns) + 1):
            covered_HW = ball_coloured_HW[max(top, 0) : bottom, max(left, 0) : left + _BALL_WIDTH]
            if bottom > max(rows) and top + _TOP != _SEAM and covered_HW.all():
                places.append((left + _LEFT, top + _TOP))
    return places


def _ball_bottom(y: int) -> int:
    """Line below the ball whose topmost line is ``y``."""
    bottom = y + _BALL_HEIGHT
    return bottom + 1 if y < _SEAM <= bottom else bottom


def _read_number(frame: Frame, lefts: tuple[int, ...]) -> int | None:
    """The number whose digits begin at the columns ``lefts``; None where one of them is no digit."""
    number = 0
    for left in lefts:
        digit = block_digit(frame, left, _DIGITS_TOP, 2, _DIGIT_COLOUR)
        if digit is None or digit < 0:
            return None
        number = number * 10 + digit
    return number
