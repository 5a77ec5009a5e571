"""What all readers have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayatari.games.interface import Frame

Place = tuple[float, float]
"""x and y of the top left pixel."""

Blob = list[tuple[int, int]]
"""Pixels that touch, as (row, column)."""


@dataclass(frozen=True)
class Seen:
    """The things of one kind on a screen."""

    places: tuple[Place, ...]
    """Where the whole, legal ones are."""
    count: int
    """How many there are, broken ones included."""


class Reading(Protocol):
    """What a screen shows."""

    @property
    def seen(self) -> Mapping[str, Seen]:
        """The moving things by kind, every kind that the game has: ``ball``, ``paddle``, ``cars``..."""

    @property
    def legal(self) -> bool:
        """Whether the game could draw this screen: nothing torn, doubled or smeared, as far as is read."""


class Reader(Protocol):
    """Finds what stands on the screens of one game."""

    def read(self, frame: Frame) -> Reading:
        """Read one frame of palette bytes, uint8 (210, 160); any bytes will do."""


def blobs(mask_HW: NDArray[np.bool_]) -> Iterator[Blob]:
    """Groups of set pixels that touch, also diagonally."""
    left = {(row, column) for row, column in np.argwhere(mask_HW).tolist()}
    while left:
        blob = [left.pop()]
        for row, column in blob:
            for neighbour in [(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]:
                if neighbour in left:
                    left.remove(neighbour)
                    blob.append(neighbour)
        yield blob


def one(place: Place | None, count: int | None = None) -> Seen:
    """A kind of which there is one at most."""
    places = () if place is None else (place,)
    return Seen(places, len(places) if count is None else count)


def block_digit(frame: Frame, left: int, top: int, lines: int, colour: int) -> int | None:
    """The digit of 5 rows of 3 cells at ``left``, ``top``; a cell is ``lines`` lines of 4 pixels.

    None where the cells, each by its majority, make no digit; -1 where none of them is lit.
    """
    cells = frame[top : top + 5 * lines, left : left + 12].reshape(5, lines, 3, 4) == colour
    lit = (cells.sum(axis=(1, 3)) > 2 * lines).ravel()
    if not lit.any():
        return -1
    return _BLOCK_FONT.get("".join("01"[int(cell)] for cell in lit))


_BLOCK_FONT = {
    "111101101101111": 0, "010010010010010": 1, "111001111100111": 2, "111001011001111": 3,
    "101101111001001": 4, "111100111001111": 5, "100100111101111": 6, "111001001001001": 7,
    "111101111101111": 8, "111101111001001": 9,
}  # fmt: skip
