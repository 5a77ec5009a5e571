"""What a stage teaches: the seam between the training loop and the models."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.config.schema import Config
from rayatari.config.world import OptimizerConfig
from rayatari.dataset.chunk import Chunk
from rayatari.dataset.info import DatasetInfo
from rayatari.dataset.windows import WindowBatch
from rayatari.models.frames import FrameCodec
from rayatari.models.windows import Windows


class Task(Protocol):
    """One training stage. Tasks are pickled to workers, so they hold values, not networks."""

    @property
    def config(self) -> Config:
        """The whole configuration."""

    @property
    def label(self) -> str:
        """Name for progress bars."""

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""

    @property
    def minutes(self) -> float:
        """Minutes after which training ends even so; 0 sets no limit."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer settings."""

    @property
    def horizon(self) -> int:
        """Frames after the present that a training window holds."""

    @property
    def earlier(self) -> int:
        """Actions before the present that a training window holds."""

    @property
    def dataset(self) -> str:
        """Path or URI of the dataset."""

    def build(self) -> nn.Module:
        """A new model on the CPU, as training starts from it."""

    def rate_share(self, parameter: str) -> float:
        """Share of the learning rate at which the parameter of that name is trained."""

    @property
    def history(self) -> int:
        """Frames up to the present that a training window holds."""

    @property
    def codec(self) -> FrameCodec:
        """Between palette bytes and classes."""

    @property
    def info(self) -> DatasetInfo:
        """The dataset's description."""

    def to_windows(self, batch: WindowBatch, device: torch.device) -> Windows:
        """A batch of recorded windows as tensors on ``device``."""

    def weigh(self, chunk: Chunk, classes: Callable[[], Tensor]) -> NDArray[np.float32]:
        """How often each transition of a chunk is a target, (c+L,); ``classes`` gives the chunk's frames."""

    def longest_unroll(self, progress: float) -> int:
        """Steps that a window may be under way at this share of the training; 1 for real frames only."""

    def own_share(self) -> float:
        """Share of the lessons that are on the model's own frames while unrolls are longer than 1."""

    def test(self, model: nn.Module, windows: Windows) -> Mapping[str, Tensor]:
        """Measures on held-out windows. ``relative_error`` selects the weights that are kept."""

    def picture(self, model: nn.Module, windows: Windows) -> NDArray[np.uint8]:
        """Predictions as one picture, uint8 (height, width, 3) RGB."""
