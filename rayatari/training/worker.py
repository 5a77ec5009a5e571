"""One training worker: everything between a backend and the loop."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from rayatari.devices import pick_device
from rayatari.models.hardware import place
from rayatari.training.feed import Rows, heldout_windows, training_windows
from rayatari.training.flight import Flight
from rayatari.training.hardware import pick_precision, set_up_cpu
from rayatari.training.loop import Reporter, Trainer
from rayatari.training.task import Task


def train_worker(
    task: Task,
    passes: Iterable[Rows],
    report: Reporter,
    state: Mapping[str, Any] | None = None,
    rank: int = 0,
    workers: int = 1,
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
) -> None:
    """Train ``task`` to its end on this worker's rows, from ``state`` when there is one.

    ``wrap`` puts the model into the backend's data-parallel wrapper.
    """
    config = task.config
    set_up_cpu(config.training)
    torch.manual_seed(config.seed)
    torch.backends.cudnn.benchmark = True  # all batches are alike
    device = pick_device(config.training.device, "training.device")
    model = place(task.build(), device)
    seed = [config.seed, rank, int(state["step"]) if state else 0]
    trainer = Trainer(
        task, model, device, pick_precision(config.training.precision, device), config.seed * 1000 + rank
    )
    if state is not None:
        trainer.resume(state)
    trainer.model = wrap(model)
    share = task.optimizer.batch // workers
    batches = training_windows(task, passes, share, seed, device)
    flight = Flight(batches, share, task.history, task.own_share(), np.random.default_rng([*seed, 2]))
    trainer.run(flight, heldout_windows(task, device), report)
