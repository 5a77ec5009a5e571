"""The rules of Pong."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from rayatari.evaluate.play import Play
from rayatari.evaluate.rules.common import (
    Counts,
    absences,
    add,
    ball_visible,
    ball_whole,
    changes,
    field_legal,
    followed,
)
from rayatari.games.readers import PongReading

_MIDDLE = 79.0
_HIDDEN_FRAMES = 1
"""A ball may be out of sight for so many frames without having left."""
_COASTING = 4.0
"""Pixels that the paddle may still move in a step without an order."""
_PADDLE_ENDS = (24.0, 190.0)
_LAG = 1
"""Steps between the ball's last sight and its point."""
_DIRECTIONS = {"NOOP": 0, "FIRE": 0, "RIGHT": -1, "RIGHTFIRE": -1, "LEFT": 1, "LEFTFIRE": 1}
"""RIGHT moves the paddle up."""


def paddle_obeys(play: Play, action_names: Sequence[str]) -> Counts:
    """The paddle moves as told, of all steps whose order was also that of the step before.

    It has inertia: it coasts without an order and lags behind a new one. Steps that begin at an end of the
    field are left out. A missing paddle disobeys.
    """
    held = occasions = 0
    orders = [_DIRECTIONS[action_names[action]] for action in play.actions]
    readings = _pong(play)
    for step, (last, order) in enumerate(itertools.pairwise(orders), start=1):
        before, after = readings[step].paddle, readings[step + 1].paddle
        if order == last and before not in _PADDLE_ENDS:
            occasions += 1
            if before is not None and after is not None:
                moved = after - before
                held += moved * order > 0 if order else abs(moved) <= _COASTING
    return held, occasions


def point_when_ball_leaves(play: Play, action_names: Sequence[str]) -> Counts:
    """One point goes to the right side whenever the ball leaves, of all points and absences of the ball.

    The side is the one away from where the ball was last seen. A point at any other time breaks the rule,
    and so does a score that cannot be read when it should have changed.
    """
    readings = _pong(play)
    own, other = (changes([r.score for r in readings]), changes([r.opponent_score for r in readings]))
    explained = [False] * len(own)
    held = occasions = 0
    for first, end in absences([r.ball is not None for r in readings]):
        if first == 0 or end - first <= _HIDDEN_FRAMES or first + _LAG >= len(readings):
            continue
        ball = readings[first - 1].ball
        assert ball is not None
        during = slice(max(first - 1 - _LAG, 0), first + _LAG)
        due = (1, 0) if ball[0] < _MIDDLE else (0, 1)
        read = None not in (readings[first + _LAG].score, readings[first + _LAG].opponent_score)
        occasions += 1
        held += read and (own[during].sum(), other[during].sum()) == due
        explained[during] = [True] * len(explained[during])
    unearned = sum(1 for at, done in enumerate(explained) if not done and (own[at] or other[at]))
    return held, occasions + unearned


def reward_matches_screen(play: Play, action_names: Sequence[str]) -> Counts:
    """The screen adds the points that the game reports, of all steps at which it should or does."""
    readings = _pong(play)
    shown = changes([r.score for r in readings]) - changes([r.opponent_score for r in readings])
    caused = changes([0.0, *itertools.accumulate(play.rewards)])
    return followed(caused, shown)


def scores_legal(play: Play, action_names: Sequence[str]) -> Counts:
    """Both scores can be read, at most one rises, by one, and none falls, of all steps."""
    held = 0
    for before, after in itertools.pairwise(_pong(play)):
        if None in (before.score, before.opponent_score, after.score, after.opponent_score):
            continue
        own = (after.score or 0) - (before.score or 0)
        other = (after.opponent_score or 0) - (before.opponent_score or 0)
        held += (own, other) in ((0, 0), (1, 0), (0, 1))
    return held, len(play.actions)


def screen_agrees(play: Play, action_names: Sequence[str]) -> Counts:
    """The scores on the screen follow what happened: where the ball left, what the game reported."""
    return add(point_when_ball_leaves(play, action_names), reward_matches_screen(play, action_names))


PONG_RULES: Mapping[str, Callable[[Play, Sequence[str]], Counts]] = {
    "ball_visible": ball_visible,
    "ball_whole": ball_whole,
    "field_legal": field_legal,
    "paddle_obeys": paddle_obeys,
    "point_when_ball_leaves": point_when_ball_leaves,
    "reward_matches_screen": reward_matches_screen,
    "scores_legal": scores_legal,
    "screen_agrees": screen_agrees,
}
"""Rules by name, in the order of the report."""


def _pong(play: Play) -> list[PongReading]:
    assert all(isinstance(reading, PongReading) for reading in play.readings)
    return [reading for reading in play.readings if isinstance(reading, PongReading)]
