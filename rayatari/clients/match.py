"""A running game, or two side by side under the same actions. Knows no window and no clock."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayatari.clients.side import Opening, Played, Side
from rayatari.games.interface import Frame, Step
from rayatari.games.picture import difference, indices

HUMAN = "human"
_MOST_AHEAD = 8
"""Most actions on their way to a distant server at once."""
_REMEMBERED = 4
"""Frames that a pilot is shown when it takes over; an agent's view is as many frames deep."""


class Pilot(Protocol):
    """Plays by itself: sees every frame of an episode in order and answers with the index of an action."""

    name: str

    def reset(self, seed: int) -> None:
        """Begin an episode."""

    def act(self, frame: Frame) -> int:
        """The action to play, having seen ``frame``."""


class Recorder(Protocol):
    """Keeps what is played."""

    def opening(self, frame: Frame, lives: int, seed: int) -> None:
        """An episode begins, or is gone into at some later step; one that was not over is cut off."""

    def step(self, action: int, step: Step, player: str) -> None:
        """One step of it, and who chose the action."""

    def picture(self, panels: Sequence[NDArray[np.uint8]]) -> None:
        """What the window shows now: pictures by index, as of :meth:`Match.panels`."""


@dataclass
class Board:
    """One side and how its game stands."""

    side: Side
    frame: Frame | None = None
    """The screen now: palette bytes, uint8 (210, 160); None before the first one came."""
    seed: int = 0
    score: float = 0.0
    lives: int = 0
    over: bool = False
    sent: list[int] = field(default_factory=list)
    """Every action of this episode."""
    steps: int = 0
    """How many of them were answered."""
    opening: bool = True
    """The answer to the last begin has not come yet."""
    ready: deque[Played] = field(default_factory=deque)
    """Answers that wait for the other side's."""
    repeated: int = 0
    """Answers to come of steps that were there before the server lost them."""


class Match:
    """Plays the same actions on all ``sides``; the first one leads: it is recorded, and pilots see it.

    ``seed_of`` gives the seed of each episode, counted from 0. ``make_pilot`` makes who plays in place of
    a person; with ``prefer_pilot`` also where the server has an agent of its own.
    """

    def __init__(
        self, sides: Sequence[Side], seed_of: Callable[[int], int], temperature: float,
        make_pilot: Callable[[], Pilot], recorder: Recorder | None = None, prefer_pilot: bool = False,
    ) -> None:  # fmt: skip
        self.boards = [Board(side) for side in sides]
        self.temperature = temperature
        self.total = 0
        """Steps of all episodes."""
        self.episodes = 0
        """Episodes begun."""
        self._seed_of = seed_of
        self._make_pilot = make_pilot
        self._recorder = recorder
        self._prefer_pilot = prefer_pilot
        self._pilot: Pilot | None = None
        self._agent = ""
        self._recent: deque[Frame] = deque(maxlen=_REMEMBERED)

    @property
    def player(self) -> str:
        """Who plays: ``human`` or the name of an agent."""
        return self._agent or HUMAN

    @property
    def over(self) -> bool:
        """Whether every game is over."""
        return all(board.over for board in self.boards)

    @property
    def started(self) -> bool:
        """Whether every game has shown its first frame."""
        return not any(board.opening for board in self.boards)

    @property
    def notice(self) -> str:
        """The first side's notice that there is; empty when all is well."""
        return next((board.side.notice for board in self.boards if board.side.notice), "")

    @property
    def steps(self) -> int:
        """Steps of this episode, of the game that went on longest."""
        return max(board.steps for board in self.boards)

    def begin(self) -> None:
        """Start the next episode on every side."""
        self.episodes += 1
        for board in self.boards:
            board.opening = True
        self._begin(
            self.boards[-1], None
        )  # the emulator can match an opening of the neural game, not the reverse

    def ready_for_action(self, period: float) -> bool:
        """Whether an action can be sent now, with ``period`` seconds between two of them.

        A pilot waits for the frame that its last action led to. A person's actions go ahead of the
        pictures by as many steps as the way to the server and back takes.
        """
        if not self.started or self.over or self.notice:
            return False
        slowest = max(board.side.latency for board in self.boards)
        ahead = 1 if self._pilot else min(_MOST_AHEAD, 1 + int(slowest / period))
        return all(len(board.sent) - board.steps < ahead for board in self.boards if not board.over)

    def act(self, action: int) -> None:
        """Play ``action``, or the pilot's where one plays, on every side that is not over."""
        chosen = action
        lead = self._lead()
        if self._pilot and lead.frame is not None:
            chosen = self._pilot.act(lead.frame)
        for board in self.boards:
            if not board.over:
                board.sent.append(chosen)
                board.side.act(chosen)

    def collect(self) -> bool:
        """Take in what the sides have answered; True when there is a new picture."""
        for board in self.boards:
            self._poll(board)
        changed = False
        while self.started and self._answered():
            for board in self.boards:
                if not board.over:
                    self._apply(board, board.ready.popleft())
            self.total += 1
            changed = True
            self._show()
        return changed

    def set_temperature(self, temperature: float) -> None:
        """Sample at this temperature from the next step on."""
        self.temperature = temperature
        for board in self.boards:
            board.side.set_temperature(temperature)

    def hand_over(self, to_agent: bool) -> None:
        """Let an agent play, or a person. UserError when there is no agent.

        A neural game alone is played by the server's own agent where it has one.
        """
        first = self.boards[0].side
        own = "" if len(self.boards) > 1 or self._prefer_pilot else first.agent
        if own:
            first.hand_over(to_agent)
            self._agent = own if to_agent else ""
            return
        self._pilot = self._make_pilot() if to_agent else None
        self._agent = self._pilot.name if self._pilot else ""
        if self._pilot:
            self._brief()

    def panels(self) -> list[NDArray[np.uint8]]:
        """Pictures to show side by side, indices uint8 (210, 160); with two sides their difference too."""
        frames = [board.frame for board in self.boards if board.frame is not None]
        pictures = [indices(frame) for frame in frames]
        if len(frames) == 2:
            pictures.append(difference(frames[1], frames[0]))
        return pictures

    def titles(self) -> list[str]:
        """What each of the panels shows."""
        names = [board.side.name for board in self.boards]
        return [*names, "difference"] if len(names) == 2 else names

    def close(self) -> None:
        """Let the sides go."""
        for board in self.boards:
            board.side.close()

    def _lead(self) -> Board:
        return next((board for board in self.boards if not board.over), self.boards[0])

    def _answered(self) -> bool:
        running = [board for board in self.boards if not board.over]
        return bool(running) and all(board.ready for board in running)

    def _begin(self, board: Board, like: Frame | None) -> None:
        board.opening, board.sent, board.steps, board.repeated = True, [], 0, 0
        board.ready.clear()
        board.side.begin(self._seed_of(self.episodes - 1), like)

    def _poll(self, board: Board) -> None:
        while (reply := board.side.poll()) is not None:
            if isinstance(reply, Opening):
                self._open(board, reply)
            elif board.repeated:
                board.repeated -= 1
            else:
                board.ready.append(reply)

    def _open(self, board: Board, reply: Opening) -> None:
        if reply.resumed:
            if not board.opening:  # else a new episode is on its way already
                self._resume(board, reply)
            return
        if not board.opening:  # the session was lost for good: both games begin anew
            self.begin()
            return
        board.frame, board.seed, board.lives = reply.frame, reply.seed, reply.lives
        board.score, board.over, board.opening = reply.score, reply.over, False
        board.ready.clear()  # answers to the episode before
        later = self.boards.index(board) - 1
        if later >= 0:
            self._begin(self.boards[later], reply.frame)
            return
        if self._recorder:
            self._recorder.opening(reply.frame, reply.lives, reply.seed)
        self._recent.clear()
        if self._pilot:
            self._pilot.reset(reply.seed)
        self._show()

    def _resume(self, board: Board, reply: Opening) -> None:
        """Go on after a lost connection: send again what the server has not played."""
        known = board.steps + len(board.ready)
        lost = board.sent[known : reply.step]
        if len(lost) == 1:
            step = Step(reply.frame, reply.score - self._score_ahead(board), reply.over, False, reply.lives)
            board.ready.append(Played(lost[0], step))
        elif lost:  # pictures in between are gone: what is recorded goes on as another episode
            board.frame, board.score, board.lives, board.over = (
                reply.frame,
                reply.score,
                reply.lives,
                reply.over,
            )
            board.steps = reply.step
            board.ready.clear()
            if self._recorder and board is self.boards[0]:
                self._recorder.opening(reply.frame, reply.lives, reply.seed)
        board.repeated = max(0, known - reply.step)
        for action in board.sent[reply.step :]:
            board.side.act(action)

    def _score_ahead(self, board: Board) -> float:
        return board.score + sum(played.step.reward for played in board.ready)

    def _apply(self, board: Board, played: Played) -> None:
        step = played.step
        if board is self._lead() and board.frame is not None:
            self._recent.append(board.frame)
        board.frame, board.lives = step.frame, step.lives
        board.score += step.reward
        board.steps += 1
        board.over = step.terminated or step.truncated
        if self._recorder and board is self.boards[0]:
            self._recorder.step(played.action, step, self.player)

    def _show(self) -> None:
        if self._recorder:
            self._recorder.picture(self.panels())

    def _brief(self) -> None:
        """Show the pilot what it would have seen, had it played from the start."""
        assert self._pilot is not None
        self._pilot.reset(self._lead().seed)
        for frame in self._recent:
            self._pilot.act(frame)
