"""A training step as a CUDA graph learns what it learns kernel by kernel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded import COUNTING, record_counting
from worlds import MAPPER, SIZES, WORLD

from rayatari.config.runtime import TrainingConfig
from rayatari.config.world import OptimizerConfig
from rayatari.models.hardware import place
from rayatari.training.feed import endless_local_rows, training_windows
from rayatari.training.flight import Flight
from rayatari.training.graph import GraphedStep
from rayatari.training.loop import Trainer
from rayatari.training.stage import dataset_path, matching_info
from rayatari.training.world import WorldTask

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]
STEPS = 12


@pytest.mark.parametrize(
    ("kind", "moves", "things"), [("adamw", 0, 0), ("muon", 0, 0), ("muon", 8, 0), ("muon", 0, 2)]
)
def test_a_graph_of_a_step_learns_what_the_step_learns(
    tmp_path: Path, kind: str, moves: int, things: int
) -> None:
    record_counting(tmp_path)
    config = replace(
        COUNTING,
        training=TrainingConfig(backend="local", device="cuda", precision="fp32"),
        world=replace(
            WORLD, dataset=str(tmp_path), code_dropout=0.0, corruption=0.0,
            model=replace(SIZES, moves=moves, flow=moves > 0, things=things),
            optimizer=OptimizerConfig(kind=kind, batch=4, lr=1e-3, warmup=2),
        ),
        mapper=MAPPER,
    )  # fmt: skip
    losses = []
    for graphed in (True, False):
        task, device = WorldTask(config, matching_info(config), dataset_path(config)), torch.device("cuda")
        torch.manual_seed(0)
        trainer = Trainer(task, place(task.build(), device), device, torch.float32, 0)
        if not graphed:
            trainer.compute = trainer._compute
        windows = training_windows(task, endless_local_rows(task), 4, [0], device)
        flight = Flight(windows, 4, task.history, 0.0, np.random.default_rng(0))
        logs = [trainer._train_step(flight) for _ in range(STEPS)]
        losses.append(torch.stack(logs)[:, trainer.log_names.index("loss")])
        assert isinstance(trainer.compute, GraphedStep) == graphed
        assert not graphed or trainer.compute.captured
    torch.testing.assert_close(losses[0], losses[1], rtol=2e-2, atol=1e-3)
