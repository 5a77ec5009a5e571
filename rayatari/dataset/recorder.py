"""What each recording process does, whoever started it. No Ray here."""

from collections.abc import Callable, Iterator, Sequence

from rayatari.agent.players import Player
from rayatari.dataset.plan import Unit
from rayatari.dataset.playing import GameWithLives, play_unit
from rayatari.dataset.storage import Storage

MakeGame = Callable[[], GameWithLives]
"""Starts a game; is pickled along to the processes that play."""


class Recorder:
    """Plays units of work in a process of its own."""

    def __init__(self, shared: tuple[Sequence[Player], MakeGame, int, Storage]) -> None:
        self._players, make_game, self._context, self._storage = shared
        self._game = make_game()

    def play(self, unit: Unit) -> Iterator[int]:
        """Play ``unit``; yields the transitions of each chunk as progress."""
        yield from play_unit(unit, self._game, self._players[unit.player], self._context, self._storage)
