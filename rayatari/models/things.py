"""Small things that fly: found in the last frames, and carried on as a whole.

A ball is 8 of 33,600 pixels. A network that colours pixels one by one has to learn its motion anew for
every place, and tears it where two places are likely. Here the pixels that moved together are found by
matching the last two frames, a small network (``mover``) says by how much they move next, and they are
put there as they are: the thing can neither tear nor fade. The frame so foretold is what the decoder
begins from; bricks, paddles, digits and all else that is not small and rigid is its own to draw. In the
spirit of video prediction by moving parts (Finn et al., 2016, "Unsupervised learning for physical
interaction through video prediction") and of object-centred physics (Battaglia et al., 2016,
"Interaction networks"), with choices in place of blends.

Shape suffixes beside those of ``frames``: G things, N pixels that changed, X pixels of a thing, V moves of
the grid ``REACH``, K pixels of a neighbourhood.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.hardware import follows_data

REACH = (16, 24)
"""Longest moves, in pixels down or up, and to the right or left."""
GRID = (2 * REACH[0] + 1, 2 * REACH[1] + 1)
"""Moves down by moves right, both from the most negative on; the one of no move is in the middle."""
MOVES = GRID[0] * GRID[1]
GONE = MOVES
"""Stands, after all moves, for a thing that is not there any more."""
UNCLEAR = -1
"""Stands for a step of which no one can say where the thing went."""
CHANGED = 128
"""Most pixels of either role, from the top, that things are found among."""
CAME, LEFT = 1, 2
"""Roles of a pixel that changes: it became figure, or ceased to be."""
LARGEST = 16
"""Most pixels of a thing."""
RIM = 2
"""Pixels around a thing in which nothing may be drawn in its colour."""
LEAST_VOTES = 0.02
"""Least agreement of pixels, each up to 1, on a move."""
OUTSIDE = 255
_AROUND = 4
"""Pixels to each side by which the shape around a pixel is compared."""


@dataclass(frozen=True)
class Things:
    """At most G things that moved in the last step of each of B pasts."""

    places_BGX2: Tensor
    """Row and column of each pixel, int64; what is not ``held`` means nothing."""
    held_BGX: Tensor
    """Which of the X places are taken, bool."""
    colours_BGX: Tensor
    """Classes of the pixels, uint8."""
    covered_BGX: Tensor
    """Classes of what was there before they came, uint8."""
    moves_BG22: Tensor
    """Down and right by how much each came in the last step, and in the one before, or 0 where that is not
    known; int64."""

    @property
    def there(self) -> Tensor:
        """Which of the G there are, bool."""
        return self.held_BGX.any(-1)

    @property
    def corners(self) -> Tensor:
        """Topmost row and leftmost column of each, int64."""
        far = torch.iinfo(torch.int64).max
        corners_BG2 = self.places_BGX2.masked_fill(~self.held_BGX[..., None], far).amin(2)
        return corners_BG2.masked_fill(~self.there[..., None], 0)


@dataclass(frozen=True)
class Motion:
    """What moved as a whole in one step."""

    moves_BG2: Tensor
    """Down and right, int64."""
    places_BGX2: Tensor
    """Where the pixels are afterwards, row and column, int64."""
    held_BGX: Tensor
    """Which of the X places are taken, bool."""


@dataclass(frozen=True)
class Arrival:
    """Where things come to, and which pixels they show there."""

    moves_BG: Tensor
    """The number of each one's move, ``GONE`` or ``UNCLEAR``; int64."""
    places_BGX2: Tensor
    """Row and column of each pixel, int64, maybe beyond the frame; what is not ``held`` means nothing."""
    held_BGX: Tensor
    """Which of the X places show it, bool."""
    colours_BGX: Tensor
    """Classes of the pixels, uint8."""

    def known(self, samples_B: Tensor) -> "Arrival":
        """The same in some of the samples, ``UNCLEAR`` in the others."""
        unknown_B1 = ~samples_B[:, None]
        held_BGX = self.held_BGX & samples_B[:, None, None]
        return replace(self, moves_BG=self.moves_BG.masked_fill(unknown_B1, UNCLEAR), held_BGX=held_BGX)

    def where(self, ours_BG: Tensor, other: "Arrival") -> "Arrival":
        """The same for the things that are ``ours``, the other one for the rest."""
        ours_BG1 = ours_BG[..., None]
        return Arrival(
            torch.where(ours_BG, self.moves_BG, other.moves_BG),
            torch.cat([self.places_BGX2, other.places_BGX2], 2),
            torch.cat([self.held_BGX & ours_BG1, other.held_BGX & ~ours_BG1], 2),
            torch.cat([self.colours_BGX, other.colours_BGX], 2),
        )


@dataclass(frozen=True)
class Ahead:
    """What is known of the next frame before anything is drawn: where things are."""

    frame_BHW: Tensor
    """The present with its things moved, classes uint8."""
    rims_BHW: Tensor
    """1 + the class of a thing in all pixels near to where it comes, where nothing else may be drawn in its
    colour; 0 elsewhere; uint8."""

    def over(self, shown_BTHW: Tensor, past_BTHW: Tensor) -> "Ahead":
        """The same over another past, ``shown``, in place of the ``past`` that it was found in."""
        moved_BHW = self.frame_BHW != past_BTHW[:, -1]
        return Ahead(torch.where(moved_BHW, self.frame_BHW, shown_BTHW[:, -1]), self.rims_BHW)


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
    move_BNN, within_BNN = _number(came_BN2[:, :, None] - left.at_BN2[:, None])
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
        found.append((_way(winner_B), places_BX2, rank_BX > 0))
        if follows_data(votes_BNN) and not bool(votes_BNN.any()):
            nothing = (torch.zeros_like(found[0][0]), places_BX2, torch.zeros_like(found[0][2]))
            found += [nothing] * (groups - len(found))
            break
    return Motion(*(torch.stack(parts, 1) for parts in zip(*found, strict=True)))


def find_things(past_BTHW: Tensor, groups: int) -> Things:
    """What moved as a whole in the last step of a past, classes uint8 (B, T, H, W), T at least 3."""
    older_BHW, before_BHW, present_BHW = past_BTHW[:, -3:].unbind(1)
    both = motion_between(torch.cat([before_BHW, older_BHW]), torch.cat([present_BHW, before_BHW]), groups)
    (moves_BG2, earlier_BG2), (places_BGX2, earlier_BGX2), (held_BGX, earlier_held_BGX) = (
        part.chunk(2) for part in (both.moves_BG2, both.places_BGX2, both.held_BGX)
    )
    was_at_BGX2 = places_BGX2 - moves_BG2[:, :, None]
    share_BGG = _overlap(was_at_BGX2, held_BGX, earlier_BGX2, earlier_held_BGX)
    most_BG, which_BG = share_BGG.max(2)
    before_BG2 = earlier_BG2.gather(1, which_BG[..., None].expand(-1, -1, 2)) * (most_BG > 0.5)[..., None]
    return Things(
        places_BGX2=places_BGX2,
        held_BGX=held_BGX,
        colours_BGX=colours_at(present_BHW, places_BGX2),
        covered_BGX=colours_at(before_BHW, places_BGX2),
        moves_BG22=torch.stack([moves_BG2, before_BG2], 2) * held_BGX.any(-1)[..., None, None],
    )


def true_arrival(things: Things, present_BHW: Tensor, next_BHW: Tensor) -> Arrival:
    """Where each thing is in the next frame.

    Its move is that of what moved in the step from where it is, and it shows what moved so, which is more or
    less of it than before where something hides it. It has not moved where it looks as it did, and is gone
    where little of it does.
    """
    groups = things.places_BGX2.shape[1]
    step = motion_between(present_BHW, next_BHW, groups)
    came_from_BGX2 = step.places_BGX2 - step.moves_BG2[:, :, None]
    share_BGG = _overlap(things.places_BGX2, things.held_BGX, came_from_BGX2, step.held_BGX)
    most_BG, which_BG = share_BGG.max(2)
    number_BG, _ = _number(step.moves_BG2.gather(1, which_BG[..., None].expand(-1, -1, 2)))
    stays_BGX = colours_at(next_BHW, things.places_BGX2) == things.colours_BGX
    full_BG, still_BG = things.held_BGX.sum(-1), (stays_BGX & things.held_BGX).sum(-1)
    at_rest_BG = torch.where(4 * still_BG < full_BG, GONE, UNCLEAR)
    at_rest_BG = torch.where(still_BG == full_BG, MOVES // 2, at_rest_BG)
    at_rest_BG = torch.where(most_BG > 0, UNCLEAR, at_rest_BG)
    moved_BG = (most_BG > 0.7) & things.there
    which_BGX = which_BG[..., None].expand(-1, -1, step.held_BGX.shape[2])
    places_BGX2 = step.places_BGX2.gather(1, which_BGX[..., None].expand(-1, -1, -1, 2))
    return Arrival(
        moves_BG=torch.where(moved_BG, number_BG, at_rest_BG).masked_fill(~things.there, UNCLEAR),
        places_BGX2=places_BGX2,
        held_BGX=step.held_BGX.gather(1, which_BGX) & moved_BG[..., None],
        colours_BGX=colours_at(next_BHW, places_BGX2),
    )


def _overlap(ours_BGX2: Tensor, held_BGX: Tensor, theirs_BGX2: Tensor, theirs_held_BGX: Tensor) -> Tensor:
    """Pixels that our and their things have in common, as a share of the smaller one; (B, G, G)."""
    equal_BGXGX = (ours_BGX2[:, :, :, None, None] == theirs_BGX2[:, None, None]).all(-1)
    equal_BGXGX = equal_BGXGX & held_BGX[:, :, :, None, None] & theirs_held_BGX[:, None, None]
    both_BGG = equal_BGXGX.sum((2, 4))
    smaller_BGG = torch.minimum(held_BGX.sum(-1)[:, :, None], theirs_held_BGX.sum(-1)[:, None])
    return both_BGG / smaller_BGG.clamp(min=1)


def carry_on(present_BHW: Tensor, things: Things, arrival: Arrival) -> Ahead:
    """Move the things of the present, classes uint8 (B, H, W); ``UNCLEAR`` ones stay.

    Where a thing was stands what it had covered.
    """
    B, H, W = present_BHW.shape
    goes_BG = (arrival.moves_BG != UNCLEAR) & (arrival.moves_BG != MOVES // 2)
    shown_BGX = arrival.held_BGX & (goes_BG & (arrival.moves_BG != GONE))[..., None]
    come_BX = _pixels(arrival.places_BGX2, shown_BGX, H, W)
    colours_BX = arrival.colours_BGX.flatten(1)
    left_BX = _pixels(things.places_BGX2, things.held_BGX & goes_BG[..., None], H, W)
    drawn_BX = F.pad(present_BHW.flatten(1), (0, 1))
    drawn_BX = drawn_BX.scatter(1, left_BX, things.covered_BGX.flatten(1).to(drawn_BX.dtype))
    drawn_BX = drawn_BX.scatter(1, come_BX, colours_BX.to(drawn_BX.dtype))
    inked_BX = torch.zeros_like(drawn_BX).scatter(1, come_BX, (colours_BX + 1).to(drawn_BX.dtype))
    return Ahead(drawn_BX[:, :-1].view(B, H, W), _spread_out(inked_BX[:, :-1].view(B, H, W), RIM))


def _spread_out(values_BHW: Tensor, reach: int) -> Tensor:
    """The largest value within ``reach`` pixels of each, (B, H, W); pooling does it ten times slower."""
    for axis in (1, 2):
        padding = [0, 0, reach, reach] if axis == 1 else [reach, reach]
        wide_BHW, size = F.pad(values_BHW, padding), values_BHW.shape[axis]
        for shift in range(2 * reach + 1):
            values_BHW = torch.maximum(values_BHW, wide_BHW.narrow(axis, shift, size))
    return values_BHW


def _pixels(places_BGX2: Tensor, held_BGX: Tensor, height: int, width: int) -> Tensor:
    """Numbers of the pixels at those of the places that are held and in the frame, else one past the last."""
    row_BGX, column_BGX = places_BGX2.unbind(-1)
    inside_BGX = (row_BGX >= 0) & (row_BGX < height) & (column_BGX >= 0) & (column_BGX < width)
    return torch.where(held_BGX & inside_BGX, row_BGX * width + column_BGX, height * width).flatten(1)


def truly_ahead(past_BTHW: Tensor, next_BHW: Tensor, groups: int) -> Ahead:
    """The things of a past where they are in the next frame."""
    things, present_BHW = find_things(past_BTHW, groups), past_BTHW[:, -1]
    return carry_on(present_BHW, things, true_arrival(things, present_BHW, next_BHW))


def way_of(moves_BG: Tensor) -> Tensor:
    """Down and right of the moves of these numbers, int64 (B, G, 2); those of no move are as good as any."""
    return _way(moves_BG.clamp(0, MOVES - 1))


def _amounts(frame_BHW: Tensor) -> Tensor:
    """About how much of a frame each class fills, int64 (B, 256): its pixels in every fourth row."""
    amounts_BP = torch.zeros(len(frame_BHW), 256, dtype=torch.long, device=frame_BHW.device)
    classes_BX = frame_BHW[:, ::4].flatten(1).long()
    return amounts_BP.scatter_add_(1, classes_BX, torch.ones_like(classes_BX))


def _first(chosen_BX: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Indices of the first ``most`` that are chosen, int64 (B, N), and which of the N there are, bool."""
    if follows_data(chosen_BX):
        sample_Z, place_Z = chosen_BX.nonzero(as_tuple=True)
        counts_B = chosen_BX.sum(1)
        number_Z = torch.arange(len(place_Z)) - (counts_B.cumsum(0) - counts_B)[sample_Z]
        most = max(1, min(most, int(counts_B.max())))
        index_BN = torch.zeros(len(chosen_BX), most, dtype=torch.long)
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


def colours_at(frame_BHW: Tensor, at_BGX2: Tensor) -> Tensor:
    """The classes at the rows and columns of things' pixels, (B, G, X); ``OUTSIDE`` beyond the frame."""
    return _colours(frame_BHW, at_BGX2.flatten(1, 2)).view(at_BGX2.shape[:-1])


def _colours(frame_BHW: Tensor, at_BN2: Tensor) -> Tensor:
    """The classes at these rows and columns, (B, N); ``OUTSIDE`` beyond the frame."""
    H, W = frame_BHW.shape[1:]
    row_BN, column_BN = at_BN2.unbind(-1)
    inside_BN = (row_BN >= 0) & (row_BN < H) & (column_BN >= 0) & (column_BN < W)
    flat_BN = (row_BN * W + column_BN).clamp(0, H * W - 1)
    return torch.where(inside_BN, frame_BHW.flatten(1).gather(1, flat_BN), OUTSIDE)


def number_of(way: Tensor) -> Tensor:
    """The number of each way (..., 2) on the grid, or of one at its edge."""
    return _number(way)[0]


def _number(way: Tensor) -> tuple[Tensor, Tensor]:
    """The number of each way (..., 2) on the grid, and whether it is on it."""
    down, right = way.unbind(-1)
    within = (down.abs() <= REACH[0]) & (right.abs() <= REACH[1])
    number = (down + REACH[0]) * GRID[1] + right + REACH[1]
    return number.clamp(0, MOVES - 1), within


def _way(number: Tensor) -> Tensor:
    """Down and right of the moves of these numbers, int64 (..., 2)."""
    return torch.stack([number // GRID[1] - REACH[0], number % GRID[1] - REACH[1]], -1)
