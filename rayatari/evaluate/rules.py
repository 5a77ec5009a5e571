"""Block 3: does play obey the rules of Breakout? Real play, measured alike, gives the ceiling.

A rule looks at one :class:`Play` and counts how often it could have been broken and how often it held.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.closed_loop import Play
from rayatari.evaluate.stats import Estimate, share
from rayatari.games.readers import BreakoutReading

BRICK_POINTS = np.array([7, 7, 4, 4, 1, 1])
"""Points for a brick of each row of the wall, from top to bottom."""
_LAG = 1
"""Steps by which the real game draws score and lives later than what causes them."""
_HIDDEN_FRAMES = 1
_STILL_PIXELS = 1.0
_PADDLE_ENDS = (8.0, 144.0)
_DIRECTIONS = {"LEFT": -1, "RIGHT": 1, "NOOP": 0, "FIRE": 0}

Counts = tuple[int, int]
"""How often a rule held, and how often it could have been broken."""


def rule_scores(plays: Sequence[Play], action_names: Sequence[str]) -> dict[str, Estimate]:
    """Each rule's share over all ``plays`` of Breakout; n counts the occasions to break it."""
    found = {name: [rule(play, action_names) for play in plays] for name, rule in BREAKOUT_RULES.items()}
    return {
        name: share([held for held, _ in counts], [occasions for _, occasions in counts])
        for name, counts in found.items()
    }


def ball_visible(play: Play, action_names: Sequence[str]) -> Counts:
    """There is a ball, of all frames."""
    return sum(r.ball is not None for r in play.readings[1:]), len(play.actions)


def ball_whole(play: Play, action_names: Sequence[str]) -> Counts:
    """There is exactly one ball-like blob, and it is a legal ball, of all frames."""
    return sum(r.ball is not None and r.ball_count == 1 for r in play.readings[1:]), len(play.actions)


def field_legal(play: Play, action_names: Sequence[str]) -> Counts:
    """Bricks, one paddle and one ball explain every pixel between the walls, of all frames."""
    return sum(r.unexplained == 0 for r in _breakout(play)[1:]), len(play.actions)


def points_match_bricks(play: Play, action_names: Sequence[str]) -> Counts:
    """The screen adds the points that vanished bricks are worth, of all steps at which it should or does."""
    walls = np.stack([r.bricks for r in _breakout(play)])
    vanished = (walls[:-1] & ~walls[1:]).sum(axis=2) @ BRICK_POINTS
    return _followed(vanished.astype(np.float64), _changes([r.score for r in _breakout(play)]))


def reward_matches_screen(play: Play, action_names: Sequence[str]) -> Counts:
    """The screen adds the points that the game reports, of all steps at which it should or does."""
    return _followed(np.array(play.rewards), _changes([r.score for r in _breakout(play)]))


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
    drops = -_changes([r.lives for r in readings])
    explained = np.zeros(len(drops), bool)
    held = occasions = 0
    for first, end in _absences([r.ball is not None for r in readings]):
        during = slice(max(first - 1, 0), end + _LAG)
        explained[during] = True
        hidden = end - first <= _HIDDEN_FRAMES and not drops[during].any()
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
    orders = [_DIRECTIONS[action_names[action]] for action in play.actions]
    for step, (last, order) in enumerate(itertools.pairwise(orders), start=1):
        before, after = play.readings[step].paddle, play.readings[step + 1].paddle
        if order == last and before not in _PADDLE_ENDS:
            occasions += 1
            held += _moved_as(order, before, after)
    return held, occasions


BREAKOUT_RULES: dict[str, Callable[[Play, Sequence[str]], Counts]] = {
    "ball_visible": ball_visible,
    "ball_whole": ball_whole,
    "field_legal": field_legal,
    "paddle_obeys": paddle_obeys,
    "points_match_bricks": points_match_bricks,
    "reward_matches_screen": reward_matches_screen,
    "bricks_stay_gone": bricks_stay_gone,
    "lives_fall_with_ball": lives_fall_with_ball,
    "score_and_lives_legal": score_and_lives_legal,
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


def _changes(numbers: Sequence[int | None]) -> NDArray[np.float64]:
    """Change of a number on the screen in each step; an unreadable one counts as not changed yet."""
    known, last = [], next((number for number in numbers if number is not None), 0)
    for number in numbers:
        last = last if number is None else number
        known.append(float(last))
    return np.diff(known)


def _absences(seen: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First frame of each run of frames without, and the frame after it."""
    for is_seen, run in itertools.groupby(enumerate(seen), key=lambda pair: pair[1]):
        if not is_seen:
            frames = [frame for frame, _ in run]
            yield frames[0], frames[-1] + 1


def _followed(caused: NDArray[np.float64], shown: NDArray[np.float64]) -> Counts:
    """The screen adds what was caused, at once or a step later, of all steps at which it should or does.

    What was caused before the first step is not known, so what the first step shows is not judged; nor
    is what the last step causes and does not show yet.
    """
    held = occasions = 0
    due = caused[0] if shown[0] == 0 else 0.0
    for new, change in zip(caused[1:], shown[1:], strict=True):
        if due or change:
            occasions += 1
            held += change in (due, due + new)
        due = new if change in (0, due) else 0.0
    return held, occasions
