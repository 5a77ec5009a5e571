"""Measure the server over real sockets, beside the bare model in the same run.

    .venv/bin/python scripts/bench_serve.py weights=runs/breakout/mapper json=results/bench_serve.json

Lockstep: frames a second and the time from action to frame. Realtime: the interval between frames and the
time from input to picture. CPU counts every process of the server. Settings are key=value (see ``Settings``).
"""

import asyncio
import contextlib
import json
import os
import platform
import signal
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from rayatari.checkpoint import git_revision
from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.protocol import (
    SEEN_EVERY,
    ClientType,
    FrameMessage,
    Hello,
    Pong,
    Welcome,
    pack_client,
    unpack_server,
    unpack_server_text,
)  # fmt: skip
from rayatari.serve.local import LocalServer, start_server


@dataclass
class Settings:
    """What to measure: ``weights`` a bundle, ``ingress`` and ``sessions`` lists, ``json`` a file to write."""

    weights: str = "runs/breakout/mapper"
    ingress: str = "direct,proxy,haproxy"
    sessions: str = "1,2,4,8,16,32,64"
    seconds: float = 6.0
    rounds: int = 3
    threads: int = 0
    kill: bool = True
    json: str = ""


@dataclass
class Tally:
    """What one client saw."""

    latency: list[float] = field(default_factory=list)
    interval: list[float] = field(default_factory=list)
    frames: int = 0
    dropped: int = 0


class Client:
    """Speaks the protocol; SEEN is sent as it asks."""

    def __init__(self, socket: ClientConnection, welcome: Welcome) -> None:
        self.socket, self.welcome = socket, welcome
        self.sent = self.unseen = 0

    async def tell(self, kind: ClientType, value: float = 0) -> int:
        """Send a message; returns its number."""
        self.sent += 1
        await self.socket.send(pack_client(kind, self.sent, value))
        return self.sent

    async def frame(self) -> FrameMessage:
        """The next frame."""
        while True:
            data = await self.socket.recv()
            assert isinstance(data, bytes), data
            message = unpack_server(data, (self.welcome.height, self.welcome.width))
            if not isinstance(message, Pong):
                break
        self.unseen += 1
        if self.unseen == SEEN_EVERY:
            self.unseen = 0
            await self.tell(ClientType.SEEN, message.sequence)
        return message


@contextlib.asynccontextmanager
async def playing(url: str, hello: Hello) -> Any:
    address = url.replace("http", "ws", 1) + "/play"
    async with connect(address, compression=None, max_size=None, open_timeout=20) as socket:
        await socket.send(hello.to_json())
        text = await socket.recv()
        assert isinstance(text, str)
        welcome = unpack_server_text(text)
        assert isinstance(welcome, Welcome), welcome
        client = Client(socket, welcome)
        await client.frame()
        yield client


async def lockstep(url: str, until: Callable[[], bool], seed: int, tally: Tally) -> None:
    async with playing(url, Hello(mode="lockstep", seed=seed)) as client:
        step = 0
        while not until():
            started = time.perf_counter()
            await client.tell(ClientType.ACTION, (seed + step) // 5 % 4)
            frame = await client.frame()
            tally.latency.append(time.perf_counter() - started)
            tally.frames += 1
            step += 1
            if frame.flags & 1:
                await client.tell(ClientType.RESET, seed + step)
                await client.frame()


async def realtime(url: str, until: Callable[[], bool], seed: int, tally: Tally) -> None:
    rng = np.random.default_rng(seed)
    async with playing(url, Hello(mode="realtime", seed=seed)) as client:
        number, asked, pressed = 0, 0.0, time.perf_counter() + rng.uniform(0.1, 0.5)
        last, sequence = time.perf_counter(), 0
        while not until():
            if not asked and time.perf_counter() >= pressed:
                asked, number = (
                    time.perf_counter(),
                    await client.tell(ClientType.ACTION, int(rng.integers(4))),
                )
            try:
                async with asyncio.timeout(max(0.001, 1.0 if asked else pressed - time.perf_counter())):
                    frame = await client.frame()
            except TimeoutError:
                continue
            now = time.perf_counter()
            tally.interval.append(now - last)
            tally.dropped += frame.sequence - sequence - 1
            tally.frames += 1
            last, sequence = now, frame.sequence
            if asked and frame.echo >= number:
                tally.latency.append(now - asked)
                asked, pressed = 0.0, now + rng.uniform(0.1, 0.5)
            if frame.flags & 1:
                await client.tell(ClientType.RESET, seed)


Player = Callable[[str, Callable[[], bool], int, Tally], Awaitable[None]]


async def crowd(url: str, player: Player, count: int, seconds: float) -> list[Tally]:
    """``count`` players for ``seconds``, the first tenth of which does not count."""
    tallies = [Tally() for _ in range(count)]
    end = time.perf_counter() + seconds

    def over() -> bool:
        return time.perf_counter() > end

    await asyncio.gather(*(player(url, over, seed, tally) for seed, tally in enumerate(tallies)))
    return tallies


class BareModel:
    """The model alone, in this process, with the threads and the memory settings of the server."""

    def __init__(self, weights: str, threads: int) -> None:
        from rayatari.memory import keep_freed_memory
        from rayatari.models.neural_game import NeuralGame
        from rayatari.serve.arcade import set_threads

        set_threads(threads)
        keep_freed_memory()
        self.game = NeuralGame.load(weights)
        self.game.reset([0])
        self.rate(0.3)

    def rate(self, seconds: float) -> float:
        """Frames a second of one game."""
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            self.game.step([steps // 5 % 4])
            steps += 1
        return steps / (time.perf_counter() - started)


def family(pid: int) -> list[int]:
    """``pid`` and all processes under it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def cpu_seconds(pid: int) -> float:
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            values = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += int(values[11]) + int(values[12])
    return total / os.sysconf("SC_CLK_TCK")


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)


def milliseconds(values: list[float]) -> dict[str, float]:
    if not values:
        return {"p50": float("nan"), "p95": float("nan"), "p99": float("nan")}
    return {f"p{q}": round(float(np.percentile(values, q)) * 1e3, 1) for q in (50, 95, 99)}


def model_seconds(url: str) -> float:
    return sum(metric(url, f"rayatari_{part}_seconds_sum") for part in ("step", "look"))


def measure(
    server: LocalServer, mode: str, count: int, settings: Settings, bare: BareModel
) -> dict[str, Any]:
    """One row. The bare model is measured before and between the rounds, since the machine's speed varies."""
    player = lockstep if mode == "lockstep" else realtime
    asyncio.run(crowd(server.url, player, count, 0.7))  # every batch size once
    tallies: list[Tally] = []
    shares: list[float] = []
    bares: list[float] = []
    cpu = model = wall = 0.0
    for _ in range(settings.rounds):
        bares.append(bare.rate(0.7))
        before = cpu_seconds(server.process.pid), model_seconds(server.url), time.perf_counter()
        told = asyncio.run(crowd(server.url, player, count, settings.seconds / settings.rounds))
        wall += time.perf_counter() - before[2]
        cpu += cpu_seconds(server.process.pid) - before[0]
        model += model_seconds(server.url) - before[1]
        tallies += told
        frames = sum(tally.frames for tally in told)
        shares.append(frames / (settings.seconds / settings.rounds) / bares[-1])
    frames = sum(tally.frames for tally in tallies)
    row: dict[str, Any] = {
        "mode": mode, "sessions": count, "frames_per_s": round(frames / settings.seconds, 1),
        "latency_ms": milliseconds([value for tally in tallies for value in tally.latency[1:]]),
        "cpu_ms_per_frame": round(cpu / max(1, frames) * 1e3, 1),
        "model_share": round(model / wall, 2),
        "bare_per_s": round(float(np.median(bares)), 1),
    }  # fmt: skip
    if mode == "lockstep":
        row["of_bare_model"] = round(float(np.median(shares)), 3)
    else:
        row["interval_ms"] = milliseconds([value for tally in tallies for value in tally.interval[3:]])
        row["dropped"] = sum(tally.dropped for tally in tallies)
    return row


async def survive(server: LocalServer) -> float:
    """Seconds from the killing of the replica until its client, having resumed, sees a frame again."""
    async with playing(server.url, Hello(mode="realtime", seed=1)) as client:
        for _ in range(30):
            await client.frame()
        token = client.welcome.session
        replica = next(
            pid for pid in family(server.process.pid)
            if b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )  # fmt: skip
        os.kill(replica, signal.SIGKILL)
        killed = time.perf_counter()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.frame()
    while time.perf_counter() - killed < 60:
        try:
            async with (
                asyncio.timeout(3),
                playing(server.url, Hello(mode="realtime", resume=token)) as client,
            ):
                await client.frame()
                return time.perf_counter() - killed
        except (OSError, TimeoutError, WebSocketException, AssertionError):
            await asyncio.sleep(0.1)
    return float("inf")


def bench(settings: Settings, ingress: str) -> list[dict[str, Any]]:
    counts = [int(count) for count in settings.sessions.split(",")]
    config = replace(
        Config(),
        serve=ServeConfig(
            bundles=(str(Path(settings.weights).resolve()),), ingress=ingress, sessions=max(counts) + 1,
            threads=settings.threads,
        ),
    )  # fmt: skip
    rows = []
    with start_server(config) as server:
        bare = BareModel(settings.weights, settings.threads)
        for count in counts:
            for mode in ("lockstep", "realtime"):
                rows.append({"ingress": ingress} | measure(server, mode, count, settings, bare))
                show(rows[-1])
        if settings.kill:
            seconds = asyncio.run(survive(server))
            rows.append({"ingress": ingress, "mode": "killed replica", "back_after_s": round(seconds, 2)})
            show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    def triple(name: str) -> str:
        return "/".join(f"{value:.0f}" for value in row[name].values()) if name in row else "-"

    if "back_after_s" in row:
        print(f"{row['ingress']:8} {row['mode']}: back after {row['back_after_s']} s", flush=True)
        return
    share = f"{row['of_bare_model']:4.2f} of bare" if "of_bare_model" in row else ""
    cells = (
        f"{row['ingress']:8} {row['mode']:9} {row['sessions']:3} sessions",
        f"{row['frames_per_s']:7.1f} frames/s {share:12} (bare {row['bare_per_s']:.1f}/s)",
        f"latency {triple('latency_ms'):>12} ms",
        f"interval {triple('interval_ms'):>11} ms",
        f"{row['cpu_ms_per_frame']:5.1f} CPU ms/frame",
        f"model {row['model_share']:4.0%}",
        f"dropped {row.get('dropped', 0)}",
    )
    print("  ".join(cells), flush=True)


def main() -> None:
    values = dict(word.split("=", 1) for word in sys.argv[1:])
    known = {item.name: type(item.default) for item in fields(Settings)}
    if set(values) - set(known):
        sys.exit(f"settings are {', '.join(known)}")
    settings = Settings(
        **{
            key: value != "false" if known[key] is bool else known[key](value)
            for key, value in values.items()
        }
    )
    rows = [row for ingress in settings.ingress.split(",") for row in bench(settings, ingress)]
    if settings.json:
        record = {
            "command": " ".join([".venv/bin/python", "scripts/bench_serve.py", *sys.argv[1:]]),
            "revision": git_revision(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "rows": rows,
        }
        Path(settings.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
