"""A match in a window, at the game's pace."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pygame.event import Event

from rayatari.clients.controls import Command, Controls
from rayatari.clients.match import HUMAN, Board, Match
from rayatari.clients.window import Scene, Window
from rayatari.errors import UserError

_POLL_SECONDS = 0.004
_REDRAW_SECONDS = 0.1
_TOAST_SECONDS = 2.5
_GAME_OVER_SECONDS = 1.5
_TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


@dataclass
class WindowedGame:
    """Plays a match in a window until it is closed, or ``steps`` steps are over."""

    match: Match
    window: Window
    controls: Controls
    period: float
    """Seconds of a step."""
    title: str
    """Name of the game."""
    steps: int = 0
    """Steps to play; 0 for no limit."""
    between: Callable[[], None] = lambda: None
    """Called whenever nothing is half done; may raise to end the game."""

    def __post_init__(self) -> None:
        self._paused = self._help = self._done = False
        self._step_asked = False
        self._toast, self._toast_until = "", 0.0
        self._over_since = 0.0
        self._shown: deque[float] = deque(maxlen=256)

    def run(self) -> None:
        """Play."""
        self.match.begin()
        due = drawn = 0.0
        while not self._done:
            self.between()
            busy = False
            for event in self.window.events():
                busy |= self._handle(event)
            now = time.monotonic()
            if self._wants_step(now >= due) and self.match.ready_for_action(self.period):
                self.match.act(self.controls.action())
                self._step_asked = False
                due = max(due + self.period, now - self.period)
            if self.match.collect():
                self._shown.append(now)
                busy = True
            self._end_episode(now)
            if busy or now - drawn > _REDRAW_SECONDS:
                self.window.draw(self.scene(now))
                drawn = now
            else:
                time.sleep(_POLL_SECONDS)
            self._done = self._done or 0 < self.steps <= self.match.total

    def scene(self, now: float) -> Scene:
        """What is to be seen at that time."""
        boards = self.match.boards
        panels = self.match.panels() if self.match.started else []
        captions = (
            [self._caption(board) for board in boards] if len(boards) > 1 else [self._numbers(boards[0])]
        )
        if len(panels) > len(boards):
            captions.append(f"difference  {_share_wrong(boards)}")
        return Scene(
            panels,
            captions[: len(panels)],
            self._status(now),
            self._note(now),
            self._message(),
            self._help,
        )

    def _handle(self, event: Event) -> bool:
        command = self.controls.handle(event)
        match command:
            case Command.QUIT:
                self._done = True
            case Command.PAUSE:
                self._paused = not self._paused
            case Command.STEP:
                self._paused = self._step_asked = True
            case Command.RESET:
                self.match.begin()
            case Command.TAKEOVER:
                self._take_over()
            case Command.WARMER | Command.COOLER:
                self._warm(1 if command is Command.WARMER else -1)
            case Command.FULLSCREEN:
                self.window.toggle_fullscreen()
            case Command.HELP:
                self._help = not self._help
        return command is not None

    def _wants_step(self, due: bool) -> bool:
        if self._help or self._paused:
            return self._step_asked
        return due

    def _end_episode(self, now: float) -> None:
        if not (self.match.started and self.match.over):
            self._over_since = 0.0
        elif not self._over_since:
            self._over_since = now
        elif now - self._over_since > _GAME_OVER_SECONDS and not self._paused:
            self.match.begin()

    def _take_over(self) -> None:
        to_agent = self.match.player == HUMAN
        if to_agent:
            self.window.draw(Scene([], [], "", message="the agent takes its seat"))
        try:
            self.match.hand_over(to_agent)
        except UserError as error:
            self._say(str(error))
        else:
            self._say(f"{self.match.player} plays" if to_agent else "you play")

    def _warm(self, direction: int) -> None:
        nearest = min(range(len(_TEMPERATURES)), key=lambda i: abs(_TEMPERATURES[i] - self.match.temperature))
        chosen = _TEMPERATURES[min(max(nearest + direction, 0), len(_TEMPERATURES) - 1)]
        self.match.set_temperature(chosen)
        self._say(f"temperature {chosen:g}")

    def _say(self, words: str) -> None:
        self._toast, self._toast_until = words, time.monotonic() + _TOAST_SECONDS

    def _note(self, now: float) -> str:
        if now < self._toast_until:
            return self._toast
        return "paused: P goes on, the full stop makes one step" if self._paused else ""

    def _message(self) -> str:
        if self.match.notice:
            return self.match.notice
        if not self.match.started:
            return "starting the game"
        return f"game over: {self.match.boards[0].score:g} points" if self.match.over else ""

    def _status(self, now: float) -> str:
        rate = sum(1 for then in self._shown if now - then <= 1.0)
        latency = max(board.side.latency for board in self.match.boards)
        parts = [self.title, self.match.player, f"{rate} fps"]
        if latency:
            parts += [f"{latency * 1000:.0f} ms", f"temperature {self.match.temperature:g}"]
        return "  ·  ".join([*parts, f"step {self.match.steps}", "H help"])

    def _caption(self, board: Board) -> str:
        over = "  game over" if board.over else ""
        return f"{board.side.name}  {self._numbers(board)}{over}"

    def _numbers(self, board: Board) -> str:
        return f"score {board.score:g}  lives {board.lives}"


def _share_wrong(boards: list[Board]) -> str:
    first, second = (board.frame for board in boards)
    return "" if first is None or second is None else f"{(first != second).mean():.2%} of the pixels"
