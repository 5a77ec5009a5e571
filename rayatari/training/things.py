"""The first part of ``rayatari train-mapper``, where the model is told of things: where they go next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.checkpoint import finished_already, is_finished, load_bundle, new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.dataset.chunk import Chunk
from rayatari.models.mover import Mover, Outlook
from rayatari.models.neural_game import GameModel
from rayatari.models.things import UNCLEAR, Things, carry_on, find_things, true_arrival, turning
from rayatari.models.windows import Lesson, Windows
from rayatari.paths import stage_dir
from rayatari.training.pictures import prediction_sheet
from rayatari.training.stage import StageTask, bundle_weights, dataset_path, kept_metrics, run_backend
from rayatari.training.start import begun_weights, take_over

KIND = "mover"
SHOWN = 4
"""Samples on a picture."""
LOOKED_AT = 128
"""Transitions that are looked through for turns at once."""


class MoverLesson(nn.Module):
    """A mover that learns by itself."""

    def __init__(self, mover: Mover, groups: int) -> None:
        super().__init__()
        self.mover, self.groups = mover, groups

    def forward(
        self, lesson: Lesson, progress: float | Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Loss, logs, and the present with its things moved on, classes (B, H, W)."""
        present_BHW, next_BHW = lesson.present_BHW, lesson.next_BHW
        things = find_things(lesson.past_BTHW, self.groups)
        truth = true_arrival(things, lesson.past_BTHW, next_BHW)
        outlook = self.mover(lesson.past_BTHW, things, lesson.actions_BM)
        loss = self.mover.loss(outlook, things, truth, present_BHW, next_BHW)
        clear_BG = truth.moves_BG != UNCLEAR
        right = ((outlook.likeliest == truth.moves_BG) & clear_BG).sum() / clear_BG.sum()
        logs = {"loss": loss.detach(), "right": right, "things": clear_BG.float().sum(1).mean()}
        ahead = carry_on(present_BHW, things, self.mover.arrive(present_BHW, things, outlook))
        return loss, logs, ahead.frame_BHW


@dataclass(frozen=True)
class ThingsTask(StageTask):
    """Training of the mover."""

    label = "train-mapper: things"

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.config.mapper.things.steps

    @property
    def minutes(self) -> float:
        """Limit of the training's time, 0 for none."""
        return self.config.mapper.things.minutes

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer settings."""
        return self.config.mapper.things.optimizer

    @property
    def earlier(self) -> int:
        """Past actions that the mover sees."""
        return self.config.mapper.action_history

    def weigh(self, chunk: Chunk, classes: Callable[[], Tensor]) -> NDArray[np.float32]:
        """As ``world.sampling`` says, and more where things turn."""
        weights = super().weigh(chunk, classes)
        turns = turned(classes(), self.config.world.model.things)
        weights[turns] = np.maximum(weights[turns], self.config.mapper.things.turns)
        return weights

    def build(self) -> MoverLesson:
        """That of the neural game to begin from, if it has one, or an untrained mover."""
        mover = Mover(
            self.codec.colors, self.codec.padded_shape[0], len(self.info.action_names), self.earlier
        )
        if start := self.config.mapper.start_from:
            begun = begun_weights(start, self.info.game, GameModel.describe(self.config, self.info))
            if known := _of_mover(begun):
                take_over(mover, known)
        return MoverLesson(mover, self.config.world.model.things)

    def test(self, model: nn.Module, windows: Windows) -> Mapping[str, Tensor]:
        """Share of the things that go elsewhere, of all and of those that do not go on as before; and of
        the windows in which, moved as they truly do, they show other pixels.
        """
        assert isinstance(model, MoverLesson)
        things, outlook, past_BTHW = self._look(model, windows)
        present_BHW = past_BTHW[:, -1]
        truth = true_arrival(things, past_BTHW, windows.frames_BTHW[:, -1])
        clear_BG = truth.moves_BG != UNCLEAR
        wrong_BG = (outlook.likeliest != truth.moves_BG) & clear_BG
        turns_BG = turning(things, truth.moves_BG)
        shown = model.mover.arrive(present_BHW, things, outlook, truth.moves_BG)
        torn_BHW = (
            carry_on(present_BHW, things, shown).frame_BHW != carry_on(present_BHW, things, truth).frame_BHW
        )
        moves_B = truth.held_BGX.flatten(1).any(1)
        return {
            "relative_error": wrong_BG.sum() / clear_BG.sum().clamp(min=1),
            "turns_error": (wrong_BG & turns_BG).sum() / turns_BG.sum().clamp(min=1),
            "turns": turns_BG.sum() / clear_BG.sum().clamp(min=1),
            "torn": (torn_BHW.flatten(1).any(1) & moves_B).sum() / moves_B.sum().clamp(min=1),
        }

    def picture(self, model: nn.Module, windows: Windows) -> NDArray[np.uint8]:
        """Last frame, next frame, and the last one with its things moved on."""
        assert isinstance(model, MoverLesson)
        shown, decode = windows.pick(slice(SHOWN)), self.codec.decode
        things, outlook, past_BTHW = self._look(model, shown)
        present_BHW = past_BTHW[:, -1]
        ahead = carry_on(present_BHW, things, model.mover.arrive(present_BHW, things, outlook))
        next_BHW = shown.frames_BTHW[:, -1]
        return prediction_sheet(decode(present_BHW), decode(next_BHW), [decode(ahead.frame_BHW)])

    def _look(self, model: MoverLesson, windows: Windows) -> tuple[Things, Outlook, Tensor]:
        """The things of the past, what the mover sees for them, and the past."""
        past_BTHW = windows.frames_BTHW[:, : self.history]
        actions_BM = torch.cat([windows.earlier_BM, windows.actions_BT[:, self.history - 1 :]], 1)
        things = find_things(past_BTHW, model.groups)
        return things, model.mover(past_BTHW, things, actions_BM), past_BTHW


@torch.no_grad()
def turned(classes_FHW: Tensor, groups: int) -> NDArray[np.bool_]:
    """In which of the transitions between these frames something turns or vanishes, bool (F - 1,)."""
    found = np.zeros(len(classes_FHW) - 1, np.bool_)
    for first in range(2, len(found), LOOKED_AT):  # what moves is known from the third frame on
        next_BHW = classes_FHW[first + 1 : first + 1 + LOOKED_AT]
        past_BTHW = torch.stack(
            [classes_FHW[first - back : first - back + len(next_BHW)] for back in (2, 1, 0)], 1
        )
        things = find_things(past_BTHW, groups)
        moves_BG = true_arrival(things, past_BTHW, next_BHW).moves_BG
        found[first : first + len(next_BHW)] = turning(things, moves_BG).any(1).cpu().numpy()
    return found


def things_folder(config: Config) -> Path:
    """Where the trained mover lies."""
    return stage_dir(config, "mapper") / "things"


def train_mover(task: ThingsTask) -> None:
    """Train the mover into ``runs/<name>/mapper/things``, unless it is there."""
    folder, config = things_folder(task.config), task.config
    if finished_already(folder, config, KIND, "mapper.things", "mapper.action_history", "world.model.things"):
        return
    state = run_backend(task, folder)
    card = new_card(
        KIND, config,
        metrics=kept_metrics(task, state),
        inputs={"dataset": dataset_path(config)},
        seconds=round(state["seconds"], 1),
    )  # fmt: skip
    save_bundle(folder, card, bundle_weights(state))
    elsewhere = card.metrics["relative_error"]
    print(f"train-mapper: {elsewhere:.2%} of the held-out things go elsewhere, see {folder}")


def mover_weights(config: Config) -> dict[str, Tensor]:
    """Weights of the run's trained mover, by their names in it; none where there is none."""
    if not is_finished(things_folder(config)):
        return {}
    _, weights = load_bundle(things_folder(config), KIND, "remove the folder to train it again")
    return _of_mover(weights)


def _of_mover(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("mover."): w for name, w in weights.items() if name.startswith("mover.")}
