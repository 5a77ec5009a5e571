"""``rayatari train-mapper``: from the video model to a game that takes actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.checkpoint import finished_already, new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.dataset.reader import read_chunks
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.losses import changed_error, relative_error
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step
from rayatari.models.windows import Windows
from rayatari.paths import stage_dir
from rayatari.training.flight import longest_unroll
from rayatari.training.foresight import foresight_weights, train_foresight
from rayatari.training.pictures import prediction_sheet
from rayatari.training.stage import (
    CHUNKS_FOR_PRESENCE,
    FRAMES_FOR_PIECES,
    FRAMES_FOR_TILES,
    FRAMES_MEASURED,
    StageTask,
    attach_perception,
    bundle_weights,
    check_world,
    dataset_path,
    kept_metrics,
    matching_info,
    run_backend,
)
from rayatari.training.start import begun_weights, take_over
from rayatari.training.things import ThingsTask, mover_weights, train_mover
from rayatari.training.world_bundle import load_world

SHOWN = 4
"""Samples on a picture."""


@dataclass(frozen=True)
class MapperTask(StageTask):
    """Training of mapper, outcome heads and decoder."""

    label = "train-mapper"

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.config.mapper.steps

    @property
    def minutes(self) -> float:
        """Limit of the training's time, 0 for none."""
        return self.config.mapper.minutes

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer settings."""
        return self.config.mapper.optimizer

    @property
    def horizon(self) -> int:
        """Frames after the present: the longest unroll."""
        return max(1, self.config.mapper.unroll)

    @property
    def earlier(self) -> int:
        """Past actions that the mapper sees."""
        return self.config.mapper.action_history

    def build(self) -> PlayableWorld:
        """The neural game to begin from, or the run's trained world with an untrained mapper."""
        info, start = self.info, self.config.mapper.start_from
        if start:
            world = LatentActionModel(self.config.world, info.palette, info.frame_shape)
        else:
            world = load_world(self.config, info)
        model = PlayableWorld(
            world, self.config.mapper, len(info.action_names), len(info.reward_values), info.max_lives + 1
        )
        begun = self._begun if start else {}
        if start:
            take_over(model, begun)
            if world.decoder.choice is not None and "world.decoder.choice.offsets_M2" not in begun:
                world.decoder.choice.offsets_M2.copy_(self.measured_moves())
        nothing = info.reward_values.index(0)
        if model.bodies is not None and "bodies.always_K" not in begun:
            model.bodies.measure(self.measured_frames(FRAMES_MEASURED), self.recorded_play())
        if model.pieces is not None and "pieces.facts_K6" not in begun:
            model.pieces.measure(self.measured_frames(FRAMES_FOR_PIECES))
        if model.tiles is not None and "tiles.pays_N" not in begun:
            model.tiles.measure(self.measured_frames(FRAMES_FOR_TILES), self.recorded_play(), nothing)
        if model.presence is not None and model.pieces is not None and "presence.facts_4" not in begun:
            play = islice(self.recorded_play(), CHUNKS_FOR_PRESENCE)
            model.presence.measure(play, nothing, model.pieces, model.tiles)
        if model.signs is not None and "signs.leaders_N" not in begun:
            model.signs.measure(self.recorded_play, nothing)
        if model.mover is not None and (found := mover_weights(self.config)):
            model.mover.load_state_dict(found)
        if model.foresight is not None and (found := foresight_weights(self.config)):
            model.foresight.load_state_dict(found)
        attach_perception(world, self.config)
        return model

    def rate_share(self, parameter: str) -> float:
        """The decoder, which knows the game already, learns at a lower rate than mapper and heads.

        So does the mover, if it has been trained before, and all that is in the game which training begins
        from; what it lacks learns at the full one.
        """
        if parameter.startswith("mover."):
            return self.config.mapper.decoder_rate if self.config.mapper.things.steps else 1.0
        if self.config.mapper.start_from:
            return self.config.mapper.decoder_rate if parameter in self._begun else 1.0
        return self.config.mapper.decoder_rate if parameter.startswith("world.") else 1.0

    @cached_property
    def _begun(self) -> dict[str, Tensor]:
        """Weights of the neural game that training begins from; of one with a mover not those, where there is
        foresight in its place.
        """
        weights = begun_weights(
            self.config.mapper.start_from, self.info.game, GameModel.describe(self.config, self.info)
        )
        foresees = bool(self.config.world.model.foresight)
        return {name: w for name, w in weights.items() if not (foresees and name.startswith("mover."))}

    def begins_with(self, part: str) -> bool:
        """Whether the neural game that training begins from has this part."""
        return bool(self.config.mapper.start_from) and any(name.startswith(part) for name in self._begun)

    def longest_unroll(self, progress: float) -> int:
        """Steps that a window may be under way: 1 until unrolls begin, then growing."""
        return longest_unroll(self.config.mapper, progress)

    def own_share(self) -> float:
        """As the config says."""
        return self.config.mapper.own_share

    def test(self, model: nn.Module, windows: Windows) -> Mapping[str, Tensor]:
        """Errors of an unroll with the recorded actions, at its first and its last step."""
        assert isinstance(model, PlayableWorld)
        drawn_BTHW, real_BTHW = self._unroll(model, windows), windows.frames_BTHW[:, self.history :]
        present_BHW = windows.frames_BTHW[:, self.history - 1]
        errors = [relative_error(drawn_BTHW[:, i], present_BHW, real_BTHW[:, i]) for i in range(self.horizon)]
        return {
            "changed_error": changed_error(drawn_BTHW[:, 0], present_BHW, real_BTHW[:, 0]),
            "relative_error_first": errors[0],
            "relative_error_last": errors[-1],
            "relative_error": torch.stack(errors).mean(),
        }

    def picture(self, model: nn.Module, windows: Windows) -> NDArray[np.uint8]:
        """Present frame, last frame of the unroll, and what the model made of it."""
        assert isinstance(model, PlayableWorld)
        shown, decode = windows.pick(slice(SHOWN)), self.codec.decode
        present_BHW, last_BHW = shown.frames_BTHW[:, self.history - 1], shown.frames_BTHW[:, -1]
        drawn_BHW = self._unroll(model, shown)[:, -1]
        return prediction_sheet(decode(present_BHW), decode(last_BHW), [decode(drawn_BHW)])

    def _unroll(self, model: PlayableWorld, windows: Windows) -> Tensor:
        """The frames that the model draws after the present, classes (B, horizon, H, W)."""
        past_BTHW, drawn = windows.frames_BTHW[:, : self.history], []
        actions_BT = torch.cat([windows.earlier_BM, windows.actions_BT[:, self.history - 1 :]], 1)
        for i in range(self.horizon):
            step = sample_step(model, past_BTHW, actions_BT[:, i : i + self.earlier + 1])
            drawn.append(step.frames_BHW)
            past_BTHW = torch.cat([past_BTHW[:, 1:], step.frames_BHW[:, None]], 1)
        return torch.stack(drawn, 1)


def run(config: Config) -> None:
    """Train the mapper into ``runs/<name>/mapper``, which then holds the whole neural game."""
    folder = stage_dir(config, "mapper")
    if finished_already(folder, config, KIND, "mapper"):
        return
    check_world(config.world)
    info = matching_info(config)
    task = MapperTask(config, info, dataset_path(config))
    if config.world.model.foresight:
        if not task.begins_with("foresight."):
            train_foresight(task, task.build())
    elif config.world.model.things and config.mapper.things.steps:
        train_mover(ThingsTask(config, info, dataset_path(config)))
    state = run_backend(task, folder)
    model = GameModel.describe(config, info)
    start = config.mapper.start_from
    begun = {"start_from": start} if start else {"world": str(stage_dir(config, "world"))}
    card = new_card(
        KIND, config,
        model=model.to_json(),
        metrics=kept_metrics(task, state),
        inputs={"dataset": dataset_path(config), **begun},
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
