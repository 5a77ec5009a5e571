"""A server that is fed rubbish stays alive, does not grow, and plays on with everybody else."""

import asyncio
import contextlib
import json
import random
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from minimal_client import MinimalClient
from serving import served_config
from test_serve_live import play, replica_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode

from rayatari.config.runtime import RayConfig
from rayatari.config.schema import Config
from rayatari.serve.local import LocalServer, start_server

pytestmark = [pytest.mark.ray, pytest.mark.e2e]

HELLO = {"type": "hello", "version": 1}
GROWTH_MB = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    made = served_config(tmp_path_factory.mktemp("fuzz"))
    settings = replace(made.serve, threads=1, sessions=16, resume_s=5.0, hello_s=2.0)
    config: Config = replace(made, ray=RayConfig(num_cpus=2, object_store_mb=100), serve=settings)
    with start_server(config) as started:
        yield started


def memory_mb(server: LocalServer) -> float:
    """Resident memory of the replica."""
    status = Path(f"/proc/{replica_of(server)}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def rubbish(rng: random.Random) -> str | bytes:
    """One wrong message, or a right one out of order."""
    kind = rng.randrange(9)
    number = rng.randrange(2**32)
    if kind == 0:
        return rng.randbytes(rng.randrange(60))
    if kind == 1:  # truncated or too long
        data = struct.pack("<BIB", rng.randrange(1, 9), number, rng.randrange(256))
        return data[: rng.randrange(6)] + rng.randbytes(rng.randrange(3))
    if kind == 2:
        return rng.randbytes(rng.choice((4096, 4097, 20_000, 70_000)))
    if kind == 3:
        return rng.choice(("", "{", "[]", "null", '{"type": "hello"}', "\x00", "[" * 2000, '{"a":1e999}'))
    if kind == 4:
        values = {"fps": rng.choice((0, -1, 1e9, "x", None)), "seed": rng.choice((-1, 2**40, 1.5, []))}
        return json.dumps({**HELLO, **values, "mode": rng.choice(("realtime", "lockstep", 7))})
    if kind == 5:
        return struct.pack("<BIf", 3, number, rng.choice((float("nan"), float("inf"), -1.0, 0.5)))
    if kind == 6:
        return struct.pack("<BII", rng.choice((2, 8)), number, rng.randrange(2**32))
    return struct.pack("<BIB", rng.choice((1, 4, 5, 6)), number, rng.randrange(5))


async def write_frame(socket: ClientConnection, frame: Frame) -> None:
    """Send a WebSocket frame past the checks of the library."""
    extensions = socket.protocol.extensions or []
    socket.transport.write(frame.serialize(mask=True, extensions=extensions))
    await asyncio.sleep(0)


async def attack(url: str, seed: int, count: int) -> int:
    """Send ``count`` messages of rubbish, over as many connections as the server ends; connections used."""
    rng = random.Random(seed)
    sent = connections = 0
    while sent < count:
        connections += 1
        with contextlib.suppress(WebSocketException, OSError, TimeoutError):
            async with connect(url, max_size=None, close_timeout=0.2, open_timeout=20) as socket:
                if rng.random() < 0.8:
                    mode = rng.choice(("realtime", "lockstep"))
                    sent += 1
                    await socket.send(json.dumps({**HELLO, "mode": mode, "seed": rng.randrange(99)}))
                    await socket.recv()
                flood = rng.random() < 0.1
                for _ in range(rng.randrange(1, 200)):
                    sent += 1
                    if rng.random() < 0.01:
                        await write_frame(socket, Frame(Opcode.TEXT, b"\xff\xfe" + rng.randbytes(4)))
                    elif rng.random() < 0.01:
                        await write_frame(socket, Frame(Opcode(rng.choice((0, 1, 2))), b"part", fin=False))
                    else:
                        await socket.send(rubbish(rng) if not flood else b"\x07" + rng.randbytes(4))
                    if not flood and rng.random() < 0.1:
                        await asyncio.sleep(0)
                    if socket.close_code is not None:
                        break
                if rng.random() < 0.5:
                    socket.transport.abort()
    return connections


async def watch(client: MinimalClient) -> None:
    """Read frames as they come, each newer than the one before."""
    last = -1
    while True:
        sequence = (await client.frame())["sequence"]
        assert sequence > last
        last = sequence


@pytest.mark.slow
@pytest.mark.parametrize("count", [100_000])
@pytest.mark.timeout(1200)
def test_rubbish_harms_nobody(server: LocalServer, count: int) -> None:
    async def act() -> None:
        async with (
            MinimalClient(server.url, mode="lockstep", seed=1) as steady,
            MinimalClient(server.url, fps=15, seed=1) as live,
        ):
            address = steady.url
            await attack(address, 0, 1000)  # first uses allocate what is kept
            before = memory_mb(server)
            await steady.frame()
            attacks = [asyncio.create_task(attack(address, seed, count // 4)) for seed in range(1, 5)]
            watching = asyncio.create_task(watch(live))
            steps, waits = [], []
            while not all(task.done() for task in attacks):
                asked = time.monotonic()
                await steady.act(len(steps) % 4)
                steps.append((await steady.frame())["step"])
                waits.append(time.monotonic() - asked)
            connections = sum([await task for task in attacks])
            assert steps == list(range(1, len(steps) + 1))
            assert not watching.done()
            watching.cancel()
            print(f"{len(steps)} steps meanwhile, the slowest took {max(waits):.2f} s")
            await asyncio.sleep(6)  # sessions that were left are forgotten
            for _ in range(3):
                await steady.act(0)
                await steady.frame()
            after = memory_mb(server)
            print(f"{count} messages, {connections} connections, {before:.0f} -> {after:.0f} MiB")
            assert after < before + GROWTH_MB

    replica = replica_of(server)
    asyncio.run(asyncio.wait_for(act(), 1100))
    assert replica_of(server) == replica
    play(one_more(server))


async def one_more(server: LocalServer) -> None:
    """Newcomers are welcome."""
    async with MinimalClient(server.url, mode="lockstep") as client:
        await client.frame()
