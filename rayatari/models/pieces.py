"""Small rectangles that stand free, such as a ball: a game shows them whole, and never more than it has.

A decoder leaves crumbs beside a ball, draws half of it, or two where it may go two ways. Of what sizes such
pieces are in a game, and where, is measured on recorded frames; what else stands free in a drawn frame goes,
and where most of a known piece was drawn, it is shown whole. What touches anything else is left alone.

To stand free is to lie in a box of ``BOX`` pixels with nothing but ground around it. Balls and missiles of
the Atari 2600 are rectangles by their making.

Shape suffixes beside those of ``frames``: N frames, K sizes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.hardware import follows_data
from rayatari.models.measured import Measured

BOX = (6, 4)
"""Rows and columns of the box that a piece fits in."""
SIZES = 8
"""Most sizes of a game's pieces; also what is seen of one at the edge of its field is one."""
OFTEN, SLACK = 0.005, 4
"""Share of the frames from which on a size may come to other rows than it was seen in, and how far."""
AGREES = 0.5
"""Share of a piece's pixels that must have been drawn for it to be shown."""
AWAY = 0.05
"""Pixels of agreement that a pixel of distance from the piece before costs."""


class Pieces(Measured):
    """A game's pieces, at most ``most`` at once; none until :meth:`measure` or loaded weights bring them."""

    facts_K6: Tensor
    """Height and width of each size, first and last row and column of its top left pixel, int64."""
    colours_H: Tensor
    """Class of a piece's pixels in each row, uint8."""
    ground: Tensor
    """The class that lies beneath, uint8."""

    def __init__(self, most: int, height: int) -> None:
        super().__init__()
        self.most = most
        self.register_buffer("facts_K6", torch.zeros(SIZES, 6, dtype=torch.long))
        self.register_buffer("colours_H", torch.zeros(height, dtype=torch.uint8))
        self.register_buffer("ground", torch.zeros((), dtype=torch.uint8))
        self.sizes: list[tuple[int, ...]] = []

    def measure(self, frames_NHW: Tensor) -> None:
        """Find the sizes in recorded frames, classes uint8."""
        self.facts_K6.zero_()
        self.ground.fill_(int(frames_NHW.flatten().bincount().argmax()))
        places: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        colours: dict[int, Counter[int]] = defaultdict(Counter)
        for frame_HW, rows, columns in self._found(frames_NHW):
            top, left = min(rows), min(columns)
            size = max(rows) - top + 1, max(columns) - left + 1
            if size[0] * size[1] == len(rows):
                places[size].append((top, left))
                for row, column in zip(rows, columns, strict=True):
                    colours[row][int(frame_HW[row, column])] += 1
        kept = sorted(places, key=lambda size: -len(places[size]))[:SIZES]
        for k, size in enumerate(kept):
            tops, _ = zip(*places[size], strict=True)
            lefts = [left for found in places.values() for _, left in found]
            slack = SLACK if len(tops) >= OFTEN * len(frames_NHW) else 0
            box = min(tops) - slack, max(tops) + slack, min(lefts) - SLACK, max(lefts) + SLACK
            self.facts_K6[k] = torch.tensor([*size, *box])
        for row in range(len(self.colours_H) if colours else 0):
            nearest = min(colours, key=lambda seen: abs(seen - row))
            self.colours_H[row] = colours[nearest].most_common(1)[0][0]
        self._read()

    def mend(self, frames_BHW: Tensor, before_BHW: Tensor) -> Tensor:
        """The same frames, classes uint8, with no other free pieces than whole ones, and at most ``most``.

        Of several those are shown that were drawn most completely and are near to where pieces were before.
        """
        if not self.sizes:
            return frames_BHW
        free_BHW = self.free(frames_BHW)
        if follows_data(frames_BHW) and self._are_whole(frames_BHW, free_BHW):
            return frames_BHW
        fixed_BHW = (frames_BHW != self.ground) & ~free_BHW
        scores_BKHW = self._scores(free_BHW) - AWAY * _distance(self.free(before_BHW))
        mended_BHW = torch.where(free_BHW, self.ground, frames_BHW)
        row_H1, column_W = _axes(frames_BHW)
        for _ in range(self.most):
            best_B, k_B, row_B, column_B = _best(scores_BKHW)
            height_B, width_B = self.facts_K6[k_B, :2].T
            down_BHW, right_BHW = row_H1 - row_B.view(-1, 1, 1), column_W - column_B.view(-1, 1, 1)
            shown_BHW = (down_BHW >= 0) & (down_BHW < height_B.view(-1, 1, 1)) & (right_BHW >= 0)
            shown_BHW = shown_BHW & (right_BHW < width_B.view(-1, 1, 1)) & ~fixed_BHW
            shown_BHW = shown_BHW & (best_B > -torch.inf).view(-1, 1, 1)
            mended_BHW = torch.where(shown_BHW, self.colours_H[:, None], mended_BHW)
            near_BHW = (down_BHW.abs() <= BOX[0]) & (right_BHW.abs() <= BOX[1])
            scores_BKHW = scores_BKHW.masked_fill(near_BHW[:, None], -torch.inf)
        return mended_BHW

    def _are_whole(self, frames_BHW: Tensor, free_BHW: Tensor) -> bool:
        """Whether each frame's free pixels are none or one whole piece, so that nothing is to be mended."""
        for frame_HW, free_HW in zip(frames_BHW, free_BHW, strict=True):
            rows, columns = free_HW.any(1).nonzero()[:, 0].tolist(), free_HW.any(0).nonzero()[:, 0].tolist()
            if not rows:
                continue
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            drawn_hw, colour_h1 = frame_HW[box], self.colours_H[box[0], None]
            if not (self._may_be(box) and bool((free_HW[box] & (drawn_hw == colour_h1)).all())):
                return False
        return True

    def _may_be(self, box: tuple[slice, slice]) -> bool:
        """Whether a piece may fill these rows and columns."""
        (top, below), (left, beside) = ((side.start, side.stop) for side in box)
        return any(
            (below - top, beside - left) == size[:2]
            and size[2] <= top <= size[3]
            and size[4] <= left <= size[5]
            for size in self.sizes
        )

    def free(self, frames_BHW: Tensor) -> Tensor:
        """Which pixels belong to something that stands free, bool (B, H, W)."""
        drawn_BHW = frames_BHW != self.ground
        inner_BHW = _counted(drawn_BHW, 0, BOX[0], 0, BOX[1])
        outer_BHW = _counted(drawn_BHW, -1, BOX[0] + 1, -1, BOX[1] + 1)
        alone_BHW = (inner_BHW > 0) & (inner_BHW == outer_BHW)
        return drawn_BHW & (_counted(alone_BHW, 1 - BOX[0], 1, 1 - BOX[1], 1) > 0)

    def _scores(self, free_BHW: Tensor) -> Tensor:
        """How well a piece of each size agrees, its top left pixel anywhere: float (B, K, H, W).

        Twice the pixels of it that were drawn, less all free ones around and half of those that are missing;
        minus infinity where too few were or such a piece never was.
        """
        around_BHW = _counted(free_BHW, -1, BOX[0], -1, BOX[1])
        row_H1, column_W = _axes(free_BHW)
        scores = []
        for height, width, top, bottom, left, right in self.sizes:
            hits_BHW = _counted(free_BHW, 0, height, 0, width)
            inside_HW = (row_H1 >= top) & (row_H1 <= bottom) & (column_W >= left) & (column_W <= right)
            fits_BHW = inside_HW & (hits_BHW >= AGREES * height * width)
            score_BHW = 2.5 * hits_BHW - around_BHW - 0.5 * height * width
            scores.append(score_BHW.masked_fill(~fits_BHW, -torch.inf))
        return torch.stack(scores, 1)

    def _found(self, frames_NHW: Tensor) -> Iterator[tuple[Tensor, list[int], list[int]]]:
        """Each free piece: the frame, its pixels' rows and columns."""
        for frame_HW in frames_NHW:
            left = {(y, x) for y, x in self.free(frame_HW[None])[0].nonzero().tolist()}
            while left:
                piece, reached = [], [left.pop()]
                while reached:
                    y, x = reached.pop()
                    piece.append((y, x))
                    beside = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                    left -= beside
                    reached += beside
                rows, columns = zip(*piece, strict=True)
                yield frame_HW, list(rows), list(columns)

    def _read(self) -> None:
        self.sizes = [tuple(facts) for facts in self.facts_K6.tolist() if facts[0]]


def _axes(frames_BHW: Tensor) -> tuple[Tensor, Tensor]:
    H, W = frames_BHW.shape[1:]
    return (
        torch.arange(H, device=frames_BHW.device)[:, None],
        torch.arange(W, device=frames_BHW.device),
    )


def _counted(true_BHW: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """How many are true in the rows from ``top`` to ``bottom`` - 1 and the columns likewise, counted from
    each pixel; uint8 (B, H, W). Bytes that are added line by line are what a CPU does fastest.
    """
    H, W = true_BHW.shape[1:]
    counts_BHW = F.pad(true_BHW.to(torch.uint8), (-left, right - 1, -top, bottom - 1))
    rows = (counts_BHW[:, row : row + H] for row in range(bottom - top))
    counts_BHW = reduce(torch.add, rows)
    columns = (counts_BHW[..., column : column + W] for column in range(right - left))
    return reduce(torch.add, columns)


def _best(scores_BKHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The highest score of each frame, and its size, row and column; row by row, since that is faster."""
    B, _, H, _ = scores_BKHW.shape
    best_B, line_B = scores_BKHW.amax(3).flatten(1).max(1)
    column_B = scores_BKHW.flatten(1, 2)[torch.arange(B, device=line_B.device), line_B].argmax(1)
    return best_B, line_B // H, line_B % H, column_B


def _distance(free_BHW: Tensor) -> Tensor:
    """Pixels from each pixel to the middle of all free ones, float (B, 1, H, W); 0 where there are none."""
    row_H1, column_W = _axes(free_BHW)
    count_B = free_BHW.sum((1, 2))
    row_B, column_B = (
        ((free_BHW * axis).sum((1, 2)) / count_B.clamp(min=1)).view(-1, 1, 1) for axis in (row_H1, column_W)
    )
    far_BHW = torch.maximum((row_H1 - row_B).abs(), (column_W - column_B).abs())
    return (far_BHW * (count_B > 0).view(-1, 1, 1))[:, None]
