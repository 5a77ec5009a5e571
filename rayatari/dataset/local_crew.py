"""Processes of this machine that play units of work, and their foreman: recording without Ray."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rayatari.agent.players import Player
from rayatari.dataset.plan import Unit
from rayatari.dataset.recorder import MakeGame, Recorder
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError
from rayatari.progress import progress

_MOST_DEATHS = 3
"""Processes that one unit may cost before the recording gives up."""
_DONE = "done"
_PATIENCE = 5.0
"""Seconds that a process gets to end by itself."""


def record_units(
    units: Sequence[Unit],
    *,
    done: int,
    players: Sequence[Player],
    make_game: MakeGame,
    context: int,
    storage: Storage,
    workers: int,
    on_unit: Callable[[], object],
) -> None:
    """Play ``units`` as ``crew.record_units`` does, in processes of this machine: 0 is one a CPU."""
    count = min(workers or os.cpu_count() or 1, len(units))
    total = done + sum(unit.steps for unit in units)
    shared = pickle.dumps((list(players), make_game, context, storage))
    with progress(total, "record", unit="frame", done=done) as bar:
        crew = _Crew(shared, bar.update, on_unit)
        try:
            crew.work_off(units, count)
        finally:
            crew.dismiss()


@dataclass
class _Job:
    """A process at work on a unit."""

    process: Any
    unit: Unit
    steps: int = 0


class _Crew:
    """Keeps a number of processes busy until all units are done."""

    def __init__(
        self, shared: bytes, on_steps: Callable[[int], object], on_unit: Callable[[], object]
    ) -> None:
        self._shared = shared
        self._on_steps, self._on_unit = on_steps, on_unit
        self._spawn = multiprocessing.get_context("spawn")
        self._jobs: dict[Connection, _Job] = {}
        self._deaths: dict[int, int] = {}

    def work_off(self, units: Sequence[Unit], count: int) -> None:
        """Have ``count`` processes play all units."""
        waiting = list(reversed(units))
        for _ in range(count):
            self._hire(waiting.pop())
        while self._jobs:
            for ready in wait(list(self._jobs)):
                assert isinstance(ready, Connection)
                self._listen(ready, waiting)

    def dismiss(self) -> None:
        """End the processes that are still at work."""
        for job in self._jobs.values():
            job.process.terminate()
        for job in self._jobs.values():
            job.process.join(_PATIENCE)
            job.process.kill()

    def _hire(self, unit: Unit) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=_work, args=(theirs, self._shared), daemon=True)
        process.start()
        theirs.close()
        self._jobs[ours] = _Job(process, unit)
        ours.send(unit)

    def _listen(self, line: Connection, waiting: list[Unit]) -> None:
        """Take up one message: transitions played, a finished unit, an error, or the line is dead."""
        job = self._jobs[line]
        try:
            message = line.recv()
        except (EOFError, ConnectionResetError):
            self._bury(line, job)
            return
        if isinstance(message, BaseException):
            raise message
        if message != _DONE:
            job.steps += message
            self._on_steps(message)
            return
        self._on_unit()
        if waiting:
            job.unit, job.steps = waiting.pop(), 0
            line.send(job.unit)
            return
        del self._jobs[line]
        line.close()
        job.process.join()

    def _bury(self, line: Connection, job: _Job) -> None:
        """Take back what a dead process reported and give its unit to a new one."""
        del self._jobs[line]
        line.close()
        job.process.join()
        self._on_steps(-job.steps)
        deaths = self._deaths[job.unit.index] = self._deaths.get(job.unit.index, 0) + 1
        if deaths == _MOST_DEATHS:
            raise UserError(
                f"recording processes die again and again (exit code {job.process.exitcode}): free memory or "
                "lower record.workers, then run the same command again to go on"
            )
        self._hire(job.unit)


def _work(line: Connection, shared: bytes) -> None:
    """Play units until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the foreman's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"  # before the players load torch: a process is a core's worth
    try:
        recorder = Recorder(pickle.loads(shared))
        while True:
            for steps in recorder.play(line.recv()):
                line.send(steps)
            line.send(_DONE)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # the foreman raises it
        line.send(error)
