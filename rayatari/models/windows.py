"""What models learn from, as tensors on the device that learns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """B recorded windows of T = history + horizon frames; the present is frame ``history`` - 1."""

    frames_BTHW: Tensor
    """Classes, uint8 (B, T, H, W)."""
    actions_BT: Tensor
    """Action indices, int64 (B, T-1)."""
    rewards_BT: Tensor
    """Indices into the game's reward values, int64 (B, T-1)."""
    done_BT: Tensor
    """1 where the game ended, int64 (B, T-1)."""
    lives_BT: Tensor
    """Lives, int64 (B, T)."""
    earlier_BM: Tensor
    """The M actions before the present, oldest first, int64 (B, M); A where unknown."""
    left_B: Tensor
    """Recorded frames after the present, 1 to horizon, int64 (B,), always on the CPU: what comes after them
    repeats the last frame of a game that ended."""

    def __len__(self) -> int:
        """B."""
        return len(self.frames_BTHW)

    def pick(self, rows: Tensor | slice) -> "Windows":
        """Some of the windows."""
        return Windows(*(getattr(self, entry.name)[rows] for entry in fields(self)))


@dataclass(frozen=True)
class Lesson:
    """One step to be learned in each of B windows."""

    past_BTHW: Tensor
    """The last frames as the model sees them, its own where ``own``; classes (B, history, H, W)."""
    present_BHW: Tensor
    """The real frame before the step."""
    next_BHW: Tensor
    """The real frame after it."""
    actions_BM: Tensor
    """The action of the step, last, and the M - 1 before it, oldest first, int64 (B, M); A where unknown."""
    rewards_B: Tensor
    """Indices into the game's reward values, int64 (B,)."""
    done_B: Tensor
    """1 where the game ended with the step, int64 (B,)."""
    lives_B: Tensor
    """Lives after the step, int64 (B,)."""
    own_B: Tensor
    """Whether the model drew the end of the past itself, bool (B,)."""


def lesson_at(windows: Windows, past_BTHW: Tensor, at_B: Tensor, own_B: Tensor) -> Lesson:
    """The step from frame ``at`` (B,) of each window to the next one, after a given past."""
    rows_B = torch.arange(len(at_B), device=at_B.device)
    present = past_BTHW.shape[1] - 1
    actions_BT = torch.cat([windows.earlier_BM, windows.actions_BT[:, present:]], 1)
    last_M = torch.arange(windows.earlier_BM.shape[1] + 1, device=at_B.device)
    return Lesson(
        past_BTHW=past_BTHW,
        present_BHW=windows.frames_BTHW[rows_B, at_B],
        next_BHW=windows.frames_BTHW[rows_B, at_B + 1],
        actions_BM=actions_BT[rows_B[:, None], (at_B - present)[:, None] + last_M],
        rewards_B=windows.rewards_BT[rows_B, at_B],
        done_B=windows.done_BT[rows_B, at_B],
        lives_B=windows.lives_BT[rows_B, at_B + 1],
        own_B=own_B,
    )


def reward_indices(rewards: Tensor, values: Sequence[float]) -> Tensor:
    """Index of the nearest of the game's reward ``values`` (ascending) for each reward."""
    distance = (rewards[..., None] - torch.tensor(values, device=rewards.device)).abs()
    return distance.argmin(-1)
