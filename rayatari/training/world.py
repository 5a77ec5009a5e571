"""``rayatari train-world``: the latent-action VQ-VAE from recorded video, without actions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.checkpoint import finished_already, new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.losses import changed_error, rare_color_weights, relative_error
from rayatari.models.quantizer import code_perplexity
from rayatari.models.windows import Windows
from rayatari.paths import stage_dir
from rayatari.training.feed import heldout_windows
from rayatari.training.pictures import prediction_sheet
from rayatari.training.stage import (
    StageTask,
    attach_perception,
    bundle_weights,
    check_world,
    dataset_path,
    kept_metrics,
    matching_info,
    run_backend,
)

KIND = "world"
SHOWN = 4
"""Samples on a picture."""


@dataclass(frozen=True)
class WorldTask(StageTask):
    """Training of the latent-action model."""

    label = "train-world"

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.config.world.steps

    @property
    def minutes(self) -> float:
        """Limit of the training's time, 0 for none."""
        return self.config.world.minutes

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer settings."""
        return self.config.world.optimizer

    def build(self) -> LatentActionModel:
        """An untrained model, with the weights of rare colours measured on held-out frames."""
        model = LatentActionModel(self.config.world, self.info.palette, self.info.frame_shape)
        losses = self.config.world.losses
        if losses.rare_color:
            frames = heldout_windows(self, torch.device("cpu")).frames_BTHW[:, -1]
            weights_P = rare_color_weights(frames, self.codec.colors, losses.rare_color)
            model.color_weights_P.copy_(weights_P)
        if model.decoder.choice is not None:
            model.decoder.choice.offsets_M2.copy_(self.measured_moves())
        attach_perception(model, self.config)
        return model

    def test(self, model: nn.Module, windows: Windows) -> Mapping[str, Tensor]:
        """Errors on held-out windows, with the codes of the real next frame and without codes."""
        assert isinstance(model, LatentActionModel)
        past_BTHW, next_BHW = windows.frames_BTHW[:, :-1], windows.frames_BTHW[:, -1]
        present_BHW = past_BTHW[:, -1]
        codes_BN = model.true_codes(present_BHW, next_BHW)
        ahead = model.carried(past_BTHW, next_BHW)
        with_codes_BHW = model.predict(past_BTHW, codes_BN, ahead)
        without_BHW = model.predict(past_BTHW, None, ahead)
        return {
            "changed_error": changed_error(with_codes_BHW, present_BHW, next_BHW),
            "changed_error_without_codes": changed_error(without_BHW, present_BHW, next_BHW),
            "relative_error": relative_error(with_codes_BHW, present_BHW, next_BHW),
            "relative_error_without_codes": relative_error(without_BHW, present_BHW, next_BHW),
            "code_perplexity": code_perplexity(codes_BN, model.quantizer.size),
            "codes_used": torch.tensor(float(len(codes_BN.unique()))),
        }

    def picture(self, model: nn.Module, windows: Windows) -> NDArray[np.uint8]:
        """Last frame, next frame, and predictions with and without codes."""
        assert isinstance(model, LatentActionModel)
        past_BTHW, next_BHW = windows.frames_BTHW[:SHOWN, :-1], windows.frames_BTHW[:SHOWN, -1]
        codes_BN = model.true_codes(past_BTHW[:, -1], next_BHW)
        decode, ahead = self.codec.decode, model.carried(past_BTHW, next_BHW)
        predicted = [decode(model.predict(past_BTHW, codes, ahead)) for codes in (codes_BN, None)]
        return prediction_sheet(decode(past_BTHW[:, -1]), decode(next_BHW), predicted)


def run(config: Config) -> None:
    """Train the world model into ``runs/<name>/world``."""
    folder = stage_dir(config, "world")
    if finished_already(folder, config, KIND, "world"):
        return
    check_world(config.world)
    task = WorldTask(config, matching_info(config), dataset_path(config))
    state = run_backend(task, folder)
    card = new_card(
        KIND, config,
        model={"palette": task.info.palette, "frame_shape": task.info.frame_shape},
        metrics=kept_metrics(task, state),
        inputs={"dataset": dataset_path(config)},
        seconds=round(state["seconds"], 1),
    )  # fmt: skip
    save_bundle(folder, card, bundle_weights(state))
    print(f"train-world: held-out error on changed pixels {card.metrics['changed_error']:.2%}, see {folder}")
