"""The first part of ``rayatari train-mapper``, where the model foretells its piece: how that flies.

What recorded play shows of it is written down once, a few numbers a moment, and learned from in one process:
minutes, not hours. Broken off, the training goes on from its last snapshot.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor

from rayatari.checkpoint import finished_already, is_finished, load_bundle, new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import ForesightConfig
from rayatari.errors import UserError
from rayatari.models.flights import Flights, Watcher
from rayatari.models.foresight import FAR, HIDDEN, HITS, MOVES, NEVER, PLACES, Foresight, Moments
from rayatari.models.measured import RecordedPlay
from rayatari.models.playable import PlayableWorld
from rayatari.paths import stage_dir, write_atomic
from rayatari.progress import progress
from rayatari.records import MetricsLog
from rayatari.training.snapshots import STATE, load_snapshot, save_snapshot
from rayatari.training.stage import FRAMES_FOR_PIECES, StageTask, dataset_path

KIND = "foresight"
REPORTS, SNAPSHOTS = 100, 1_000
"""Optimizer steps from one report to the next, and from one snapshot."""
FORGOTTEN = 0.1
"""Share of the moments whose older places are withheld, and of those whose hits are: so much is not known of
a game that goes on from a few frames."""
AT_ONCE = 4096


def foresight_folder(config: Config) -> Path:
    """Where the trained foresight lies."""
    return stage_dir(config, "mapper") / "foresight"


def foresight_weights(config: Config) -> dict[str, Tensor]:
    """Weights of the run's trained foresight; none where there is none."""
    if not is_finished(foresight_folder(config)):
        return {}
    _, weights = load_bundle(foresight_folder(config), KIND, "remove the folder to train it again")
    return weights


def train_foresight(task: StageTask, model: PlayableWorld) -> None:
    """Train the foresight of a model whose pieces, bodies and tiles are known into
    ``runs/<name>/mapper/foresight``, unless it is there.
    """
    folder, config = foresight_folder(task.config), task.config
    if finished_already(folder, config, KIND, "mapper.foresight", "world.model.foresight", "world.dataset"):
        return
    assert model.foresight is not None and model.pieces is not None
    if not model.foresees:
        raise UserError(
            f"no piece comes and goes in the recording at {dataset_path(config)}, so there is nothing to "
            "foretell: record more, or set world.model.foresight=0"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _hold_to(folder, config)
    foresight = model.foresight
    watcher = Watcher(foresight, model.pieces, model.bodies, model.tiles, config.world.model.history)
    watcher.learn_screen(task.measured_frames(FRAMES_FOR_PIECES))
    flights = {split: _watched(task, watcher, folder, split) for split in ("train", "heldout")}
    pupil = Pupil(foresight, flights["train"], config.mapper.foresight, config.seed)
    pupil.learn(folder)
    tested = wrong_shares(foresight, flights["heldout"])
    card = new_card(
        KIND, config,
        metrics={name: float(f"{value:.4g}") for name, value in tested.items()},
        inputs={"dataset": dataset_path(config)}, seconds=round(pupil.seconds, 1),
    )  # fmt: skip
    save_bundle(folder, card, {name: value.contiguous() for name, value in foresight.state_dict().items()})
    said = ", ".join(f"{value:.2%} of the {name}" for name, value in tested.items())
    print(f"train-mapper: foretold wrongly are {said}, see {folder}")


def _hold_to(folder: Path, config: Config) -> None:
    """Raise UserError where a training was begun in the folder with other settings."""
    asked = {
        "dataset": dataset_path(config), "units": config.world.model.foresight, "seed": config.seed,
        **asdict(config.mapper.foresight),
    }  # fmt: skip
    path = folder / "settings.json"
    if not path.exists():
        write_atomic(path, json.dumps(asked).encode())
    elif (begun := json.loads(path.read_text())) != asked:
        other = ", ".join(name for name in asked if begun.get(name) != asked[name])
        raise UserError(f"{folder} was begun with other settings ({other}): remove it to begin again")


def _watched(task: StageTask, watcher: Watcher, folder: Path, split: str) -> Flights:
    """What recorded play shows, watched once and kept."""
    path = folder / f"flights-{split}.safetensors"
    if not path.exists():
        flights = watcher.watch(_with_progress(task, split))
        write_atomic(path, save(flights.to_tensors()))
    return Flights.from_tensors(load_file(path))


def _with_progress(task: StageTask, split: str) -> Iterator[RecordedPlay]:
    with progress(task.info.count(split), f"train-mapper: watching {split}", "frame") as bar:
        for play in task.recorded_play(split):
            yield play
            bar.update(len(play.actions_T) - play.repeated)


class Pupil:
    """A foresight, and the recorded flights that it learns from."""

    def __init__(self, foresight: Foresight, flights: Flights, config: ForesightConfig, seed: int) -> None:
        self.foresight, self.flights, self.config = foresight, flights, config
        self.generator = torch.Generator().manual_seed(seed)
        self.number_N = name_moves(foresight, flights.moves_N2)
        mark_places(foresight, flights)
        weight_N = torch.where(flights.straight_N, config.straight, 1.0) * (self.number_N < MOVES)
        self.until_N = weight_N.double().cumsum(0)
        trained = list(foresight.parameters())
        self.optimizer = torch.optim.AdamW(trained, config.lr, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.lr, total_steps=config.steps
        )
        self.step, self.seconds = 0, 0.0

    def learn(self, folder: Path) -> None:
        """All steps, from the last snapshot in the folder on."""
        if (folder / STATE).exists():
            self._resume(load_snapshot(folder / STATE))
        self.foresight.requires_grad_(True).train()
        started, log = time.monotonic() - self.seconds, MetricsLog(folder, self.step)
        losses: list[float] = []
        with progress(self.config.steps, "train-mapper: foresight", done=self.step) as bar:
            while self.step < self.config.steps:
                losses.append(self._train_step())
                bar.update(1)
                if self.step % REPORTS == 0:
                    log.log(self.step, {"loss": fmean(losses)})
                    bar.set_postfix({"loss": f"{fmean(losses):.3g}"}, refresh=False)
                    losses = []
                self.seconds = time.monotonic() - started
                if self.step % SNAPSHOTS == 0:
                    save_snapshot(folder / STATE, self._state())
        log.close()
        self.foresight.requires_grad_(False).eval()

    def _train_step(self) -> float:
        """One step; returns its loss, cross-entropy in nats of moves and of tiles together."""
        drawn_B = torch.rand(self.config.batch, generator=self.generator, dtype=torch.double)
        which_B = torch.searchsorted(self.until_N, drawn_B * self.until_N[-1]).clamp(
            max=len(self.until_N) - 1
        )
        number_B, goes_B = self.number_N[which_B], self.flights.goes_N[which_B].long()
        moments = self._forget(self.flights.at(which_B))
        logits_BK, x_BU = self.foresight(moments)
        known = int(self.foresight.known)
        loss = F.cross_entropy(logits_BK[:, :known], number_B, label_smoothing=self.config.smoothing)
        if self.foresight.tiles:
            goes_BM = self.foresight.judge(moments, x_BU, number_B)
            loss = loss + F.cross_entropy(goes_BM, goes_B, ignore_index=NEVER)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return float(loss.detach())

    def _forget(self, moments: Moments) -> Moments:
        """Withhold what would not be known of a game that goes on from a few frames."""
        numbers_BF = moments.numbers_NF.clone()
        B = len(numbers_BF)
        random_3B = torch.rand(3, B, generator=self.generator)
        least_B1 = 2 + (random_3B[0] * (PLACES - 2)).long()[:, None]
        older_BP = (torch.arange(PLACES) >= least_B1) & (random_3B[1] < FORGOTTEN)[:, None]
        ways_BX = numbers_BF[:, 2 : 2 + 2 * PLACES]
        ways_BX.masked_fill_(older_BP.repeat_interleave(2, 1), FAR + 1)
        numbers_BF[:, -1].masked_fill_(random_3B[2] < FORGOTTEN, HITS + 1)
        return Moments(numbers_BF, moments.there_NM)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step, "seconds": self.seconds, "model": self.foresight.state_dict(),
            "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
        }  # fmt: skip

    def _resume(self, state: Mapping[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.foresight.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])


def name_moves(foresight: Foresight, moves_N2: Tensor) -> Tensor:
    """Give the most frequent moves to a foresight to tell apart; the number of each, ``MOVES`` for others."""
    found_M2, which_N, often_M = moves_N2.unique(dim=0, return_inverse=True, return_counts=True)
    order_M = often_M.argsort(descending=True, stable=True)[:MOVES]
    number_M = torch.full_like(often_M, MOVES).index_copy_(0, order_M, torch.arange(len(order_M)))
    foresight.moves_K2[: len(order_M)] = found_M2[order_M].to(torch.int8)
    foresight.known.fill_(len(order_M))
    return number_M[which_N]


def mark_places(foresight: Foresight, flights: Flights) -> None:
    """Tell a foresight where pieces have been."""
    at_N2, next_N = flights.moments.numbers_NF[:, :2].long(), flights.moves_N2[:, 0] != HIDDEN
    for places_N2 in (at_N2, (at_N2 + flights.moves_N2)[next_N]):
        foresight.rows_H[places_N2[:, 0]] = True
        foresight.columns_W[places_N2[:, 1]] = True


@torch.no_grad()
def wrong_shares(foresight: Foresight, flights: Flights) -> dict[str, float]:
    """Shares of the steps, turns and tiles that are foretold wrongly; a turn is what does not go straight on,
    and a tile one that goes or is said to.
    """
    moves, goes = [], []
    for which_B in torch.arange(len(flights.moves_N2)).split(AT_ONCE):
        moment = flights.at(which_B)
        moves_B2, _, goes_B = foresight.tell(moment, torch.ones(len(which_B), dtype=torch.bool))
        moves.append(moves_B2)
        goes.append(goes_B.masked_fill(goes_B == NEVER, foresight.tiles))
    wrong_N = (torch.cat(moves) != flights.moves_N2).any(1)
    goes_N, true_N = torch.cat(goes), flights.goes_N.long()
    tile_N = ((goes_N < foresight.tiles) | (true_N < foresight.tiles)) & (true_N != NEVER)
    turns_N = ~flights.straight_N
    shares = {"steps": wrong_N, "turns": wrong_N[turns_N], "tiles": (goes_N != true_N)[tile_N]}
    return {name: float(wrong.float().mean()) for name, wrong in shares.items() if len(wrong)}
