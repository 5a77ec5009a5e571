"""The place of one connection at the game: flow control, limits of what it may send, frames to go out."""

import time
from collections import deque
from collections.abc import Callable

from rayatari.config.serve import ServeConfig
from rayatari.protocol import (
    ClientMessage,
    ClientType,
    Close,
    ErrorMessage,
    ProtocolError,
    pack_pong,
    unpack_client,
)
from rayatari.serve.metrics import Metrics
from rayatari.serve.session import Session, Turn

_BURST_S = 2.0


class Seat:
    """Connects a session to a socket that it does not know: it is read with ``take``, fed with ``hear``."""

    def __init__(
        self, session: Session, config: ServeConfig, metrics: Metrics,
        fps: float, actions: int, agent: str, wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self.session, self.config, self.metrics = session, config, metrics
        self.fps = fps
        """Steps a second in realtime, 0 in lockstep."""
        self.actions, self.agent = actions, agent
        self.ending: ErrorMessage | None = None
        """Why the connection is to be closed, once it is."""
        self.ready: Callable[[], None] = lambda: None
        """Called when there is something to send."""
        self.last_heard = time.monotonic()
        self.stuck_since: float | None = None
        """Since when a frame has been waiting for the client."""
        self._wake = wake
        self._joined = False
        self._frames: deque[tuple[int, Turn]] = deque()
        self._complaints: deque[str] = deque()
        self._pong: int | None = None
        self._seen: int | None = None
        self._allowance = _BURST_S * config.messages_per_second

    def hear(self, data: bytes | str | None) -> None:
        """Take a message of the client; one that breaks the rules ends the connection."""
        now = time.monotonic()
        self._allow(now - self.last_heard)
        self.last_heard = now
        self.metrics.received.inc()
        try:
            if not isinstance(data, bytes):
                raise ProtocolError("after hello, messages are binary")
            if len(data) > self.config.message_bytes:
                raise ProtocolError(
                    f"a message has at most {self.config.message_bytes} bytes", Close.TOO_LARGE
                )
            self._obey(unpack_client(data))
        except ProtocolError as error:
            self.end(error.code, str(error), "see docs/protocol.md")

    def _allow(self, elapsed: float) -> None:
        rate = self.config.messages_per_second
        self._allowance = min(_BURST_S * rate, self._allowance + elapsed * rate) - 1
        if self._allowance < 0:
            self.end(Close.RATE, f"more than {rate} messages a second", "send less, then resume")

    def _obey(self, message: ClientMessage) -> None:
        kind = message.type
        if kind is ClientType.PING:
            self._pong = message.number
            self.ready()
        elif kind is ClientType.SEEN:
            self._see(int(message.value))
        elif kind in (ClientType.PAUSE, ClientType.STEP) and not self.fps:
            self._complain(f"{kind.name} means nothing in lockstep", "choose mode realtime")
        elif kind is ClientType.AGENT and message.value and not self.agent:
            self._complain("no agent plays this game here", "name its policy with serve.agents")
        else:
            if kind in (ClientType.ACTION, ClientType.STEP) and message.value >= self.actions:
                raise ProtocolError(f"action {message.value:g} of {self.actions}, counted from 0")
            self.session.tell(message)
            if len(self.session.inbox) > self.config.waiting:
                text = f"over {self.config.waiting} messages wait for their turn"
                self.end(Close.RATE, text, "wait for frames, then resume")
            self._wake()

    def _see(self, sequence: int) -> None:
        if self._seen is not None and self._seen < sequence <= self.session.sequence:
            self._seen = sequence
            self.stuck_since = None
            self.ready()
            self._wake()

    def _complain(self, error: str, remedy: str) -> None:
        if len(self._complaints) < self.config.waiting:
            self._complaints.append(ErrorMessage(Close.BAD_MESSAGE, error, remedy, fatal=False).to_json())
        self.ready()

    def end(self, code: Close, error: str, remedy: str) -> None:
        """Have the connection closed; the first reason counts."""
        if self.ending is None:
            self.ending = ErrorMessage(code, error, remedy)
            self.ready()

    def next_turn(self, due: bool) -> Turn | None:
        """What the session asks of the next batch."""
        session = self.session
        if not self._joined:
            self._joined, session.fresh, session.realtime = True, True, self.fps > 0
        if self.ending is not None:
            return None
        if not self.fps and self._seen is not None and self._full(session.sequence + 1):
            self.stuck_since = self.stuck_since or time.monotonic()
            return None
        return session.next_turn(due)

    def deliver(self, turn: Turn) -> None:
        """Take the frame of a turn; in realtime it replaces one that still waits.

        A first frame gives way to another first one only: a client has to hear that a game began.
        """
        sequence = self.session.sequence
        if self._seen is None:
            self._seen = sequence
        while self.fps and self._frames and (turn.first or not self._frames[-1][1].first):
            self._frames.pop()
            self.metrics.dropped.inc()
        self._frames.append((sequence, turn))
        self.ready()

    def _full(self, sequence: int) -> bool:
        return self._seen is not None and sequence > self._seen + self.config.window

    def take(self) -> bytes | str | None:
        """The next message to send, if there is one and the client keeps up."""
        if self._pong is not None:
            number, self._pong = self._pong, None
            return pack_pong(number)
        if self._complaints:
            return self._complaints.popleft()
        if not self._frames:
            return None
        if self._full(self._frames[0][0]):
            self.stuck_since = self.stuck_since or time.monotonic()
            return None
        self.metrics.sent.inc()
        return self._frames.popleft()[1].message

    def check(self, now: float) -> None:
        """End the connection when its client is silent or does not read."""
        if now - self.last_heard > self.config.idle_s:
            self.end(Close.IDLE, f"no message for {self.config.idle_s:g} s", "send PING; resume to go on")
        if self.stuck_since is not None and now - self.stuck_since > self.config.slow_s:
            text = f"no frame taken for {self.config.slow_s:g} s"
            self.end(Close.SLOW_READER, text, "read faster and send SEEN, then resume")
