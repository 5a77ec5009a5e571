"""``training.backend=ray``: the loop on Ray Train workers, each fed its share by Ray Data.

Workers hand their reports to a mailbox actor, which the driver empties into the ledger; checkpoints go
through Ray Train, which restarts the workers from the last one when any of them is lost.
"""

import queue
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from rayatari.dataset.ray_source import chunk_dataset, epoch_rows
from rayatari.errors import UserError
from rayatari.ray_session import ray_session
from rayatari.training.feed import Rows
from rayatari.training.ledger import Ledger
from rayatari.training.loop import Report
from rayatari.training.snapshots import STATE, load_snapshot, save_snapshot
from rayatari.training.task import Task
from rayatari.training.worker import train_worker

RUN = "ray"
POLL_SECONDS = 0.5
READ_AHEAD_ROWS = 512
"""About 10 MB; more than the workers can be apart at the end of a pass."""
END_OF_PASS = "end of pass"


class Mailbox:
    """What the workers have to tell the driver: reports of rank 0, and a user's mistake of any rank."""

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._mistake = ""

    def put(self, report: Report) -> None:
        """Add a report."""
        self._reports.append(report)

    def take(self) -> list[Report]:
        """Remove and return all reports, oldest first."""
        taken, self._reports = self._reports, []
        return taken

    def complain(self, mistake: str) -> None:
        """Keep the text of a UserError."""
        self._mistake = mistake

    def mistake(self) -> str:
        """The text of a UserError that a worker raised, or nothing."""
        return self._mistake


def train(task: Task, folder: Path) -> dict[str, Any]:
    """Train ``task`` with Ray Train in ``folder``, resuming its last run, and return the final state."""
    with ray_session(task.config.ray):
        mailbox = ray.remote(num_cpus=0)(Mailbox).remote()
        trainer = _make_trainer(task, folder, mailbox)
        try:
            with _Clerk(folder, task, mailbox):
                result = trainer.fit()
        finally:
            _raise_mistake(mailbox)
        assert result.checkpoint is not None
        with result.checkpoint.as_directory() as path:
            return load_snapshot(Path(path) / STATE)


def _make_trainer(task: Task, folder: Path, mailbox: Any) -> TorchTrainer:
    config = task.config.training
    return TorchTrainer(
        _work,
        train_loop_config={"task": task, "mailbox": mailbox},
        datasets={"train": chunk_dataset(task.dataset, "train", task.config.seed)},
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.device != "cpu" and bool(ray.cluster_resources().get("GPU")),
            resources_per_worker={"CPU": config.cpus_per_worker},
        ),
        run_config=RunConfig(
            name=RUN,
            storage_path=str(folder.resolve()),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )


def _work(settings: dict[str, Any]) -> None:
    """The loop of one Ray Train worker."""
    task, mailbox = settings["task"], settings["mailbox"]
    if ray.get(mailbox.mistake.remote()):
        return  # restarted after a mistake that a restart does not mend: let the driver tell the user
    context = ray.train.get_context()
    try:
        train_worker(
            task,
            _endless_passes(),
            _reporter(context.get_world_rank(), mailbox),
            _resume_state(),
            context.get_world_rank(),
            context.get_world_size(),
            lambda model: ray.train.torch.prepare_model(
                model, parallel_strategy_kwargs={"find_unused_parameters": True}
            ),
        )
    except UserError as error:
        ray.get(mailbox.complain.remote(str(error)))
        raise


def _endless_passes() -> Iterator[Rows]:
    """Pass after pass over this worker's shard, read ahead by a thread.

    Ray Data begins a pass only when all workers have finished the one before. A worker that waits for
    that while another waits for its gradients would wait for ever, so rows are taken ahead of training.
    """
    ahead: queue.Queue[Any] = queue.Queue(READ_AHEAD_ROWS)
    shard = ray.train.get_dataset_shard("train")
    threading.Thread(target=_read_ahead, args=(shard, ahead), daemon=True).start()
    while True:
        yield iter(lambda: _next_row(ahead), END_OF_PASS)


def _read_ahead(shard: Any, ahead: "queue.Queue[Any]") -> None:
    try:
        while True:
            for row in epoch_rows(shard):
                ahead.put(row)
            ahead.put(END_OF_PASS)
    except Exception as error:  # raised again where the rows are used
        ahead.put(error)


def _next_row(ahead: "queue.Queue[Any]") -> Any:
    row = ahead.get()
    if isinstance(row, Exception):
        raise row
    return row


def _resume_state() -> dict[str, Any] | None:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as path:
        return load_snapshot(Path(path) / STATE)


def _reporter(rank: int, mailbox: Any) -> Any:
    """Hand reports to the driver and checkpoints to Ray Train, which wants to hear from every rank."""

    def report(entry: Report) -> None:
        if rank == 0:
            ray.get(mailbox.put.remote(replace(entry, state=None)))
        if entry.state is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                save_snapshot(Path(folder) / STATE, entry.state)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"step": entry.step}, checkpoint=checkpoint)

    return report


class _Clerk:
    """Empties the mailbox into the ledger while the driver waits for the trainer."""

    def __init__(self, folder: Path, task: Task, mailbox: Any) -> None:
        self._folder, self._task, self._mailbox = folder, task, mailbox
        self._ledger: Ledger | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._copy_until_stopped, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._ledger is not None:
            self._ledger.close()

    def _copy_until_stopped(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        for report in ray.get(self._mailbox.take.remote()):
            if self._ledger is None:  # the first report tells which step the run was resumed from
                self._ledger = Ledger(self._folder, self._task, report.step - 1)
            self._ledger.enter(report)


def _raise_mistake(mailbox: Any) -> None:
    mistake = ray.get(mailbox.mistake.remote())
    if mistake:
        raise UserError(mistake) from None
