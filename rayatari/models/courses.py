"""Where a piece flies next, where recorded play leaves no doubt about it.

A network that foretells every step anew turns a ball in the middle of the field in one step of a hundred,
that is in every other flight, and who waits for the ball waits at the wrong place. Games move balls by
plain rules: from the row that a ball is in and the one that it was in a step before follows the row that it
comes to, and so with columns, walls included, unless it hits what is not always there. Here it is counted
which way it went on from each row and each column; where that was as good as always the same, that is its
course.

One axis leads: its courses were the surer ones by themselves. Those of the other were counted only where
the leader's were known, so that what turns a ball on both, as a paddle does, does not blur them; and hold
there.

Shape suffixes beside those of ``frames``: N steps, X places along an axis, V moves, the first of ``-FAST``.
"""

import torch
from torch import Tensor

from rayatari.models.measured import Measured

FAST = 16
"""The longest move along an axis, in pixels, of which a course is known."""
SURE, LEAST = 0.995, 5
"""Share of the times that a piece went on the same way, and how often it was seen to, at least."""
UNSURE = 127
"""Stands for a move of which no course is known."""


class Courses(Measured):
    """The courses of one piece; none until :meth:`measure` or loaded weights bring them."""

    moves_2XV: Tensor
    """By how much a piece goes on, down and right, from each place after each move, int8; or ``UNSURE``."""
    leader: Tensor
    """The axis that leads, int64."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        empty = torch.full((2, max(shape), 2 * FAST + 1), UNSURE, dtype=torch.int8)
        self.register_buffer("moves_2XV", empty)
        self.register_buffer("leader", torch.zeros((), dtype=torch.long))
        self._read()

    def measure(self, flights_N23: Tensor) -> None:
        """Count courses in rows and columns of one piece in three frames on end each, int64 (N, 2, 3)."""
        came_N2, went_N2 = flights_N23.diff(dim=2).unbind(2)
        slow_N = (torch.maximum(came_N2.abs(), went_N2.abs()) <= FAST).all(1)
        place_N2, came_N2, went_N2 = flights_N23[slow_N, :, 1], came_N2[slow_N], went_N2[slow_N]
        for axis in (0, 1):
            self.moves_2XV[axis] = self._most_often(place_N2[:, axis], came_N2[:, axis], went_N2[:, axis])
        known_N2 = self._moves(place_N2, came_N2) != UNSURE
        first = int(known_N2.sum(0).argmax())
        second, sure_N = 1 - first, known_N2[:, first]
        self.leader.fill_(first)
        self.moves_2XV[second] = self._most_often(
            place_N2[sure_N, second], came_N2[sure_N, second], went_N2[sure_N, second]
        )
        self._read()

    def ahead(self, place_B2: Tensor, came_B2: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column that pieces come to from these, after moves by so much, int64 (B, 2); and whether
        each is known, bool (B, 2).
        """
        moves_B2 = self._moves(place_B2, came_B2.clamp(-FAST, FAST))
        known_B2 = (moves_B2 != UNSURE) & (came_B2.abs() <= FAST).all(1, keepdim=True)
        return place_B2 + moves_B2, known_B2 & known_B2[:, self.first : self.first + 1]

    def _moves(self, place_B2: Tensor, came_B2: Tensor) -> Tensor:
        axis_2 = torch.arange(2, device=place_B2.device)
        places_B2 = place_B2.clamp(0, self.moves_2XV.shape[1] - 1)
        return self.moves_2XV[axis_2, places_B2, came_B2 + FAST].long()

    def _most_often(self, place_N: Tensor, came_N: Tensor, went_N: Tensor) -> Tensor:
        """The move that as good as always followed, int8 (X, V)."""
        X, V = self.moves_2XV.shape[1:]
        which_N = (place_N * V + came_N + FAST) * V + went_N + FAST
        most, move = which_N.bincount(minlength=X * V * V).view(X, V, V).max(2)
        seen = (place_N * V + came_N + FAST).bincount(minlength=X * V).view(X, V)
        sure = (most >= SURE * seen) & (seen >= LEAST)
        return torch.where(sure, move - FAST, UNSURE).to(torch.int8)

    def _read(self) -> None:
        self.first = int(self.leader)
