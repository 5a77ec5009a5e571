"""The rules of Breakout."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

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
from rayatari.games.readers import BreakoutReading

BRICK_POINTS = np.array([7, 7, 4, 4, 1, 1])
"""Points for a brick of each row of the wall, from top to bottom."""
_LAG = 1
"""Steps by which the real game draws score and lives later than what causes them."""
_HIDDEN_FRAMES, _HIDDEN_BY_BRICKS = 1, 3
"""Frames for which paddle or walls, and for which bricks, can hide the ball."""
_BRICKS_END = 100
"""Above this line bricks may."""
_STILL_PIXELS = 1.0
_PADDLE_ENDS = (8.0, 144.0)
_DIRECTIONS = {"LEFT": -1, "RIGHT": 1, "NOOP": 0, "FIRE": 0}


def points_match_bricks(play: Play, action_names: Sequence[str]) -> Counts:
    """The screen adds the points that vanished bricks are worth, of all steps at which it should or does."""
    walls = np.stack([r.bricks for r in _breakout(play)])
    vanished = (walls[:-1] & ~walls[1:]).sum(axis=2) @ BRICK_POINTS
    return followed(vanished.astype(np.float64), changes([r.score for r in _breakout(play)]))


def reward_matches_screen(play: Play, action_names: Sequence[str]) -> Counts:
    """The screen adds the points that the game reports, of all steps at which it should or does."""
    return followed(np.array(play.rewards), changes([r.score for r in _breakout(play)]))


def bricks_stay_gone(play: Play, action_names: Sequence[str]) -> Counts:
    """No brick comes back, unless an empty wall becomes a full one, of all steps."""
    walls = np.stack([r.bricks for r in _breakout(play)])
    back = (walls[1:] & ~walls[:-1]).any(axis=(1, 2))
    refilled = walls[1:].all(axis=(1, 2)) & ~walls[:-1].any(axis=(1, 2))
    return int((~back | refilled).sum()), len(play.actions)


def lives_fall_with_ball(play: Play, action_names: Sequence[str]) -> Counts:
    """One life goes whenever the ball does, of all absences of the ball between two sights of it.

    A life that goes while the ball is there breaks the rule too. The real ball is out of sight for
    some steps before its life goes, and the next one can be served in the very step after; a single
    frame without it may be a ball that bricks or the paddle hide.
    """
    readings = _breakout(play)
    drops = -changes([r.lives for r in readings])
    explained = np.zeros(len(drops), bool)
    held = occasions = 0
    for first, end in absences([r.ball is not None for r in readings]):
        during = slice(max(first - 1, 0), end + _LAG)
        explained[during] = True
        last = readings[first - 1].ball if first else None
        behind_bricks = last is not None and last[1] < _BRICKS_END
        most = _HIDDEN_BY_BRICKS if behind_bricks else _HIDDEN_FRAMES
        hidden = end - first <= most and not drops[during].any()
        if first > 0 and end < len(readings) and not hidden:
            occasions += 1
            held += drops[during].sum() == 1
    return held, occasions + int(np.count_nonzero(drops[~explained]))


def score_and_lives_legal(play: Play, action_names: Sequence[str]) -> Counts:
    """Score and lives can be read, the score never falls, lives fall by at most one, of all steps."""
    readings = _breakout(play)
    legal = [_legal(before, after) for before, after in itertools.pairwise(readings)]
    return sum(legal), len(legal)


def paddle_obeys(play: Play, action_names: Sequence[str]) -> Counts:
    """The paddle moves as told, of all steps whose order was also that of the step before.

    The real paddle has inertia: it lags in the first step of a new order, and longer at an end of the
    field, so steps that begin there are left out. A missing paddle disobeys.
    """
    held = occasions = 0
    readings = _breakout(play)
    orders = [_DIRECTIONS[action_names[action]] for action in play.actions]
    for step, (last, order) in enumerate(itertools.pairwise(orders), start=1):
        before, after = readings[step].paddle, readings[step + 1].paddle
        if order == last and before not in _PADDLE_ENDS:
            occasions += 1
            held += _moved_as(order, before, after)
    return held, occasions


def screen_agrees(play: Play, action_names: Sequence[str]) -> Counts:
    """Score and lives on the screen follow what happened: bricks that vanished, balls that were lost."""
    return add(points_match_bricks(play, action_names), lives_fall_with_ball(play, action_names))


BREAKOUT_RULES: Mapping[str, Callable[[Play, Sequence[str]], Counts]] = {
    "ball_visible": ball_visible,
    "ball_whole": ball_whole,
    "field_legal": field_legal,
    "paddle_obeys": paddle_obeys,
    "points_match_bricks": points_match_bricks,
    "reward_matches_screen": reward_matches_screen,
    "bricks_stay_gone": bricks_stay_gone,
    "lives_fall_with_ball": lives_fall_with_ball,
    "score_and_lives_legal": score_and_lives_legal,
    "screen_agrees": screen_agrees,
}
"""Rules by name, in the order of the report."""


def _moved_as(order: int, before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return False
    moved = after - before
    return moved * order > 0 if order else abs(moved) <= _STILL_PIXELS


def _breakout(play: Play) -> list[BreakoutReading]:
    assert all(isinstance(reading, BreakoutReading) for reading in play.readings)
    return [reading for reading in play.readings if isinstance(reading, BreakoutReading)]


def _legal(before: BreakoutReading, after: BreakoutReading) -> bool:
    if before.score is None or after.score is None or before.lives is None or after.lives is None:
        return False
    return after.score >= before.score and after.lives - before.lives in (0, -1)
