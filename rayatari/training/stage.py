"""What the two training stages share: resolving the dataset, running a backend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rayatari.agent.policy import load_policy
from rayatari.config.schema import Config
from rayatari.dataset import storage
from rayatari.dataset.info import DatasetInfo, read_info
from rayatari.dataset.windows import WindowBatch
from rayatari.errors import UserError
from rayatari.models.frames import FrameCodec
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.perceptual import Perception
from rayatari.paths import stage_dir
from rayatari.training.feed import heldout_windows
from rayatari.training.task import Task


def dataset_path(config: Config) -> str:
    """The dataset that the run learns from, as an absolute path or a URI."""
    named = config.world.dataset or storage.dataset_path(config)
    return named if "://" in named else str(Path(named).resolve())


def matching_info(config: Config) -> DatasetInfo:
    """The run's dataset's description; UserError when it is of another game or frame skip."""
    info = read_info(dataset_path(config))
    if info.game != config.game:
        raise UserError(
            f"the dataset at {dataset_path(config)} is of {info.game}, not of {config.game}: "
            f"set game={info.game}, or world.dataset to one of {config.game}"
        )
    return info


def run_backend(task: Task, folder: Path) -> dict[str, Any]:
    """Train on the backend that the config names, and return the final snapshot."""
    config = task.config.training
    if task.optimizer.batch % config.workers:
        raise UserError(
            f"a batch of {task.optimizer.batch} cannot be shared by {config.workers} workers: "
            "set training.workers to a divisor of it"
        )
    if config.backend == "local":
        from rayatari.training import local_backend

        return local_backend.train(task, folder)
    from rayatari.training import ray_backend

    return ray_backend.train(task, folder)


def frames_to(codec: FrameCodec, batch: WindowBatch, device: torch.device) -> torch.Tensor:
    """The frames of a batch as classes, uint8 (B, T, H, W), on ``device``."""
    return codec.encode(batch.frames).to(device, non_blocking=True)


def attach_perception(world: LatentActionModel, config: Config) -> None:
    """Give the model the eyes of the run's agent, where the perceptual loss has a weight."""
    if config.world.losses.perceptual:
        policy = load_policy(stage_dir(config, "agent"))
        world.perception = Perception(policy.encoder, world.codec)


def bundle_weights(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The best weights of a finished training, without those of the perceptual loss."""
    weights: dict[str, torch.Tensor] = state["best"]["weights"]
    return {name: value.contiguous() for name, value in weights.items() if "perception." not in name}


def kept_metrics(task: Task, state: Mapping[str, Any]) -> dict[str, float]:
    """Measures of the best weights on held-out windows, for the card."""
    model = task.build()
    model.load_state_dict(state["best"]["weights"])
    model.eval()
    with torch.no_grad():
        tested = task.test(model, heldout_windows(task), torch.device("cpu"))
    return {name: float(f"{float(value):.4g}") for name, value in tested.items()} | {
        "step": state["best"]["step"],
        "parameters": sum(p.numel() for p in model.parameters()),
    }
