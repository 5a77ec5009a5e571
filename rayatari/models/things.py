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

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.motion import MOVES, motion_between, number_of, way_of

GONE = MOVES
"""Stands, after all moves, for a thing that is not there any more."""
UNCLEAR = -1
"""Stands for a step of which no one can say where the thing went."""
RIM = 2
"""Pixels around a thing in which nothing may be drawn in its colour."""
OUTSIDE = 255


@dataclass(frozen=True)
class Things:
    """At most G things that moved in the last step of each of B pasts, or in the one before and are hidden
    now: consoles do not draw a ball in the frame in which it hits a wall.
    """

    places_BGX2: Tensor
    """Row and column of each pixel where it was seen last, int64; what is not ``held`` means nothing."""
    held_BGX: Tensor
    """Which of the X places are taken, bool."""
    colours_BGX: Tensor
    """Classes of the pixels, uint8."""
    covered_BGX: Tensor
    """Classes of what is there without them, uint8."""
    moves_BG22: Tensor
    """Down and right by how much each came there, and in the step before, or 0 where that is not known;
    int64."""
    hidden_BG: Tensor
    """Which were seen last in the frame before the present, bool."""

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


def find_things(past_BTHW: Tensor, groups: int) -> Things:
    """What moved as a whole in the last steps of a past, classes uint8 (B, T, H, W), T at least 3."""
    older_BHW, before_BHW, present_BHW = past_BTHW[:, -3:].unbind(1)
    both = motion_between(torch.cat([before_BHW, older_BHW]), torch.cat([present_BHW, before_BHW]), groups)
    (moves_BG2, earlier_BG2), (places_BGX2, earlier_BGX2), (held_BGX, earlier_held_BGX) = (
        part.unflatten(0, (2, -1)).unbind() for part in (both.moves_BG2, both.places_BGX2, both.held_BGX)
    )
    was_at_BGX2 = places_BGX2 - moves_BG2[:, :, None]
    share_BGG = _overlap(was_at_BGX2, held_BGX, earlier_BGX2, earlier_held_BGX)
    most_BG, which_BG = share_BGG.max(2)
    before_BG2 = earlier_BG2.gather(1, which_BG[..., None].expand(-1, -1, 2)) * (most_BG > 0.5)[..., None]
    seen = Things(
        places_BGX2=places_BGX2,
        held_BGX=held_BGX,
        colours_BGX=colours_at(present_BHW, places_BGX2),
        covered_BGX=colours_at(before_BHW, places_BGX2),
        moves_BG22=torch.stack([moves_BG2, before_BG2], 2) * held_BGX.any(-1)[..., None, None],
        hidden_BG=torch.zeros_like(held_BGX[..., 0]),
    )
    earlier_colours_BGX = colours_at(before_BHW, earlier_BGX2)
    covered_BGX = colours_at(present_BHW, earlier_BGX2)
    stays_BG = ((covered_BGX == earlier_colours_BGX) & earlier_held_BGX).any(-1)
    hidden_BG = earlier_held_BGX.any(-1) & ~stays_BG & (share_BGG.amax(1) == 0)
    hidden = Things(
        places_BGX2=earlier_BGX2,
        held_BGX=earlier_held_BGX & hidden_BG[..., None],
        colours_BGX=earlier_colours_BGX,
        covered_BGX=covered_BGX,
        moves_BG22=torch.stack([earlier_BG2, torch.zeros_like(earlier_BG2)], 2) * hidden_BG[..., None, None],
        hidden_BG=hidden_BG,
    )
    return _first_things([seen, hidden], groups)


def _first_things(some: list[Things], groups: int) -> Things:
    """The first ``groups`` that there are of several lots of things."""
    merged = {
        field.name: torch.cat([getattr(things, field.name) for things in some], 1) for field in fields(Things)
    }
    there_BG = torch.cat([things.there for things in some], 1)
    first_M = torch.arange(there_BG.shape[1], 0, -1, device=there_BG.device)
    order_BG = (there_BG * first_M).topk(groups, 1).indices

    def pick(part: Tensor) -> Tensor:
        index = order_BG.view(*order_BG.shape, *[1] * (part.ndim - 2))
        return part.gather(1, index.expand(-1, -1, *part.shape[2:]))

    return Things(**{name: pick(part) for name, part in merged.items()})


def true_arrival(things: Things, past_BTHW: Tensor, next_BHW: Tensor) -> Arrival:
    """Where each thing of a past is in the next frame.

    Its move is that of what moved in the step from where it was seen last, and it shows what moved so, which
    is more or less of it than before where something hides it. It has not moved where it looks as it did,
    and is gone where little of it does. A hidden one that looks so is unclear.
    """
    present_BHW, before_BHW = past_BTHW[:, -1], past_BTHW[:, -2]
    both = motion_between(
        torch.cat([present_BHW, before_BHW]), torch.cat([next_BHW, next_BHW]), things.there.shape[1]
    )
    moves_BM2, places_BMX2, held_BMX = (
        torch.cat(part.unflatten(0, (2, -1)).unbind(), 1)
        for part in (both.moves_BG2, both.places_BGX2, both.held_BGX)
    )
    share_BGM = _overlap(things.places_BGX2, things.held_BGX, places_BMX2 - moves_BM2[:, :, None], held_BMX)
    of_hidden_M = torch.arange(share_BGM.shape[2], device=share_BGM.device) >= share_BGM.shape[1]
    most_BG, which_BG = (share_BGM * (of_hidden_M == things.hidden_BG[..., None])).max(2)
    number_BG = number_of(moves_BM2.gather(1, which_BG[..., None].expand(-1, -1, 2)))
    stays_BGX = colours_at(next_BHW, things.places_BGX2) == things.colours_BGX
    full_BG, still_BG = things.held_BGX.sum(-1), (stays_BGX & things.held_BGX).sum(-1)
    at_rest_BG = torch.where(4 * still_BG < full_BG, GONE, UNCLEAR)
    at_rest_BG = torch.where((still_BG == full_BG) & ~things.hidden_BG, MOVES // 2, at_rest_BG)
    at_rest_BG = torch.where(most_BG > 0, UNCLEAR, at_rest_BG)
    moved_BG = (most_BG > 0.7) & things.there
    which_BGX = which_BG[..., None].expand(-1, -1, held_BMX.shape[2])
    places_BGX2 = places_BMX2.gather(1, which_BGX[..., None].expand(-1, -1, -1, 2))
    return Arrival(
        moves_BG=torch.where(moved_BG, number_BG, at_rest_BG).masked_fill(~things.there, UNCLEAR),
        places_BGX2=places_BGX2,
        held_BGX=held_BMX.gather(1, which_BGX) & moved_BG[..., None],
        colours_BGX=colours_at(next_BHW, places_BGX2),
    )


def turning(things: Things, moves_BG: Tensor) -> Tensor:
    """Which things go elsewhere than they came from, by more than the pixel that rounding makes, or are gone;
    bool (B, G). ``moves`` are the numbers of their moves.
    """
    off_BG = (way_of(moves_BG) - things.moves_BG22[:, :, 0]).abs().amax(-1)
    return things.there & (moves_BG != UNCLEAR) & ((off_BG > 1) | (moves_BG == GONE))


def keep_flying(things: Things, moves_BG: Tensor, most: int) -> Tensor:
    """The numbers of these moves (B, G), ``GONE`` for all but ``most`` things that go somewhere.

    Those stay that are seen, before hidden ones; of them those that had been seen before they came.
    """
    goes_BG = things.there & (moves_BG != GONE)
    groups = goes_BG.shape[1]
    known_BG = (things.moves_BG22[:, :, 1] != 0).any(-1)
    order_G = torch.arange(groups, 0, -1, device=goes_BG.device)
    worth_BG = goes_BG * (order_G + groups * known_BG + 2 * groups * ~things.hidden_BG)
    kept_BG = torch.zeros_like(goes_BG).scatter(1, worth_BG.topk(min(most, groups), 1).indices, True)
    return moves_BG.masked_fill(goes_BG & ~kept_BG, GONE)


def _overlap(ours_BGX2: Tensor, held_BGX: Tensor, theirs_BGX2: Tensor, theirs_held_BGX: Tensor) -> Tensor:
    """Pixels that our and M of their things have in common, as a share of the smaller one; (B, G, M)."""
    equal_BGXMX = (ours_BGX2[:, :, :, None, None] == theirs_BGX2[:, None, None]).all(-1)
    equal_BGXMX = equal_BGXMX & held_BGX[:, :, :, None, None] & theirs_held_BGX[:, None, None]
    both_BGM = equal_BGXMX.sum((2, 4))
    smaller_BGM = torch.minimum(held_BGX.sum(-1)[:, :, None], theirs_held_BGX.sum(-1)[:, None])
    return both_BGM / smaller_BGM.clamp(min=1)


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


def ahead_with(bare_BHW: Tensor, shown_BHW: Tensor) -> Ahead:
    """What is known of the next frame where all that comes is what is ``shown`` in place of the ``bare``."""
    inked_BHW = torch.where(shown_BHW != bare_BHW, shown_BHW + 1, torch.zeros_like(shown_BHW))
    return Ahead(shown_BHW, _spread_out(inked_BHW, RIM))


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
    return carry_on(present_BHW, things, true_arrival(things, past_BTHW, next_BHW))


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
