"""When a game's one piece comes, hides and leaves in recorded play, counted.

Shape suffixes as in ``presence``.
"""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rayatari.models.measured import RecordedPlay

WAITS = 33
"""Lengths of an absence that are told apart; the last stands for all longer ones."""
ENTRANCES, DELAYS, CELL = 64, 16, 16
"""Most places where pieces come, delays of what follows an absence, and pixels of a cell's side."""
REST = 4
"""Steps of being seen that make up for hiding once; the rest is how much a piece has hidden of late."""


def corners(free_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether there are such pixels, bool (B,), and their first row and column, int64 (B,)."""
    rows_BH, columns_BW = free_BHW.any(2).int(), free_BHW.any(1).int()
    return rows_BH.amax(1) > 0, rows_BH.argmax(1), columns_BW.argmax(1)


def places(free_BHW: Tensor) -> Tensor:
    """First row and column of such pixels, int64 (B, 2), -1 where there are none."""
    seen_B, row_B, column_B = corners(free_BHW)
    return torch.stack([row_B, column_B], 1).masked_fill(~seen_B[:, None], -1)


@dataclass
class Stay:
    """A piece as it was seen last, and what has happened since."""

    at: tuple[int, int]
    early_rewards: list[int] = field(default_factory=list)
    early_losses: int = 0
    """Rewards, and losses of lives, of the step that it was seen after."""
    rewards: list[tuple[int, int]] = field(default_factory=list)
    """Steps from then on, and the reward."""
    losses: list[int] = field(default_factory=list)
    """Steps from then on to each loss of a life."""
    late: int = 0
    """How much it has hidden of late."""


class PresenceCounts:
    """What recorded play shows, counted."""

    def __init__(self, actions: int, history: int, nothing: int) -> None:
        self.history, self.nothing = history, nothing
        self.tries_AV, self.comes_AV = torch.zeros(2, actions, WAITS)
        self.entrances: Counter[tuple[int, int, int, int]] = Counter()
        self.hidden: Counter[int] = Counter()
        self.hides: Counter[tuple[int, int]] = Counter()
        self.late: Counter[int] = Counter()
        """How much pieces had hidden of late as they hid again."""
        self.steps: Counter[int] = Counter()
        self.left: list[Stay] = []
        self.others = [0, 0]
        """Rewards and losses of lives while there was a piece, or it was hidden."""

    def take(self, play: RecordedPlay, free_THW: Tensor) -> None:
        """Count some frames that follow on each other; ``free`` are their pieces' pixels."""
        seen_T, row_T, column_T = (each.tolist() for each in corners(free_THW))
        height_T, width_T = (free_THW.any(axis).sum(1).tolist() for axis in (2, 1))
        pixels_T = free_THW.sum((1, 2)).tolist()
        rewards, lives, actions = play.rewards_T.tolist(), play.lives_T.tolist(), play.actions_T.tolist()
        waited = 0 if play.begins else None
        stay: Stay | None = None
        for t, seen in enumerate(seen_T):
            if seen:
                at = row_T[t], column_T[t]
                follower = Stay(at)
                if stay is not None and waited is not None:
                    self._returned(stay, waited, follower)
                waited, stay = 0, follower
            elif waited is not None:
                waited += 1
            if t == len(rewards) or waited is None:
                continue
            if stay is not None and rewards[t] != self.nothing:
                stay.rewards.append((waited, rewards[t]))
            if stay is not None and lives[t + 1] < lives[t]:
                stay.losses.append(waited)
            if waited >= self.history:
                where = actions[t], min(waited, WAITS - 1)
                self.tries_AV[where] += 1
                self.comes_AV[where] += seen_T[t + 1]
                size = height_T[t + 1], width_T[t + 1]
                if seen_T[t + 1] and size[0] * size[1] == pixels_T[t + 1]:
                    self.entrances[row_T[t + 1], column_T[t + 1], *size] += 1

    def _returned(self, stay: Stay, waited: int, follower: Stay) -> None:
        """Count a piece that is seen again after so many frames without it."""
        if waited >= self.history or (waited and stay.losses):
            self.left.append(stay)
            return
        self.others[0] += len(stay.early_rewards)
        self.others[1] += stay.early_losses
        cell = stay.at[0] // CELL, stay.at[1] // CELL
        if waited:
            self.hidden[waited] += 1
            self.hides[cell] += 1
            self.late[stay.late] += 1
            follower.late = stay.late + REST - 1
            self.others[0] += len(stay.rewards)
        else:  # what came in that step may be for a piece that is about to leave
            follower.early_rewards = [reward for _, reward in stay.rewards]
            follower.early_losses = len(stay.losses)
            follower.late = max(0, stay.late - 1)
            self.steps[max(abs(follower.at[0] - stay.at[0]), abs(follower.at[1] - stay.at[1]))] += 1


def most_of(counted: Counter[int], share: float) -> int:
    """The least number that so many of those counted do not exceed."""
    seen = 0
    for number in sorted(counted):
        seen += counted[number]
        if seen >= share * counted.total():
            return number
    return 0
