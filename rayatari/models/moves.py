"""Frames drawn by moving what is there: each patch of the next frame chooses where it comes from.

A colour for every pixel is the hard way to say that a ball flies on: its place within a patch times its
velocity has to be learned combination by combination, and pixels that choose for themselves tear it where
places a pixel apart are likely. Here a patch is one choice among few: to stay as it was, to be of one
colour, to hold what was at one of M displacements before, or to be painted pixel by pixel. Motion is then
exact by construction and the same in every place, as in video prediction by transformation (Finn et al.,
2016, "Unsupervised learning for physical interaction through video prediction"), but chosen, not blended.

K = 1 + P + 1 + M choices, in this order: stay, a colour, paint, a move.
"""

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.blocks import zero
from rayatari.models.frames import from_patches, one_hot, to_patches
from rayatari.models.hardware import follows_data

REACH = (16, 24)
"""Longest moves, in pixels down or up, and to the right or left."""
PAINT_COST = 5.0
"""Nats by which painting a patch is held to be less likely where a move explains it too. Painting that is
good already would else keep all of the choice, and pixels that choose for themselves tear the ball."""


class MoveChoice(nn.Module):
    """Scores the K choices of every patch from the decoder's finest features."""

    def __init__(self, channels: int, colors: int, patch: int, moves: int) -> None:
        super().__init__()
        self.colors, self.patch = colors, patch
        self.scores = nn.Linear(channels, 2 + colors + moves)
        zero(self.scores)
        with torch.no_grad():
            self.scores.bias[0] = 6.0  # an untrained decoder repeats the last frame
        self.offsets_M2: Tensor
        self.register_buffer("offsets_M2", torch.zeros(moves, 2, dtype=torch.long))


class Flow(nn.Module):
    """What the moves of the past say of the next frame: how patches came about, and where that goes on to.

    A network that has to read velocities off the pixels learns them anew for every place within a patch,
    and again at every place that they lead to. Both are facts of the past, so they are given. Before
    training it has no say but that what moved moves on.
    """

    def __init__(self, steps: int, moves: int, channels: int) -> None:
        super().__init__()
        self.came = nn.ModuleList(nn.Linear(moves, channels, bias=False) for _ in range(steps))
        self.arrives = nn.Linear(moves, channels, bias=False)
        self.goes_on = nn.Linear(channels, 1)
        zero(self)
        nn.init.constant_(self.goes_on.bias, 9.0)

    def forward(self, past_BhwTS: Tensor, offsets_M2: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, h, w, C) of T = steps + 1 past frames in patches, classes uint8, and what arrives.

        The second, bool (B, h, w, M), says which moves would bring to a patch what came by that same move.
        """
        pairs = list(itertools.pairwise(past_BhwTS.unbind(3)))
        matches = [_moved_by(*pair, offsets_M2) for pair in pairs]
        last_BhwS, present_BhwS = pairs[-1]
        arriving_BhwM = arrivals(matches[-1], present_BhwS != last_BhwS, offsets_M2)
        layers = (*self.came, self.arrives)
        features = [
            _embed(layer, found) for layer, found in zip(layers, (*matches, arriving_BhwM), strict=True)
        ]
        return torch.stack(features).sum(0), arriving_BhwM

    def scores(self, scores_BhwK: Tensor, features_BhwC: Tensor, arriving_BhwM: Tensor) -> Tensor:
        """The choices' scores, in which every move that arrives has the same: that of going on.

        Whether something goes on is learned from all velocities, and holds for those seldom seen.
        """
        others = scores_BhwK.shape[-1] - arriving_BhwM.shape[-1]
        arriving_BhwK = F.pad(arriving_BhwM, (others, 0))
        goes_on_Bhw1: Tensor = self.goes_on(features_BhwC)
        return torch.where(arriving_BhwK, goes_on_Bhw1.to(scores_BhwK.dtype), scores_BhwK)


@dataclass(frozen=True)
class MovedDrawing:
    """The choices of all patches of the next frame."""

    scores_BhwK: Tensor
    """Logits over the choices."""
    features_BhwC: Tensor
    """What painted patches are painted from."""
    last_BhwS: Tensor
    """The last frame in patches, classes uint8."""
    choice: MoveChoice
    painter: nn.Linear
    """From features to palette logits (P·S)."""
    copied: Tensor
    """Logit that a painted pixel keeps its colour by."""

    def loss(self, next_BhwS: Tensor, weights_BhwS: Tensor) -> Tensor:
        """Weighted mean over patches of minus the log-likelihood, in nats.

        A patch weighs as its heaviest pixel. Of moves that lead to the same patch the probabilities add up,
        and that of painting it counts less (:data:`PAINT_COST`).
        """
        changed_Bhw = (next_BhwS != self.last_BhwS).any(-1)
        even_Bhw = (next_BhwS == next_BhwS[..., :1]).all(-1)
        log_BhwK = self.scores_BhwK.float().log_softmax(-1)
        plain_Bhw = torch.where(changed_Bhw, 1 + next_BhwS[..., 0].long(), 0)
        log_plain_Bhw = log_BhwK.gather(-1, plain_Bhw[..., None])[..., 0]
        moving_Bhw = changed_Bhw & ~even_Bhw
        rows = _rows(moving_Bhw)
        log_moved_M = self._moved(log_BhwK, next_BhwS, rows)
        if rows is None:
            log_Bhw = torch.where(moving_Bhw, log_moved_M.view_as(log_plain_Bhw), log_plain_Bhw)
        else:
            log_Bhw = log_plain_Bhw.flatten().index_put((rows,), log_moved_M).view_as(log_plain_Bhw)
        weights_Bhw = weights_BhwS.amax(-1)
        return -(log_Bhw * weights_Bhw).sum() / weights_Bhw.sum()

    def frame(self) -> Tensor:
        """The likeliest choices drawn, classes uint8 (B, H, W)."""
        choices_Bhw = self.scores_BhwK.argmax(-1)
        colors = self.choice.colors
        moved_BhwS = self._carried((choices_Bhw - colors - 2).clamp(min=0))
        frame_BhwS = torch.where((choices_Bhw == 0)[..., None], self.last_BhwS, moved_BhwS)
        filled_Bhw = (choices_Bhw >= 1) & (choices_Bhw <= colors)
        colour_Bhw1 = (choices_Bhw - 1).clamp(0, colors - 1).to(moved_BhwS.dtype)[..., None]
        frame_BhwS = torch.where(filled_Bhw[..., None], colour_Bhw1, frame_BhwS)
        painted_Bhw = choices_Bhw == colors + 1
        rows = _rows(painted_Bhw)
        painted_MS = self._paint(rows).argmax(-2).to(frame_BhwS.dtype)
        if rows is None:
            frame_BhwS = torch.where(painted_Bhw[..., None], painted_MS.view_as(frame_BhwS), frame_BhwS)
        else:
            frame_BhwS = frame_BhwS.flatten(0, 2).index_put((rows,), painted_MS).view_as(frame_BhwS)
        return from_patches(frame_BhwS, self.choice.patch).to(torch.uint8)

    def evidence(self, colours_H: Tensor) -> Tensor:
        """Whether each pixel shows its row's class (H,), float (B, H, W)."""
        return (self.frame() == colours_H[:, None]).float()

    def _moved(self, log_BhwK: Tensor, next_BhwS: Tensor, rows: Tensor | None) -> Tensor:
        """Log-likelihood of patches that have to be moved or painted, all patches or ``rows`` of them."""
        colors = self.choice.colors
        matches_XM = match(self.last_BhwS, next_BhwS, self.choice.offsets_M2, rows)
        log_XK, next_XS = _take(log_BhwK, rows), _take(next_BhwS, rows).long()
        log_paint_X = -F.cross_entropy(self._paint(rows).float(), next_XS, reduction="none").sum(-1)
        log_paint_X = log_paint_X - PAINT_COST * matches_XM.any(1)
        painted_X1 = (log_XK[:, colors + 1] + log_paint_X)[:, None]
        moved_XM = log_XK[:, colors + 2 :].masked_fill(~matches_XM, -torch.inf)
        return torch.cat([painted_X1, moved_XM], 1).logsumexp(1)

    def _paint(self, rows: Tensor | None) -> Tensor:
        """Palette logits (X, P, S) of patches, all or ``rows`` of them."""
        colors = self.choice.colors
        painted_XY: Tensor = self.painter(_take(self.features_BhwC, rows))
        return painted_XY.unflatten(1, (colors, -1)) + self.copied * one_hot(
            _take(self.last_BhwS, rows), colors
        )

    def _carried(self, moves_Bhw: Tensor) -> Tensor:
        """What the patches hold after the moves of these numbers, classes uint8 (B, h, w, S)."""
        side = self.choice.patch
        padded_BHW = _padded(from_patches(self.last_BhwS, side))
        B, h, w = moves_Bhw.shape
        offsets_Bhw2 = self.choice.offsets_M2[moves_Bhw]
        pixel = torch.arange(side, device=moves_Bhw.device)
        corner_h = torch.arange(h, device=moves_Bhw.device) * side + REACH[0]
        corner_w = torch.arange(w, device=moves_Bhw.device) * side + REACH[1]
        rows_Bhwi = (corner_h[:, None] - offsets_Bhw2[..., 0])[..., None] + pixel
        columns_Bhwj = (corner_w - offsets_Bhw2[..., 1])[..., None] + pixel
        places = rows_Bhwi[..., :, None] * padded_BHW.shape[2] + columns_Bhwj[..., None, :]
        return padded_BHW.flatten(1).gather(1, places.reshape(B, -1)).view(B, h, w, side * side)


def match(last_BhwS: Tensor, next_BhwS: Tensor, offsets_M2: Tensor, rows: Tensor | None = None) -> Tensor:
    """Which moves lead to each patch of the next frame, all patches or ``rows`` of them; bool (X, M)."""
    _, h, w, S = next_BhwS.shape
    side = math.isqrt(S)
    padded_BHW = _padded(from_patches(last_BhwS, side))
    if rows is None:
        rows = torch.arange(next_BhwS.numel() // S, device=next_BhwS.device)
    height, width = padded_BHW.shape[1:]
    row_X, column_X = rows // w % h * side + REACH[0], rows % w * side + REACH[1]
    corner_X = (rows // (h * w) * height + row_X) * width + column_X
    back_M = offsets_M2[:, 0] * width + offsets_M2[:, 1]
    pixel = torch.arange(side, device=rows.device)
    pixel_S = (pixel[:, None] * width + pixel).flatten()
    sources_XMS = padded_BHW.flatten()[(corner_X[:, None] - back_M)[..., None] + pixel_S]
    return (sources_XMS == next_BhwS.flatten(0, 2)[rows][:, None]).all(-1)


def arrivals(matches_BhwM: Tensor, changed_BhwS: Tensor, offsets_M2: Tensor) -> Tensor:
    """Where what came by a move would be after the same move again, bool (B, h, w, M).

    What came are the ``changed`` pixels of the patches that the move ``matches``; a moved patch lies across
    up to four others.
    """
    side = math.isqrt(changed_BhwS.shape[-1])
    pixel = torch.arange(side, device=offsets_M2.device)
    downs_iM, rights_jM = ((pixel[:, None] + by_M) // side for by_M in offsets_M2.unbind(1))
    arriving_BhwM = torch.zeros_like(matches_BhwM)
    for later_down, later_right in itertools.product((0, 1), repeat=2):
        down_M, right_M = downs_iM[0] + later_down, rights_jM[0] + later_right
        lands_ijM = (downs_iM == down_M)[:, None] & (rights_jM == right_M)
        leaving_BhwM = matches_BhwM & (changed_BhwS.float() @ lands_ijM.flatten(0, 1).float() > 0)
        arriving_BhwM = arriving_BhwM | _shifted(leaving_BhwM, down_M, right_M)
    return arriving_BhwM


def _shifted(found_BhwM: Tensor, down_M: Tensor, right_M: Tensor) -> Tensor:
    """Each of the M maps moved by so many patches; what leaves the picture is lost."""
    B, h, w, M = found_BhwM.shape
    if not follows_data(found_BhwM):
        row_h1M, column_1wM = (
            torch.arange(n, device=found_BhwM.device).view(shape) - by_M
            for n, shape, by_M in ((h, (h, 1, 1), down_M), (w, (1, w, 1), right_M))
        )
        inside_hwM = (row_h1M >= 0) & (row_h1M < h) & (column_1wM >= 0) & (column_1wM < w)
        places_XM = (row_h1M.clamp(0, h - 1) * w + column_1wM.clamp(0, w - 1)).flatten(0, 1)
        return found_BhwM.flatten(1, 2).gather(1, places_XM.expand(B, -1, -1)).view(B, h, w, M) & inside_hwM
    shifted_BhwM = torch.zeros_like(found_BhwM)
    sample, row, column, move = found_BhwM.nonzero(as_tuple=True)
    row, column = row + down_M[move], column + right_M[move]
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    shifted_BhwM[sample[inside], row[inside], column[inside], move[inside]] = True
    return shifted_BhwM


def frequent_moves(present_BHW: Tensor, next_BHW: Tensor, patch: int, count: int) -> Tensor:
    """The ``count`` displacements (down, right), int64 (count, 2), that explain most of what moves.

    Of patches that change and are not of one colour; greedily, each for what those before it leave
    unexplained, with its mirror images, since games play in both directions. Zeros where no more are found.
    """
    last_BhwS, next_BhwS = to_patches(present_BHW[:, None], patch), to_patches(next_BHW[:, None], patch)
    moving_Bhw = _moving(last_BhwS, next_BhwS)
    rows = moving_Bhw.flatten().nonzero()[:, 0]
    downs, rights = (range(-far, far + 1) for far in REACH)
    grid = [(down, right) for down in downs for right in rights if down or right]
    grid.sort(key=lambda move: move[0] ** 2 + move[1] ** 2)  # of equals the shortest
    parts = [
        match(last_BhwS, next_BhwS, torch.tensor(part), rows).T
        for part in (grid[i : i + 128] for i in range(0, len(grid), 128))
    ]
    tables = torch.cat(parts)
    places = {move: number for number, move in enumerate(grid)}
    found: list[tuple[int, int]] = []
    left, explaining = torch.ones_like(rows, dtype=torch.bool), tables.sum(1)
    while len(found) < count and bool(explaining.any()):
        down, right = grid[int(explaining.argmax())]
        mirrors = dict.fromkeys([(down, right), (down, -right), (-down, right), (-down, -right)])
        found += [move for move in mirrors if move not in found][: count - len(found)]
        explained_X = tables[[places[move] for move in mirrors if move in places]].any(0) & left
        left &= ~explained_X
        explaining -= tables[:, explained_X].sum(1)
    moves_M2 = torch.zeros(count, 2, dtype=torch.long)
    moves_M2[: len(found)] = torch.tensor(found, dtype=torch.long).reshape(-1, 2)
    return moves_M2


def _moved_by(last_BhwS: Tensor, next_BhwS: Tensor, offsets_M2: Tensor) -> Tensor:
    """Which moves lead to each patch that changes and is not of one colour, bool (B, h, w, M)."""
    moving_Bhw = _moving(last_BhwS, next_BhwS)
    rows = _rows(moving_Bhw)
    matches_XM = match(last_BhwS, next_BhwS, offsets_M2, rows)
    if rows is None:
        return matches_XM.unflatten(0, moving_Bhw.shape) & moving_Bhw[..., None]
    matches_NM = matches_XM.new_zeros(moving_Bhw.numel(), len(offsets_M2))
    return matches_NM.index_put((rows,), matches_XM).unflatten(0, moving_Bhw.shape)


def _embed(layer: nn.Module, found_BhwM: Tensor) -> Tensor:
    """The mean of a linear layer's answers to each of the moves that are found, (B, h, w, C)."""
    shape = found_BhwM.shape[:3]
    rows = _rows(found_BhwM.any(-1))
    found_XM = _take(found_BhwM, rows).float()
    features_XC: Tensor = layer(found_XM / found_XM.sum(1, keepdim=True).clamp(min=1))
    if rows is None:
        return features_XC.unflatten(0, shape)
    silent_NC = features_XC.new_zeros(shape.numel(), features_XC.shape[1])
    return silent_NC.index_put((rows,), features_XC).unflatten(0, shape)


def _moving(last_BhwS: Tensor, next_BhwS: Tensor) -> Tensor:
    """Which patches change and are not of one colour afterwards, bool (B, h, w)."""
    return (last_BhwS != next_BhwS).any(-1) & (next_BhwS != next_BhwS[..., :1]).any(-1)


def _padded(frames_BHW: Tensor) -> Tensor:
    down, right = REACH
    return F.pad(frames_BHW, (right, right, down, down))


def _rows(chosen_Bhw: Tensor) -> Tensor | None:
    """Numbers of the chosen patches; None, which means all of them, where shapes must not depend on them."""
    return chosen_Bhw.flatten().nonzero()[:, 0] if follows_data(chosen_Bhw) else None


def _take(values_BhwX: Tensor, rows: Tensor | None) -> Tensor:
    flat_NX = values_BhwX.flatten(0, 2)
    return flat_NX if rows is None else flat_NX[rows]
