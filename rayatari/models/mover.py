"""Where things go: a small network that looks at each from close by, always from the same distance.

Shape suffixes as in ``things``, and Z for all things of a batch, i j for moves down and right.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import Downsample, ResidualBlock, zero
from rayatari.models.frames import FramePatches
from rayatari.models.hardware import follows_data
from rayatari.models.mapper import ActionFeatures
from rayatari.models.motion import GRID, REACH, way_of
from rayatari.models.things import (
    GONE,
    UNCLEAR,
    Arrival,
    Things,
    colours_at,
)

WINDOW = (48, 56)
"""Height and width of what is seen around a thing."""
BEFORE = (20, 26)
"""Rows and columns of the window above and to the left of a thing's corner."""

MASK = (16, 12)
"""Height and width of the mask of what a thing shows where it comes to."""
ABOVE = (6, 4)
"""Rows and columns of the mask above and to the left of where a thing's corner comes to."""


@dataclass(frozen=True)
class Outlook:
    """What the mover sees for each thing."""

    scores_BGK: Tensor
    """Scores, float32, of each move and of ``GONE``."""
    features_BGF: Tensor
    """What its surroundings look like."""

    @property
    def likeliest(self) -> Tensor:
        """Number of the likeliest move of each thing, int64 (B, G), or ``GONE``.

        That must be likelier than all moves together: where a ball bounces, each by itself is not likely.
        """
        gone_BG = self.scores_BGK[..., GONE] > self.scores_BGK[..., :GONE].logsumexp(-1)
        return self.scores_BGK[..., :GONE].argmax(-1).masked_fill(gone_BG, GONE)


class Mover(nn.Module):
    """By how much things move next: scores of all moves, seen from where each thing is.

    It sees the last two frames in a window around the thing, pixel by pixel in the same place whatever the
    thing's own place, its last moves, and the actions. Scores are sums of one for the way down and one
    for the way right, each by itself, against the last moves and against their mirror images, so that going
    on and bouncing off are learned at all speeds at once.

    Where it comes to, a mask says which pixels show it: what flies behind something is seen in part, and
    whole again afterwards. Its colour may depend on the row, as on consoles that draw line by line.
    """

    CHANNELS, SQUEEZED, HIDDEN, MASKING, SIDE, SHADES, RIGID = 64, 32, 256, 64, 4, 20.0, 3.0

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
        self.place = nn.Linear(3, self.HIDDEN)
        self.action = ActionFeatures(actions, earlier, self.HIDDEN)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(self.HIDDEN, self.HIDDEN), nn.SiLU())
        self.tables = nn.ModuleList(nn.Linear(self.HIDDEN, size + 3 * (2 * size - 1)) for size in GRID)
        self.gone = nn.Linear(self.HIDDEN, 1)
        cells = MASK[0] * MASK[1]
        self.around = nn.Linear(self.HIDDEN, self.MASKING)
        self.beneath = FramePatches(cells, colours + 1, self.MASKING)
        self.mask = nn.Linear(self.MASKING, cells)
        for layer in (*self.tables, self.gone, self.mask):
            zero(layer)
        with torch.no_grad():  # an untrained mover has all things go on
            for table, size in zip(self.tables, GRID, strict=True):
                assert isinstance(table, nn.Linear)
                table.bias[size + size - 1] = 4.0

    def forward(self, past_BTHW: Tensor, things: Things, actions_BM: Tensor) -> Outlook:
        """Look at each thing of a past, classes uint8 (B, T, H, W), under these actions (B, M)."""
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
        H, W = past_BTHW.shape[2:]
        place_Z3 = torch.stack(
            [corners_Z2[:, 0] / H, corners_Z2[:, 1] / W, things.hidden_BG.flatten()[rows_Z].float()], 1
        )
        place_ZF = self.place(place_Z3.to(seen_ZF.dtype))
        mixed_ZF = self.mix(seen_ZF + moved_ZF + place_ZF + self.action(actions_BM)[rows_Z // G])
        down_Zi, right_Zj = (
            _spread(table(mixed_ZF).float(), moves_Z22[..., axis], GRID[axis])
            for axis, table in enumerate(self.tables)
        )
        plane_ZV = (down_Zi[:, :, None] + right_Zj[:, None]).flatten(1)
        scores_ZK = torch.cat([plane_ZV, self.gone(mixed_ZF).float()], 1)
        return Outlook(_placed(scores_ZK, rows_Z, B, G), _placed(mixed_ZF, rows_Z, B, G))

    def arrive(
        self, present_BHW: Tensor, things: Things, outlook: Outlook, moves_BG: Tensor | None = None
    ) -> Arrival:
        """What the things of the present show after these moves, by default the likeliest."""
        moves_BG = outlook.likeliest if moves_BG is None else moves_BG
        places_BGK2, masks_BGK = self._masks(present_BHW, things, outlook, moves_BG)
        colours_BGK = self._shades(things, places_BGK2).argmax(-1).to(torch.uint8)
        shown_BGK = (masks_BGK > 0) & things.there[..., None]
        return Arrival(moves_BG, places_BGK2, shown_BGK, colours_BGK)

    def _masks(
        self, present_BHW: Tensor, things: Things, outlook: Outlook, moves_BG: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Places (B, G, K, 2) around where things come to, and scores of their showing there.

        An untrained mask is the thing as it is.
        """
        way_BG2, device = way_of(moves_BG), moves_BG.device
        row_K, column_K = (
            part.flatten()
            for part in torch.meshgrid(*(torch.arange(n, device=device) for n in MASK), indexing="ij")
        )
        offset_K2 = torch.stack([row_K - ABOVE[0], column_K - ABOVE[1]], 1)
        now_BGK2 = things.corners[:, :, None] + offset_K2
        places_BGK2 = now_BGK2 + way_BG2[:, :, None]
        own_BGKX = (now_BGK2[:, :, :, None] == things.places_BGX2[:, :, None]).all(-1)
        own_BGK = (own_BGKX & things.held_BGX[:, :, None]).any(-1).float()
        beneath_BGK = colours_at(present_BHW, places_BGK2).clamp(max=self.colours)
        features_BGF = self.around(outlook.features_BGF) + self.beneath(beneath_BGK[:, :, None])[:, :, 0]
        return places_BGK2, self.mask(F.silu(features_BGF)).float() + self.RIGID * (2 * own_BGK - 1)

    def _shades(self, things: Things, places_BGX2: Tensor) -> Tensor:
        """Logits (B, G, X, P) of the colours that things have at these places."""
        rows_BGX = places_BGX2[..., 0].clamp(0, len(self.shades_HP) - 1)
        own_BGP = self.own_PP[things.colours_BGX.long().clamp(max=self.colours - 1)[..., 0]]
        return self.SHADES * (self.shades_HP[rows_BGX] + own_BGP[:, :, None])

    def loss(
        self, outlook: Outlook, things: Things, truth: Arrival, present_BHW: Tensor, next_BHW: Tensor
    ) -> Tensor:
        """Where things went, what they show there and in which colours: mean cross-entropies, in nats.

        Only what is clear counts. Of a mask, that is not where something of the thing's colour was and is.
        """
        moves = self._loss_of_moves(outlook.scores_BGK, truth.moves_BG)
        return (
            moves
            + self._loss_of_shades(things, truth)
            + self._loss_of_masks(outlook, things, truth, present_BHW, next_BHW)
        )

    def _loss_of_shades(self, things: Things, truth: Arrival) -> Tensor:
        known_BGX = truth.held_BGX & (truth.colours_BGX < self.colours)
        logits_YP = self._shades(things, truth.places_BGX2).flatten(0, 2).float()
        targets_Y = truth.colours_BGX.long().clamp(max=self.colours - 1).flatten()
        losses_Y = F.cross_entropy(logits_YP, targets_Y, reduction="none")
        return (losses_Y * known_BGX.flatten()).sum() / known_BGX.sum().clamp(min=1)

    def _loss_of_masks(
        self, outlook: Outlook, things: Things, truth: Arrival, present_BHW: Tensor, next_BHW: Tensor
    ) -> Tensor:
        """Summed over a thing's mask, mean over things that move."""
        places_BGK2, masks_BGK = self._masks(present_BHW, things, outlook, truth.moves_BG)
        equal_BGKX = (places_BGK2[:, :, :, None] == truth.places_BGX2[:, :, None]).all(-1)
        shows_BGK = (equal_BGKX & truth.held_BGX[:, :, None]).any(-1)
        was_BGK, is_BGK = (colours_at(frame_BHW, places_BGK2) for frame_BHW in (present_BHW, next_BHW))
        shade_BGK = self._shades(things, places_BGK2).argmax(-1)
        clear_BGK = shows_BGK | (was_BGK != is_BGK) | (is_BGK != shade_BGK)
        moved_BG = truth.held_BGX.any(-1)
        losses_BGK = F.binary_cross_entropy_with_logits(masks_BGK, shows_BGK.float(), reduction="none")
        return (losses_BGK * (clear_BGK & moved_BG[..., None])).sum() / moved_BG.sum().clamp(min=1)

    @staticmethod
    def _loss_of_moves(scores_BGK: Tensor, truth_BG: Tensor) -> Tensor:
        clear_BG = truth_BG != UNCLEAR
        losses_X = F.cross_entropy(
            scores_BGK.flatten(0, 1), truth_BG.clamp(min=0).flatten(), reduction="none"
        )
        return (losses_X * clear_BG.flatten()).sum() / clear_BG.sum().clamp(min=1)


def _placed(values_ZF: Tensor, rows_Z: Tensor, B: int, G: int) -> Tensor:
    """Values of these rows of B·G things, 0 for all others; (B, G, F)."""
    if rows_Z.shape[0] != B * G:
        values_ZF = values_ZF.new_zeros(B * G, values_ZF.shape[1]).index_put((rows_Z,), values_ZF)
    return values_ZF.unflatten(0, (B, G))


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
