"""``training.backend=local``: the loop in this process, without Ray."""

from pathlib import Path
from typing import Any

from rayatari.errors import UserError
from rayatari.training.feed import endless_local_rows
from rayatari.training.ledger import Ledger
from rayatari.training.loop import Report
from rayatari.training.snapshots import load_snapshot, save_snapshot
from rayatari.training.task import Task
from rayatari.training.worker import train_worker

KEPT = 2


def train(task: Task, folder: Path) -> dict[str, Any]:
    """Train ``task`` in ``folder``, resuming from its newest snapshot, and return the final state."""
    if task.config.training.workers != 1:
        raise UserError(
            "training.backend=local trains in one process: set training.workers=1, or backend=ray"
        )
    snapshots = folder / "checkpoints"
    found = sorted(snapshots.glob("step-*.pt"))
    state = load_snapshot(found[-1]) if found else None
    ledger = Ledger(folder, task, state["step"] if state else 0)

    def report(entry: Report) -> None:
        if entry.state is not None:
            save_snapshot(snapshots / f"step-{entry.step:07d}.pt", entry.state)
            for old in sorted(snapshots.glob("step-*.pt"))[:-KEPT]:
                old.unlink()
        ledger.enter(entry)

    try:
        train_worker(task, endless_local_rows(task), report, state)
    finally:
        ledger.close()
    return load_snapshot(sorted(snapshots.glob("step-*.pt"))[-1])
