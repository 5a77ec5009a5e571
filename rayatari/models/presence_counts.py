"""When a game's one piece comes, hides and leaves in recorded play, and how it flies, counted."""

from collections import Counter
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.measured import RecordedPlay
from rayatari.models.turns import HIDDEN, moments

WAITS = 33
"""Lengths of an absence that are told apart; the last stands for all longer ones."""
ENTRANCES, DELAYS, CELL = 64, 16, 16
"""Most places where pieces come, delays of what follows an absence, and pixels of a cell's side."""
HIDES = 0.9
"""Share of the times that a piece hides which are no longer than the longest that is allowed."""
LEAVES = 0.05
"""Share of the times that a piece is gone from a cell, at least, in which it has left, where it may."""
REST = 4
"""Steps of being seen that make up for hiding once; the rest is how much a piece has hidden of late."""
OFTEN = 0.99
"""Share of the times that a piece hides before which it had hidden no more of late than is allowed."""
SURE = 0.9
"""Share of what is seen, at least, that makes a rule."""
STEPS = 3
"""Frames that tell how a piece flies: where it was, how it came there, and how it went on."""
NEVER = -1
"""Stands for what is not known, and for what does not happen."""


def corners(free_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether there are such pixels, bool (B,), and their first row and column, int64 (B,)."""
    rows_BH, columns_BW = free_BHW.any(2).int(), free_BHW.any(1).int()
    return rows_BH.amax(1) > 0, rows_BH.argmax(1), columns_BW.argmax(1)


def last_seen(place_BT2: Tensor) -> tuple[Tensor, Tensor]:
    """Steps since a piece was seen, int64 (B,), T where never, of its row and column in each of T frames, -1
    where it is not seen; and where it was then and one and two frames before, int64 (B, 3, 2).
    """
    B, T = place_BT2.shape[:2]
    step_T = torch.arange(1, T + 1, device=place_BT2.device)
    last_B = ((place_BT2[..., 0] >= 0) * step_T).amax(1)
    padded_BT2 = F.pad(place_BT2, (0, 0, STEPS, 0), value=NEVER)
    back_3 = torch.arange(STEPS, 0, -1, device=place_BT2.device) - 1
    which_B3 = last_B[:, None] + back_3
    places_B32 = padded_BT2.gather(1, which_B3[..., None].expand(B, STEPS, 2))
    known_B3 = (places_B32[..., 0] >= 0).long().cumsum(1) == step_T.new_tensor([1, 2, 3])
    return T - last_B, places_B32.masked_fill(~known_B3[..., None], NEVER)


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
        self.flights: list[Tensor] = []
        """Rows and columns of a piece in three frames that follow on each other, int64 (N, 2, 3)."""
        self.moments: list[tuple[Tensor, Tensor, Tensor]] = []
        """Features of moments, where the piece had been (N, 3, 2), and how it went on (N, 2); int16."""
        self.others = [0, 0]
        """Rewards and losses of lives while there was a piece, or it was hidden."""

    def take(self, play: RecordedPlay, free_THW: Tensor) -> None:
        """Count some frames that follow on each other; ``free`` are their pieces' pixels."""
        corners_T = corners(free_THW)
        seen_T, row_T, column_T = (each.tolist() for each in corners_T)
        height_T, width_T = (free_THW.any(axis).sum(1).tolist() for axis in (2, 1))
        pixels_T = free_THW.sum((1, 2)).tolist()
        rewards, lives, actions = play.rewards_T.tolist(), play.lives_T.tolist(), play.actions_T.tolist()
        self._fly(*corners_T)
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

    def take_moments(self, free_THW: Tensor, taken_THW: Tensor, size: tuple[int, ...]) -> None:
        """Count how a piece of that height and width went on; ``taken`` are pixels of all else as it did."""
        seen_T, row_T, column_T = corners(free_THW)
        place_T2 = torch.stack([row_T, column_T], 1).masked_fill(~seen_T[:, None], NEVER)
        frames = self.history + STEPS - 1
        past_TT2 = F.pad(place_T2, (0, 0, frames - 1, 0), value=NEVER).unfold(0, frames, 1)[:-1].mT
        waited_T, places_T32 = last_seen(past_TT2)
        flies_T = (places_T32[:, 1, 0] >= 0) & (waited_T < self.history)
        waited_N, places_N32, next_N2 = waited_T[flies_T], places_T32[flies_T], place_T2[1:][flies_T]
        moves_N2 = (next_N2 - places_N32[:, 0]).masked_fill(next_N2 < 0, HIDDEN)
        found_NF = moments(waited_N, places_N32, taken_THW[flies_T], size)
        self.moments.append((found_NF.short(), places_N32.short(), moves_N2.short()))

    def _fly(self, seen_T: Tensor, row_T: Tensor, column_T: Tensor) -> None:
        """Count where a piece went that was seen in three frames on end."""
        if len(seen_T) >= STEPS:
            place_N23 = torch.stack([row_T, column_T], 1).unfold(0, STEPS, 1)
            self.flights.append(place_N23[seen_T.unfold(0, STEPS, 1).all(1)])

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
