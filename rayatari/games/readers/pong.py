"""Pong: ball, both paddles, both scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import Frame
from rayatari.games.readers.base import Blob, Place, Seen, blobs, block_digit, one

_TOP, _BOTTOM = 34, 194
"""The field between the white walls."""
_FIELD, _BALL, _OWN, _OPPONENT = 0x22, 0x0E, 0xC8, 0x38
"""Colours; the ball's is that of the walls."""
_OWN_LEFT, _OPPONENT_LEFT, _BAT_WIDTH, _BAT_HEIGHT = 140, 16, 4, 16
_BALL_WIDTH, _BALL_HEIGHT = 2, 4
_SLANTED_FROM = 120
"""From this column on, the game may move the ball while it draws it: a line more or less, or a step in it."""
_MOST_WHITE = 800
"""More pixels of the ball's colour than this in the field are no balls."""
_DIGITS_TOP, _DIGIT_LINES = 1, 4
_OPPONENT_DIGITS, _OWN_DIGITS = (20, 36), (100, 116)


@dataclass(frozen=True)
class PongReading:
    """What a Pong screen shows."""

    ball: Place | None
    """x and y of the top left pixel of the ball, also where a wall hides a part of it; None without a
    legal ball."""
    ball_count: int
    """Ball-coloured blobs in the field, legal or not."""
    paddle: float | None
    """y of the topmost line of the own (right) paddle, above the field where the wall hides a part."""
    paddle_count: int
    """Separate pieces of own paddle."""
    opponent: float | None
    """The same of the opponent's (left) paddle; it is not drawn while no ball is in play."""
    opponent_count: int
    """Separate pieces of the opponent's paddle."""
    score: int | None
    """Own points."""
    opponent_score: int | None
    """The opponent's points."""
    unexplained: int
    """Pixels of the field that neither paddles nor ball explain; 0 in every real frame."""

    @property
    def seen(self) -> Mapping[str, Seen]:
        """Ball and paddles."""
        own = None if self.paddle is None else (float(_OWN_LEFT), self.paddle)
        other = None if self.opponent is None else (float(_OPPONENT_LEFT), self.opponent)
        return {
            "ball": one(self.ball, self.ball_count),
            "paddle": one(own, self.paddle_count),
            "opponent": one(other, self.opponent_count),
        }

    @property
    def legal(self) -> bool:
        """At most one whole ball and paddle of each side, both scores, and nothing else in the field."""
        whole = all(len(seen.places) == seen.count <= 1 for seen in self.seen.values())
        read = self.score is not None and self.opponent_score is not None
        return whole and read and not self.unexplained


class PongReader:
    """Reads Pong."""

    def read(self, frame: Frame) -> PongReading:
        """Read one frame of palette bytes, uint8 (210, 160); any bytes will do."""
        field_HW = frame[_TOP:_BOTTOM]
        white_HW = field_HW == _BALL
        found = list(blobs(white_HW)) if white_HW.sum() < _MOST_WHITE else []
        places = [place for blob in found if (place := _ball_place(blob)) is not None]
        explained_HW = field_HW == _FIELD
        if places:
            explained_HW |= white_HW if len(found) == 1 else False
        own, own_count = _read_bat(field_HW, _OWN_LEFT, _OWN, white_HW, explained_HW)
        other, other_count = _read_bat(field_HW, _OPPONENT_LEFT, _OPPONENT, white_HW, explained_HW)
        return PongReading(
            ball=places[0] if places else None,
            ball_count=len(found),
            paddle=own,
            paddle_count=own_count,
            opponent=other,
            opponent_count=other_count,
            score=_read_score(frame, _OWN_DIGITS, _OWN),
            opponent_score=_read_score(frame, _OPPONENT_DIGITS, _OPPONENT),
            unexplained=int(np.count_nonzero(~explained_HW)),
        )


def _ball_place(blob: Blob) -> Place | None:
    """Where the ball of that shape is; None where no ball looks so."""
    rows = [row for row, _ in blob]
    columns = [column for _, column in blob]
    top, bottom, left = min(rows), max(rows) + 1, min(columns)
    height, width = bottom - top, max(columns) + 1 - left
    at_wall = top == 0 or bottom == _BOTTOM - _TOP
    whole = len(blob) == _BALL_WIDTH * height and height == _BALL_HEIGHT
    clipped = at_wall and height <= _BALL_HEIGHT + 1
    slanted = left >= _SLANTED_FROM and _BALL_HEIGHT - 1 <= height <= _BALL_HEIGHT + 1
    if width > _BALL_WIDTH or not (whole or clipped or slanted):
        return None
    if top == 0:
        top = min(0, bottom - _BALL_HEIGHT)
    return float(left), float(top + _TOP)


def _read_bat(
    field_HW: NDArray[np.uint8],
    left: int,
    colour: int,
    white_HW: NDArray[np.bool_],
    explained_HW: NDArray[np.bool_],
) -> tuple[float | None, int]:
    """Topmost line of the paddle, and how many pieces there are; marks the pixels of a whole one.

    The ball may hide a part of it.
    """
    columns = slice(left, left + _BAT_WIDTH)
    drawn = (field_HW[:, columns] == colour).sum(axis=1)
    hidden = white_HW[:, columns].sum(axis=1)
    full = (drawn + hidden == _BAT_WIDTH) & (drawn > 0)
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False)).reshape(-1, 2).tolist()
    if len(edges) != 1:
        return None, len(edges)
    top, bottom = edges[0]
    at_top, at_bottom = top == 0, bottom == _BOTTOM - _TOP
    if bottom - top > _BAT_HEIGHT or (bottom - top < _BAT_HEIGHT and not (at_top or at_bottom)):
        return None, 1
    explained_HW[top:bottom, columns] |= field_HW[top:bottom, columns] == colour
    return float((bottom - _BAT_HEIGHT if at_top else top) + _TOP), 1


def _read_score(frame: Frame, lefts: tuple[int, int], colour: int) -> int | None:
    """A score of one or two digits; None where it is none."""
    tens, ones = (block_digit(frame, left, _DIGITS_TOP, _DIGIT_LINES, colour) for left in lefts)
    if tens is None or ones is None or ones < 0:
        return None
    return max(tens, 0) * 10 + ones
