"""The wire protocol: what is packed is what is unpacked, and nothing else is let in."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rayatari.protocol import (
    ClientType,
    Close,
    ErrorMessage,
    FrameFlags,
    FrameMessage,
    Hello,
    Pong,
    ProtocolError,
    Welcome,
    pack_client,
    pack_frame,
    pack_pong,
    unpack_client,
    unpack_server,
    unpack_server_text,
)

COUNTS = st.integers(0, 2**32 - 1)
BYTES = st.integers(0, 255)
FLOATS = st.floats(width=32, allow_nan=False)
VALUES = {
    ClientType.ACTION: BYTES,
    ClientType.RESET: COUNTS,
    ClientType.TEMPERATURE: st.floats(0, 10, width=32),
    ClientType.PAUSE: st.integers(0, 1),
    ClientType.STEP: BYTES,
    ClientType.AGENT: st.integers(0, 1),
    ClientType.PING: st.just(0),
    ClientType.SEEN: COUNTS,
}
MESSAGES = st.one_of([st.tuples(st.just(kind), COUNTS, value) for kind, value in VALUES.items()])
SIZES = {
    ClientType.ACTION: 6, ClientType.RESET: 9, ClientType.TEMPERATURE: 9, ClientType.PAUSE: 6,
    ClientType.STEP: 6, ClientType.AGENT: 6, ClientType.PING: 5, ClientType.SEEN: 9,
}  # fmt: skip
HELLOS = st.builds(
    Hello,
    game=st.text(max_size=20),
    mode=st.sampled_from(("realtime", "lockstep")),
    fps=st.none() | st.floats(1, 60),
    seed=st.none() | COUNTS,
    temperature=st.none() | st.floats(0, 10),
    token=st.text(max_size=20),
    resume=st.text(max_size=32),
)
WELCOME = Welcome(
    session="0" * 32, resumed=False, game="breakout", title="Breakout", mode="realtime", fps=15.0, seed=1,
    temperature=1.0, actions=["NOOP"], keymap={"Space": "fire"}, height=210, width=160, palette=[0],
    rgb=[[0, 0, 0]], frame_skip=4, max_lives=5, agent="", limits={"window": 32}, server="rayatari",
)  # fmt: skip


@given(MESSAGES)
def test_client_messages_survive_the_wire_at_their_documented_size(message: tuple) -> None:
    kind, number, value = message
    data = pack_client(kind, number, value)
    unpacked = unpack_client(data)
    assert (unpacked.type, unpacked.number, unpacked.value) == (kind, number, value)
    assert len(data) == SIZES[kind]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        message = unpack_client(data)
    except ProtocolError as error:
        assert error.code is Close.BAD_MESSAGE
    else:
        assert pack_client(message.type, message.number, message.value) == data


@given(MESSAGES, st.integers(1, 8))
def test_a_message_of_another_length_is_refused(message: tuple, cut: int) -> None:
    data = pack_client(*message)
    for wrong in (data[:-cut], data + bytes(cut)):
        with pytest.raises(ProtocolError):
            unpack_client(wrong)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<BIf", 3, 1, float("nan")),
        struct.pack("<BIf", 3, 1, -0.5),
        struct.pack("<BIf", 3, 1, 10.5),
        struct.pack("<BIB", 4, 1, 2),
        struct.pack("<BIB", 6, 1, 255),
        struct.pack("<BIB", 0, 1, 0),
    ],
)
def test_values_outside_their_range_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_client(data)


@settings(max_examples=50)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))),
    COUNTS, COUNTS, COUNTS, BYTES, st.integers(0, 15), FLOATS, FLOATS, st.integers(0, 65535), FLOATS,
)  # fmt: skip
def test_frames_survive_the_wire(
    frame: np.ndarray, sequence: int, echo: int, step: int, action: int, flags: int,
    reward: float, score: float, lives: int, step_ms: float,
) -> None:  # fmt: skip
    sent = FrameMessage(frame, sequence, echo, step, action, FrameFlags(flags), reward, score, lives, step_ms)
    data = pack_frame(sent)
    got = unpack_server(data, frame.shape)
    assert isinstance(got, FrameMessage)
    assert (got.frame == frame).all()
    assert (got.sequence, got.echo, got.step, got.action, got.flags) == (sequence, echo, step, action, flags)
    assert (got.reward, got.score, got.lives, got.step_ms) == (reward, score, lives, step_ms)
    assert len(data) <= 32 + frame.size


def test_a_frame_lies_in_memory_as_documented() -> None:
    frame = np.zeros((210, 160), np.uint8)
    data = pack_frame(
        FrameMessage(frame, 7, 9, 5, 2, FrameFlags.TERMINATED | FrameFlags.AGENT, 4.0, 11.0, 3, 12.5)
    )
    assert struct.unpack_from("<BBBBIIffHHfI", data) == (0x81, 1, 5, 2, 7, 9, 4.0, 11.0, 3, 0, 12.5, 5)


@given(st.binary(max_size=60))
def test_a_client_refuses_what_no_server_sends(data: bytes) -> None:
    try:
        message = unpack_server(data, (2, 3))
    except ProtocolError:
        return
    assert isinstance(message, Pong) or message.frame.shape == (2, 3)


def test_a_frame_that_inflates_without_end_is_refused() -> None:
    data = pack_frame(FrameMessage(np.zeros((2000, 2000), np.uint8), 0, 0, 0))
    with pytest.raises(ProtocolError, match="pixels"):
        unpack_server(data, (210, 160))


@given(COUNTS)
def test_pongs_survive_the_wire(number: int) -> None:
    assert unpack_server(pack_pong(number), (1, 1)) == Pong(number)


@given(HELLOS)
def test_hellos_survive_the_wire(hello: Hello) -> None:
    assert Hello.from_json(hello.to_json()) == hello


def test_welcome_and_error_survive_the_wire() -> None:
    error = ErrorMessage(Close.BUSY, "full", "try later")
    assert unpack_server_text(WELCOME.to_json()) == WELCOME
    assert unpack_server_text(error.to_json()) == error
    later = json.dumps({**json.loads(WELCOME.to_json()), "new": 1})
    assert unpack_server_text(later) == WELCOME


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", Close.BAD_MESSAGE, "not JSON"),
        ("[1]", Close.BAD_MESSAGE, "object"),
        ("[" * 100_000, Close.BAD_MESSAGE, "not JSON"),
        ('{"type": "hallo"}', Close.BAD_MESSAGE, "hello"),
        ('{"type": "hello"}', Close.VERSION, "version 1"),
        ('{"type": "hello", "version": 2}', Close.VERSION, "version 1"),
        ('{"type": "hello", "version": true}', Close.VERSION, "version 1"),
        ('{"type": "hello", "version": 1, "colour": 1}', Close.BAD_MESSAGE, "colour"),
        ('{"type": "hello", "version": 1, "game": 3}', Close.BAD_MESSAGE, "game"),
        ('{"type": "hello", "version": 1, "mode": "fast"}', Close.BAD_MESSAGE, "mode"),
        ('{"type": "hello", "version": 1, "fps": 61}', Close.BAD_MESSAGE, "fps"),
        ('{"type": "hello", "version": 1, "fps": NaN}', Close.BAD_MESSAGE, "fps"),
        ('{"type": "hello", "version": 1, "seed": 1.5}', Close.BAD_MESSAGE, "seed"),
        ('{"type": "hello", "version": 1, "seed": -1}', Close.BAD_MESSAGE, "seed"),
        ('{"type": "hello", "version": 1, "temperature": "hot"}', Close.BAD_MESSAGE, "temperature"),
    ],
)
def test_a_wrong_hello_is_refused_with_its_reason(text: str, code: Close, message: str) -> None:
    with pytest.raises(ProtocolError, match=message) as caught:
        Hello.from_json(text)
    assert caught.value.code is code
