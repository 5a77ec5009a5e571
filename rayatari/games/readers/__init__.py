"""Readers: what stands on a screen, from palette bytes alone, so that generated frames can be judged too.

A reader knows what its game can draw. Where a frame shows nothing of that kind it says None; it never
guesses. Tests and ``scripts/check_readers.py`` hold the readers against the console's memory on real play.
"""

from rayatari.games.readers.base import Place, Reader, Reading, Seen
from rayatari.games.readers.breakout import BreakoutReader, BreakoutReading
from rayatari.games.readers.enduro import EnduroReader, EnduroReading
from rayatari.games.readers.pong import PongReader, PongReading

__all__ = [
    "READERS", "BreakoutReader", "BreakoutReading", "EnduroReader", "EnduroReading", "Place", "PongReader",
    "PongReading", "Reader", "Reading", "Seen", "get_reader",
]  # fmt: skip

READERS: dict[str, Reader] = {
    "breakout": BreakoutReader(),
    "pong": PongReader(),
    "enduro": EnduroReader(),
}
"""Reader by name of its game."""


def get_reader(game: str) -> Reader | None:
    """The reader of the game of that name, or None where there is none."""
    return READERS.get(game)
