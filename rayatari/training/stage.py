"""What the two training stages share: resolving the dataset, running a backend."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayatari.agent.policy import load_policy
from rayatari.config.schema import Config
from rayatari.config.world import WorldConfig
from rayatari.dataset import storage
from rayatari.dataset.chunk import Chunk
from rayatari.dataset.info import DatasetInfo, read_info
from rayatari.dataset.reader import read_chunks
from rayatari.dataset.windows import EventWeights, WindowBatch
from rayatari.devices import pick_device
from rayatari.errors import UserError
from rayatari.models.frames import FrameCodec
from rayatari.models.hardware import place
from rayatari.models.latent_action import LatentActionModel, make_codec
from rayatari.models.measured import RecordedPlay
from rayatari.models.moves import frequent_moves
from rayatari.models.perceptual import Perception
from rayatari.models.windows import Windows, reward_indices
from rayatari.paths import stage_dir
from rayatari.training.feed import heldout_windows
from rayatari.training.task import Task

MOVES_MEASURED, MOVES_OF_CHUNK = 3_000, 60
"""Steps in which displacements are counted, in all and of one chunk of play."""
FRAMES_MEASURED, FRAMES_APART = 600, 32
"""Frames in which bodies are looked for, and from one to the next in a chunk of play."""
FRAMES_FOR_PIECES = 3_000
"""Frames in which pieces are looked for."""
FRAMES_FOR_TILES = 5_000
"""Frames in which tiles are looked for."""
CHUNKS_FOR_PRESENCE = 600
"""Chunks of play in which a piece's comings and goings are counted."""


@dataclass(frozen=True)
class StageTask:
    """What the training of world model and mapper have in common."""

    config: Config
    info: DatasetInfo
    dataset: str

    @cached_property
    def codec(self) -> FrameCodec:
        """Between palette bytes and classes."""
        return make_codec(self.config.world.model, self.info.palette, self.info.frame_shape)

    @property
    def horizon(self) -> int:
        """Frames after the present that a training window holds."""
        return 1

    @property
    def history(self) -> int:
        """Frames up to the present that a training window holds."""
        return self.config.world.model.history

    @property
    def earlier(self) -> int:
        """Actions before the present that a training window holds."""
        return 0

    def measured_moves(self) -> Tensor:
        """The displacements that patches may choose among, as they are frequent in recorded play."""
        sizes = self.config.world.model
        pairs: list[Tensor] = []
        for chunk in read_chunks(self.dataset, "train"):
            spare = max(1, len(chunk.frames) - MOVES_OF_CHUNK)
            first = MOVES_OF_CHUNK * len(pairs) % spare  # early and late parts of chunks in turn
            pairs.append(self.codec.encode(chunk.frames[first : first + MOVES_OF_CHUNK + 1]))
            if sum(map(len, pairs)) > MOVES_MEASURED:
                break
        present_BHW, next_BHW = (
            torch.cat([pair[part] for pair in pairs]) for part in (np.s_[:-1], np.s_[1:])
        )
        return frequent_moves(present_BHW, next_BHW, sizes.patch, sizes.moves)

    def measured_frames(self, count: int) -> Tensor:
        """At least ``count`` frames of recorded play, if there are so many, classes (N, H, W)."""
        found: list[Tensor] = []
        for chunk in read_chunks(self.dataset, "train"):
            found.append(self.codec.encode(chunk.frames[::FRAMES_APART]))
            if sum(map(len, found)) >= count:
                break
        return torch.cat(found)

    def recorded_play(self, split: str = "train") -> Iterator[RecordedPlay]:
        """All recorded play in order, chunk by chunk."""
        for chunk in read_chunks(self.dataset, split):
            rewards_T = reward_indices(torch.tensor(chunk.rewards), self.info.reward_values)
            yield RecordedPlay(
                self.codec.encode(chunk.frames),
                rewards_T,
                torch.from_numpy(chunk.lives.astype(np.int64)),
                torch.from_numpy(chunk.actions.astype(np.int64)),
                begins=chunk.start_step == chunk.context,
                ends=bool(chunk.terminated[-1]),
                game=chunk.episode,
                first=chunk.start_step - chunk.context,
                repeated=chunk.context,
            )

    def to_windows(self, batch: WindowBatch, device: torch.device) -> Windows:
        """A batch of recorded windows as tensors on ``device``."""
        rewards_BT = reward_indices(torch.from_numpy(batch.rewards), self.info.reward_values)
        return Windows(
            self.codec.encode(batch.frames).to(device, non_blocking=True),
            torch.from_numpy(batch.actions).long().to(device),
            rewards_BT.to(device),
            torch.from_numpy(batch.terminated).long().to(device),
            torch.from_numpy(batch.lives).long().to(device),
            torch.from_numpy(batch.earlier).long().clamp(max=len(self.info.action_names)).to(device),
            torch.from_numpy(batch.left),
        )

    def weigh(self, chunk: Chunk, classes: Callable[[], Tensor]) -> NDArray[np.float32]:
        """As ``world.sampling`` says."""
        sampling = self.config.world.sampling
        return EventWeights(reward=sampling.reward, life_loss=sampling.life_loss)(chunk)

    def rate_share(self, parameter: str) -> float:
        """All parameters learn at the full rate."""
        return 1.0

    def longest_unroll(self, progress: float) -> int:
        """Every lesson is on real frames."""
        return 1

    def own_share(self) -> float:
        """Every lesson is on real frames."""
        return 0.0


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


def check_world(world: WorldConfig) -> None:
    """Raise UserError when settings of the model are out of range or contradict each other."""
    sizes = world.model
    if sizes.history < 2:
        raise UserError(f"world.model.history={sizes.history}: one frame shows no velocity, 2 are needed")
    if sizes.moves < 0:
        raise UserError(f"world.model.moves={sizes.moves} must not be negative")
    if sizes.flow and not sizes.moves:
        raise UserError("world.model.flow tells of moves: set world.model.moves to a number, such as 128")
    if sizes.foresight < 0:
        raise UserError(f"world.model.foresight={sizes.foresight} must not be negative: 0 is none")
    if sizes.things < 0:
        raise UserError(f"world.model.things={sizes.things} must not be negative")
    if sizes.flying < 0:
        raise UserError(f"world.model.flying={sizes.flying} must not be negative: 0 is no limit")
    if sizes.bodies < 0:
        raise UserError(f"world.model.bodies={sizes.bodies} must not be negative: 0 is none")
    if sizes.signs < 0:
        raise UserError(f"world.model.signs={sizes.signs} must not be negative: 0 is none")
    if sizes.pieces < 0:
        raise UserError(f"world.model.pieces={sizes.pieces} must not be negative: 0 is none")
    if sizes.tiles < 0:
        raise UserError(f"world.model.tiles={sizes.tiles} must not be negative: 0 is none")
    if sizes.things and sizes.history < 3:
        raise UserError(f"world.model.things needs 3 frames of the past: world.model.history={sizes.history}")
    if sizes.things and sizes.decoder == "blind":
        raise UserError("world.model.decoder=blind copies nothing that could move: set world.model.things=0")
    if sizes.things and sizes.moves:
        raise UserError(
            "world.model.things and world.model.moves are two ways of moving what is there: set one to 0"
        )
    if sizes.moves and sizes.decoder == "blind":
        raise UserError("world.model.decoder=blind sees nothing to be moved: set world.model.moves=0")
    if sizes.moves and world.losses.perceptual:
        raise UserError(
            "world.losses.perceptual needs a colour's probability for each pixel, which moved patches do not "
            "have: set it or world.model.moves to 0"
        )


def run_backend(task: Task, folder: Path) -> dict[str, Any]:
    """Train on the backend that the config names, and return the final snapshot."""
    config = task.config.training
    if task.optimizer.batch % config.workers:
        raise UserError(
            f"a batch of {task.optimizer.batch} cannot be shared by {config.workers} workers: "
            "set training.workers to a divisor of it"
        )
    if task.minutes and config.workers > 1:
        raise UserError("several workers cannot end by their clocks: limit the training in steps, minutes=0")
    if config.backend == "local":
        from rayatari.training import local_backend

        return local_backend.train(task, folder)
    from rayatari.training import ray_backend

    return ray_backend.train(task, folder)


def attach_perception(world: LatentActionModel, config: Config) -> None:
    """Give the model the eyes of the run's agent, where the perceptual loss has a weight."""
    if config.world.losses.perceptual:
        policy = load_policy(stage_dir(config, "agent"))
        world.perception = Perception(policy.encoder, world.codec)


def bundle_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The best weights of a finished training, without those of the perceptual loss."""
    weights: dict[str, Tensor] = state["best"]["weights"]
    return {name: value.contiguous() for name, value in weights.items() if "perception." not in name}


def kept_metrics(task: Task, state: Mapping[str, Any]) -> dict[str, float]:
    """Measures of the best weights on held-out windows, for the card."""
    device = pick_device(task.config.training.device, "training.device")
    model = task.build()
    model.load_state_dict(state["best"]["weights"])
    place(model.eval(), device)
    with torch.no_grad():
        tested = task.test(model, heldout_windows(task, device))
    return {name: float(f"{float(value):.4g}") for name, value in tested.items()} | {
        "step": state["best"]["step"],
        "parameters": sum(p.numel() for p in model.parameters()),
    }
