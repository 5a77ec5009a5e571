"""What moved as a whole between two frames, found by matching the shapes of what changed.

Shape suffixes beside those of ``frames``: G things, N pixels that changed, X pixels of a thing, P classes,
V moves of the grid ``REACH``, K pixels of a neighbourhood.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.hardware import follows_data

REACH = (28, 24)
"""Longest moves, in pixels down or up, and to the right or left."""
GRID = (2 * REACH[0] + 1, 2 * REACH[1] + 1)
"""Moves down by moves right, both from the most negative on; the one of no move is in the middle."""
MOVES = GRID[0] * GRID[1]
CHANGED = 128
"""Most pixels of either role, from the top, that things are found among."""
CAME, LEFT = 1, 2
"""Roles of a pixel that changes: it became figure, or ceased to be."""
LARGEST = 16
"""Most pixels of a thing."""
LEAST_VOTES = 0.02
"""Least agreement of pixels, each up to 1, on a move."""
_AROUND = 4
"""Pixels to each side by which the shape around a pixel is compared."""


@dataclass(frozen=True)
class Motion:
    """What moved as a whole in one step."""

    moves_BG2: Tensor
    """Down and right, int64."""
    places_BGX2: Tensor
    """Where the pixels are afterwards, row and column, int64."""
    held_BGX: Tensor
    """Which of the X places are taken, bool."""


def motion_between(before_BHW: Tensor, present_BHW: Tensor, groups: int) -> Motion:
    """What moved as a whole between two frames, classes uint8, most obvious first.

    Of two colours that take turns at a pixel the one that fills less of the frame is the figure. Every pixel
    that became figure is paired with every one that ceased to be, and votes for the way between them, as
    strongly as the shapes around both agree. The winner's pixels are the first thing, and so on. What was
    part of something at rest and is so again, as the ends of a paddle that is pushed along are, is no thing;
    neither is what moves by less than its own height and width, which cannot be told from that.
    """
    place_BN, changed_BN = _first((before_BHW != present_BHW).flatten(1), 2 * CHANGED)
    was_BN, is_BN = (frame.flatten(1).gather(1, place_BN) for frame in (before_BHW, present_BHW))
    amounts_BP = _amounts(present_BHW)
    rarer_BN = amounts_BP.gather(1, is_BN.long()) < amounts_BP.gather(1, was_BN.long())
    role_BN = changed_BN * (2 - rarer_BN.to(torch.uint8))
    roles_BHW = torch.zeros_like(present_BHW, dtype=torch.uint8)
    roles_BHW.flatten(1).scatter_(1, place_BN, role_BN)
    came, left = (
        _of_role(role, roles_BHW, role_BN, place_BN, frame_BHW)
        for role, frame_BHW in ((CAME, present_BHW), (LEFT, before_BHW))
    )
    came_BN, came_BN2, beside_BNN = came.there_BN, came.at_BN2, came.beside_BNN
    alike_BNN = _alike(came.shape_BNK, left.shape_BNK)
    way_BNN2 = came_BN2[:, :, None] - left.at_BN2[:, None]
    move_BNN, within_BNN = number_of(way_BNN2), _within(way_BNN2)
    same_BNN = 0.5 + 0.5 * (came.colours_BN[:, :, None] == left.colours_BN[:, None])
    grown_BNN = came.part_BN[:, :, None] & left.part_BN[:, None]
    votes_BNN = alike_BNN * same_BNN
    votes_BNN = votes_BNN * (came_BN[:, :, None] & left.there_BN[:, None] & within_BNN & ~grown_BNN)
    places_BN2 = F.pad(came_BN2, (0, 0, 0, LARGEST))  # at least as many as a thing may have
    B, N = came_BN.shape
    found = []
    for _ in range(groups):
        total_BV = torch.zeros(B, MOVES, device=votes_BNN.device)
        total_BV.scatter_add_(1, move_BNN.flatten(1), votes_BNN.flatten(1))
        most_B, winner_B = total_BV.max(1)
        voted_BNN = (move_BNN == winner_B[:, None, None]) & (votes_BNN > 0)
        voted_BNN = voted_BNN & (most_B >= LEAST_VOTES)[:, None, None]
        held_BN = voted_BNN.any(2)
        votes_BNN = votes_BNN.masked_fill(held_BN[:, :, None] | voted_BNN.any(1)[:, None], 0)
        # With what came beside it: where it came from, something may have hidden its pixels.
        whole_BN = (beside_BNN & held_BN[:, None]).any(2) & came_BN
        held_BN = (held_BN & _small(held_BN)) | (whole_BN & _small(whole_BN))
        order_N = torch.arange(N + LARGEST, 0, -1, device=held_BN.device)
        rank_BX, which_BX = (F.pad(held_BN, (0, LARGEST)) * order_N).topk(LARGEST, 1)
        places_BX2 = places_BN2.gather(1, which_BX[..., None].expand(-1, -1, 2))
        found.append((way_of(winner_B), places_BX2, rank_BX > 0))
        if follows_data(votes_BNN) and not bool(votes_BNN.any()):
            nothing = (torch.zeros_like(found[0][0]), places_BX2, torch.zeros_like(found[0][2]))
            found += [nothing] * (groups - len(found))
            break
    return Motion(*(torch.stack(parts, 1) for parts in zip(*found, strict=True)))


def _amounts(frame_BHW: Tensor) -> Tensor:
    """About how much of a frame each class fills, int64 (B, 256): its pixels in every fourth row."""
    amounts_BP = torch.zeros(frame_BHW.shape[0], 256, dtype=torch.long, device=frame_BHW.device)
    classes_BX = frame_BHW[:, ::4].flatten(1).long()
    return amounts_BP.scatter_add_(1, classes_BX, torch.ones_like(classes_BX))


def _first(chosen_BX: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Indices of the first ``most`` that are chosen, int64 (B, N), and which of the N there are, bool."""
    if follows_data(chosen_BX):
        sample_Z, place_Z = chosen_BX.nonzero(as_tuple=True)
        counts_B = chosen_BX.sum(1)
        number_Z = torch.arange(len(place_Z)) - (counts_B.cumsum(0) - counts_B)[sample_Z]
        most = max(1, min(most, int(counts_B.max())))
        index_BN = torch.zeros(chosen_BX.shape[0], most, dtype=torch.long)
        kept_Z = number_Z < most
        index_BN[sample_Z[kept_Z], number_Z[kept_Z]] = place_Z[kept_Z]
        return index_BN, torch.arange(most) < counts_B[:, None]
    order_X = torch.arange(chosen_BX.shape[1], 0, -1, device=chosen_BX.device, dtype=torch.float32)
    rank_BN, index_BN = (chosen_BX * order_X).topk(min(most, chosen_BX.shape[1]), 1)
    return index_BN, rank_BN > 0


@dataclass(frozen=True)
class _Role:
    """The first N pixels of one role."""

    there_BN: Tensor
    """Which of the N there are, bool."""
    at_BN2: Tensor
    """Row and column, int64."""
    colours_BN: Tensor
    """Classes that make them figure."""
    shape_BNK: Tensor
    """Which of the pixels around have the same role, bool."""
    beside_BNN: Tensor
    """Which of them lie within three pixels of each other, bool."""
    part_BN: Tensor
    """Which lie in what touches something of its colour at rest, bool."""


def _of_role(role: int, roles_BHW: Tensor, role_BN: Tensor, place_BN: Tensor, frame_BHW: Tensor) -> _Role:
    """The first ``CHANGED`` pixels of a role among N places that change; ``frame`` shows them as figure."""
    index_BN, there_BN = _first(role_BN == role, CHANGED)
    place_BN, W = place_BN.gather(1, index_BN), roles_BHW.shape[2]
    colours_BN = frame_BHW.flatten(1).gather(1, place_BN)
    at_BN2 = torch.stack([place_BN // W, place_BN % W], -1)
    beside_BNN = (at_BN2[:, :, None] - at_BN2[:, None]).abs().amax(-1) < _AROUND
    roles_BNK = _around(roles_BHW, place_BN, _AROUND)
    resting_BNK = (_around(frame_BHW, place_BN, 1) == colours_BN[..., None]) & (
        _around(roles_BHW, place_BN, 1) == 0
    )
    touching_BN = resting_BNK.any(-1) & there_BN
    part_BN = (beside_BNN & touching_BN[:, None]).any(2)
    return _Role(there_BN, at_BN2, colours_BN, roles_BNK == role, beside_BNN, part_BN)


def _around(frame_BHW: Tensor, place_BN: Tensor, reach: int) -> Tensor:
    """Classes of the pixels around each of N places, numbers of pixels; (B, N, K), 0 beyond the frame."""
    W, side = frame_BHW.shape[2], 2 * reach + 1
    wide_BX = F.pad(frame_BHW, (reach,) * 4).flatten(1)
    step_k = torch.arange(side, device=place_BN.device)
    offset_K = (step_k[:, None] * (W + side - 1) + step_k).flatten()
    corner_BN1 = (place_BN + place_BN // W * (side - 1))[..., None]
    return wide_BX.gather(1, (corner_BN1 + offset_K).flatten(1)).unflatten(1, (-1, side**2))


def _small(held_BN: Tensor) -> Tensor:
    """Whether these are no more pixels than a thing may have, bool (B, 1)."""
    return held_BN.sum(1, keepdim=True) <= LARGEST


def _alike(first_BNK: Tensor, second_BNK: Tensor) -> Tensor:
    """How much shapes, bool, agree, 0 to 1, (B, N, N): their overlap as a share of both, squared."""
    first_BNK, second_BNK = first_BNK.float(), second_BNK.float()
    both_BNN = first_BNK @ second_BNK.transpose(1, 2)
    either_BNN = first_BNK.sum(2)[..., None] + second_BNK.sum(2)[:, None] - both_BNN
    return (both_BNN / either_BNN.clamp(min=1)) ** 2


def number_of(way: Tensor) -> Tensor:
    """The number of each way (..., 2) on the grid, or of one at its edge."""
    down, right = way.unbind(-1)
    return ((down + REACH[0]) * GRID[1] + right + REACH[1]).clamp(0, MOVES - 1)


def _within(way: Tensor) -> Tensor:
    """Whether these ways (..., 2) are on the grid."""
    return (way[..., 0].abs() <= REACH[0]) & (way[..., 1].abs() <= REACH[1])


def way_of(number: Tensor) -> Tensor:
    """Down and right of the moves of these numbers, int64 (..., 2); of no move's number any."""
    number = number.clamp(0, MOVES - 1)
    return torch.stack([number // GRID[1] - REACH[0], number % GRID[1] - REACH[1]], -1)
