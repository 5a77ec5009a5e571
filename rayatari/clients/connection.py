"""The way to a server: its address, the handshake, and what refusals mean to a person."""

import time
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from rayatari.errors import UserError
from rayatari.protocol import (
    PATH,
    RESUMABLE,
    RETRY_LATER,
    Close,
    ErrorMessage,
    FrameMessage,
    Hello,
    ProtocolError,
    Welcome,
    unpack_server,
    unpack_server_text,
)

_PATIENCE = 10.0
"""Seconds that the handshake and the first messages may take each."""
_LARGEST = 2**20
"""Bytes of the longest message that is taken from a server."""
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_REMEDY = "start one with 'rayatari serve', mend url, or leave it out to play on this machine"


class LostError(Exception):
    """No session now, but perhaps later; the message says why."""


class ForgottenError(Exception):
    """The server no longer knows the session that was to be resumed."""


def websocket_url(url: str) -> str:
    """The address of the WebSocket of the server at ``url``: ``http(s)://``, ``ws(s)://`` or ``host:port``.

    UserError when it is none.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        sound = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number
        sound = False
    if not sound:
        raise UserError(f"url={url} is no address of a server: write it like http://localhost:8000")
    path = parts.path if parts.path.rstrip("/") else PATH
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


def open_session(url: str, hello: Hello) -> tuple[ClientConnection, Welcome, FrameMessage]:
    """Connect to a WebSocket ``url`` and say ``hello``: the connection, the welcome and the first frame.

    Raises UserError where trying again would not help, LostError where it might, and ForgottenError.
    """
    try:
        socket = connect(
            url, compression=None, open_timeout=_PATIENCE, close_timeout=1.0, max_size=_LARGEST,
            proxy=None if _is_here(url) else True,
        )  # fmt: skip
    except InvalidURI:
        raise UserError(f"url={url} is no address of a server: write it like http://localhost:8000") from None
    except InvalidStatus as error:
        status = error.response.status_code
        if status >= 500:
            raise LostError(f"it answers with HTTP status {status}") from None
        raise UserError(f"{url} is no rayatari server (HTTP status {status}): {_REMEDY}") from None
    except (OSError, InvalidHandshake, EOFError) as error:  # a TimeoutError is an OSError
        raise LostError(" ".join(str(error).split()) or type(error).__name__) from None
    try:
        return socket, *_greet(socket, url, hello)
    except BaseException:
        socket.close()
        raise


def first_session(url: str, hello: Hello) -> tuple[ClientConnection, Welcome, FrameMessage]:
    """As :func:`open_session` for a server that was not reached before: every failure is a UserError."""
    try:
        return open_session(url, hello)
    except LostError as error:
        raise UserError(f"no server to play on at {url} ({error}): {_REMEDY}") from None


def refusal(url: str, code: int, said: ErrorMessage | None) -> UserError:
    """What a close with ``code`` means, in the server's words where it ``said`` some."""
    if said is not None and said.code == code:
        return UserError(f"{url}: {said.error}: {said.remedy}")
    reasons: dict[int, str] = {
        Close.VERSION: "it speaks another version of the protocol: update rayatari here or there",
        Close.UNAUTHORIZED: "it asks for a token: add token=… or set RAYATARI_TOKEN",
        Close.TAKEN_OVER: "the session goes on in another client: play there, or start again",
    }
    otherwise = f"it closed the connection with code {code}: start again"
    return UserError(f"{url}: {reasons.get(code, otherwise)}")


def _greet(socket: ClientConnection, url: str, hello: Hello) -> tuple[Welcome, FrameMessage]:
    said: ErrorMessage | None = None
    welcome: Welcome | None = None
    deadline = time.monotonic() + _PATIENCE
    try:
        socket.send(hello.to_json())
        while True:
            data = socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(data, str):
                message = unpack_server_text(data)
                if isinstance(message, Welcome):
                    welcome = message
                else:
                    said = message
            elif welcome is not None:
                frame = unpack_server(data, (welcome.height, welcome.width))
                if isinstance(frame, FrameMessage):
                    return welcome, frame
    except TimeoutError:
        raise LostError("it does not answer") from None
    except ProtocolError as error:
        raise UserError(f"{url} does not speak this client's protocol ({error}): {_REMEDY}") from None
    except ConnectionClosed as closed:
        code = close_code(closed)
        if code == Close.UNKNOWN_SESSION and hello.resume:
            raise ForgottenError from None
        if code in RETRY_LATER | RESUMABLE | {Close.RATE, Close.HELLO_TIMEOUT}:
            raise LostError(said.error if said else f"it closed the connection with code {code}") from None
        raise refusal(url, code, said) from None


def close_code(closed: ConnectionClosed) -> int:
    """The code with which the server closed; 1006 when the connection broke without one."""
    return closed.rcvd.code if closed.rcvd else 1006


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
