"""Block 4: when does a long game stop being one? The first step at which it is no longer sane.

A game is sane as long as none of this happens; a second is 15 steps at frame skip 4:

- torn: for more than a second no frame is legal (the reader cannot explain what it reads: a torn paddle,
  two balls, pixels that belong to nothing, a digit that is none);
- ball lost: no ball for more than four seconds; in Breakout, whose ball waits to be served, counted from a
  press of the serve button that comes a second after the ball's last sight (an earlier one may be lost);
- bricks back: a brick that was gone for a second stands again for a second, unless an empty wall is
  followed by a whole one;
- number: score, odometer or day falls, or lives rise, for good (three equal frames in a row count as shown).

Single bad frames that heal at once are forgiven here; the rules of block 3 count them. The real game, judged
alike, stands beside.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.play import Play
from rayatari.games.readers import BreakoutReading, EnduroReading, PongReading, Reading

GRACE = 15
"""Steps for which a screen may be illegal."""
PATIENCE = 60
"""Steps for which the ball may be missing."""
_SHOWN = 3
"""Equal frames in a row after which a number counts as shown."""
Insanity = tuple[int, str]
"""The step, 1 being the first, and what happened."""


def first_insanity(game: str, play: Play, action_names: Sequence[str]) -> Insanity | None:
    """The first step of ``play`` that is not sane any more, and why; None where all of it is."""
    found = [step for check in _CHECKS[game] if (step := check(play, action_names))]
    return min(found, default=None)


def _torn(play: Play, action_names: Sequence[str]) -> Insanity | None:
    legal = np.array([reading.legal for reading in play.readings])
    return _too_long(~legal, GRACE, "torn")


def _ball_lost(play: Play, action_names: Sequence[str]) -> Insanity | None:
    gone = np.array([not reading.seen["ball"].places for reading in play.readings])
    return _too_long(gone, PATIENCE, "ball lost")


def _ball_not_served(play: Play, action_names: Sequence[str]) -> Insanity | None:
    """Breakout's ball waits for the button, so steps without one before the press do not count."""
    fire = action_names.index("FIRE")
    waiting, pressed, absent = [], False, 0
    for reading, action in zip(play.readings, [0, *play.actions], strict=True):
        absent = 0 if reading.seen["ball"].places else absent + 1
        pressed = absent > 0 and (pressed or (absent > GRACE and action == fire))
        waiting.append(pressed)
    return _too_long(np.array(waiting), PATIENCE, "ball lost")


def _bricks_back(play: Play, action_names: Sequence[str]) -> Insanity | None:
    walls = np.stack([r.bricks for r in play.readings if isinstance(r, BreakoutReading)])
    walls = walls.reshape(len(walls), -1)
    if len(walls) < 2 * GRACE:
        return None
    stood = np.cumsum(np.pad(walls, ((1, 0), (0, 0))), axis=0, dtype=np.int64)
    last = stood[GRACE:] - stood[:-GRACE]  # frames of the last second in which each brick stood
    gone_before, stands_after = last[:-GRACE] == 0, last[GRACE:] == GRACE
    refilled = walls[GRACE : GRACE + len(gone_before)].all(axis=1) & (
        ~walls[GRACE - 1 : GRACE - 1 + len(gone_before)].any(axis=1)
    )
    back = (gone_before & stands_after).any(axis=1) & ~refilled
    return (int(back.argmax()) + GRACE, "bricks back") if back.any() else None


def _number(
    read: Callable[[Reading], float | None], sign: int
) -> Callable[[Play, Sequence[str]], Insanity | None]:
    """A check that a number never moves against ``sign``."""

    def check(play: Play, action_names: Sequence[str]) -> Insanity | None:
        shown = _shown([read(reading) for reading in play.readings])
        last: float | None = None
        for step, value in shown:
            if last is not None and (value - last) * sign < 0:
                return max(step, 1), "number"
            last = value
        return None

    return check


def _shown(numbers: Sequence[float | None]) -> list[tuple[int, float]]:
    """The steps at which a number had been on the screen for three frames, and the number."""
    found: list[tuple[int, float]] = []
    for step in range(_SHOWN - 1, len(numbers)):
        last = numbers[step - _SHOWN + 1 : step + 1]
        value = last[0]
        if value is not None and all(number == value for number in last):
            found.append((step, value))
    return found


def _miles(reading: Reading) -> float | None:
    """Whole miles: the digits behind the point never stand still."""
    assert isinstance(reading, EnduroReading)
    return None if reading.odometer is None else float(int(reading.odometer))


def _day(reading: Reading) -> float | None:
    assert isinstance(reading, EnduroReading)
    return reading.day


def _score(reading: Reading) -> float | None:
    assert isinstance(reading, BreakoutReading | PongReading)
    return reading.score


def _opponent_score(reading: Reading) -> float | None:
    assert isinstance(reading, PongReading)
    return reading.opponent_score


def _lives(reading: Reading) -> float | None:
    assert isinstance(reading, BreakoutReading)
    return reading.lives


_CHECKS: Mapping[str, Sequence[Callable[[Play, Sequence[str]], Insanity | None]]] = {
    "breakout": (_torn, _ball_not_served, _bricks_back, _number(_score, 1), _number(_lives, -1)),
    "pong": (_torn, _ball_lost, _number(_score, 1), _number(_opponent_score, 1)),
    "enduro": (_torn, _number(_miles, 1), _number(_day, 1)),
}


def _too_long(bad: NDArray[np.bool_], most: int, reason: str) -> Insanity | None:
    """The first step at which ``bad`` has held for more than ``most`` frames; the first frame is step 0."""
    run = 0
    for step, is_bad in enumerate(bad.tolist()):
        run = run + 1 if is_bad else 0
        if run > most:
            return max(step, 1), reason
    return None
