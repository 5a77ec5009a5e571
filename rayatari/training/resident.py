"""A dataset held whole on the device: windows are then gathered there, at no cost in copying.

A GPU trains on more windows a second than one process can decode and copy to it. 500,000 transitions
take 18 GB as classes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayatari.dataset.chunk import Chunk
from rayatari.dataset.windows import target_ends, window_weights
from rayatari.models.frames import FrameCodec
from rayatari.models.windows import Windows


@dataclass(frozen=True)
class ResidentFrames:
    """F frames of some chunks, one after the other, with what was recorded beside them."""

    chunks: tuple[Chunk, ...]
    """Without their frames."""
    frames_FHW: Tensor
    """Classes, uint8."""
    columns_4F: Tensor
    """Action, index of the reward, end and lives of each frame, int64."""
    idle: int
    """Index of no reward."""

    @classmethod
    def take(
        cls,
        chunks: Iterable[Chunk],
        codec: FrameCodec,
        reward_values: tuple[float, ...],
        device: torch.device,
    ) -> Self:
        """Bring all chunks to ``device``."""
        values = np.array(reward_values, np.float32)
        kept, frames, columns = [], [], []
        for chunk in chunks:
            frames.append(codec.encode_on(chunk.frames, device))
            rewards = np.abs(chunk.rewards[:, None] - values).argmin(1)
            numbers = (chunk.actions, rewards, chunk.terminated)
            columns.append(np.stack([*(np.append(x, 0) for x in numbers), chunk.lives]).astype(np.int64))
            kept.append(replace(chunk, frames=chunk.frames[:0]))
        idle = int(np.abs(values).argmin())
        columns_4F = torch.from_numpy(np.concatenate(columns, 1)).to(device)
        return cls(tuple(kept), torch.cat(frames), columns_4F, idle)


class ResidentWindows:
    """All windows of some frames, drawn with replacement as often as their events weigh.

    They hold ``earlier`` actions before the present; ``unknown`` is the index of those not recorded. As
    from a stream, they reach beyond the end of a game. They are chosen on the CPU, where it is then known
    without waiting for the device how many of their frames are real.
    """

    def __init__(
        self, held: ResidentFrames, history: int, horizon: int,
        weigh: Callable[[Chunk, Callable[[], Tensor]], NDArray[np.float32]],
        earlier: int = 0, unknown: int = 0,
    ) -> None:  # fmt: skip
        ends, firsts, lasts, weights, base = [], [], [], [], 0
        for chunk in held.chunks:
            own = target_ends(chunk, history, horizon, past_end=True)
            classes = partial(held.frames_FHW.narrow, 0, base, len(chunk.lives))
            weights.append(window_weights(weigh(chunk, classes), own, horizon))
            ends.append(own + base)
            firsts.append(np.full(len(own), base))
            base += len(chunk.lives)
            lasts.append(np.full(len(own), base - 1))
        self.held, self.length, self.horizon = held, history + horizon, horizon
        self.earlier, self.unknown = earlier, unknown
        device = held.frames_FHW.device
        spans_3W = torch.from_numpy(np.stack([np.concatenate(x) for x in (ends, firsts, lasts)]))
        self.left_W = horizon - (spans_3W[0] - spans_3W[2]).clamp(min=0)
        self.spans_3W = spans_3W.to(device)
        self.mass_W = torch.from_numpy(np.concatenate(weights).astype(np.float64).cumsum())

    def batches(self, size: int, seed: int) -> Iterator[Windows]:
        """Batches of ``size`` windows without end."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            random_B = torch.rand(size, generator=generator, dtype=torch.float64)
            chosen_B = torch.searchsorted(self.mass_W, random_B * self.mass_W[-1], right=True)
            yield self.gather(chosen_B.clamp(max=len(self.mass_W) - 1))

    def gather(self, chosen_B: Tensor) -> Windows:
        """The windows of these indices, which are on the CPU."""
        end_B, first_B, last_B = self.spans_3W[:, chosen_B.to(self.spans_3W.device, non_blocking=True)]
        at_BT = end_B[:, None] - torch.arange(self.length - 1, -1, -1, device=end_B.device)
        outside_BT = ((at_BT < first_B[:, None]) | (at_BT >= last_B[:, None]))[:, :-1]
        at_BT = at_BT.clamp(first_B[:, None], last_B[:, None])
        actions, rewards, done, lives = self.held.columns_4F[:, at_BT]
        return Windows(
            frames_BTHW=self.held.frames_FHW[at_BT],
            actions_BT=actions[:, :-1].masked_fill(outside_BT, 0),
            rewards_BT=rewards[:, :-1].masked_fill(outside_BT, self.held.idle),
            done_BT=done[:, :-1].masked_fill(outside_BT, 0),
            lives_BT=lives,
            earlier_BM=self._earlier(end_B, first_B),
            left_B=self.left_W[chosen_B],
        )

    def _earlier(self, end_B: Tensor, first_B: Tensor) -> Tensor:
        back_M = self.horizon + torch.arange(self.earlier, 0, -1, device=end_B.device)
        at_BM, first_B1 = end_B[:, None] - back_M, first_B[:, None]
        actions_BM = self.held.columns_4F[0][torch.maximum(at_BM, first_B1)]
        return actions_BM.masked_fill(at_BM < first_B1, self.unknown)
