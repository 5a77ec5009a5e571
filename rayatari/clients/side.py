"""One game as a client plays it: actions go in, and what they led to comes back, perhaps later."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from rayatari.games.interface import Frame, Game, Step


@dataclass(frozen=True)
class Opening:
    """Where a game stands: at the start of an episode, or where a session goes on."""

    frame: Frame
    """The screen: palette bytes, uint8 (210, 160)."""
    lives: int
    """Lives left; 0 in games without lives."""
    seed: int
    """Seed that the episode was begun with."""
    resumed: bool = False
    """A session goes on after its connection was lost; steps may have been lost with it, or undone."""
    step: int = 0
    """Steps since the start of the episode."""
    score: float = 0.0
    """Points since then."""
    over: bool = False
    """The game is over."""


@dataclass(frozen=True)
class Played:
    """One step."""

    action: int
    """Index of the action that was played."""
    step: Step
    """What came of it."""


Reply = Opening | Played


class Side(Protocol):
    """A game that is played in lockstep: one reply for each :meth:`begin` and each :meth:`act`, in order.

    An Opening that nobody asked for tells that the connection was lost and is there again. Actions that
    it does not account for (``resumed``, and ``step`` lower than those sent) have to be sent again.
    """

    @property
    def name(self) -> str:
        """What it is, as the window says it."""

    @property
    def agent(self) -> str:
        """Name of the agent that it can let play by itself; empty for none."""

    @property
    def notice(self) -> str:
        """What the player should know of it now, such as that it is reconnecting; empty when all is well."""

    @property
    def latency(self) -> float:
        """Seconds from an action to its picture, lately."""

    def begin(self, seed: int, like: Frame | None = None) -> None:
        """Start an episode; where it can, one whose first frame is near to ``like``."""

    def act(self, action: int) -> None:
        """Play the action of that index for one step."""

    def poll(self) -> Reply | None:
        """The next reply that has come, without waiting; UserError when no more will ever come."""

    def set_temperature(self, temperature: float) -> None:
        """Temperature from the next step on, where the game has one."""

    def hand_over(self, to_agent: bool) -> None:
        """Let its own agent choose the actions, or nobody but :meth:`act`."""

    def close(self) -> None:
        """Let go of what it holds."""


class LocalGame(Game, Protocol):
    """A game in this process that tells the lives left at any time."""

    @property
    def lives(self) -> int:
        """Lives left; 0 in games without lives."""


class EmulatorSide:
    """The real game in this process: every reply is there at once."""

    name = "emulator"
    agent = ""
    notice = ""
    latency = 0.0

    _TRIED = 40
    """Seeds among which an opening like another is looked for: they cover most numbers of no-ops."""

    def __init__(self, game: LocalGame) -> None:
        self._game = game
        self._replies: deque[Reply] = deque()

    def begin(self, seed: int, like: Frame | None = None) -> None:
        """Start the episode of ``seed``, or of the next one whose first frame is nearest to ``like``."""
        chosen = seed if like is None else self._nearest(seed, like)
        frame = self._game.reset(chosen)
        self._replies.append(Opening(frame, self._game.lives, chosen))

    def act(self, action: int) -> None:
        """Play one step."""
        self._replies.append(Played(action, self._game.step(action)))

    def poll(self) -> Reply | None:
        """The next reply."""
        return self._replies.popleft() if self._replies else None

    def set_temperature(self, temperature: float) -> None:
        """The emulator has none."""

    def hand_over(self, to_agent: bool) -> None:
        """The emulator has no agent of its own."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _nearest(self, seed: int, like: Frame) -> int:
        best, fewest = seed, like.size + 1
        for candidate in range(seed, seed + self._TRIED):
            wrong = int((self._game.reset(candidate) != like).sum())
            if wrong < fewest:
                best, fewest = candidate, wrong
            if wrong == 0:
                break
        return best
