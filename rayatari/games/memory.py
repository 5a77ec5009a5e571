"""What the console's memory says of a screen: the truth that readers are held against.

Each check takes a reading, the memory after its emulator frame and the memory one frame before, and says
by quantity whether they agree. The places of the quantities in memory were found by experiment; OCAtari
(Delfosse et al., 2024) names most of those of Breakout and Pong too.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rayatari.games.readers import BreakoutReading, EnduroReading, PongReading

Memory = NDArray[np.uint8]
"""The console's 128 bytes, uint8 (128,)."""

_BRICK_BITS = [
    (30, 7), (24, 7), (24, 5), (24, 3), (24, 1), (18, 1), (18, 3), (18, 5), (18, 7),
    (12, 5), (12, 7), (6, 7), (6, 5), (6, 3), (6, 1), (0, 1), (0, 3), (0, 5),
]  # fmt: skip
"""Breakout: byte (of the bottom row; each row above is one byte on) and bit of each column of bricks."""
_HIDDEN_SLOTS = 3
"""Enduro: from this slot on fog hides a car; nearer ones show."""
_PHASES = ["night"] * 2 + ["fog"] * 2 + ["night"] * 2 + ["dusk"] * 5 + ["snow"] * 2 + ["day"] * 3
"""Enduro: time of the day by its byte."""


def check_breakout(reading: BreakoutReading, ram: Memory, before: Memory) -> dict[str, bool]:
    """Breakout. The digits are drawn first and the ball is moved last: a frame shows the score before it."""
    place, visible = _breakout_ball(ram)
    if visible:
        slack = 0 if visible >= 8 else 1  # of a ball that is partly hidden the rest may be anywhere
        ball = reading.ball is not None and place is not None
        ball = ball and bool(np.abs(np.subtract(reading.ball or (0, 0), place or (0, 0))).max() <= slack)
    else:
        ball = reading.ball is None
    return {
        "ball": ball,
        "ball_count": reading.ball_count == (visible > 0),
        "paddle": reading.paddle == int(ram[72]) - 47,
        "bricks": bool(np.array_equal(reading.bricks, _bricks(ram))),
        "score": reading.score == int(before[76] & 15) * 100 + _bcd(before[77]),
        "lives": reading.lives == int(before[57]),
        "legal": reading.legal,
    }


def check_pong(reading: PongReading, ram: Memory, before: Memory) -> dict[str, bool]:
    """Pong. A paddle of which a wall hides all may be anywhere; so may be one that is not drawn."""
    return {
        "ball": _pong_ball_agrees(reading, ram),
        "paddle": _bat_agrees(reading.paddle, int(ram[51]), (13, 14)),
        "opponent": _bat_agrees(reading.opponent, int(ram[50]), (15,)),
        "score": reading.score == int(before[14]),
        "opponent_score": reading.opponent_score == int(before[13]),
        "legal": reading.legal,
    }


def check_enduro(reading: EnduroReading, ram: Memory, before: Memory) -> dict[str, bool]:
    """Enduro. The row of a car is its slot in memory; where exactly it is drawn is not known, so order and
    colours are compared. The own car's picture wobbles by up to 3 pixels. What memory moves on from one
    frame to the next may be drawn before or after it does.
    """
    across = int(np.int8(ram[46]))
    miles = 1000 * int(ram[42] & 15) + 10 * _bcd(ram[41]) + _bcd(ram[40]) / 10 + int(ram[39]) / 2560
    car = reading.car or (-99.0, -99.0)
    return {
        "car_x": abs(car[0] - (77 - (across >> 1))) <= 3,
        "car_y": car[1] == 89 + int(ram[52]),
        "cars": any(_traffic_agrees(reading, m) for m in (before, ram)),
        "odometer": reading.odometer is not None and abs(reading.odometer - miles) < 0.1,
        "cars_left": reading.cars_left in [100 * int(m[44]) + _bcd(m[43]) for m in (before, ram)],
        "day": reading.day in (int(before[45]), int(ram[45])),
        "phase": reading.phase in (_PHASES[before[123] & 15], _PHASES[ram[123] & 15]),
        "legal": reading.legal,
    }


CHECKS: Mapping[str, Callable[..., dict[str, bool]]] = {
    "breakout": check_breakout,
    "pong": check_pong,
    "enduro": check_enduro,
}
"""Check by name of its game."""


def _bcd(byte: np.uint8) -> int:
    return int(byte >> 4) * 10 + int(byte & 15)


def _bricks(ram: Memory) -> NDArray[np.bool_]:
    return np.array([[ram[byte + 5 - row] >> bit & 1 for byte, bit in _BRICK_BITS] for row in range(6)], bool)


def _breakout_ball(ram: Memory) -> tuple[tuple[int, int] | None, int]:
    """Place of Breakout's ball, and how many of its pixels no brick and no paddle of its colour hides.

    It is drawn one line higher above the seam below the bricks than below it, and a line taller across it.
    """
    if ram[101] == 0:
        return None, 0
    x, y = int(ram[99]) - 49, int(ram[101]) + 9
    y = y - 1 if y <= 93 else y
    bottom = y + 5 if 89 <= y <= 92 else y + 4
    bricks, paddle, visible = _bricks(ram), int(ram[72]) - 47, 0
    for row in range(max(y, 32), min(bottom, 195)):
        for column in range(max(x, 8), min(x + 2, 152)):
            in_brick = 57 <= row < 93 and bricks[(row - 57) // 6, (column - 8) // 8]
            in_paddle = 189 <= row < 193 and paddle <= column < paddle + 16
            visible += not in_brick and not in_paddle
    return (x, y), visible


def _pong_ball_agrees(reading: PongReading, ram: Memory) -> bool:
    x, y = int(ram[49]) - 49, int(ram[54]) - 14
    hidden = ram[54] == 0 or ram[49] <= 49 or not -3 <= x <= 159 or not 31 <= y <= 193
    if reading.ball is None:
        return bool(hidden or x >= 156)
    return not hidden and abs(reading.ball[0] - x) <= 1 and abs(reading.ball[1] - y) <= 1


def _bat_agrees(seen: float | None, memory: int, offsets: tuple[int, ...]) -> bool:
    """Whether a paddle is where memory says, or unseen where no line of it is in the field."""
    tops = [memory - offset for offset in offsets]
    if seen is None:
        return memory == 0 or any(top <= 19 or top >= 193 for top in tops)
    return seen in tops


def _traffic_agrees(reading: EnduroReading, ram: Memory) -> bool:
    """Colours, nearest first. The nearest slot may be below the screen, the farthest not drawn yet."""
    slots = [(number, int(byte) & 0xFE) for number, byte in enumerate(ram[27:34]) if byte]
    seen = [colour for colour, (_, y) in zip(reading.colours, reading.cars, strict=True) if y < 150]
    surely = [colour for number, colour in slots if 1 <= number <= 5]
    if reading.phase == "fog":
        surely = [colour for number, colour in slots if 1 <= number < _HIDDEN_SLOTS]
    return _is_within(surely, seen) and _is_within(seen, [colour for _, colour in slots])


def _is_within(part: list[int], whole: list[int]) -> bool:
    """Whether ``part`` can be had from ``whole`` by leaving things out."""
    rest = iter(whole)
    return all(entry in rest for entry in part)
