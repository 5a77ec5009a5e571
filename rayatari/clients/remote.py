"""A neural game on a server, in lockstep over a WebSocket that is made anew whenever it breaks."""

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from rayatari.clients.connection import (
    ForgottenError,
    LostError,
    close_code,
    first_session,
    open_session,
    refusal,
    websocket_url,
)
from rayatari.clients.side import Opening, Played, Reply
from rayatari.errors import UserError
from rayatari.games.interface import Frame, Step
from rayatari.protocol import (
    RESUMABLE,
    SEEN_EVERY,
    ClientType,
    Close,
    ErrorMessage,
    FrameFlags,
    FrameMessage,
    Hello,
    ProtocolError,
    Welcome,
    pack_client,
    unpack_server,
    unpack_server_text,
)

_IDLE_SECONDS = 60.0
"""After how long a server that does not say it cuts off a client that is silent."""
_SILENCE = 2.0
"""Seconds without an answer after which the player is told."""
_WAITS = (0.25, 0.5, 1.0, 2.0)
"""Seconds between two tries to connect again; the last goes on."""
_GO_ON = RESUMABLE | {Close.ENDED, Close.RATE}
"""Close codes after which the session is resumed."""


@dataclass(frozen=True)
class _Asked:
    """A message that one frame will answer."""

    kind: ClientType
    number: int
    value: int
    when: float


class RemoteSide:
    """One session on a server. A thread receives; all methods are called from one other thread."""

    name = "neural game"

    def __init__(self, url: str, game: str, token: str = "", temperature: float = 1.0) -> None:
        """Connect; UserError when nothing answers there, or refuses."""
        self.url = websocket_url(url)
        self._hello = Hello(game, "lockstep", temperature=temperature, token=token)
        self._temperature, self._agent_plays = temperature, False
        self._lock = threading.Lock()
        self._asked: deque[_Asked] = deque()
        self._number = 0
        self._latency = 0.0
        self._lost_at = 0.0
        self._closing = threading.Event()
        self._inbox: SimpleQueue[Reply | UserError] = SimpleQueue()
        self._resuming = False
        self._last_error: ErrorMessage | None = None
        self._socket: ClientConnection | None
        self._socket, self.welcome, frame = first_session(self.url, self._hello)
        self._seen_sequence = frame.sequence
        self._palette = np.array(self.welcome.palette, np.uint8)
        self._thread = threading.Thread(target=self._receive, name="rayatari-remote", daemon=True)
        self._thread.start()

    @property
    def agent(self) -> str:
        """Name of the server's own agent; empty for none."""
        return self.welcome.agent

    @property
    def latency(self) -> float:
        """Seconds from an action to its picture, over about the last ten."""
        return self._latency

    @property
    def notice(self) -> str:
        """What is wrong with the connection; empty when nothing is."""
        if self._socket is None:
            return f"connection lost, trying again ({time.monotonic() - self._lost_at:.0f} s)"
        with self._lock:
            waiting = time.monotonic() - self._asked[0].when if self._asked else 0.0
        return f"the server does not answer ({waiting:.0f} s)" if waiting > _SILENCE else ""

    def begin(self, seed: int, like: Frame | None = None) -> None:
        """Start the game of ``seed``; where it opens is the server's choice."""
        self._ask(ClientType.RESET, seed)

    def act(self, action: int) -> None:
        """Send the action of that index."""
        self._ask(ClientType.ACTION, action)

    def set_temperature(self, temperature: float) -> None:
        """Sample at this temperature from the next step on."""
        self._temperature = temperature
        self._tell(ClientType.TEMPERATURE, temperature)

    def hand_over(self, to_agent: bool) -> None:
        """Let the server's agent choose the actions, or no longer."""
        self._agent_plays = to_agent
        self._tell(ClientType.AGENT, to_agent)

    def poll(self) -> Reply | None:
        """The next reply; UserError when the session is over for good."""
        try:
            reply = self._inbox.get_nowait()
        except Empty:
            return None
        if isinstance(reply, UserError):
            raise reply
        if isinstance(reply, Opening):
            with self._lock:
                self._resuming = False
        return reply

    def close(self) -> None:
        """End the session."""
        self._closing.set()
        socket = self._socket
        if socket is not None:
            socket.close()
        self._thread.join(timeout=2.0)

    def _ask(self, kind: ClientType, value: int) -> None:
        with self._lock:
            if self._resuming and kind is ClientType.ACTION:
                return  # whoever plays sends it again, in order, when told where the game stands
            self._number += 1
            self._asked.append(_Asked(kind, self._number, value, time.monotonic()))
            self._send(kind, self._number, value)

    def _tell(self, kind: ClientType, value: float = 0) -> None:
        with self._lock:
            self._number += 1
            self._send(kind, self._number, value)

    def _send(self, kind: ClientType, number: int, value: float) -> None:
        if self._socket is None:
            return  # what was asked is sent again on the next connection
        try:
            self._socket.send(pack_client(kind, number, value))
        except (ConnectionClosed, OSError):
            return  # the receiving thread notices it too

    def _receive(self) -> None:
        """Body of the thread: take in frames, and connect again until the session is over for good."""
        try:
            self._take_frames()
            while self._reconnect():
                self._take_frames()
        except UserError as error:
            self._inbox.put(error)
        except ProtocolError as error:
            self._inbox.put(UserError(f"{self.url} broke the protocol ({error}): update rayatari there"))

    def _take_frames(self) -> None:
        """Take in frames until the connection is closed; UserError when it must not be made again."""
        socket = self._socket
        assert socket is not None
        try:
            while True:
                try:
                    data = socket.recv(timeout=self.welcome.limits.get("idle_s", _IDLE_SECONDS) / 3)
                except TimeoutError:
                    self._tell(ClientType.PING)
                    continue
                self._answer(data)
        except ConnectionClosed as closed:
            code = close_code(closed)
            self._lost_at = time.monotonic()
            with self._lock:
                self._resuming, self._socket = True, None
            if not self._closing.is_set() and code not in _GO_ON:
                raise refusal(self.url, code, self._last_error) from None

    def _answer(self, data: str | bytes) -> None:
        """Match a message of the server with what was asked."""
        if isinstance(data, str):
            message = unpack_server_text(data)
            self._last_error = message if isinstance(message, ErrorMessage) else None
            return
        frame = unpack_server(data, (self.welcome.height, self.welcome.width))
        if not isinstance(frame, FrameMessage):
            return
        self._seen(frame)
        with self._lock:
            if not self._asked:
                return
            asked = self._asked.popleft()
            newer = any(other.kind is ClientType.RESET for other in self._asked)
        if asked.kind is ClientType.RESET:
            if not newer:
                self._inbox.put(self._opening(frame, asked.value, resumed=False))
            return
        self._latency += (time.monotonic() - asked.when - self._latency) * (0.1 if self._latency else 1.0)
        action = frame.action if FrameFlags.AGENT in frame.flags else asked.value
        over = FrameFlags.TERMINATED in frame.flags
        step = Step(self._palette[frame.frame], frame.reward, over, False, frame.lives)
        self._inbox.put(Played(action, step))

    def _seen(self, frame: FrameMessage) -> None:
        """Tell the server now and then how far this client has read."""
        if frame.sequence - self._seen_sequence >= SEEN_EVERY:
            self._seen_sequence = frame.sequence
            self._tell(ClientType.SEEN, frame.sequence)

    def _opening(self, frame: FrameMessage, seed: int, resumed: bool) -> Opening:
        over = FrameFlags.TERMINATED in frame.flags
        pixels = self._palette[frame.frame]
        return Opening(pixels, frame.lives, seed, resumed, frame.step, frame.score, over)

    def _reconnect(self) -> bool:
        """Resume the session, or begin another where the server has forgotten it; False when closing."""
        tries, resume = 0, self.welcome.session
        while not self._closing.wait(_WAITS[min(tries, len(_WAITS) - 1)]):
            tries += 1
            try:
                self._replace(*open_session(self.url, replace(self._hello, resume=resume)))
            except LostError:
                continue
            except ForgottenError:
                resume = ""
                continue
            return True
        return False

    def _replace(self, socket: ClientConnection, welcome: Welcome, frame: FrameMessage) -> None:
        self.welcome = welcome
        self._seen_sequence = frame.sequence
        self._palette = np.array(self.welcome.palette, np.uint8)
        with self._lock:
            self._socket = socket
            self._go_on(frame)
        self._tell(ClientType.TEMPERATURE, self._temperature)
        self._tell(ClientType.AGENT, self._agent_plays)

    def _go_on(self, frame: FrameMessage) -> None:
        """Ask again for a new game that was asked for, or tell where the game stands."""
        resets = [asked for asked in self._asked if asked.kind is ClientType.RESET]
        self._asked.clear()
        if resets and self.welcome.resumed and resets[-1].number <= frame.echo:
            self._inbox.put(self._opening(frame, resets[-1].value, resumed=False))
        elif resets:
            self._resuming = False
            self._asked.append(resets[-1])
            self._send(ClientType.RESET, resets[-1].number, resets[-1].value)
        else:
            self._inbox.put(self._opening(frame, self.welcome.seed, self.welcome.resumed))
