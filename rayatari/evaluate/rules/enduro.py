"""The rules of Enduro."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from rayatari.evaluate.play import Play
from rayatari.evaluate.rules.common import Counts, changes, field_legal, followed
from rayatari.games.readers import EnduroReading

_FASTEST = 0.2
"""Miles that a step can bring at most; at frame skip 4 the car makes 0.1."""
_DIRECTIONS = {"LEFT": -1, "RIGHT": 1}
_ORDER = ("day", "snow", "dusk", "night", "fog", "night")
_NEXT = {*itertools.pairwise(_ORDER), (_ORDER[-1], _ORDER[0])}


def car_visible(play: Play, action_names: Sequence[str]) -> Counts:
    """The own car is there, of all frames."""
    return sum(r.car is not None for r in _enduro(play)[1:]), len(play.actions)


def car_obeys(play: Play, action_names: Sequence[str]) -> Counts:
    """The car does not move against its order, of all steps whose order was also that of the step before.

    Curves and crashes push the real car too, so the real game is the measure here.
    """
    held = occasions = 0
    readings = _enduro(play)
    orders = [_direction(action_names[action]) for action in play.actions]
    for step, (last, order) in enumerate(itertools.pairwise(orders), start=1):
        before, after = readings[step].car, readings[step + 1].car
        if order and order == last:
            occasions += 1
            held += before is not None and after is not None and (after[0] - before[0]) * order >= 0
    return held, occasions


def odometer_runs(play: Play, action_names: Sequence[str]) -> Counts:
    """The odometer can be read, and moves forward by what a car can drive or not at all, of all steps."""
    held = sum(_odometer_legal(a, b) for a, b in itertools.pairwise(_enduro(play)))
    return held, len(play.actions)


def position_legal(play: Play, action_names: Sequence[str]) -> Counts:
    """Cars left and day can be read, and change as they may, of all steps.

    In a step at most two cars pass either way; with a new day, the next one, the count starts again.
    """
    held = sum(_position_legal(a, b) for a, b in itertools.pairwise(_enduro(play)))
    return held, len(play.actions)


def position_matches_reward(play: Play, action_names: Sequence[str]) -> Counts:
    """The cars that the game reports as passed are counted down, of all steps at which either happens.

    Steps in which the day changes are left out.
    """
    readings = _enduro(play)
    passed = -changes([r.cars_left for r in readings])
    passed[changes([r.day for r in readings]) != 0] = 0
    return followed(changes([0.0, *itertools.accumulate(play.rewards)]), passed)


def phases_in_order(play: Play, action_names: Sequence[str]) -> Counts:
    """Day, snow, dusk, night, fog and night follow each other, of all steps."""
    phases = [r.phase for r in _enduro(play)]
    pairs = list(itertools.pairwise(phases))
    return sum(a is not None and (a == b or (a, b) in _NEXT) for a, b in pairs), len(pairs)


def screen_agrees(play: Play, action_names: Sequence[str]) -> Counts:
    """Odometer and position are both legal, of all steps, and the position follows the reward."""
    pairs = list(itertools.pairwise(_enduro(play)))
    legal = sum(_odometer_legal(a, b) and _position_legal(a, b) for a, b in pairs)
    followed_held, followed_occasions = position_matches_reward(play, action_names)
    wrong = followed_occasions - followed_held
    return max(legal - wrong, 0), len(pairs)


ENDURO_RULES: Mapping[str, Callable[[Play, Sequence[str]], Counts]] = {
    "car_visible": car_visible,
    "field_legal": field_legal,
    "car_obeys": car_obeys,
    "odometer_runs": odometer_runs,
    "position_legal": position_legal,
    "position_matches_reward": position_matches_reward,
    "phases_in_order": phases_in_order,
    "screen_agrees": screen_agrees,
}
"""Rules by name, in the order of the report."""


def _direction(action: str) -> int:
    return next((sign for name, sign in _DIRECTIONS.items() if name in action), 0)


def _odometer_legal(before: EnduroReading, after: EnduroReading) -> bool:
    if before.odometer is None or after.odometer is None:
        return False
    return -1e-9 <= after.odometer - before.odometer <= _FASTEST


def _position_legal(before: EnduroReading, after: EnduroReading) -> bool:
    if before.cars_left is None or after.cars_left is None or before.day is None or after.day is None:
        return False
    if after.day == before.day:
        return abs(after.cars_left - before.cars_left) <= 2
    return after.day == before.day + 1 and before.cars_left == 0


def _enduro(play: Play) -> list[EnduroReading]:
    assert all(isinstance(reading, EnduroReading) for reading in play.readings)
    return [reading for reading in play.readings if isinstance(reading, EnduroReading)]
