"""How a piece goes on where that depends on what it meets, told from exact numbers.

Off a paddle or a wall of bricks a ball flies by rules that no table of places holds: where along the paddle
it came down matters, and which brick stands. A network that sees pixels tells one in four of such turns
wrongly, and each wrong one leads to places and speeds that never were, from which the next is told worse.
What decides is a handful of whole numbers: where the piece is, its last two moves, for how long it has not
been seen since, when it meets something if it goes on as it came, and where along that thing. A small
network that is given these as they are errs half as often, and chooses among moves that pieces have made,
so that it leads from one place that was in recorded play to another. It is a network of residual layers
over embeddings of the numbers (Guo and Berkhahn, 2016, "Entity embeddings of categorical variables"), and
learns in a minute of one core.

Shape suffixes beside those of ``frames``: N moments, F features of one, K moves, U units.
"""

from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.courses import FAST

AHEAD, PARTS = 12, 8
"""Places ahead where something is looked for, and how many of them make up a move like the last."""
ALONG = 24
"""Longest way along a thing, in pixels, of which its beginning is known."""
UNKNOWN = 30
"""Stands for a move or a way along a thing that is not known."""
RANGES = ((0, 223), (0, 223), *[(-FAST, UNKNOWN)] * 4, (1, AHEAD + 1), *[(-FAST, UNKNOWN)] * 2, (0, 7))
"""Least and greatest value of each feature: row and column, the move that led there, the one before it, when
something is met, where along it, down and right, and steps without being seen."""
HIDDEN = 127
"""Stands for a move of a piece that is not seen."""
MOVES = 448
"""Most moves that are told apart."""
STEPS, BATCH, LR, DECAY, DROPOUT, SMOOTHING = 8_000, 512, 4e-3, 0.3, 0.1, 0.05
"""How it learns: optimizer steps, moments of one, rates of AdamW, dropout and label smoothing."""
PLAIN = 0.15
"""Weight of a moment whose course is known without it."""


class Turns(nn.Module):
    """A network of so many ``units`` that tells moves from moments; it knows none until :meth:`learn`, or
    loaded weights.
    """

    moves_K2: Tensor
    """By how much pieces were seen further down and right of where they had been seen last, or ``HIDDEN``;
    int8; the first ``known`` of them."""
    known: Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        low, high = zip(*RANGES, strict=True)
        self.low, self.high = low, high
        sizes = [last - first + 1 for first, last in RANGES]
        self.starts = [0, *accumulate(sizes)][:-1]
        self.values = nn.Embedding(sum(sizes), units)
        nn.init.normal_(self.values.weight, std=0.1)
        self.numbers = nn.Linear(len(sizes), units)
        self.layers = nn.ModuleList([nn.Linear(units, units) for _ in range(2)])
        self.choice = nn.Linear(units, MOVES)
        self.register_buffer("moves_K2", torch.zeros(MOVES, 2, dtype=torch.int8))
        self.register_buffer("known", torch.zeros((), dtype=torch.long))
        self.requires_grad_(False)

    def forward(self, moments_BF: Tensor) -> Tensor:
        """Logits of the moves, (B, K)."""
        low_F, high_F, start_F = (moments_BF.new_tensor(part) for part in (self.low, self.high, self.starts))
        inside_BF = moments_BF.maximum(low_F).minimum(high_F)
        share_BF = (inside_BF - low_F) / (high_F - low_F)
        x_BU = self.values(inside_BF - low_F + start_F).sum(1) + self.numbers(
            share_BF.to(self.numbers.weight)
        )
        x_BU = F.gelu(x_BU)
        for layer in self.layers:
            x_BU = x_BU + F.gelu(layer(F.dropout(x_BU, DROPOUT, self.training)))
        logits_BK: Tensor = self.choice(x_BU)
        return logits_BK.masked_fill(torch.arange(MOVES, device=x_BU.device) >= self.known, -torch.inf)

    def learn(self, moments_NF: Tensor, moves_N2: Tensor, plain_N: Tensor) -> None:
        """Learn from recorded moments; ``plain`` ones, bool, count less."""
        found_M2, which_N, often_M = moves_N2.unique(dim=0, return_inverse=True, return_counts=True)
        order_M = often_M.argsort(descending=True, stable=True)
        place_M = torch.empty_like(order_M).index_copy_(0, order_M, torch.arange(len(order_M)))
        most = min(MOVES, len(found_M2))
        self.moves_K2[:most] = found_M2[order_M[:most]].to(torch.int8)
        self.known.fill_(most)
        which_N = place_M[which_N]
        kept_N = which_N < most
        moments_NF, which_N, plain_N = moments_NF[kept_N], which_N[kept_N], plain_N[kept_N]
        weights_N = torch.where(plain_N, PLAIN, 1.0)
        was_training = self.training
        self.requires_grad_(True).train()
        optimizer = torch.optim.AdamW(self.parameters(), LR, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
        with torch.enable_grad():
            for _ in range(STEPS):
                chosen_B = torch.multinomial(weights_N, BATCH, replacement=True)
                logits_BK = self(moments_NF[chosen_B])[:, :most]
                loss = F.cross_entropy(logits_BK, which_N[chosen_B], label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.requires_grad_(False).train(was_training)

    def tell(self, moments_BF: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest move from where pieces were seen last, int64 (B, 2), and if they are seen, bool."""
        with torch.autocast(moments_BF.device.type, enabled=False):
            moves_B2 = self.moves_K2[self(moments_BF).argmax(1)].long()
        return moves_B2, moves_B2[:, 0] != HIDDEN


def moments(waited_B: Tensor, places_B32: Tensor, obstacles_BHW: Tensor, size: tuple[int, ...]) -> Tensor:
    """Features of moments, int64 (B, F): steps without a piece of that height and width, its last three
    places, the newest first, -1 where they are not known, and which pixels something else takes, bool.
    """
    at_B2, before_B2, first_B2 = places_B32.unbind(1)
    came_B2 = _move(before_B2, at_B2)
    meets_B, pixel_B2 = _met(at_B2, came_B2, obstacles_BHW, size)
    ways_B2 = torch.stack([_way(pixel_B2, obstacles_BHW, axis) for axis in (0, 1)], 1)
    along_B2 = at_B2 - pixel_B2 + ways_B2
    along_B2 = along_B2.masked_fill((ways_B2 == ALONG) | (meets_B > AHEAD)[:, None], UNKNOWN)
    moves = [came_B2, _move(first_B2, before_B2)]
    return torch.cat([at_B2, *moves, meets_B[:, None], along_B2, waited_B[:, None]], 1)


def _move(from_B2: Tensor, to_B2: Tensor) -> Tensor:
    known_B1 = ((from_B2 >= 0) & (to_B2 >= 0)).all(1, keepdim=True)
    return torch.where(known_B1, (to_B2 - from_B2).clamp(-FAST, FAST), UNKNOWN)


def _met(
    at_B2: Tensor, came_B2: Tensor, obstacles_BHW: Tensor, size: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """After how many parts of its last move a piece meets something, 1 to ``AHEAD``, or one more, int64 (B,);
    and the first pixel of that, int64 (B, 2).
    """
    B, H, W = obstacles_BHW.shape
    part_S = torch.arange(1, AHEAD + 1, device=at_B2.device)
    ahead_BS2 = at_B2[:, None] + torch.round(came_B2[:, None] * part_S[:, None] / PARTS).long()
    own_P2 = [[down, right] for down in range(size[0]) for right in range(size[1])]
    pixels_BX2 = (ahead_BS2[:, :, None] + torch.tensor(own_P2, device=at_B2.device)).flatten(1, 2)
    row_BX, column_BX = pixels_BX2.unbind(2)
    inside_BX = (row_BX >= 0) & (row_BX < H) & (column_BX >= 0) & (column_BX < W)
    flat_BX = row_BX.clamp(0, H - 1) * W + column_BX.clamp(0, W - 1)
    taken_BX = obstacles_BHW.flatten(1).gather(1, flat_BX) & inside_BX
    first_B = taken_BX.int().argmax(1)
    meets_B = torch.where(taken_BX.any(1), first_B // (size[0] * size[1]) + 1, AHEAD + 1)
    return meets_B, pixels_BX2.gather(1, first_B.view(B, 1, 1).expand(B, 1, 2))[:, 0]


def _way(pixel_B2: Tensor, obstacles_BHW: Tensor, axis: int) -> Tensor:
    """How many pixels before this one, up or to the left, are taken without a gap; at most ``ALONG``."""
    _, H, W = obstacles_BHW.shape
    back_X = torch.arange(1, ALONG + 1, device=pixel_B2.device)
    row_BX = pixel_B2[:, :1] - (back_X if axis == 0 else torch.zeros_like(back_X))
    column_BX = pixel_B2[:, 1:] - (back_X if axis == 1 else torch.zeros_like(back_X))
    flat_BX = row_BX.clamp(0, H - 1) * W + column_BX.clamp(0, W - 1)
    taken_BX = obstacles_BHW.flatten(1).gather(1, flat_BX) & (row_BX >= 0) & (column_BX >= 0)
    return torch.where(taken_BX.all(1), ALONG, (~taken_BX).int().argmax(1))
