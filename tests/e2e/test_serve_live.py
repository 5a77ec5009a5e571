"""``rayatari serve`` as it runs: Ray Serve, real sockets, a client written from docs/protocol.md alone."""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minimal_client import MinimalClient
from serving import served_config
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from rayatari.config.runtime import RayConfig
from rayatari.config.schema import Config
from rayatari.models.neural_game import NeuralGame
from rayatari.serve.local import LocalServer, start_server

pytestmark = [pytest.mark.ray, pytest.mark.e2e]

TOKEN = "open sesame"
LIMITS = {"sessions": 4, "hello_s": 1.5, "idle_s": 6.0, "slow_s": 2.0, "window": 16, "snapshot_s": 0.3}
Hello = dict[str, Any]
LOCKSTEP: Hello = {"mode": "lockstep", "token": TOKEN, "game": "breakout"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = served_config(tmp_path_factory.mktemp("live"))
    ray = RayConfig(address="", num_cpus=2, object_store_mb=100)
    return replace(made, ray=ray, serve=replace(made.serve, token=TOKEN, threads=1, **LIMITS))


@pytest.fixture(scope="module")
def server(config: Config) -> Iterator[LocalServer]:
    with start_server(config) as started:
        yield started


def play(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 100))


def get(server: LocalServer, path: str, token: str = TOKEN) -> str:
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def family(pid: int) -> list[int]:
    """``pid`` and all processes under it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.parent.name))
    found = [pid]
    for member in found:
        found += parents.get(member, [])
    return found


def replica_of(server: LocalServer) -> int:
    """Process id of the replica."""
    return next(
        pid
        for pid in family(server.process.pid)
        if b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def test_pages_and_facts_are_served(server: LocalServer) -> None:
    assert get(server, "/healthz", "") == "ok"
    assert "<html" in get(server, "/", "")
    games = json.loads(get(server, "/games"))
    assert [game["name"] for game in games["games"]] == ["breakout", "pong"]
    assert games["games"][0]["agent"] == "dqn-1234"
    assert json.loads(get(server, "/games?token=open%20sesame", ""))["token"] is True
    for path in ("/games", "/metrics"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(server, path, "wrong")
    metrics = get(server, "/metrics")
    for name in ("rayatari_sessions{", "rayatari_step_seconds_bucket", "rayatari_frames_dropped_total"):
        assert name in metrics


def test_lockstep_frames_are_those_of_the_bare_game(server: LocalServer, config: Config) -> None:
    actions = [1, 2, 2, 3, 0, 1, 3, 3, 2, 1, 0, 2]
    game = NeuralGame.load(config.serve.bundles[0])
    expected = [game.reset([7])[0], *(game.step([action]).frames[0] for action in actions)]

    async def act() -> None:
        async with MinimalClient(server.url, **LOCKSTEP, seed=7) as client:
            palette = np.array(client.welcome["palette"], np.uint8)
            frames = [await client.frame()]
            for action in actions:
                number = await client.act(action)
                frames.append(await client.frame())
                assert (frames[-1]["echo"], frames[-1]["action"]) == (number, action)
            for shown, true in zip(frames, expected, strict=True):
                assert (palette[np.frombuffer(shown["pixels"], np.uint8)] == true.ravel()).all()
            with pytest.raises(TimeoutError):
                await client.frame(timeout=0.3)  # one action, one frame

    play(act())


def test_realtime_keeps_its_pace_and_answers_the_keys(server: LocalServer) -> None:
    async def act() -> None:
        async with MinimalClient(server.url, token=TOKEN, fps=15) as client:
            await client.frame()
            started = time.monotonic()
            number = await client.act(2)
            frames = [await client.frame() for _ in range(30)]
            assert time.monotonic() - started > 1.6
            assert [f["step"] for f in frames] == list(range(frames[0]["step"], frames[0]["step"] + 30))
            assert frames[-1]["echo"] == number
            assert frames[-1]["action"] == 2
            number = await client.say(7)  # PING
            while (pong := await client.socket.recv())[0] != 0x82:
                pass
            assert pong[1:] == number.to_bytes(4, "little")

    play(act())


def test_the_agent_takes_over_where_there_is_one(server: LocalServer) -> None:
    async def act() -> None:
        async with MinimalClient(server.url, **LOCKSTEP) as client:
            await client.frame()
            await client.say(6, "B", 1)
            await client.act(0)
            assert (await client.frame())["flags"] & 4
        async with MinimalClient(server.url, **{**LOCKSTEP, "game": "pong"}) as client:
            assert client.welcome["agent"] == ""
            await client.frame()
            await client.say(6, "B", 1)
            await client.act(0)
            assert not (await client.frame())["flags"] & 4
            assert [(e["fatal"], bool(e["remedy"])) for e in client.errors] == [(False, True)]

    play(act())


HELLO = {"type": "hello", "version": 1, "token": TOKEN}
WRONG_HELLOS = [
    ("{", 4000),
    (b"\x01\x02", 4000),
    ('{"type": "hello", "version": 1, "' + "x" * 5000, 1009),
    ("x" * 200_000, 1009),
    (json.dumps({**HELLO, "version": 9}), 4002),
    (json.dumps({**HELLO, "token": "wrong"}), 4003),
    (json.dumps({**HELLO, "game": "qbert"}), 4004),
    (json.dumps({**HELLO, "resume": "0" * 32}), 4005),
    (None, 4001),
]
WRONG_MESSAGES = [
    (["text"], 4000),
    ([b"\xff\x00\x00\x00\x00"], 4000),
    ([b"\x01\x01\x00\x00\x00\x09"], 4000),
    ([bytes(5000)], 1009),
    ([b"\x07\x01\x00\x00\x00"] * 6000, 4008),
    ([], 4010),
]


@pytest.mark.parametrize(("hello", "code"), WRONG_HELLOS)
def test_a_wrong_hello_is_closed_with_its_code(
    server: LocalServer, hello: str | bytes | None, code: int
) -> None:
    async def act() -> None:
        client = MinimalClient(server.url)
        async with connect(client.url) as client.socket:
            if hello is not None:
                await client.socket.send(hello)
            assert await client.closed() == code
        assert len(str(hello)) > 100_000 or client.errors[0]["code"] == code

    play(act())


@pytest.mark.parametrize(("messages", "code"), WRONG_MESSAGES)
def test_broken_rules_close_with_their_code(
    server: LocalServer, messages: list[str | bytes], code: int
) -> None:
    async def act() -> None:
        async with MinimalClient(server.url, **LOCKSTEP) as client:
            with contextlib.suppress(WebSocketException):
                for message in messages:
                    await client.socket.send(message)
            assert await client.closed() == code
            assert client.errors[-1]["code"] == code

    play(act())


def test_foreign_pages_are_kept_out_and_nothing_is_compressed(server: LocalServer) -> None:
    async def act() -> None:
        url = MinimalClient(server.url).url
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(url, origin="http://evil.example"):
                pass
        async with connect(url, origin=server.url, compression="deflate") as socket:
            assert "Sec-WebSocket-Extensions" not in socket.response.headers

    play(act())


def test_one_session_too_many_is_told_to_come_later(server: LocalServer) -> None:
    async def act() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(LIMITS["sessions"]):
                await stack.enter_async_context(MinimalClient(server.url, **LOCKSTEP))
            late = await stack.enter_async_context(MinimalClient(server.url, **LOCKSTEP))
            assert late.welcome["code"] == await late.closed() == 4006

    play(act())


def test_a_crowd_at_the_same_moment_is_served_or_told_to_come_later(server: LocalServer) -> None:
    async def act() -> list[int]:
        async with contextlib.AsyncExitStack() as stack:
            crowd = [MinimalClient(server.url, **LOCKSTEP) for _ in range(24)]
            arrived = await asyncio.gather(*(stack.enter_async_context(client) for client in crowd))
            return [client.welcome.get("code", 0) for client in arrived]

    codes = play(act())
    assert codes.count(0) == LIMITS["sessions"] and set(codes) == {0, 4006}


def test_a_slow_reader_is_cut_off_and_disturbs_nobody(server: LocalServer) -> None:
    async def act() -> None:
        hello = {"token": TOKEN, "fps": 15}
        async with MinimalClient(server.url, **hello) as slow, MinimalClient(server.url, **hello) as quick:
            slow.sees = False
            frames, closing = [await quick.frame()], asyncio.create_task(slow.closed(60))
            while not closing.done():
                frames.append(await quick.frame())
                with contextlib.suppress(WebSocketException):
                    await slow.say(7)  # not idle, but it sees nothing
            assert len(frames) > LIMITS["window"]
            sequences = [f["sequence"] for f in frames]
            assert sequences == list(range(len(frames)))
            assert await closing == 4013
            assert (await quick.frame())["sequence"] == len(frames)

    play(act())


def test_a_lost_connection_resumes_exactly(server: LocalServer, config: Config) -> None:
    game = NeuralGame.load(config.serve.bundles[0])
    game.reset([3])
    expected = [game.step([action]).frames[0] for action in (1, 2, 3, 1, 2, 3)]

    async def act() -> None:
        async with MinimalClient(server.url, **LOCKSTEP, seed=3) as client:
            await client.frame()
            for action in (1, 2, 3):
                number = await client.act(action)
                await client.frame()
            client.socket.transport.abort()
        token = client.welcome["session"]
        async with MinimalClient(server.url, **LOCKSTEP, resume=token) as client:
            assert client.welcome["resumed"]
            first = await client.frame()
            assert (first["step"], first["echo"], first["flags"]) == (3, number, 8)
            palette = np.array(client.welcome["palette"], np.uint8)
            for action, true in zip((1, 2, 3), expected[3:], strict=True):
                await client.act(action)
                pixels = np.frombuffer((await client.frame())["pixels"], np.uint8)
                assert (palette[pixels] == true.ravel()).all()

    play(act())


def test_sessions_outlive_a_killed_replica(server: LocalServer) -> None:
    async def act() -> None:
        async with MinimalClient(server.url, token=TOKEN, fps=15) as client:
            await client.frame()
            await client.act(3)
            before = [await client.frame() for _ in range(30)][-1]
            os.kill(replica_of(server), signal.SIGKILL)
            killed = time.monotonic()
            assert await client.closed() in (1006, 1011, 1012)
        token = client.welcome["session"]
        while True:
            assert time.monotonic() - killed < 60
            try:
                async with MinimalClient(server.url, token=TOKEN, resume=token) as again:
                    first = await again.frame()
                break
            except (OSError, WebSocketException):
                await asyncio.sleep(0.2)
        print(f"back after {time.monotonic() - killed:.1f} s")
        assert before["step"] - 30 <= first["step"] <= before["step"] + 5
        assert first["sequence"] > 0

    play(act())


def test_shutdown_sends_everybody_away_with_a_reason_and_exits_130(server: LocalServer) -> None:
    """The last test of this file: it ends the server."""

    async def act() -> None:
        async with MinimalClient(server.url, token=TOKEN, fps=15) as client:
            await client.frame()
            server.process.send_signal(signal.SIGINT)
            closing = asyncio.create_task(client.closed(60))
            while not closing.done():
                with contextlib.suppress(WebSocketException):
                    await client.say(7)
                await asyncio.sleep(0.5)
            assert await closing == 4012
            assert client.errors[-1]["remedy"]

    play(act())
    assert server.process.wait(60) == 130
    server.output.seek(0)
    assert b"Traceback" not in server.output.read()
