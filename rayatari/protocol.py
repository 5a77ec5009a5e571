"""The wire protocol of ``rayatari serve``, version 1: every message, packed and unpacked.

docs/protocol.md is the specification. Needs only the standard library and numpy.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import IntEnum, IntFlag
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Version of this protocol; server and client must agree on it."""
PATH = "/play"
"""Path of the WebSocket."""
MODES = ("realtime", "lockstep")
MAX_MESSAGE_BYTES = 4096
"""Longest message that a server takes from a client."""
MAX_FPS = 60.0
"""Highest frame rate of a realtime session."""
MAX_TEMPERATURE = 10.0
MAX_SEED = 2**32 - 1
SEEN_EVERY = 8
"""Frames after which a client says with SEEN how far it has read."""
NO_ACTION = 255
"""Action of a frame that no action made: the first one of a game or of a resumed session."""


class ClientType(IntEnum):
    """First byte of a binary message from the client."""

    ACTION = 0x01
    RESET = 0x02
    TEMPERATURE = 0x03
    PAUSE = 0x04
    STEP = 0x05
    AGENT = 0x06
    PING = 0x07
    SEEN = 0x08


class ServerType(IntEnum):
    """First byte of a binary message from the server."""

    FRAME = 0x81
    PONG = 0x82


class FrameFlags(IntFlag):
    """Bits of a frame's ``flags`` byte."""

    NONE = 0
    TERMINATED = 1
    """The game is over; it stands still until RESET."""
    PAUSED = 2
    """The realtime clock stands still."""
    AGENT = 4
    """The agent plays."""
    FIRST = 8
    """First frame of a game, or of a connection that resumed one."""


class Encoding(IntEnum):
    """How a frame's pixels are packed."""

    RAW = 0
    ZLIB = 1


class Close(IntEnum):
    """WebSocket close codes. docs/protocol.md says what a client does on each."""

    ENDED = 1000
    TOO_LARGE = 1009
    BAD_MESSAGE = 4000
    HELLO_TIMEOUT = 4001
    VERSION = 4002
    UNAUTHORIZED = 4003
    UNKNOWN_GAME = 4004
    UNKNOWN_SESSION = 4005
    BUSY = 4006
    RATE = 4008
    TAKEN_OVER = 4009
    IDLE = 4010
    FAULT = 4011
    GOING_AWAY = 4012
    SLOW_READER = 4013


RESUMABLE = frozenset({1001, 1006, 1011, 1012, Close.IDLE, Close.FAULT, Close.GOING_AWAY, Close.SLOW_READER})
"""Close codes after which a client may connect again and resume its session."""
RETRY_LATER = frozenset({Close.BUSY, 1013})
"""Close codes after which a client may try the same again after some seconds."""


class ProtocolError(ValueError):
    """A message that breaks the protocol; ``code`` is the close code that answers it."""

    def __init__(self, message: str, code: Close = Close.BAD_MESSAGE) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Hello:
    """First message of a client."""

    game: str = ""
    """Game to play, as ``/games`` lists it; empty is the server's first."""
    mode: str = "realtime"
    """``realtime``: the server keeps the pace. ``lockstep``: one action, one frame."""
    fps: float | None = None
    """Steps a second in realtime, up to 60; None is the game's own rate."""
    seed: int | None = None
    """Seed of the first game, 0 to 2**32 - 1; None lets the server draw one."""
    temperature: float | None = None
    """0 the likeliest course, 1 as learned, up to 10; None is the server's default."""
    token: str = ""
    """The server's access token, where it asks for one."""
    resume: str = ""
    """``session`` of an earlier welcome, to go on with that game."""

    def to_json(self) -> str:
        """The text message."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        return json.dumps({"type": "hello", "version": VERSION, **values})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text message; ProtocolError says what is wrong with it."""
        values = _json_object(text, "hello")
        version = values.pop("version", None)
        if version != VERSION or isinstance(version, bool):
            raise ProtocolError(f"protocol version {VERSION} is spoken here, not {version!r}", Close.VERSION)
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ProtocolError(f"hello has no key {unknown[0][:40]!r}")
        given = {name: value for name, value in values.items() if value is not None}
        for name in ("game", "mode", "token", "resume"):
            if not isinstance(given.get(name, ""), str):
                raise ProtocolError(f"hello: {name} must be a string")
        if given.get("mode", "realtime") not in MODES:
            raise ProtocolError(f"hello: mode must be {' or '.join(MODES)}")
        _check_number(given, "fps", 1, MAX_FPS)
        _check_number(given, "temperature", 0, MAX_TEMPERATURE)
        _check_number(given, "seed", 0, MAX_SEED)
        if not isinstance(given.get("seed", 0), int):
            raise ProtocolError("hello: seed must be a whole number")
        return cls(**given)


@dataclass(frozen=True)
class Welcome:
    """The server's answer to a hello that it accepts."""

    session: str
    """Opaque token that resumes this session."""
    resumed: bool
    """Whether an earlier session goes on."""
    game: str
    title: str
    """The game's name for people."""
    mode: str
    fps: float
    """Steps a second in realtime; in lockstep the game's own rate."""
    seed: int
    """Seed of the present game."""
    temperature: float
    actions: list[str]
    """Action names by index."""
    keymap: dict[str, str]
    """Button (up, down, left, right, fire) of each key (``KeyboardEvent.code``)."""
    height: int
    width: int
    palette: list[int]
    """Palette byte (ALE colour index) of each pixel value."""
    rgb: list[list[int]]
    """Red, green, blue of each pixel value."""
    frame_skip: int
    """Emulator frames (1/60 s) that a step stands for."""
    max_lives: int
    agent: str
    """Name of the agent that can take over; empty where there is none."""
    limits: dict[str, float]
    """``message_bytes``, ``messages_per_second``, ``idle_s``, ``resume_s``, ``window``, ``slow_s``."""
    server: str
    """Name and version of the server."""

    def to_json(self) -> str:
        """The text message."""
        return json.dumps({"type": "welcome", "version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text message; keys that this version does not know are ignored."""
        values = _json_object(text, "welcome")
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        missing = [field.name for field in fields(cls) if field.name not in known]
        if missing:
            raise ProtocolError(f"welcome lacks {missing[0]}")
        return cls(**known)


@dataclass(frozen=True)
class ErrorMessage:
    """What went wrong, for people. A fatal one is followed by the close with the same code."""

    code: int
    """A close code."""
    error: str
    """What is wrong."""
    remedy: str
    """What to do about it."""
    fatal: bool = True

    def to_json(self) -> str:
        """The text message."""
        return json.dumps({"type": "error", **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text message."""
        values = _json_object(text, "error")
        try:
            return cls(
                int(values["code"]), str(values["error"]), str(values["remedy"]), bool(values["fatal"])
            )
        except (KeyError, TypeError, ValueError):
            raise ProtocolError("the error message lacks code, error, remedy or fatal") from None


ServerText = Welcome | ErrorMessage


def unpack_server_text(text: str) -> ServerText:
    """Read a text message of the server."""
    kind = _json_object(text, None).get("type")
    if kind == "welcome":
        return Welcome.from_json(text)
    if kind == "error":
        return ErrorMessage.from_json(text)
    raise ProtocolError(f"unknown text message {kind!r}")


@dataclass(frozen=True)
class ClientMessage:
    """A binary message of the client."""

    type: ClientType
    number: int
    """The client's own count, echoed by the next frame that it had a part in; 0 to 2**32 - 1."""
    value: float = 0
    """Action index, seed, temperature, sequence of a frame, or 1 and 0 for on and off."""


_HEAD = struct.Struct("<BI")
_VALUES = {
    ClientType.ACTION: struct.Struct("<B"),
    ClientType.RESET: struct.Struct("<I"),
    ClientType.TEMPERATURE: struct.Struct("<f"),
    ClientType.PAUSE: struct.Struct("<B"),
    ClientType.STEP: struct.Struct("<B"),
    ClientType.AGENT: struct.Struct("<B"),
    ClientType.PING: struct.Struct("<"),
    ClientType.SEEN: struct.Struct("<I"),
}
_SWITCHES = (ClientType.PAUSE, ClientType.AGENT)


def pack_client(kind: ClientType, number: int, value: float = 0) -> bytes:
    """A binary message of the client; ``value`` as in :class:`ClientMessage`."""
    form = _VALUES[kind]
    if not form.size:
        return _HEAD.pack(kind, number)
    return _HEAD.pack(kind, number) + form.pack(value if kind is ClientType.TEMPERATURE else int(value))


def unpack_client(data: bytes) -> ClientMessage:
    """Read a binary message of a client; ProtocolError when it is not one."""
    if len(data) < _HEAD.size:
        raise ProtocolError(f"a message has {_HEAD.size} bytes at least, not {len(data)}")
    code, number = _HEAD.unpack_from(data)
    try:
        kind = ClientType(code)
    except ValueError:
        raise ProtocolError(f"unknown message type 0x{code:02x}") from None
    form = _VALUES[kind]
    if len(data) != _HEAD.size + form.size:
        raise ProtocolError(f"{kind.name} has {_HEAD.size + form.size} bytes, not {len(data)}")
    value: float = form.unpack_from(data, _HEAD.size)[0] if form.size else 0
    if kind is ClientType.TEMPERATURE and not 0 <= value <= MAX_TEMPERATURE:
        raise ProtocolError(f"a temperature lies between 0 and {MAX_TEMPERATURE:g}, not at {value}")
    if kind in _SWITCHES and value not in (0, 1):
        raise ProtocolError(f"{kind.name} is 0 or 1, not {value}")
    return ClientMessage(kind, number, value)


@dataclass(frozen=True)
class FrameMessage:
    """One picture and what came with it."""

    frame: NDArray[np.uint8]
    """Pixel values, indices into the welcome's palette, uint8 (height, width)."""
    sequence: int
    """Count of the session's frames; a gap tells of dropped ones."""
    echo: int
    """Number of the last client message that took effect."""
    step: int
    """Steps since the game's beginning."""
    action: int = NO_ACTION
    """Index of the action that was played; 255 for none."""
    flags: FrameFlags = FrameFlags.NONE
    reward: float = 0.0
    """Points of this step."""
    score: float = 0.0
    """Points since the game's beginning."""
    lives: int = 0
    step_ms: float = 0.0
    """Milliseconds that the server's network took for this step."""


_FRAME = struct.Struct("<BBBBIIffHHfI")
assert _FRAME.size == 32
_PONG = struct.Struct("<BI")


def pack_frame(message: FrameMessage) -> bytes:
    """The binary message: a head of 32 bytes and the pixels, deflated where that is shorter."""
    pixels = np.ascontiguousarray(message.frame).tobytes()
    packed = zlib.compress(pixels, 1)
    encoding = Encoding.ZLIB if len(packed) < len(pixels) else Encoding.RAW
    head = _FRAME.pack(
        ServerType.FRAME, encoding, int(message.flags), message.action,
        message.sequence & 0xFFFFFFFF, message.echo, message.reward, message.score,
        message.lives, 0, message.step_ms, message.step & 0xFFFFFFFF,
    )  # fmt: skip
    return head + (packed if encoding is Encoding.ZLIB else pixels)


def pack_pong(number: int) -> bytes:
    """The answer to a ping of that number."""
    return _PONG.pack(ServerType.PONG, number)


@dataclass(frozen=True)
class Pong:
    """The answer to a ping."""

    number: int


def unpack_server(data: bytes, shape: tuple[int, int]) -> FrameMessage | Pong:
    """Read a binary message of a server; ``shape`` is (height, width) of the welcome."""
    if len(data) == _PONG.size and data[0] == ServerType.PONG:
        return Pong(_PONG.unpack(data)[1])
    if len(data) < _FRAME.size or data[0] != ServerType.FRAME:
        raise ProtocolError(f"no message of a server: {len(data)} bytes, beginning {data[:4].hex()}")
    (_, encoding, flags, action, sequence, echo, reward, score, lives, _, step_ms, step) = _FRAME.unpack_from(
        data
    )
    frame = _pixels(data[_FRAME.size :], encoding, shape)
    return FrameMessage(frame, sequence, echo, step, action, FrameFlags(flags), reward, score, lives, step_ms)


def _pixels(data: bytes, encoding: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    size = shape[0] * shape[1]
    if encoding == Encoding.ZLIB:
        try:
            data = zlib.decompressobj().decompress(data, size + 1)
        except zlib.error:
            raise ProtocolError("the pixels of a frame do not inflate") from None
    elif encoding != Encoding.RAW:
        raise ProtocolError(f"unknown encoding {encoding}")
    if len(data) != size:
        raise ProtocolError(f"a frame has {size} pixels, not {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _json_object(text: str, kind: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("the message is not JSON") from None
    if not isinstance(values, dict):
        raise ProtocolError("the message is not a JSON object")
    if kind is not None and values.pop("type", None) != kind:
        raise ProtocolError(f'a message of "type": "{kind}" is needed here')
    return values


def _check_number(values: Mapping[str, Any], name: str, low: float, high: float) -> None:
    value = values.get(name, low)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ProtocolError(f"hello: {name} must be a number from {low:g} to {high:g}")
