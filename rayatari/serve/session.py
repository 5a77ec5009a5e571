"""One player's session: what it was told, what is due next. Knows no sockets and no network."""

import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rayatari.models.neural_game import LooseGame
from rayatari.protocol import NO_ACTION, ClientMessage, ClientType, FrameFlags, FrameMessage


class Kind(Enum):
    """What a turn does."""

    BEGIN = "begin a new game"
    STEP = "play one step"
    SHOW = "show the present frame again"


@dataclass
class Session:
    """A game in progress, and the messages of its player that wait for their turn."""

    game: str
    seed: int
    temperature: float
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    """Resumes the session; known to its client only."""
    loose: LooseGame | None = None
    """The game between two turns; None before the first."""
    frame: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1), np.uint8))
    """The present picture, indices into the palette, uint8 (height, width)."""
    lives: int = 0
    score: float = 0.0
    step: int = 0
    """Steps since the game began."""
    sequence: int = -1
    """Number of the last frame."""
    echo: int = 0
    """Number of the last message that took effect."""
    action: int = 0
    """In realtime, the action in force."""
    terminated: bool = False
    paused: bool = False
    agent: bool = False
    """The agent plays."""
    turns: int = 0
    """Turns in the session's whole life; of two snapshots the one with more is the newer."""
    realtime: bool = True
    fresh: bool = True
    """The next frame is the first of a game or of a connection."""
    inbox: deque[ClientMessage] = field(default_factory=deque)

    def tell(self, message: ClientMessage) -> None:
        """Put a message in line; one that only overrides the last in line takes its place."""
        if self.inbox and self.inbox[-1].type is message.type and self._overrides(message.type):
            self.inbox.pop()
        self.inbox.append(message)

    def _overrides(self, kind: ClientType) -> bool:
        return kind is ClientType.TEMPERATURE or (kind is ClientType.ACTION and self.realtime)

    @property
    def ticking(self) -> bool:
        """Whether the clock has steps for it."""
        return self.realtime and not self.paused and not self.terminated and self.loose is not None

    def next_turn(self, due: bool) -> "Turn | None":
        """Take messages up to the first that asks for a turn; ``due`` says that the clock asks for one."""
        if self.loose is None:
            return Turn(self, Kind.BEGIN)
        if self.fresh:
            return Turn(self, Kind.SHOW)
        while self.inbox:
            message = self.inbox.popleft()
            self.echo = message.number
            turn = self._obey(message.type, message.value)
            if turn is not None:
                return turn
        return Turn(self, Kind.STEP, self.action) if due and self.ticking else None

    def _obey(self, kind: ClientType, value: float) -> "Turn | None":
        match kind:
            case ClientType.RESET:
                self.seed = int(value)
                return Turn(self, Kind.BEGIN)
            case ClientType.TEMPERATURE:
                self.temperature = value
            case ClientType.AGENT:
                self.agent = bool(value)
            case ClientType.PAUSE:
                stopped = bool(value) and not self.paused
                self.paused = bool(value)
                return Turn(self, Kind.SHOW) if stopped else None
            case ClientType.STEP if self.paused and not self.terminated:
                return Turn(self, Kind.STEP, int(value))
            case ClientType.ACTION if self.realtime:
                self.action = int(value)
            case ClientType.ACTION:
                return Turn(self, Kind.SHOW if self.terminated else Kind.STEP, int(value))
        return None


@dataclass
class Turn:
    """What one session asks of a batch, and the frame that it gets for it."""

    session: Session
    kind: Kind
    action: int = NO_ACTION
    """Index of the action of a step."""
    message: bytes = b""
    """The frame, packed, once the turn is done."""
    first: bool = False
    """Whether that frame is the first of a game or of a connection."""

    def frame(self, reward: float, step_ms: float) -> FrameMessage:
        """Count this turn in its session and describe what it brought."""
        session = self.session
        session.sequence += 1
        session.turns += 1
        self.first = session.fresh or self.kind is Kind.BEGIN
        session.fresh = False
        flags = FrameFlags.FIRST if self.first else FrameFlags.NONE
        flags |= FrameFlags.TERMINATED if session.terminated else FrameFlags.NONE
        flags |= FrameFlags.PAUSED if session.paused else FrameFlags.NONE
        flags |= FrameFlags.AGENT if session.agent else FrameFlags.NONE
        return FrameMessage(
            frame=session.frame,
            sequence=session.sequence,
            echo=session.echo,
            step=session.step,
            action=self.action if self.kind is Kind.STEP else NO_ACTION,
            flags=flags,
            reward=reward,
            score=session.score,
            lives=session.lives,
            step_ms=step_ms,
        )
