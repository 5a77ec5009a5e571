"""Rigid bodies that slide along a line, such as paddles: a game shows them whole, and so must its model.

Colours are drawn pixel by pixel, so that a body which may come to several places is torn; and since a torn
one is never met in play, it stays torn. Which bodies a game has is found in recorded frames: shapes of one
colour that come back pixel for pixel in many places along one row or column. A frame is mended where none
of the shapes that a lane may hold is seen whole in it: the one that agrees best with what was drawn is put
there, and what else has its colour in the lane goes. Where none agrees with what was drawn, a body that
recorded frames always show stays as it was. Templates that are matched to what is seen, as in sprite-based
video models (Smirnov et al., 2021, "MarioNette"), but measured and exact.

Shape suffixes beside those of ``frames``: N frames, K bodies, S the side of a mask, X pixels of a lane,
P places of all bodies that it may hold.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.measured import Measured, RecordedPlay

SIDE = 32
"""Longest side of a body, in pixels."""
SMALLEST = 24
"""Fewest pixels of a body."""
OFTEN, PLACES = 0.02, 8
"""Share of the frames that a body is seen whole in, at least, and in how many places."""
AGREES = 0.5
"""Share of a body's pixels that must have been drawn for it to be put there."""
HARDLY = 0.002
"""Share of the frames that may show less of a body than it is said to show at least."""
EITHER = 0.98
"""Share of the frames, at least, in which a lane shows a body or the ground wherever it goes on."""
_AT_ONCE = 32
_NONE = -1


@dataclass(frozen=True)
class Lane:
    """Where bodies of one colour slide, and all that it may show of one."""

    colour: int
    ground: int
    """The class that lies beneath."""
    rows: slice
    columns: slice
    placed_PX: Tensor
    """A body in each of its places, of which a part may be beyond the lane's ends; float32, 1 where it is."""
    rims_PX: Tensor
    """The pixels that touch it."""
    least_P: Tensor
    """Pixels of it that must have been drawn for it to be put there."""
    always: int
    """Pixels of its colour that the lane shows at least, whatever hides it; 0 where there may be none."""

    @property
    def along(self) -> int:
        """The axis along which bodies slide: 0 for rows, 1 for columns."""
        return int(self.columns.stop - self.columns.start > self.rows.stop - self.rows.start)

    @property
    def line(self) -> float:
        """Where the middle of the lane is on the other axis."""
        across = self.rows if self.along else self.columns
        return (across.start + across.stop - 1) / 2

    def seen(self, frames_BHW: Tensor) -> Tensor:
        """Where along the lane its bodies begin in each frame, -1 where there is none, and how long they are;
        int64 (B, 2).
        """
        own_BX = (frames_BHW[:, self.rows, self.columns] == self.colour).any(2 - self.along)
        first = self.columns.start if self.along else self.rows.start
        begin_B = torch.where(own_BX.any(1), first + own_BX.int().argmax(1), _NONE)
        return torch.stack([begin_B, own_BX.sum(1)], 1)


class Bodies(Measured):
    """The bodies of a game, at most ``count``; none until :meth:`measure` or loaded weights bring them."""

    masks_KSS: Tensor
    facts_K6: Tensor
    """Colour, ground, first and last + 1 row, first and last + 1 column of each body's lane, int64."""
    always_K: Tensor
    """Pixels that its lane shows at least, int64."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("masks_KSS", torch.zeros(count, SIDE, SIDE, dtype=torch.uint8))
        self.register_buffer("facts_K6", torch.full((count, 6), _NONE))
        self.register_buffer("always_K", torch.zeros(count, dtype=torch.long))
        self.lanes: list[Lane] = []

    def measure(self, frames_NHW: Tensor, chunks: Iterable[RecordedPlay]) -> None:
        """Find the bodies in recorded frames, classes uint8, and see in recorded play how little of each is
        shown.
        """
        self.masks_KSS.zero_()
        self.facts_K6.fill_(_NONE)
        for k, (mask, facts) in zip(range(len(self.masks_KSS)), _found(frames_NHW), strict=False):
            self.masks_KSS[k, : mask.shape[0], : mask.shape[1]] = mask
            self.facts_K6[k] = torch.tensor(facts)
        lanes = {tuple(facts) for facts in self.facts_K6.tolist() if facts[0] != _NONE}
        shown: dict[tuple[int, ...], list[Tensor]] = {lane: [] for lane in lanes}
        for play in chunks if lanes else ():
            for (colour, _, top, bottom, left, right), counts in shown.items():
                lane_THW = play.frames_THW[:, top:bottom, left:right]
                counts.append((lane_THW == colour).sum((1, 2)))
        for k, facts in enumerate(self.facts_K6.tolist()):
            if seen := shown.get(tuple(facts)):
                seen_N = torch.cat(seen).sort().values
                self.always_K[k] = seen_N[int(HARDLY * len(seen_N))]
        self._read()

    def mend(self, frames_BHW: Tensor, before_BHW: Tensor) -> Tensor:
        """The same frames, classes uint8, with torn bodies whole, and those that were lost as before."""
        for lane in self.lanes:
            crop_Bhw, was_Bhw = (frames[:, lane.rows, lane.columns] for frames in (frames_BHW, before_BHW))
            frames_BHW = frames_BHW.clone()
            frames_BHW[:, lane.rows, lane.columns] = _mended(crop_Bhw, was_Bhw, lane)
        return frames_BHW

    def _read(self) -> None:
        lanes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        kinds_K7 = torch.cat([self.facts_K6, self.always_K[:, None]], 1)
        for facts, mask in zip(kinds_K7.tolist(), self.masks_KSS.cpu(), strict=True):
            if facts[0] != _NONE:
                lanes[tuple(facts)].append(mask[: int(mask.any(1).sum()), : int(mask.any(0).sum())])
        self.lanes = [_lane(facts, masks, self.masks_KSS.device) for facts, masks in lanes.items()]


def _lane(facts: tuple[int, ...], masks: list[Tensor], device: torch.device) -> Lane:
    colour, ground, top, bottom, left, right, always = facts
    placed, rims, least = [], [], []
    for mask in masks:
        tall, wide = mask.shape
        # As far beyond the lane's ends as it may slide out of sight, but not across the lane.
        beyond = tall - 1 if bottom - top > tall else 0, wide - 1 if right - left > wide else 0
        for row in range(-beyond[0], bottom - top - tall + beyond[0] + 1):
            for column in range(-beyond[1], right - left - wide + beyond[1] + 1):
                field = torch.zeros(bottom - top + 2 * SIDE, right - left + 2 * SIDE)
                field[SIDE + row :, SIDE + column :][:tall, :wide] = mask
                rim = F.max_pool2d(field[None], 3, 1, 1)[0] - field
                inside = field[SIDE:-SIDE, SIDE:-SIDE].flatten()
                half = AGREES * mask.sum()
                if inside.sum() >= min(half, always or half):
                    placed.append(inside)
                    rims.append(rim[SIDE:-SIDE, SIDE:-SIDE].flatten())
                    least.append(torch.minimum(half, inside.sum()))
    return Lane(
        colour, ground, slice(top, bottom), slice(left, right),
        torch.stack(placed).to(device), torch.stack(rims).to(device), torch.stack(least).to(device), always,
    )  # fmt: skip


def _mended(crop_Bhw: Tensor, was_Bhw: Tensor, lane: Lane) -> Tensor:
    seen_BX, was_BX = crop_Bhw.flatten(1), was_Bhw.flatten(1)
    own_BX, bare_BX = seen_BX == lane.colour, seen_BX == lane.ground  # elsewhere something hides it
    with torch.autocast(crop_Bhw.device.type, enabled=False):
        hits_BP, misses_BP = own_BX.float() @ lane.placed_PX.T, bare_BX.float() @ lane.placed_PX.T
        beside_BP = own_BX.float() @ lane.rims_PX.T
    fits_BP = hits_BP >= lane.least_P
    whole_B = (fits_BP & (misses_BP == 0) & (beside_BP == 0)).any(1)
    found_B = fits_BP.any(1)
    best_B = (hits_BP - misses_BP).masked_fill(~fits_BP, -torch.inf).argmax(1)
    found_B1, was_own_BX = found_B[:, None], was_BX == lane.colour
    shows_BX = (found_B1 & (lane.placed_PX[best_B] > 0)) | (~found_B1 & was_own_BX)
    cleared_BX = torch.where(own_BX, lane.ground, seen_BX)
    mended_BX = torch.where(shows_BX & (own_BX | bare_BX), lane.colour, cleared_BX)
    changes_B = ~whole_B & (found_B | (lane.always > 0))
    return torch.where(changes_B[:, None], mended_BX.to(crop_Bhw.dtype), seen_BX).view_as(crop_Bhw)


def _found(frames_NHW: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
    """Masks and facts of the bodies, those seen most often first."""
    places: dict[tuple[int, int, int, bytes], list[tuple[int, int, int]]] = defaultdict(list)
    for n, shape, corner in _pieces(frames_NHW):
        places[shape].append((n, *corner))
    ground = int(frames_NHW.flatten().bincount().argmax())
    kept = []
    for (colour, tall, wide, pixels), seen in places.items():
        frames, rows, columns = (torch.tensor(values) for values in zip(*seen, strict=True))
        shown = len(frames.unique())
        along_row, along_column = len(rows.unique()) == 1, len(columns.unique()) == 1
        slides = (along_row or along_column) and len(torch.stack([rows, columns]).unique(dim=1).T) >= PLACES
        if slides and shown == len(frames) and shown >= OFTEN * len(frames_NHW):
            mask = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(tall, wide)
            box = [int(rows.min()), int(rows.max()) + tall, int(columns.min()), int(columns.max()) + wide]
            kept.append((shown, mask, [colour, ground, *box], 0 if along_row else 2))
    kept.sort(key=lambda body: -body[0])
    lanes: dict[tuple[int, ...], list[int]] = {}
    for _, _, facts, across in kept:  # all shapes that slide along a line share the longest lane of them
        key = (facts[0], across, facts[2 + across])
        box = lanes.setdefault(key, facts[2:].copy())
        for i in (0, 2):
            box[i], box[i + 1] = min(box[i], facts[2 + i]), max(box[i + 1], facts[3 + i])
    for (colour, across, _), box in lanes.items():
        _lengthen(box, 2 - across, frames_NHW, colour, ground)
    for _, mask, facts, across in kept:
        yield mask, [*facts[:2], *lanes[facts[0], across, facts[2 + across]]]


def _lengthen(box: list[int], along: int, frames_NHW: Tensor, colour: int, ground: int) -> None:
    """Let a lane go on as far as bodies come to be seen in part, as before a wall of their colour."""
    for end, step in ((along, -1), (along + 1, 1)):
        while 0 <= (beside := box[end] - (step < 0)) < frames_NHW.shape[1 + along // 2]:
            across = slice(box[2 - along], box[3 - along])
            where = (beside, across) if along == 0 else (across, beside)
            line_NX = frames_NHW[:, *where]
            own_NX, bare_NX = line_NX == colour, line_NX == ground
            either = (own_NX | bare_NX).all(1).float().mean() >= EITHER
            if not (either and own_NX.all(1).any() and bare_NX.all(1).any()):
                break
            box[end] += step


def _pieces(
    frames_NHW: Tensor,
) -> Iterator[tuple[int, tuple[int, int, int, bytes], tuple[int, int]]]:
    """Frame, shape (colour, height, width, mask) and corner of what hangs together in one colour."""
    for first in range(0, len(frames_NHW), _AT_ONCE):
        part_NHW = frames_NHW[first : first + _AT_ONCE]
        labels_X = labels(part_NHW).flatten()
        _, of_X, counts_Y = labels_X.unique(return_inverse=True, return_counts=True)
        fits_Y = (counts_Y >= SMALLEST) & (counts_Y <= SIDE * SIDE)
        H, W = part_NHW.shape[1:]
        kept = fits_Y[of_X].nonzero()[:, 0]
        order = of_X[kept].argsort(stable=True)
        for pixels in kept[order].split(counts_Y[fits_Y].tolist()):
            rows, columns = pixels % (H * W) // W, pixels % W
            top, left = int(rows.min()), int(columns.min())
            tall, wide = int(rows.max()) - top + 1, int(columns.max()) - left + 1
            if max(tall, wide) > SIDE:
                continue
            mask = torch.zeros(tall, wide, dtype=torch.uint8)
            mask[rows - top, columns - left] = 1
            n, colour = int(pixels[0]) // (H * W), int(part_NHW.flatten()[pixels[0]])
            yield first + n, (colour, tall, wide, mask.numpy().tobytes()), (top, left)


def labels(frames_NHW: Tensor) -> Tensor:
    """A number for each pixel, the same for those that hang together over at most two ``SIDE``; int64."""
    return linked([frames_NHW[:, 1:] == frames_NHW[:, :-1], frames_NHW[..., 1:] == frames_NHW[..., :-1]])


def linked(joined: Sequence[Tensor]) -> Tensor:
    """The same where pixels hang together that are ``joined``: to the next one of their column, bool
    (N, H - 1, W), and to that of their row, (N, H, W - 1).
    """
    N, _, W = joined[0].shape
    labels_NHW = torch.arange(N * joined[1].shape[1] * W).view(N, -1, W)
    for _ in range(2 * SIDE):
        before = labels_NHW
        for axis, same in enumerate(joined, 1):
            size = same.shape[axis]
            for ours, other in ((0, 1), (1, 0)):
                own, beside = labels_NHW.narrow(axis, ours, size), labels_NHW.narrow(axis, other, size)
                spread = torch.where(same, torch.maximum(own, beside), own)
                labels_NHW = labels_NHW.clone()
                labels_NHW.narrow(axis, ours, size).copy_(spread)
        labels_NHW = labels_NHW.flatten()[labels_NHW]  # as far as those have come
        if torch.equal(before, labels_NHW):
            break
    return labels_NHW
