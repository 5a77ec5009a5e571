"""Run any rayatari command on a Ray cluster through its Jobs API: ``scripts/submit.sh record steps=1000``.

The working folder is uploaded, the command runs on the cluster, its output is followed here, and its exit
code is ours: 0 done, 2 user error, 130 interrupted. Ctrl-C asks the job to stop.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from rayatari.cli import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USER_ERROR, parse_command
from rayatari.errors import UserError

DASHBOARD = "http://127.0.0.1:8265"
RUNTIME_ENV = Path("cluster/runtime_env.yaml")
EXIT_FAILED = 1
POLL_SECONDS = 0.5
LOST_SECONDS = 120.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NEEDS_NO_RUNS = ("games", "show-config")


@dataclass(frozen=True)
class JobSettings:
    """Where and how a command runs as a job."""

    address: str = DASHBOARD
    """HTTP address of the cluster's dashboard."""
    working_dir: Path = Path()
    """Folder that is uploaded; the command runs in a copy of it."""
    runtime_env: Path | None = None
    """YAML file with the job's runtime environment; none is ``cluster/runtime_env.yaml`` where it exists."""
    submission_id: str | None = None
    """Name of the job; none lets Ray choose one."""
    python: str = "python"
    """Python interpreter on the cluster."""
    cpus: float = 0.0
    """CPUs reserved for the command itself; above 0 it may run on another node than the head."""
    gpus: float = 0.0
    """GPUs reserved for the command itself."""


def submit(words: Sequence[str], settings: JobSettings | None = None) -> int:
    """Run ``rayatari`` with ``words`` as a job, print its output as it comes, and return its exit code.

    A job that is stopped returns 130; one that Ray could not run at all, 1. KeyboardInterrupt stops the
    job, waits for its end and returns 130. UserError when the words are wrong, or no cluster answers.
    """
    settings = settings or JobSettings()
    command = job_words(words, settings.address)
    environment = job_environment(settings)
    _use_token()
    client = _connect(settings.address)
    job = _start(client, command, environment, settings)
    print(f"job {job} on {settings.address}: rayatari {shlex.join(command)}", file=sys.stderr, flush=True)
    try:
        asyncio.run(_follow(client, job))
        return _exit_code(client, job)
    except KeyboardInterrupt:
        print(f"\nstopping job {job} ...", file=sys.stderr, flush=True)
        client.stop_job(job)
        _exit_code(client, job)
        return EXIT_INTERRUPTED


def job_words(words: Sequence[str], address: str) -> list[str]:
    """The words that the job gets: checked here, and with ``runs=`` as an absolute path.

    A job works in a copy of the working folder that Ray deletes, so its artifacts have to go elsewhere:
    into this machine's own folder where the cluster is this machine, else where the user says.
    """
    command, config = parse_command(words)
    if command in _NEEDS_NO_RUNS:
        return list(words)
    named = config.runs != str(Path("runs").resolve())
    if not named and urlsplit(address).hostname not in _LOOPBACK:
        raise UserError(
            "runs=DIR is missing: name an absolute folder that all nodes of the cluster share, "
            "since the folder that a job works in is deleted after it"
        )
    return [*words, f"runs={config.runs}"]


def job_environment(settings: JobSettings) -> dict[str, Any]:
    """Ray's runtime environment of the job: that of the YAML file, with the working folder."""
    file = settings.runtime_env
    if file is None:
        file = settings.working_dir / RUNTIME_ENV
        if not file.exists():
            return {"working_dir": str(settings.working_dir.resolve())}
    try:
        values = yaml.safe_load(file.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"runtime environment {file} cannot be read: {reason}") from None
    if not isinstance(values, dict):
        raise UserError(f"runtime environment {file} must hold 'key: value' lines")
    return {"working_dir": str(settings.working_dir.resolve()), **values}


def _use_token() -> None:
    """Authenticate where this user has a token: ``ray start`` does by itself, the Jobs API has to be told."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(address: str) -> Any:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError:
        raise UserError(
            f"the cluster at {address} does not accept our token: set RAY_AUTH_MODE=token, "
            "and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
        ) from None
    except (ConnectionError, RuntimeError, ValueError):
        raise UserError(
            f"no Ray cluster answers at {address}: start one with 'ray start --head', or set --address"
        ) from None


def _start(client: Any, words: Sequence[str], environment: dict[str, Any], settings: JobSettings) -> str:
    try:
        job: str = client.submit_job(
            entrypoint=f"exec {settings.python} -m rayatari {shlex.join(words)}",
            runtime_env=environment,
            submission_id=settings.submission_id,
            entrypoint_num_cpus=settings.cpus or None,
            entrypoint_num_gpus=settings.gpus or None,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"the job was refused: {str(error).strip().splitlines()[-1]}") from None
    return job


async def _follow(client: Any, job: str) -> None:
    """Print the job's output until it ends; a connection that breaks is taken up where it was.

    UserError when the cluster has not answered for ``LOST_SECONDS``.
    """
    from aiohttp import ClientError

    shown = 0
    heard = time.monotonic()
    while True:
        seen = 0
        try:
            async for text in client.tail_job_logs(job):
                print(text[max(0, shown - seen) :], end="", flush=True)
                seen += len(text)
                shown = max(shown, seen)
                heard = time.monotonic()
            if client.get_job_status(job).is_terminal():
                return
            heard = time.monotonic()
        except (ClientError, ConnectionError, RuntimeError):  # the dashboard restarts, or the network is away
            if time.monotonic() - heard > LOST_SECONDS:
                raise UserError(
                    f"the cluster has not answered for {LOST_SECONDS:.0f} s; job {job} may still run: "
                    "see 'ray job status' and 'ray job logs'"
                ) from None
        await asyncio.sleep(POLL_SECONDS)


def _exit_code(client: Any, job: str) -> int:
    """Wait for the end of the job; the exit code of its command, 130 where it was stopped."""
    from ray.job_submission import JobStatus

    while not (info := client.get_job_info(job)).status.is_terminal():
        time.sleep(POLL_SECONDS)
    if info.status == JobStatus.SUCCEEDED:
        return EXIT_DONE
    if info.status == JobStatus.STOPPED:
        print(f"job {job} was stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    if info.driver_exit_code is None:
        print(f"job {job} could not run: {info.message}", file=sys.stderr)
        return EXIT_FAILED
    return int(info.driver_exit_code)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of ``scripts/submit.sh``."""
    defaults = JobSettings()
    parser = argparse.ArgumentParser(prog="submit.sh", description=__doc__)
    parser.add_argument("--address", default=os.environ.get("RAY_API_SERVER_ADDRESS", defaults.address))
    parser.add_argument("--working-dir", type=Path, default=defaults.working_dir)
    parser.add_argument("--runtime-env", type=Path, metavar="FILE")
    parser.add_argument("--submission-id", metavar="NAME")
    parser.add_argument("--python", default=defaults.python, help="interpreter on the cluster")
    parser.add_argument("--cpus", type=float, default=defaults.cpus, help="CPUs of the command itself")
    parser.add_argument("--gpus", type=float, default=defaults.gpus, help="GPUs of the command itself")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND [key=value]...")
    options = vars(parser.parse_args(arguments))
    words = [word for word in options.pop("words") if word != "--"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return submit(words, JobSettings(**options))
    except KeyboardInterrupt:  # before the job was sent, or again while it stops
        return EXIT_INTERRUPTED
    except UserError as error:
        print(f"submit: error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
