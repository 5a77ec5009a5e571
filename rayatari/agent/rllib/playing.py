"""Rollouts of all environment runners, begun at one moment and collected at another."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from rayatari.agent.rollout import Rollout

T = TypeVar("T")
_TAG = "play"


class Playing:
    """One rollout of every runner at a time.

    The runners play between :meth:`begin` and :meth:`collect`, the local one in a thread (torch and the
    emulators let other threads work) unless ``ahead`` is false: then it plays in :meth:`collect`.
    """

    def __init__(self, group: Any, ahead: bool) -> None:
        self._group = group
        self._pool: ThreadPoolExecutor | None = None
        if ahead and not group.num_remote_workers():  # one core for playing, the others for learning
            self._pool = ThreadPoolExecutor(1, "play", initializer=torch.set_num_threads, initargs=(1,))
        self._rollout: Future[tuple[Rollout, Any]] | None = None

    def begin(self) -> None:
        """Have every healthy runner play a rollout."""
        if self._group.num_remote_workers():
            self._group.foreach_env_runner_async("play", tag=_TAG)
        elif self._pool is not None:
            self._rollout = self._pool.submit(self._group.local_env_runner.play)

    @property
    def threaded(self) -> bool:
        """Whether there is a thread that plays."""
        return self._pool is not None

    def then(self, work: Callable[[], T]) -> Future[T]:
        """Have the thread do ``work`` after the rollout that it plays."""
        assert self._pool is not None
        return self._pool.submit(work)

    def collect(self) -> list[tuple[Rollout, Any]]:
        """Wait for the rollouts and RLlib's metrics of them; a runner that died gives none."""
        if self._group.num_remote_workers():
            answers = self._group.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=None)
            return [played for _, played in sorted(answers, key=lambda answer: answer[0])]
        if self._rollout is None:
            return [self._group.local_env_runner.play()]
        rollout, self._rollout = self._rollout, None
        return [rollout.result()]

    def stop(self) -> None:
        """End the thread, after the rollout that it plays."""
        if self._pool is not None:
            self._pool.shutdown()
