"""A server of the wire protocol, written from docs/protocol.md, that plays the counting game.

What it does wrong on purpose is what a client has to live with: it drops connections, loses its last
steps, forgets sessions, refuses.
"""

import json
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from rayatari.games.counting import COUNTING, CountingGame
from rayatari.games.interface import Frame

FRAME = struct.Struct("<BBBBIIffHHfI")
IDLE_SECONDS = 0.6
NUMBERS = {1: "<BIB", 2: "<BII", 3: "<BIf", 6: "<BIB", 7: "<BI", 8: "<BII"}


@dataclass
class Session:
    seed: int
    actions: list[int] = field(default_factory=list)
    echo: int = 0
    sequence: int = 0
    agent: bool = False


@dataclass
class CountingServer:
    """Serves on a free port of loopback; a context manager."""

    length: int = 200
    agent: str = ""
    version: int = 1
    refusal: tuple[int, str] | None = None
    delay: float = 0.0
    """Seconds that every answer takes."""
    mute: bool = False
    """Steps are made, and their frames get lost on the way."""
    port: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    temperatures: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    hellos: list[dict[str, Any]] = field(default_factory=list)
    _connections: list[ServerConnection] = field(default_factory=list)
    _server: Server | None = None

    def __enter__(self) -> "CountingServer":
        self._server = serve(self._talk, "127.0.0.1", self.port, compression=None)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._server is not None
        self.drop(close=1012)
        self._server.shutdown()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def drop(self, close: int | None = None, lose_steps: int = 0, forget: bool = False) -> None:
        """Break every connection, with a close code or without a word."""
        for connection in self._connections:
            if close is None:
                connection.socket.shutdown(2)
            else:
                connection.close(close)
        self._connections.clear()
        for session in self.sessions.values():
            if lose_steps:
                del session.actions[-lose_steps:]
        if forget:
            self.sessions.clear()

    def babble(self) -> None:
        """Send something that is no message."""
        for connection in self._connections:
            connection.send(b"\x81\x01 no frame")

    def _talk(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        try:
            self._serve(connection)
        except TimeoutError:
            connection.close(4010)
        except ConnectionClosed:
            return

    def _serve(self, connection: ServerConnection) -> None:
        hello = json.loads(connection.recv())
        self.hellos.append(hello)
        if self.refusal:
            code, error = self.refusal
            text = {"type": "error", "code": code, "error": error, "remedy": "do better", "fatal": True}
            connection.send(json.dumps(text))
            connection.close(code)
            return
        token = hello.get("resume") or f"session-{len(self.hellos)}"
        if hello.get("resume") and token not in self.sessions:
            connection.close(4005)
            return
        resumed = token in self.sessions
        session = self.sessions.setdefault(token, Session(hello.get("seed", 99)))
        connection.send(json.dumps(self._welcome(token, resumed, session)))
        connection.send(self._frame(session, first=True))
        while True:
            data = connection.recv(timeout=IDLE_SECONDS)
            assert isinstance(data, bytes)
            self._take(connection, session, data)

    def _take(self, connection: ServerConnection, session: Session, data: bytes) -> None:
        kind, number, *rest = struct.unpack(NUMBERS[data[0]], data)
        if kind == 7:
            connection.send(struct.pack("<BI", 0x82, number))
        elif kind == 8:
            self.seen.append(rest[0])
        else:
            session.echo = number
        if kind == 3:
            self.temperatures.append(rest[0])
        elif kind == 6:
            session.agent = bool(rest[0])
        elif kind in (1, 2):
            time.sleep(self.delay)
            if kind == 2:
                session.seed, session.actions = rest[0], []
            else:
                session.actions.append(2 if session.agent else rest[0])
            frame = self._frame(session, first=kind == 2)
            if not self.mute:
                connection.send(frame)

    def _frame(self, session: Session, first: bool) -> bytes:
        """The frame after all actions, found by playing them from the start."""
        game = CountingGame(self.length)
        frame: Frame = game.reset(session.seed % 2**31)
        reward, score, lives, over = 0.0, 0.0, game.lives, False
        for action in session.actions:
            if over:
                reward = 0.0
                break
            step = game.step(action)
            frame, reward, lives, over = step.frame, step.reward, step.lives, step.terminated
            score += reward
        session.sequence += 1
        flags = over | 4 * session.agent | 8 * first
        action = 255 if first or not session.actions else session.actions[-1]
        head = FRAME.pack(
            0x81, 1, flags, action, session.sequence, session.echo, 0.0 if first else reward, score,
            lives, 0, 1.5, len(session.actions),
        )  # fmt: skip
        return head + zlib.compress((frame // 2).tobytes())

    def _welcome(self, token: str, resumed: bool, session: Session) -> dict[str, Any]:
        return {
            "type": "welcome", "version": self.version, "session": token, "resumed": resumed,
            "game": "breakout", "title": "Counting", "mode": "lockstep", "fps": 15.0, "seed": session.seed,
            "temperature": 1.0, "actions": list(COUNTING.action_names), "keymap": dict(COUNTING.keymap),
            "height": 210, "width": 160, "palette": list(COUNTING.palette),
            "rgb": [[0, 0, 0]] * len(COUNTING.palette), "frame_skip": 4, "max_lives": 5, "agent": self.agent,
            "limits": {"message_bytes": 4096, "messages_per_second": 240,
                       "idle_s": IDLE_SECONDS, "resume_s": 600, "window": 32, "slow_s": 10},
            "server": "test", "news": "an unknown key",
        }  # fmt: skip
