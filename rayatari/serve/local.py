"""A server of one's own, in a child process: for clients that are given no address."""

import contextlib
import fcntl
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import IO, Self

import yaml

from rayatari.config.schema import Config
from rayatari.errors import UserError


@dataclass
class LocalServer:
    """``rayatari serve`` in a child process. A context manager; ``stop`` ends it."""

    url: str
    """Address, such as ``http://127.0.0.1:43210``."""
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    claim: IO[str]
    """Held as long as the port is this server's."""

    def stop(self, timeout: float = 20) -> None:
        """Interrupt the server and wait until it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()
        self.claim.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def start_server(
    config: Config, timeout: float = 90, environment: Mapping[str, str] | None = None
) -> LocalServer:
    """Start the server of ``config`` on a free port of loopback and wait until it answers.

    The port is ``config.serve.port`` unless that is taken. UserError with the server's own line when it
    does not start, or not within ``timeout`` seconds.
    """
    port, claim = claim_port(config.serve.port)
    config = replace(config, serve=replace(config.serve, host="127.0.0.1", port=port))
    output = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the server
    with tempfile.TemporaryDirectory(prefix="rayatari-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(_plain(asdict(config))))
        process = subprocess.Popen(
            [sys.executable, "-m", "rayatari", "serve", "--config", str(file)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is the client's, which then stops the server
            env=environment,
        )  # fmt: skip
        server = LocalServer(f"http://127.0.0.1:{port}", process, output, claim)
        try:
            wait_until_healthy(server.url, timeout, process)
        except BaseException as error:
            said = _last_line(output)
            server.stop()
            if isinstance(error, UserError) and said:
                raise UserError(said) from None
            raise
    return server


def wait_until_healthy(url: str, timeout: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until ``/healthz`` answers; UserError after ``timeout`` seconds or when ``process`` ends."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise UserError(f"the server ended with code {process.returncode}")
        with (
            contextlib.suppress(OSError, HTTPException),  # the latter: a server of another protocol
            urllib.request.urlopen(f"{url}/healthz", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise UserError(f"no server answers at {url}: is 'rayatari serve' running?")


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("rayatari: error: ") if lines else ""


def free_port(wanted: int = 0) -> int:
    """A port of loopback that nobody listens on: ``wanted`` where that is free.

    Others lie between the ports of Ray's workers (to 19,999) and those that kernels deal out (from 32,768):
    Ray's own servers take such ones while ours is still starting.
    """
    others = random.SystemRandom().sample(range(20_000, 32_768), 50)
    for port in [wanted, *others] if wanted else others:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise UserError("no free port on this machine")


def claim_port(wanted: int = 0) -> tuple[int, IO[str]]:
    """A free port and a claim to it until that is closed.

    A server listens only seconds after its port was chosen; meanwhile no other claims the same one.
    """
    for _ in range(20):
        port = free_port(wanted)
        claim = (Path(tempfile.gettempdir()) / f"rayatari-{os.getuid()}-port-{port}.lock").open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            wanted = 0
        else:
            return port, claim
    raise UserError("no free port on this machine")


def _plain(value: object) -> object:
    """Tuples as lists, which YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
