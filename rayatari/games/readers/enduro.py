"""Enduro: own car, other cars, odometer, cars to pass, day, and the time of the day."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import Frame
from rayatari.games.readers.base import Blob, Place, Seen, blobs, one

_LEFT = 8
_ROAD_TOP, _ROAD_BOTTOM = 52, 155
_OWN_TOP = 128
"""The own car is drawn below this line."""
_OWN_COLOUR, _OWN_WIDTH, _OWN_HEIGHT = 0x0A, 16, 11
_MIN_ROW, _MIN_ROWS = 8, 5
"""A line is of the own car where so many of its 16 pixels are; so many such lines make a car."""
_GREYS = 0x10
"""Colours below are grey: road edges, own car; other cars have a hue."""
_PHASES = {0xC0: "day", 0x0E: "snow", 0xD0: "dusk", 0xE0: "dusk", 0x00: "night", 0x02: "fog"}
"""Time of the day by the colour of the ground."""
_LIGHTS = ("night", "fog")
_MAX_BLOBS = 40
"""More coloured blobs than this are no traffic."""

_GLYPHS = [
    "3c66666666663c", "1838181818183c", "3c46063c60607e", "3c460c0c06463c", "0c1c2c4c7e0c0c",
    "7e60607c06467c", "3c62607c66663c", "7e42060c181818", "3c66663c66663c", "3c66663e06463c",
]  # fmt: skip
"""The digits 0 to 9, 7 lines of 8 pixels."""
_ODOMETER_TOP, _ODOMETER_LEFTS, _WINDOW = 164, (64, 72, 80, 88, 96), 9
_COUNTER_TOP, _DAY_LEFT, _CARS_LEFTS = 180, 56, (80, 88, 96)
_FLAGS_LEFT, _FLAGS_BOTTOM = 72, 188
_INK, _PAPER, _FLAG_COLOUR = 0x00, 0x28, 0xC8


@dataclass(frozen=True)
class EnduroReading:
    """What an Enduro screen shows."""

    car: Place | None
    """x and y of the top left corner of the own car, 16×11."""
    cars: tuple[Place, ...]
    """The same of the other cars, by night of their lights, nearest first."""
    colours: tuple[int, ...]
    """Palette byte of each of them."""
    odometer: float | None
    """Miles, to an eightieth: the last digit rolls; None where the digits do not make a number."""
    cars_left: int | None
    """Cars still to be passed today (the position), 0 where flags wave instead."""
    day: int | None
    """The day's number."""
    phase: str | None
    """``day``, ``snow``, ``dusk``, ``night`` or ``fog``."""

    @property
    def seen(self) -> Mapping[str, Seen]:
        """Own car and other cars."""
        return {"car": one(self.car), "cars": Seen(self.cars, len(self.cars))}

    @property
    def legal(self) -> bool:
        """An own car, all numbers, and a time of the day."""
        return None not in (self.car, self.odometer, self.cars_left, self.day, self.phase)


class EnduroReader:
    """Reads Enduro."""

    def read(self, frame: Frame) -> EnduroReading:
        """Read one frame of palette bytes, uint8 (210, 160); any bytes will do."""
        road_HW = frame[_ROAD_TOP:_ROAD_BOTTOM, _LEFT:]
        ground = int(np.bincount(road_HW.ravel()).argmax())
        phase = _PHASES.get(ground)
        traffic = _read_cars(road_HW, ground) if phase else []
        return EnduroReading(
            car=_read_own(frame),
            cars=tuple(place for place, _ in traffic),
            colours=tuple(colour for _, colour in traffic),
            odometer=_read_odometer(frame),
            cars_left=_read_cars_left(frame),
            day=_read_digit(frame, _DAY_LEFT),
            phase=phase,
        )


def _read_own(frame: Frame) -> Place | None:
    """The place of the own car: where a 16 pixels wide window holds most of its colour."""
    strip = (frame[_OWN_TOP:_ROAD_BOTTOM, _LEFT:] == _OWN_COLOUR).astype(np.int32)
    sums = np.cumsum(np.pad(strip, ((0, 0), (1, 0))), axis=1)
    inside = sums[:, _OWN_WIDTH:] - sums[:, :-_OWN_WIDTH]
    rows = np.flatnonzero(inside.max(axis=1) >= _MIN_ROW)
    if len(rows) < _MIN_ROWS or rows[-1] - rows[0] >= _OWN_HEIGHT + 1:
        return None
    columns = strip[rows].sum(axis=0)
    window = np.convolve(columns, np.ones(_OWN_WIDTH, np.int32), "valid")
    left = int(np.flatnonzero(window == window.max()).mean())
    return float(left + _LEFT), float(rows[0] + _OWN_TOP)


def _read_cars(road_HW: NDArray[np.uint8], ground: int) -> list[tuple[Place, int]]:
    """Places and colours of the other cars, nearest first; a pair of lights is one car."""
    coloured_HW = (road_HW >= _GREYS) & (road_HW != ground)
    found: list[tuple[int, Blob]] = []
    for colour in np.unique(road_HW[coloured_HW]).tolist():
        found += [(colour, blob) for blob in blobs(road_HW == colour)]
        if len(found) > _MAX_BLOBS:
            return []
    boxes: list[list[int]] = []
    for colour, blob in sorted(found, key=lambda entry: min(entry[1])):
        rows, columns = zip(*blob, strict=True)
        box = [colour, min(rows), max(rows), min(columns), max(columns)]
        partner = next((other for other in boxes if _one_car(other, box)), None)
        if partner is None:
            boxes.append(box)
        else:
            ends = (min, max, min, max)
            partner[1:] = [end(a, b) for end, a, b in zip(ends, partner[1:], box[1:], strict=True)]
    boxes.sort(key=lambda box: -box[2])
    return [((float(box[3] + _LEFT), float(box[1] + _ROAD_TOP)), box[0]) for box in boxes]


def _one_car(a: list[int], b: list[int]) -> bool:
    """Whether two boxes (colour, top, bottom, left, right) are parts of one car at that distance."""
    width = max(a[4], b[4]) - min(a[3], b[3]) + 1
    lowest = max(a[2], b[2])
    level = a[1] <= b[2] + 1 and b[1] <= a[2] + 1
    return a[0] == b[0] and level and width <= 4 + 14 * lowest / (_ROAD_BOTTOM - _ROAD_TOP)


def _bytes_of(lit_HW: NDArray[np.bool_]) -> bytes:
    """Lines of 8 pixels as bytes."""
    return np.packbits(lit_HW, axis=1).tobytes()


def _strip_windows() -> dict[bytes, float]:
    """Reading, 0 to below 10, of each window of 9 lines onto the wheel of a digit.

    On the wheel the digits follow each other downward from 9 to 0, a blank line above each.
    """
    lines = b"".join(b"\0" + bytes.fromhex(glyph) for glyph in reversed(_GLYPHS))
    turns = lines + lines[:_WINDOW]
    digits = len(_GLYPHS)
    return {turns[at : at + _WINDOW]: (digits - 1 - at / 8) % digits for at in range(len(lines))}


_WHEEL = _strip_windows()
_DIGITS = {bytes.fromhex(glyph): digit for digit, glyph in enumerate(_GLYPHS)}


def _read_odometer(frame: Frame) -> float | None:
    """Miles; the tenths roll all the time, the others while the one behind goes from 9 to 0."""
    lines = slice(_ODOMETER_TOP, _ODOMETER_TOP + _WINDOW)
    total = 0.0
    for number, left in enumerate(_ODOMETER_LEFTS):
        window = frame[lines, left : left + 8]
        last = number == len(_ODOMETER_LEFTS) - 1
        ink, paper = (_PAPER, _INK) if last else (_INK, _PAPER)
        value = _WHEEL.get(_bytes_of(window == ink))
        if value is None or not np.isin(window, (ink, paper)).all():
            return None
        total = total * 10 + (value if last else int(value))
    return total / 10


def _read_digit(frame: Frame, left: int) -> int | None:
    """A digit of the lower counter, black on whatever one colour; -1 for none, None for anything else."""
    cell = frame[_COUNTER_TOP : _COUNTER_TOP + 7, left : left + 8]
    lit = cell == _INK
    if len(np.unique(cell[~lit])) != 1:
        return None
    return -1 if not lit.any() else _DIGITS.get(_bytes_of(lit))


def _read_cars_left(frame: Frame) -> int | None:
    """The number beside the little car; flags stand for 0."""
    flags = frame[_COUNTER_TOP:_FLAGS_BOTTOM, _FLAGS_LEFT : _CARS_LEFTS[-1] + 8]
    green = float((flags == _FLAG_COLOUR).mean())
    if green > 0.1 and np.isin(flags, (_INK, _FLAG_COLOUR)).all():
        return 0
    number, begun = 0, False
    for left in _CARS_LEFTS:
        digit = _read_digit(frame, left)
        if digit is None or (digit < 0 and begun):
            return None
        begun = begun or digit >= 0
        number = number * 10 + max(digit, 0)
    return number if begun else None
