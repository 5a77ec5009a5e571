"""Ray actors that play units of work, and their foreman in the driver."""

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from rayatari.agent.players import Player
from rayatari.dataset.plan import Unit
from rayatari.dataset.recorder import MakeGame, Recorder
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError
from rayatari.progress import progress

_MOST_DEATHS = 3
"""Actors that one unit may cost before the recording gives up."""


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
    """Play ``units`` on Ray actors, each of which writes the shards of what it played.

    ``done`` transitions are there already and only counted in the progress bar; ``workers`` 0 means one
    for each CPU; ``on_unit`` is called whenever a shard is finished. An actor that dies is replaced and
    its unit played anew. Raises what a player, game or storage raised in an actor, and UserError when
    one unit has cost three actors. Ray must be initialised.
    """
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    count = min(workers or cpus, cpus, len(units))
    total = done + sum(unit.steps for unit in units)
    shared = ray.put((list(players), make_game, context, storage))
    with progress(total, "record", unit="frame", done=done) as bar:
        crew = _Crew(shared, bar.update, on_unit)
        try:
            crew.work_off(units, count)
        finally:
            crew.dismiss()


_RecorderActor: Any = ray.remote(num_cpus=1)(Recorder)


class _Crew:
    """Keeps a number of actors busy until all units are done."""

    def __init__(self, shared: Any, on_steps: Callable[[int], object], on_unit: Callable[[], object]) -> None:
        self._shared = shared
        self._on_steps, self._on_unit = on_steps, on_unit
        self._jobs: dict[Any, _Job] = {}
        self._deaths: dict[int, int] = {}

    def work_off(self, units: Sequence[Unit], count: int) -> None:
        """Have ``count`` actors play all units."""
        waiting = list(reversed(units))
        for _ in range(count):
            self._assign(self._hire(), waiting.pop())
        while self._jobs:
            ready, _ = ray.wait(list(self._jobs), num_returns=1)
            stream: Any = ready[0]
            job = self._jobs[stream]
            try:
                steps: Any = ray.get(next(stream))
            except StopIteration:
                del self._jobs[stream]
                self._on_unit()
                if waiting:
                    self._assign(job.actor, waiting.pop())
                else:
                    ray.kill(job.actor)
            except RayTaskError as error:
                raise error.cause from error
            except RayActorError as error:
                del self._jobs[stream]
                self._bury(job, error)
            else:
                job.steps += steps
                self._on_steps(steps)

    def dismiss(self) -> None:
        """End the actors that are still at work."""
        for job in self._jobs.values():
            ray.kill(job.actor)

    def _hire(self) -> Any:
        return _RecorderActor.remote(self._shared)

    def _assign(self, actor: Any, unit: Unit) -> None:
        stream = actor.play.options(num_returns="streaming").remote(unit)
        self._jobs[stream] = _Job(actor, unit)

    def _bury(self, job: "_Job", error: RayActorError) -> None:
        """Take back what a dead actor reported and give its unit to a new one."""
        self._on_steps(-job.steps)
        deaths = self._deaths[job.unit.index] = self._deaths.get(job.unit.index, 0) + 1
        if deaths == _MOST_DEATHS:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"recording actors die again and again ({reason}): free memory or lower record.workers, "
                "then run the same command again to go on"
            ) from None
        self._assign(self._hire(), job.unit)


class _Job:
    """An actor at work on a unit."""

    def __init__(self, actor: Any, unit: Unit) -> None:
        self.actor = actor
        self.unit = unit
        self.steps = 0
