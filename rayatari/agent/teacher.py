"""A player that tells the learning agent what it would do, and plays a share of the games itself.

Learning from a teacher's actions beside the rewards is that of deep Q-learning from demonstrations (Hester et
al., 2018); that the teacher is asked about what the learner meets in its own games is that of DAgger (Ross et
al., 2011).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rayatari.agent.curiosity import explorers
from rayatari.agent.players import Player, make_player
from rayatari.agent.rollout import NO_ADVICE
from rayatari.games.agent_view import shrink
from rayatari.games.interface import Frame
from rayatari.games.palette import GREY
from rayatari.games.spec import GameSpec


@runtime_checkable
class Adviser(Protocol):
    """A player that knows when it does not matter what it does."""

    def advise(self, frame: Frame) -> tuple[int, frozenset[int]]:
        """What its ``act`` does, and all actions that do as well, that one among them."""


@dataclass(frozen=True)
class TeacherRule:
    """Who teaches, and how much of the play is the teacher's."""

    player: str
    """The player, as :func:`rayatari.agent.players.make_player` takes it."""
    share: float
    """Share of the games that it plays itself."""


class Teacher:
    """One player for each of ``count`` games. It is shown every frame, as brightness, in order."""

    def __init__(self, rule: TeacherRule, spec: GameSpec, count: int) -> None:
        self._players = [make_player(rule.player, spec) for _ in range(count)]
        self._bytes = np.zeros(256, np.uint8)
        self._bytes[GREY[list(spec.palette)]] = spec.palette
        self._seed = 0
        self.plays = np.array(explorers(rule.share, 0, 1, count))
        """Which games it plays itself, bool (count,)."""
        self.actions = np.zeros(count, np.int64)
        """What it would do on the latest frames, int64 (count,)."""
        self.advice = np.full(count, NO_ADVICE, np.int32)
        """All actions that would do as well, as bits, int32 (count,)."""

    def reset(self, seed: int) -> None:
        """Have the next frames be those of new games; everything random follows from ``seed``."""
        self._seed = seed

    def watch(self, frames: NDArray[np.uint8], starts: Sequence[bool]) -> NDArray[np.uint8]:
        """Show the next frames, brightness uint8 (count, 210, 160), some of which begin an episode.

        Returns what the agent sees of them, uint8 (count, 84, 84).
        """
        for i, (player, frame, first) in enumerate(zip(self._players, frames, starts, strict=True)):
            if first:
                self._seed += 1
                player.reset(self._seed)
            self.actions[i], as_good = _ask(player, self._bytes[frame])
            self.advice[i] = sum(1 << action for action in as_good)
        return shrink(frames)


def _ask(player: Player, frame: Frame) -> tuple[int, frozenset[int]]:
    if isinstance(player, Adviser):
        return player.advise(frame)
    action = player.act(frame)
    return action, frozenset({action})
