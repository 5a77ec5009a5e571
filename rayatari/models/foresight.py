"""Where a game's one piece goes next, and which tile goes with it: foretold before anything is drawn.

A ball flies by rules that a network which looks at pixels learns slowly: where along the paddle it comes down
decides, how fast the paddle goes, which bricks stand around it, how often it has been hit. A turn foretold
wrongly leads to places and speeds that never were, from which the next is told worse. What decides is a
handful of whole numbers. A small network that is given these as they are, and the tiles around the piece,
errs far less often, and chooses among moves that pieces have made, so that it leads from one place that was
in recorded play to another. It is a network of residual layers over embeddings of the numbers (Guo and
Berkhahn, 2016, "Entity embeddings of categorical variables"). The decoder is told what it says, and draws
the rest around it.

Shape suffixes beside those of ``frames``: N moments, F numbers of one, K moves, U units, P places that are
remembered, L lanes of bodies, S frames in which bodies are seen, A actions, M tiles, X cells of ``CELL``
pixels around a piece, D dimensions in which tiles are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.bodies import Lane
from rayatari.models.pieces import Pieces

PLACES = 5
"""Frames, the present one included, of which it is remembered where the piece was."""
LANES, ACTIONS = 2, 4
"""Lanes of bodies, and actions up to the one that is played, that are told of."""
SLIDES = 3
"""Frames, the present one included, in which it is told where bodies are."""
FAR, NEAR, LONG = 63, 31, 63
"""Longest ways that are told apart: of a piece, of a body in a step, and along a lane."""
HITS, BESIDE = 40, 48
"""Most turns at a body that are counted, and pixels from its lane within which a turn is one."""
MOVES, HIDDEN = 512, 127
"""Most moves that are told apart, and what stands for a move of a piece that is not seen."""
CELL, AROUND = 2, (24, 20)
"""Side of a cell of the view of tiles, in pixels, and its rows and columns of cells around the piece."""
BLOCKS, COMPARED, BESIDES = 3, 32, 40
"""Residual blocks, dimensions in which tiles are compared, and pixels from the piece to the corner of a tile
that are told apart."""
REMEMBERED = 1 + 2 * PLACES
"""Numbers remembered of a game: how often the piece turned at a body since it came, -1 where that is not
known, and its rows and columns in the last frames, the newest first, -1 where it was not seen."""
UNLIKELY = -1e4
"""Added to the logit of a move that may not be: it is made where no other may."""
NEVER = -1
"""Stands for what is not known, and for no tile."""
NO_BODY = (NEVER, 0, 0)
"""Stands for a lane that shows none."""


@dataclass(frozen=True)
class Moments:
    """What is known of N moments before a step."""

    numbers_NF: Tensor
    """See :func:`numbers`, int64."""
    there_NM: Tensor
    """Which tiles are there, bool."""


class Foresight(nn.Module):
    """A network of so many ``units`` for frames of ``shape`` with so many ``tiles``; it knows nothing until
    its training, or loaded weights.
    """

    moves_K2: Tensor
    """By how much pieces were seen further down and right of where they had been seen last, or ``HIDDEN``;
    int8; the first ``known`` of them."""
    known: Tensor
    rows_H: Tensor
    columns_W: Tensor
    """In which rows, and in which columns, the top left pixel of a piece has been, bool."""
    sizes_H2: Tensor
    """Height and width of a piece, by its top row, int64."""
    open_HW: Tensor
    """Where nothing but pieces and tiles hides the ground, bool."""
    tile_at_hw: Tensor
    """Number of the tile in each cell, int16, or that of all tiles for none."""
    corners_M2: Tensor
    """Row and column of each tile, int64."""
    low_F: Tensor
    high_F: Tensor
    starts_F: Tensor

    def __init__(self, units: int, actions: int, tiles: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.tiles, self.actions = tiles, actions
        lanes = [(NEVER, max(shape)), (0, LONG), (-LONG, LONG + 1), *[(-NEAR, NEAR + 1)] * (SLIDES - 1)]
        ranges = [(0, shape[0] - 1), (0, shape[1] - 1), *[(-FAR, FAR + 1)] * (2 * PLACES)]
        ranges += [*[each for each in lanes for _ in range(LANES)], *[(0, actions)] * ACTIONS, (0, HITS + 1)]
        sizes = [last - first + 1 for first, last in ranges]
        starts = [0, *accumulate(sizes)][:-1]
        for name, values in zip(("low_F", "high_F"), zip(*ranges, strict=True), strict=True):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.register_buffer("starts_F", torch.tensor(starts), persistent=False)
        self.values = nn.Embedding(sum(sizes), units)
        nn.init.normal_(self.values.weight, std=0.1)
        self.amounts = nn.Linear(len(ranges), units)
        self.around = nn.Linear(AROUND[0] * AROUND[1], units)
        self.blocks = nn.ModuleList(_block(units) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(units)
        self.choice = nn.Linear(units, MOVES)
        self.seeks = nn.Linear(units, COMPARED)
        self.after = nn.Embedding(MOVES, COMPARED)
        self.beside = nn.ModuleList(nn.Embedding(2 * BESIDES + 1, COMPARED) for _ in range(2))
        self.takes, self.takes_none = nn.Linear(COMPARED, 1), nn.Linear(COMPARED, 1)
        self.register_buffer("moves_K2", torch.zeros(MOVES, 2, dtype=torch.int8))
        self.register_buffer("known", torch.zeros((), dtype=torch.long))
        self.register_buffer("rows_H", torch.zeros(shape[0], dtype=torch.bool))
        self.register_buffer("columns_W", torch.zeros(shape[1], dtype=torch.bool))
        self.register_buffer("sizes_H2", torch.zeros(shape[0], 2, dtype=torch.long))
        self.register_buffer("open_HW", torch.zeros(shape, dtype=torch.bool))
        cells = shape[0] // CELL, shape[1] // CELL
        self.register_buffer("tile_at_hw", torch.full(cells, tiles, dtype=torch.int16))
        self.register_buffer("corners_M2", torch.zeros(tiles, 2, dtype=torch.long))
        self.requires_grad_(False)

    def forward(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Logits of the moves, (N, K), and the features that tiles are judged by, (N, U)."""
        inside_NF = moments.numbers_NF.maximum(self.low_F).minimum(self.high_F) - self.low_F
        share_NF = 2 * inside_NF / (self.high_F - self.low_F) - 1
        x_NU = self.values(inside_NF + self.starts_F).sum(1)
        x_NU = x_NU + self.amounts(share_NF) + self.around(self._view(moments).to(x_NU))
        for block in self.blocks:
            x_NU = x_NU + block(x_NU)
        x_NU = self.norm(x_NU)
        unknown_K = torch.arange(MOVES, device=x_NU.device) >= self.known
        return self.choice(x_NU).masked_fill(unknown_K, -torch.inf), x_NU

    def judge(self, moments: Moments, x_NU: Tensor, move_N: Tensor) -> Tensor:
        """Logits of each tile to go, minus infinity where it is not there, and of none to, (N, M + 1), where
        the moves of these numbers are made.
        """
        way_NM2 = (self.corners_M2 - moments.numbers_NF[:, None, :2]).clamp(-BESIDES, BESIDES) + BESIDES
        sought_ND = self.seeks(x_NU) + self.after(move_N)
        beside_NMD = self.beside[0](way_NM2[..., 0]) + self.beside[1](way_NM2[..., 1])
        takes_NM = self.takes(F.gelu(sought_ND[:, None] + beside_NMD))[..., 0]
        takes_NM = takes_NM.masked_fill(~moments.there_NM, -torch.inf)
        return torch.cat([takes_NM, self.takes_none(F.gelu(sought_ND))], 1)

    def tell(self, moments: Moments, may_hide_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest move from where pieces were seen last, int64 (N, 2); whether they are seen, bool; and
        the tile that goes, int64 (N,), or -1. Pieces that may not hide are seen, and none goes where none has
        been.
        """
        with torch.autocast(moments.numbers_NF.device.type, enabled=False):
            logits_NK, x_NU = self(moments)
            hides_K = self.moves_K2[:, 0] == HIDDEN
            been_NK = self._been(moments.numbers_NF[:, :2])
            may_NK = (hides_K & may_hide_N[:, None]) | (~hides_K & been_NK)
            move_N = (logits_NK + UNLIKELY * ~may_NK).argmax(1)
            goes_N = self.judge(moments, x_NU, move_N).argmax(1)
        moves_N2 = self.moves_K2[move_N].long()
        return moves_N2, moves_N2[:, 0] != HIDDEN, goes_N.masked_fill(goes_N == self.tiles, NEVER)

    def recall(self, places_BT2: Tensor) -> Tensor:
        """What can be remembered, int64 (B, R) of ``REMEMBERED`` numbers, of games of whose last frames it is
        known where the piece was.
        """
        known_BP2 = places_BT2[:, -PLACES:].flip(1)
        places_BP2 = F.pad(known_BP2, (0, 0, 0, PLACES - known_BP2.shape[1]), value=NEVER)
        return F.pad(places_BP2.flatten(1), (1, 0), value=NEVER)

    def remember(self, memory_BR: Tensor, at_B2: Tensor, flew_B: Tensor, lanes: Sequence[Lane]) -> Tensor:
        """What is remembered after a step that brought pieces to these rows and columns, -1 where none is
        seen; ``flew`` tells which had been there before.
        """
        hits_B, places_BP2 = memory_BR[:, 0], memory_BR[:, 1:].unflatten(1, (PLACES, 2))
        hits_B = torch.where(hits_B < 0, hits_B, hits_B + turned_at_body(at_B2, places_BP2, lanes))
        hits_B = torch.where(~flew_B & (at_B2[:, 0] >= 0), 0, hits_B)
        return torch.cat([hits_B[:, None], at_B2, memory_BR[:, 1:-2]], 1)

    def moments(
        self, last_B2: Tensor, memory_BR: Tensor, past_BTHW: Tensor, actions_BA: Tensor, there_BM: Tensor,
        lanes: Sequence[Lane],
    ) -> Moments:  # fmt: skip
        """The moments in which games are: where pieces were seen last, what else is remembered, the last
        frames, the last actions, the one to be played last, and which tiles are there.
        """
        newest_first = [past_BTHW[:, -back] for back in range(1, min(SLIDES, past_BTHW.shape[1]) + 1)]
        slid = [slides(frames_BHW, lanes) for frames_BHW in newest_first]
        lanes_BSL3 = torch.stack(slid + slid[-1:] * (SLIDES - len(slid)), 1)
        actions_BA = F.pad(actions_BA, (ACTIONS, 0), value=self.actions)[:, -ACTIONS:]
        hits_B, places_BP2 = memory_BR[:, 0], memory_BR[:, 1:].unflatten(1, (PLACES, 2))
        told_BF = numbers(last_B2.clamp(min=0), places_BP2, lanes_BSL3, actions_BA, hits_B)
        return Moments(told_BF, F.pad(there_BM, (0, self.tiles - there_BM.shape[1])))

    def spot(self, bare_BHW: Tensor, pieces: Pieces) -> Tensor:
        """Row and column of the piece in each frame without tiles, int64 (B, 2), -1 where none is seen.

        It may touch other things: all that is in the open is a piece. What is seen of it may end where the
        open does, and then it goes on there.
        """
        shown_BHW = self.shown(bare_BHW, pieces)
        (top_B, bottom_B), (left_B, right_B) = (_ends(shown_BHW.any(axis)) for axis in (2, 1))
        height, width = pieces.sizes[0][:2]
        row_B = torch.where(self._hides(top_B - 1, left_B), bottom_B - height + 1, top_B)
        column_B = torch.where(self._hides(top_B, left_B - 1), right_B - width + 1, left_B)
        row_B = torch.where(bottom_B - top_B + 1 < height, row_B, top_B)
        column_B = torch.where(right_B - left_B + 1 < width, column_B, left_B)
        fits_B = (bottom_B - top_B <= height) & (right_B - left_B <= width) & shown_BHW.flatten(1).any(1)
        return torch.stack([row_B, column_B], 1).masked_fill(~fits_B[:, None], NEVER)

    def shown(self, bare_BHW: Tensor, pieces: Pieces) -> Tensor:
        """Which pixels show a piece in frames without tiles, bool (B, H, W)."""
        return ((bare_BHW != pieces.ground) & self.open_HW) | pieces.free(bare_BHW)

    def _been(self, last_N2: Tensor) -> Tensor:
        """Which moves lead from there to rows and columns where a piece has been, bool (N, K)."""
        been_NK = torch.ones(last_N2.shape[0], MOVES, dtype=torch.bool, device=last_N2.device)
        for axis, been_X in enumerate((self.rows_H, self.columns_W)):
            to_NK = last_N2[:, axis, None] + self.moves_K2[:, axis].long()
            inside_NK = (to_NK >= 0) & (to_NK < len(been_X))
            been_NK = been_NK & inside_NK & been_X[to_NK.clamp(0, len(been_X) - 1)]
        return been_NK

    def _hides(self, row_B: Tensor, column_B: Tensor) -> Tensor:
        """Whether what is at these pixels may hide a piece."""
        H, W = self.open_HW.shape
        return ~self.open_HW[row_B.clamp(0, H - 1), column_B.clamp(0, W - 1)]

    def _view(self, moments: Moments) -> Tensor:
        """Which of the cells around the piece show a tile, bool (N, X)."""
        rows, columns = AROUND
        wide_hw = F.pad(self.tile_at_hw.long(), (columns // 2, columns, rows // 2, rows), value=self.tiles)
        row_r1, column_c = (torch.arange(side, device=wide_hw.device) for side in AROUND)
        offset_X = (row_r1[:, None] * wide_hw.shape[1] + column_c).flatten()
        cell_N2 = moments.numbers_NF[:, :2] // CELL
        first_N1 = (cell_N2[:, 0] * wide_hw.shape[1] + cell_N2[:, 1])[:, None]
        tile_NX = wide_hw.flatten()[first_N1 + offset_X]
        return F.pad(moments.there_NM, (0, 1)).gather(1, tile_NX)


def numbers(
    last_N2: Tensor, places_NP2: Tensor, lanes_NSL3: Tensor, actions_NA: Tensor, hits_N: Tensor
) -> Tensor:
    """What a network is told of N moments, int64 (N, F).

    ``last`` is where the piece was seen last, row and column; ``places`` are those of the last frames, the
    newest first, -1 where it was not seen; ``lanes`` as of :func:`slides`, of as many frames; ``actions`` are
    the last ones, that which is played last; ``hits`` how often it turned at a body, -1 if that is not known.
    """
    gone_NP1 = places_NP2[..., :1] < 0
    way_NP2 = (last_N2[:, None] - places_NP2).clamp(-FAR, FAR).masked_fill(gone_NP1, FAR + 1)
    begins_NSL, long_NL = lanes_NSL3[..., 0], lanes_NSL3[:, 0, :, 1]
    none_NSL = begins_NSL < 0
    along_NL = last_N2.gather(1, lanes_NSL3[:, 0, :, 2])
    beside_NL = (begins_NSL[:, 0] - along_NL).clamp(-LONG, LONG).masked_fill(none_NSL[:, 0], LONG + 1)
    slid_NSL = (begins_NSL[:, :-1] - begins_NSL[:, 1:]).clamp(-NEAR, NEAR)
    slid_NSL = slid_NSL.masked_fill(none_NSL[:, :-1] | none_NSL[:, 1:], NEAR + 1)
    hits_N1 = torch.where(hits_N < 0, HITS + 1, hits_N.clamp(max=HITS))[:, None]
    parts = [last_N2, way_NP2.flatten(1), begins_NSL[:, 0], long_NL, beside_NL, slid_NSL.flatten(1)]
    return torch.cat([*parts, actions_NA, hits_N1], 1)


def slides(frames_BHW: Tensor, lanes: Sequence[Lane]) -> Tensor:
    """Where bodies begin along their lanes, -1 where there is none, how long they are, and the axis that they
    slide along; int64 (B, L, 3).
    """
    found = [F.pad(lane.seen(frames_BHW), (0, 1), value=lane.along) for lane in lanes[:LANES]]
    none_B3 = torch.tensor(NO_BODY, device=frames_BHW.device).expand(frames_BHW.shape[0], 3)
    return torch.stack(found + [none_B3] * (LANES - len(found)), 1)


def turned_at_body(at_N2: Tensor, places_NP2: Tensor, lanes: Sequence[Lane]) -> Tensor:
    """Whether pieces that are seen here now have just turned away from a body near by, bool (N,); ``places``
    are those of the frames before, as of :func:`numbers`.
    """
    seen_NP = places_NP2[..., 0] >= 0
    last_N2, before_N2 = (_place(places_NP2, seen_NP & (seen_NP.cumsum(1) == nth)) for nth in (1, 2))
    known_N = (at_N2[:, 0] >= 0) & (seen_NP.sum(1) >= 2)
    turned_N = torch.zeros_like(known_N)
    for lane in lanes[:LANES]:
        across = 1 - lane.along
        off_N = last_N2[:, across] - lane.line
        goes_N, came_N = (at_N2 - last_N2)[:, across], (last_N2 - before_N2)[:, across]
        turned_N = turned_N | ((goes_N * off_N > 0) & (came_N * off_N < 0) & (off_N.abs() < BESIDE))
    return turned_N & known_N


def _place(places_NP2: Tensor, which_NP: Tensor) -> Tensor:
    """The one of the places that is chosen, int64 (N, 2); 0 where none is."""
    return (places_NP2 * which_NP[..., None]).sum(1)


def _ends(line_BX: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last that are true, int64 (B,)."""
    counted_BX = line_BX.int()
    return counted_BX.argmax(1), line_BX.shape[1] - 1 - counted_BX.flip(1).argmax(1)


def _block(units: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(units), nn.Linear(units, 2 * units), nn.GELU(), nn.Linear(2 * units, units)
    )
