"""Where things go: a small network that looks at each from close by, always from the same distance.

Shape suffixes as in ``things``, and Z for all things of a batch, i j for moves down and right.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import Downsample, ResidualBlock, zero
from rayatari.models.frames import FramePatches
from rayatari.models.hardware import follows_data
from rayatari.models.mapper import ActionFeatures
from rayatari.models.things import (
    GONE,
    GRID,
    MOVES,
    REACH,
    UNCLEAR,
    Ahead,
    Things,
    arrived,
    carry_on,
    colours_at,
)

WINDOW = (48, 56)
"""Height and width of what is seen around a thing."""
BEFORE = (20, 26)
"""Rows and columns of the window above and to the left of a thing's corner."""


class Mover(nn.Module):
    """By how much things move next: scores of all moves, seen from where each thing is.

    It sees the last two frames in a window around the thing, pixel by pixel in the same place whatever the
    thing's own place, its last moves, and the actions. Scores are sums of one for the way down and one
    for the way right, each by itself, against the last moves and against their mirror images, so that going
    on and bouncing off are learned at all speeds at once.

    A thing's colour may depend on the row that it flies in, as on consoles that draw line by line.
    """

    CHANNELS, SQUEEZED, HIDDEN, SIDE, SHADES = 64, 32, 256, 4, 20.0

    def __init__(self, colours: int, rows: int, actions: int, earlier: int) -> None:
        super().__init__()
        self.colours = colours
        self.shades_HP = nn.Parameter(torch.zeros(rows, colours))
        """Logits of the colour in each row, over ``SHADES``: rows are seldom met, so each time counts."""
        self.own_PP = nn.Parameter(0.1 * torch.eye(colours))
        """The same for each colour before."""
        wide = 2 * self.CHANNELS
        cells = WINDOW[0] * WINDOW[1] // (2 * self.SIDE) ** 2
        self.pixels = FramePatches(2 * self.SIDE**2, colours + 1, self.CHANNELS)
        self.blocks = nn.Sequential(
            ResidualBlock(self.CHANNELS), ResidualBlock(self.CHANNELS), Downsample(self.CHANNELS, wide),
            ResidualBlock(wide), nn.SiLU(), nn.Conv2d(wide, self.SQUEEZED, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(self.SQUEEZED * cells, self.HIDDEN),
        )  # fmt: skip
        self.moved = nn.Linear(2 * sum(GRID), self.HIDDEN)
        self.place = nn.Linear(2, self.HIDDEN)
        self.action = ActionFeatures(actions, earlier, self.HIDDEN)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(self.HIDDEN, self.HIDDEN), nn.SiLU())
        self.tables = nn.ModuleList(nn.Linear(self.HIDDEN, size + 3 * (2 * size - 1)) for size in GRID)
        self.gone = nn.Linear(self.HIDDEN, 1)
        for layer in (*self.tables, self.gone):
            zero(layer)
        with torch.no_grad():  # an untrained mover has all things go on
            for table, size in zip(self.tables, GRID, strict=True):
                assert isinstance(table, nn.Linear)
                table.bias[size + size - 1] = 4.0

    def forward(self, past_BTHW: Tensor, things: Things, actions_BM: Tensor) -> Tensor:
        """Scores, float32 (B, G, MOVES + 1), of each thing's moves and of ``GONE``."""
        B, G = things.there.shape
        rows_Z = torch.arange(B * G, device=past_BTHW.device)
        if follows_data(past_BTHW):
            rows_Z = things.there.flatten().nonzero()[:, 0]
        corners_Z2, moves_Z22 = (
            things.corners.flatten(0, 1)[rows_Z],
            things.moves_BG22.flatten(0, 1)[rows_Z],
        )
        window_ZhwX = _windows(past_BTHW[:, -2:], rows_Z // G, corners_Z2, self.SIDE, self.colours)
        seen_ZF = self.blocks(self.pixels(window_ZhwX).permute(0, 3, 1, 2))
        hot = [F.one_hot(moves_Z22[..., axis] + REACH[axis], GRID[axis]).flatten(1) for axis in range(2)]
        moved_ZF = self.moved(torch.cat(hot, 1).to(seen_ZF.dtype))
        place_Z2 = torch.stack(
            [corners_Z2[:, 0] / past_BTHW.shape[2], corners_Z2[:, 1] / past_BTHW.shape[3]], 1
        )
        place_ZF = self.place(place_Z2.to(seen_ZF.dtype))
        mixed_ZF = self.mix(seen_ZF + moved_ZF + place_ZF + self.action(actions_BM)[rows_Z // G])
        down_Zi, right_Zj = (
            _spread(table(mixed_ZF).float(), moves_Z22[..., axis], GRID[axis])
            for axis, table in enumerate(self.tables)
        )
        plane_ZV = (down_Zi[:, :, None] + right_Zj[:, None]).flatten(1)
        scores_ZK = torch.cat([plane_ZV, self.gone(mixed_ZF).float()], 1)
        if len(rows_Z) == B * G:
            return scores_ZK.unflatten(0, (B, G))
        return scores_ZK.new_zeros(B * G, MOVES + 1).index_put((rows_Z,), scores_ZK).unflatten(0, (B, G))

    def shades(self, things: Things, moves_BG: Tensor) -> Tensor:
        """Logits (B, G, X, P) of the colours of the things' pixels after these moves."""
        rows_BGX = arrived(things, moves_BG)[..., 0].clamp(0, len(self.shades_HP) - 1)
        own_BGX = things.colours_BGX.long().clamp(max=self.colours - 1)
        return self.SHADES * (self.shades_HP[rows_BGX] + self.own_PP[own_BGX])

    def carry(self, present_BHW: Tensor, things: Things, moves_BG: Tensor) -> Ahead:
        """The things of the present moved, in the likeliest colours."""
        return carry_on(present_BHW, things, moves_BG, self.shades(things, moves_BG).argmax(-1))

    def loss(self, scores_BGK: Tensor, things: Things, truth_BG: Tensor, next_BHW: Tensor) -> Tensor:
        """Mean cross-entropy, in nats, of where things went, where that is clear, and of their colours."""
        return self._loss_of_moves(scores_BGK, truth_BG) + self._loss_of_shades(things, truth_BG, next_BHW)

    def _loss_of_shades(self, things: Things, truth_BG: Tensor, next_BHW: Tensor) -> Tensor:
        colours_BGX = colours_at(next_BHW, arrived(things, truth_BG))
        known_BG = (truth_BG != UNCLEAR) & (truth_BG != GONE)
        known_BGX = known_BG[..., None] & things.held_BGX & (colours_BGX < self.colours)
        logits_YP = self.shades(things, truth_BG).flatten(0, 2).float()
        targets_Y = colours_BGX.long().clamp(max=self.colours - 1).flatten()
        losses_Y = F.cross_entropy(logits_YP, targets_Y, reduction="none")
        return (losses_Y * known_BGX.flatten()).sum() / known_BGX.sum().clamp(min=1)

    @staticmethod
    def _loss_of_moves(scores_BGK: Tensor, truth_BG: Tensor) -> Tensor:
        clear_BG = truth_BG != UNCLEAR
        losses_X = F.cross_entropy(
            scores_BGK.flatten(0, 1), truth_BG.clamp(min=0).flatten(), reduction="none"
        )
        return (losses_X * clear_BG.flatten()).sum() / clear_BG.sum().clamp(min=1)


def _spread(tables_ZX: Tensor, moves_Z2: Tensor, size: int) -> Tensor:
    """Scores (Z, size) of all moves along one axis, from those of their ways to other moves.

    ``moves`` are the last one and that before along this axis.
    """
    absolute_ZV, onward_ZW, back_ZW, older_ZW = tables_ZX.split([size, *[2 * size - 1] * 3], 1)
    way_V = torch.arange(size, device=moves_Z2.device) + size - 1 - size // 2
    last_Z1, before_Z1 = moves_Z2.split(1, 1)
    return (
        absolute_ZV
        + onward_ZW.gather(1, way_V - last_Z1)
        + back_ZW.gather(1, way_V + last_Z1)
        + older_ZW.gather(1, way_V - before_Z1)
    )


def _windows(past_BTHW: Tensor, sample_Z: Tensor, corners_Z2: Tensor, side: int, outside: int) -> Tensor:
    """What is seen around each corner, in patches (Z, h, w, T·side²), class ``outside`` beyond the frame."""
    H, W = past_BTHW.shape[2:]
    row_Zi, column_Zj = (
        corners_Z2[:, axis, None] - BEFORE[axis] + torch.arange(WINDOW[axis], device=past_BTHW.device)
        for axis in range(2)
    )
    inside_Zij = ((row_Zi >= 0) & (row_Zi < H))[:, :, None] & ((column_Zj >= 0) & (column_Zj < W))[:, None]
    flat_Zij = row_Zi.clamp(0, H - 1)[:, :, None] * W + column_Zj.clamp(0, W - 1)[:, None]
    seen_ZTX = past_BTHW.flatten(2)[sample_Z[:, None], :, flat_Zij.flatten(1)].transpose(1, 2)
    seen_ZTij = torch.where(inside_Zij[:, None], seen_ZTX.unflatten(2, WINDOW), outside)
    cells = seen_ZTij.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3)
