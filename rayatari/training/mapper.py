"""``rayatari train-mapper``: from the video model to a game that takes actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.checkpoint import finished_already, new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.dataset.info import DatasetInfo
from rayatari.dataset.reader import read_chunks
from rayatari.dataset.windows import WindowBatch
from rayatari.models.losses import changed_error, relative_error
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel
from rayatari.models.playable import Labels, PlayableWorld, reward_indices
from rayatari.models.sampling import sample_step
from rayatari.paths import stage_dir
from rayatari.training.pictures import prediction_sheet
from rayatari.training.stage import (
    attach_perception,
    bundle_weights,
    dataset_path,
    frames_to,
    kept_metrics,
    matching_info,
    run_backend,
)
from rayatari.training.world_bundle import load_world

SHOWN = 4
"""Samples on a picture."""


@dataclass(frozen=True)
class MapperTask:
    """Training of mapper, outcome heads and decoder."""

    config: Config
    info: DatasetInfo
    dataset: str
    label: str = "train-mapper"

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.config.mapper.steps

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer settings."""
        return self.config.mapper.optimizer

    @property
    def horizon(self) -> int:
        """Frames after the present: the longest unroll."""
        return max(1, self.config.mapper.unroll)

    def build(self) -> PlayableWorld:
        """The run's trained world with an untrained mapper."""
        world = load_world(self.config, self.info)
        attach_perception(world, self.config)
        info = self.info
        return PlayableWorld(
            world, self.config.mapper, len(info.action_names), len(info.reward_values), info.max_lives + 1
        )

    def rate_share(self, parameter: str) -> float:
        """The decoder, which knows the game already, learns at a lower rate than mapper and heads."""
        return self.config.mapper.decoder_rate if parameter.startswith("world.") else 1.0

    def prepare(self, model: nn.Module, batch: WindowBatch, device: torch.device) -> tuple[Any, ...]:
        """Frames as classes, and what the recording says of them."""
        assert isinstance(model, PlayableWorld)
        rewards = reward_indices(torch.from_numpy(batch.rewards), self.info.reward_values)
        labels = Labels(
            torch.from_numpy(batch.actions).long().to(device),
            rewards.to(device),
            torch.from_numpy(batch.terminated).long().to(device),
            torch.from_numpy(batch.lives).long().to(device),
        )
        return frames_to(model.world.codec, batch, device), labels

    def test(self, model: nn.Module, batch: WindowBatch, device: torch.device) -> Mapping[str, Tensor]:
        """Errors of an unroll with the recorded actions, at its first and its last step."""
        assert isinstance(model, PlayableWorld)
        frames_BTHW, drawn_BTHW = self._unroll(model, batch, device)
        history = model.world.history
        present_BHW = frames_BTHW[:, history - 1]
        errors = [
            relative_error(drawn_BTHW[:, i], present_BHW, frames_BTHW[:, history + i])
            for i in range(self.horizon)
        ]
        return {
            "changed_error": changed_error(drawn_BTHW[:, 0], present_BHW, frames_BTHW[:, history]),
            "relative_error_first": errors[0],
            "relative_error_last": errors[-1],
            "relative_error": torch.stack(errors).mean(),
        }

    def picture(self, model: nn.Module, batch: WindowBatch, device: torch.device) -> NDArray[np.uint8]:
        """Present frame, last frame of the unroll, and what the model made of it."""
        assert isinstance(model, PlayableWorld)
        history = model.world.history
        shown = select(batch, SHOWN)
        _, drawn_BTHW = self._unroll(model, shown, device)
        drawn = [model.world.codec.decode(drawn_BTHW[:, -1])]
        return prediction_sheet(shown.frames[:, history - 1], shown.frames[:, -1], drawn)

    def _unroll(
        self, model: PlayableWorld, batch: WindowBatch, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Real frames (B, T, H, W), and those the model draws after the present, (B, horizon, H, W)."""
        frames_BTHW, labels = self.prepare(model, batch, device)
        history = model.world.history
        past_BTHW, drawn = frames_BTHW[:, :history], []
        for i in range(self.horizon):
            step = sample_step(model, past_BTHW, labels.actions_BT[:, history - 1 + i])
            drawn.append(step.frames_BHW)
            past_BTHW = torch.cat([past_BTHW[:, 1:], step.frames_BHW[:, None]], 1)
        return frames_BTHW, torch.stack(drawn, 1)


def select(batch: WindowBatch, count: int) -> WindowBatch:
    """The first ``count`` windows of a batch."""
    return WindowBatch(**{name: value[:count] for name, value in vars(batch).items()})


def run(config: Config) -> None:
    """Train the mapper into ``runs/<name>/mapper``, which then holds the whole neural game."""
    folder = stage_dir(config, "mapper")
    if finished_already(folder, config, KIND, "mapper"):
        return
    info = matching_info(config)
    task = MapperTask(config, info, dataset_path(config))
    state = run_backend(task, folder)
    model = GameModel.describe(config, info)
    card = new_card(
        KIND, config,
        model=model.to_json(),
        metrics=kept_metrics(task, state),
        inputs={"dataset": dataset_path(config), "world": str(stage_dir(config, "world"))},
        seconds=round(state["seconds"], 1),
    )  # fmt: skip
    starts = torch.from_numpy(start_frames(task))
    save_bundle(folder, card, {**bundle_weights(state), START_FRAMES: starts})
    print(f"train-mapper: held-out error on changed pixels {card.metrics['changed_error']:.2%}, see {folder}")


def start_frames(task: MapperTask) -> NDArray[np.uint8]:
    """First frames of recorded episodes, palette bytes (S, history, height, width)."""
    history = task.config.world.model.history
    starts = []
    for chunk in read_chunks(task.dataset, "train"):
        if chunk.start_step == 0:
            first = chunk.frames[:1].repeat(history, 0)
            starts.append(first)
        if len(starts) == task.config.mapper.start_frames:
            break
    return np.stack(starts)
