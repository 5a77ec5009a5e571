"""A dataset held whole on the device: windows are then gathered there, at no cost in copying.

A GPU trains on more windows a second than one process can decode and copy to it. 500,000 transitions
take 18 GB as classes.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from rayatari.dataset.chunk import Chunk
from rayatari.dataset.windows import EventWeights, target_ends
from rayatari.models.frames import FrameCodec
from rayatari.models.windows import Windows


class ResidentWindows:
    """All windows of some chunks, drawn with replacement as often as their events weigh."""

    def __init__(
        self, chunks: Iterable[Chunk], codec: FrameCodec, reward_values: tuple[float, ...],
        history: int, horizon: int, weigh: EventWeights, device: torch.device,
    ) -> None:  # fmt: skip
        frames, columns, ends, firsts, weights = [], [], [], [], []
        values = np.array(reward_values, np.float32)
        self.length, base = history + horizon, 0
        for chunk in chunks:
            frames.append(codec.encode(chunk.frames).to(device))
            rewards = np.abs(chunk.rewards[:, None] - values).argmin(1)
            actions, terminated = (np.append(x, 0) for x in (chunk.actions, chunk.terminated))
            columns.append(np.stack([actions, np.append(rewards, 0), terminated, chunk.lives]))
            own = target_ends(chunk, history, horizon)
            targets = own[:, None] - 1 - np.arange(horizon)
            weights.append(weigh(chunk)[targets].max(1))
            ends.append(own + base)
            firsts.append(np.full(len(own), base))
            base += len(chunk.frames)
        self.frames_FHW = torch.cat(frames)
        self.columns_4F = torch.from_numpy(np.concatenate(columns, 1).astype(np.int64)).to(device)
        self.ends_W = torch.from_numpy(np.concatenate(ends)).to(device)
        self.firsts_W = torch.from_numpy(np.concatenate(firsts)).to(device)
        self.mass_W = torch.from_numpy(np.concatenate(weights).astype(np.float64).cumsum()).to(device)
        self.idle = int(values.searchsorted(0.0)) if 0.0 in values else 0

    def batches(self, size: int, seed: int) -> Iterator[Windows]:
        """Batches of ``size`` windows without end."""
        generator = torch.Generator(self.mass_W.device).manual_seed(seed)
        while True:
            random_B = torch.rand(size, generator=generator, device=self.mass_W.device, dtype=torch.float64)
            chosen_B = torch.searchsorted(self.mass_W, random_B * self.mass_W[-1], right=True)
            yield self.gather(chosen_B.clamp(max=len(self.mass_W) - 1))

    def gather(self, chosen_B: Tensor) -> Windows:
        """The windows of these indices."""
        back_T = torch.arange(self.length - 1, -1, -1, device=chosen_B.device)
        at_BT = self.ends_W[chosen_B][:, None] - back_T
        first_B1 = self.firsts_W[chosen_B][:, None]
        before_BT = at_BT[:, :-1] < first_B1
        at_BT = torch.maximum(at_BT, first_B1)
        actions, rewards, done, lives = self.columns_4F[:, at_BT]
        return Windows(
            frames_BTHW=self.frames_FHW[at_BT],
            actions_BT=actions[:, :-1].masked_fill(before_BT, 0),
            rewards_BT=rewards[:, :-1].masked_fill(before_BT, self.idle),
            done_BT=done[:, :-1].masked_fill(before_BT, 0),
            lives_BT=lives,
        )
