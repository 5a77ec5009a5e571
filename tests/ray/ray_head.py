"""A Ray cluster as ``ray start --head`` makes it, with ports, folder and token of its own."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rayatari.serve.local import free_port

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """A running cluster."""

    address: str
    """Address of the dashboard, which takes jobs."""
    environment: dict[str, str]
    """Environment in which its commands find it and its token."""


@contextmanager
def ray_head(*, cpus: int = 1) -> Iterator[Head]:
    """Start a cluster with token authentication; at the end kill its processes, and no other's."""
    folder = Path(tempfile.mkdtemp(prefix="ray-head-"))  # short: unix socket paths end at 107 characters
    environment = {
        **{key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "OMP_NUM_THREADS": "1",
    }
    ports = free_ports(8)
    options = zip(
        (
            "--port", "--dashboard-port", "--dashboard-agent-listen-port", "--dashboard-agent-grpc-port",
            "--runtime-env-agent-port", "--metrics-export-port", "--node-manager-port",
            "--object-manager-port",
        ),
        ports,
        strict=True,
    )  # fmt: skip
    words = [f"{name}={port}" for name, port in options]
    process = subprocess.Popen(
        [
            str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1",
            f"--temp-dir={folder}", f"--num-cpus={cpus}", f"--object-store-memory={100 * 2**20}",
            "--disable-usage-stats", *words,
        ],
        env=environment,
        stdout=(folder / "out").open("w"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{ports[1]}"
    try:
        wait_until_healthy(address, process, folder / "out")
        yield Head(address, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for left in processes_of(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/api/gcs_healthz", timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError(log.read_text())


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the cluster's folder: all that Ray started for it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder) in (entry / "cmdline").read_text(errors="replace"):
                found.append(int(entry.name))
    return found
