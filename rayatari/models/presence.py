"""When the one small piece of a game, such as its ball, comes, hides and leaves, and what that brings.

A network that sees a few frames cannot count how long a ball has been away, so that the next one never comes,
or at any time. Where it may be in two places it draws none, and the ball is lost in the middle of the field;
and the point that a lost ball costs is told by nobody. Recorded play shows all of this plainly: after how
many steps without a piece one comes, under which action, and where; in which parts of the screen one hides
for a step, and in which it leaves; and which reward, or loss of a life, follows how soon. Here it is counted,
and played by: chances are drawn by lot, and what never happens in recorded play does not happen.

A piece that may neither hide nor leave but was not drawn is put where the decoder thinks it most likely: the
place is chosen for all of its pixels together, where the decoder chooses for each by itself.

Shape suffixes beside those of ``frames``: A actions, V steps without a piece, E entrances, D delays, h and w
cells of ``CELL`` pixels, M numbers that are remembered of a game.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.foresight import NEVER
from rayatari.models.hardware import follows_data
from rayatari.models.measured import Measured, RecordedPlay
from rayatari.models.pieces import Pieces
from rayatari.models.presence_counts import (
    CELL,
    DELAYS,
    ENTRANCES,
    REST,
    WAITS,
    PresenceCounts,
    corners,
    most_of,
)
from rayatari.models.tiles import Tiles

MEMORY = 6
"""Numbers remembered of a game: steps since a piece was seen, its row and column then, steps until the reward
and until the loss of a life that it left behind, -1 for what is not known or due; and how much it has hidden
of late."""
HIDES = 0.9
"""Share of the times that a piece hides which are no longer than the longest that is allowed."""
LEAVES = 0.05
"""Share of the times that a piece is gone from a cell, at least, in which it has left, where it may."""
OFTEN = 0.99
"""Share of the times that a piece hides before which it had hidden no more of late than is allowed."""
SURE = 0.9
"""Share of what is seen, at least, that makes a rule."""
BARRED = -1e4
"""Stands for a place where nothing can be."""


@dataclass(frozen=True)
class Foretold:
    """What is known of B games' next step before anything is drawn."""

    here_B: Tensor
    """Whether there is a piece, bool."""
    place_B4: Tensor
    """Top row, left column, height and width of it, int64; of one that is not there any."""
    goes_B: Tensor
    """Number of the tile that goes, int64, or -1."""


@dataclass(frozen=True)
class Turn:
    """One step of B games, as far as it is decided."""

    frames_BHW: Tensor
    """Without tiles, classes uint8."""
    rewards_B: Tensor
    """Indices of the rewards, int64."""
    loses_B: Tensor
    """Whether a life is lost, bool; where :attr:`Presence.tells_lives`."""
    memory_BM: Tensor
    """What is remembered, int64."""


class Presence(Measured):
    """The comings and goings of one piece; nothing until :meth:`measure` or loaded weights bring them."""

    comes_AV: Tensor
    """Chance that a piece comes in the step after so many steps without one, float."""
    entrances_E4: Tensor
    """Top row, left column, height and width of what came, most frequent first, int64."""
    often_E: Tensor
    """How often each did, float."""
    hides_hw: Tensor
    leaves_hw: Tensor
    """Where pieces were seen last before they hid, and before they left, bool."""
    pays_hw: Tensor
    """The reward that follows on a piece that leaves, or -1, int64."""
    costs_hw: Tensor
    """Whether a life is lost then, bool."""
    delays_2D: Tensor
    """How often reward and loss of a life come after so many further steps, float."""
    facts_4: Tensor
    """Steps that a piece hides at most; how far it comes in a step; whether there is no other reward, and no
    other loss of a life than such as follow on a piece that leaves; int64."""
    of_late: Tensor
    """How much a piece may have hidden of late, at most, to hide again, int64; -1 where that is not known."""
    nothing: Tensor
    """Index of the reward that is none, int64."""

    def __init__(self, actions: int, history: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.history = history
        grid = tuple(-(-side // CELL) for side in shape)
        self.register_buffer("comes_AV", torch.zeros(actions, WAITS))
        self.register_buffer("entrances_E4", torch.zeros(ENTRANCES, 4, dtype=torch.long))
        self.register_buffer("often_E", torch.zeros(ENTRANCES))
        for name in ("hides_hw", "leaves_hw", "costs_hw"):
            self.register_buffer(name, torch.zeros(grid, dtype=torch.bool))
        self.register_buffer("pays_hw", torch.full(grid, NEVER))
        self.register_buffer("delays_2D", torch.zeros(2, DELAYS))
        self.register_buffer("facts_4", torch.zeros(4, dtype=torch.long))
        self.register_buffer("of_late", torch.full((), NEVER))
        self.register_buffer("nothing", torch.zeros((), dtype=torch.long))
        self._read()

    def measure(
        self, chunks: Iterable[RecordedPlay], nothing: int, pieces: Pieces, tiles: Tiles | None
    ) -> None:
        """Count what happens in recorded play; ``nothing`` is the index of the reward that is none."""
        for buffer in self.buffers():
            buffer.zero_()
        self.pays_hw.fill_(NEVER)
        self.nothing.fill_(nothing)
        counts = PresenceCounts(self.comes_AV.shape[0], self.history, nothing)
        for play in chunks:
            bare_THW = play.frames_THW if tiles is None else tiles.lift(play.frames_THW)
            counts.take(play, pieces.free(bare_THW))
        self._enter(counts)
        self._read()

    def _enter(self, counts: PresenceCounts) -> None:
        """Write down what was counted."""
        chances_V = counts.comes_AV.sum(0) / counts.tries_AV.sum(0).clamp(min=1)
        for action, tries_V in enumerate(counts.tries_AV):
            known: Tensor | None = None
            for waited in range(WAITS):
                if tries_V[waited]:
                    known = counts.comes_AV[action, waited] / tries_V[waited]
                self.comes_AV[action, waited] = chances_V[waited] if known is None else known
        for number, (place, count) in enumerate(counts.entrances.most_common(ENTRANCES)):
            self.entrances_E4[number], self.often_E[number] = torch.tensor(place), float(count)
        for cell in counts.hides:
            self.hides_hw[cell] = True
        self._enter_leaves(counts)
        self.facts_4[0] = most_of(counts.hidden, HIDES)
        self.facts_4[1] = most_of(counts.steps, 0.999)
        self.of_late.fill_(most_of(counts.late, OFTEN) if counts.late else NEVER)

    def _enter_leaves(self, counts: PresenceCounts) -> None:
        leaves: Counter[tuple[int, int]] = Counter()
        paid: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        ones, followed, delays = [0, 0], [0, 0], (Counter[int](), Counter[int]())
        for stay in counts.left:
            rewards = [(0, reward) for reward in stay.early_rewards] + stay.rewards
            losses = [0] * stay.early_losses + stay.losses
            cell = stay.at[0] // CELL, stay.at[1] // CELL
            leaves[cell] += 1
            paid[cell].update(reward for _, reward in rewards)
            for kind, steps in enumerate(([step for step, _ in rewards], losses)):
                ones[kind] += len(steps) == 1
                followed[kind] += len(steps)
                delays[kind].update(min(step, DELAYS - 1) for step in steps)
        for cell, often in leaves.items():
            self.leaves_hw[cell] = often >= LEAVES * (often + counts.hides[cell])
        if ones[0] >= SURE * len(counts.left):
            for cell, rewards in ((cell, counted.most_common(1)) for cell, counted in paid.items()):
                self.pays_hw[cell] = rewards[0][0] if rewards else NEVER
        if counts.left and ones[1] >= SURE * len(counts.left):
            self.costs_hw.copy_(self.leaves_hw)
        for kind, counted in enumerate(delays):
            for step, count in counted.items():
                self.delays_2D[kind, step] = float(count)
            seen = followed[kind] + counts.others[kind]
            self.facts_4[2 + kind] = bool(seen) and followed[kind] >= SURE * seen

    def recall(self, places_BT2: Tensor) -> Tensor:
        """What can be remembered (B, M) of games of which no more than their last frames is known, and where
        in each of them the piece was, row and column, -1 where it was not seen.
        """
        T = places_BT2.shape[1]
        step_T = torch.arange(1, T + 1, device=places_BT2.device)
        last_B = ((places_BT2[..., 0] >= 0) * step_T).amax(1)
        at_B2 = (places_BT2 * (step_T == last_B.clamp(min=1)[:, None])[..., None]).sum(1)
        never_B = torch.full_like(last_B, NEVER)
        return torch.stack([T - last_B, *at_B2.unbind(1), never_B, never_B, torch.zeros_like(last_B)], 1)

    def decide(
        self, frames_BHW: Tensor, rewards_B: Tensor, memory_BM: Tensor, actions_B: Tensor,
        lots_B: Tensor, evidence: Callable[[], Tensor], pieces: Pieces,
    ) -> Turn:  # fmt: skip
        """What the game shows and brings, of frames that were drawn, classes uint8, without tiles.

        ``lots`` are numbers of [0, 1), NaN for the likeliest course. ``evidence`` is asked, if it is needed,
        how likely each pixel shows a piece, float (B, H, W), by any measure.
        """
        if not self.is_known:
            return Turn(frames_BHW, rewards_B, torch.zeros_like(rewards_B, dtype=torch.bool), memory_BM)
        waited_B, row_B, column_B, _, _, late_B = memory_BM.unbind(1)
        free_BHW = pieces.free(frames_BHW)
        drawn_B, to_row_B, to_column_B = corners(free_BHW)
        known_B, absent_B = row_B >= 0, waited_B >= self.history
        far_B = torch.maximum((to_row_B - row_B).abs(), (to_column_B - column_B).abs())
        reach_B = self.facts_4[1] * (waited_B + 1)
        drawn_B = drawn_B & ~(known_B & ~absent_B & (far_B > reach_B))
        cell_B = self._cells(row_B, column_B)
        leaves_B = self.leaves_hw.flatten()[cell_B]
        hides_B = self.hides_hw.flatten()[cell_B] & (waited_B < self.facts_4[0])
        hides_B = hides_B & ((late_B <= self.of_late) | (self.of_late < 0) | (waited_B > 0))
        comes_B, place_B4 = self._comes(memory_BM, actions_B, lots_B)
        lost_B = known_B & ~absent_B & ~drawn_B & ~leaves_B & ~hides_B
        kept_B = drawn_B & ~absent_B
        cleared_BHW = torch.where(free_BHW & ~kept_B.view(-1, 1, 1), pieces.ground, frames_BHW)
        if not follows_data(lost_B) or bool(lost_B.any()):
            open_BHW = evidence().masked_fill(cleared_BHW != pieces.ground, BARRED)
            found_B4, is_free_B = _likeliest(open_BHW, row_B, column_B, reach_B, pieces)
            lost_B = lost_B & is_free_B
            place_B4 = torch.where(lost_B[:, None], found_B4, place_B4)
        put_B = comes_B | lost_B
        here_B = kept_B | put_B
        at_B2 = torch.where(put_B[:, None], place_B4[:, :2], torch.stack([to_row_B, to_column_B], 1))
        shown_BHW = put_piece(cleared_BHW, place_B4, put_B, pieces)
        return self._brought(shown_BHW, rewards_B, memory_BM, lots_B, here_B, at_B2)

    def foretell(
        self, memory_BM: Tensor, actions_B: Tensor, lots_B: Tensor, sizes_H2: Tensor,
        tell: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
    ) -> Foretold:  # fmt: skip
        """Where pieces go and which tiles do. Of those that fly ``tell`` says by how much they move, int64
        (B, 2), whether they are seen, bool, and which tile goes, and is told which of them may hide, bool;
        others come as was counted. ``sizes`` are heights and widths by row; ``lots`` as in :meth:`decide`.
        """
        waited_B, row_B, column_B = memory_BM[:, :3].unbind(1)
        cell_B = self._cells(row_B, column_B)
        hides_B = self.hides_hw.flatten()[cell_B] & (waited_B < self.facts_4[0])
        moves_B2, seen_B, goes_B = tell(self.leaves_hw.flatten()[cell_B] | hides_B)
        flies_B = (row_B >= 0) & (waited_B < self.history)
        comes_B, place_B4 = self._comes(memory_BM, actions_B, lots_B)
        to_B2 = memory_BM[:, 1:3] + moves_B2
        flown_B4 = torch.cat([to_B2, sizes_H2[to_B2[:, 0].clamp(0, len(sizes_H2) - 1)]], 1)
        return Foretold(
            here_B=(flies_B & seen_B) | comes_B,
            place_B4=torch.where(flies_B[:, None], flown_B4, place_B4),
            goes_B=goes_B.masked_fill(~flies_B, NEVER),
        )

    def follow(
        self, foretold: Foretold, frames_BHW: Tensor, shown_BHW: Tensor, rewards_B: Tensor,
        memory_BM: Tensor, lots_B: Tensor, pieces: Pieces,
    ) -> Turn:  # fmt: skip
        """What the game shows and brings where all that was drawn as a piece, ``shown``, bool, gives way to
        what was foretold; as :meth:`decide`.
        """
        cleared_BHW = torch.where(shown_BHW, pieces.ground, frames_BHW)
        frames_BHW = put_piece(cleared_BHW, foretold.place_B4, foretold.here_B, pieces)
        at_B2 = foretold.place_B4[:, :2]
        return self._brought(frames_BHW, rewards_B, memory_BM, lots_B, foretold.here_B, at_B2)

    def _comes(self, memory_BM: Tensor, actions_B: Tensor, lots_B: Tensor) -> tuple[Tensor, Tensor]:
        """Whether a piece comes where there was none, bool (B,), and where it would, int64 (B, 4)."""
        waited_B, cost_B = memory_BM[:, 0], memory_BM[:, 4]
        chance_B = self.comes_AV[actions_B, waited_B.clamp(max=WAITS - 1)]
        comes_B = (waited_B >= self.history) & (cost_B < 0) & _falls(lots_B, chance_B)
        return comes_B, self.entrances_E4[_drawn_by(lots_B / chance_B.clamp(min=1e-6), self.often_E)]

    def _brought(
        self, frames_BHW: Tensor, rewards_B: Tensor, memory_BM: Tensor, lots_B: Tensor, here_B: Tensor,
        at_B2: Tensor,
    ) -> Turn:  # fmt: skip
        """The step in which pieces are here, or are not, at those rows and columns."""
        waited_B, row_B, column_B, pay_B, cost_B, late_B = memory_BM.unbind(1)
        cell_B = self._cells(row_B, column_B)
        at_B2 = torch.where(here_B[:, None], at_B2, memory_BM[:, 1:3])
        left_B = ~here_B & (waited_B == 0) & self.leaves_hw.flatten()[cell_B]
        pay_B, cost_B = (
            self._due(due_B, here_B, left_B & brings_B, lots_B, delays_D)
            for due_B, brings_B, delays_D in (
                (pay_B, self.pays_hw.flatten()[cell_B] >= 0, self.delays_2D[0]),
                (cost_B, self.costs_hw.flatten()[cell_B], self.delays_2D[1]),
            )
        )
        rewards_B = torch.where(self.facts_4[2] > 0, self.nothing, rewards_B)
        rewards_B = torch.where(pay_B == 0, self.pays_hw.flatten()[cell_B], rewards_B)
        late_B = torch.where(here_B, (late_B - 1).clamp(min=0), late_B + REST * (waited_B == 0).long())
        waited_B = torch.where(here_B, 0, waited_B + 1)
        memory_BM = torch.stack([waited_B, *at_B2.unbind(1), pay_B - 1, cost_B - 1, late_B], 1)
        return Turn(frames_BHW, rewards_B, cost_B == 0, memory_BM.clamp(min=NEVER))

    def _cells(self, row_B: Tensor, column_B: Tensor) -> Tensor:
        down, right = self.hides_hw.shape
        return (row_B // CELL).clamp(0, down - 1) * right + (column_B // CELL).clamp(0, right - 1)

    def _due(
        self, due_B: Tensor, here_B: Tensor, begins_B: Tensor, lots_B: Tensor, delays_D: Tensor
    ) -> Tensor:
        """Steps until what is due: it begins to be where a piece leaves, and ends where it was but hidden."""
        due_B = torch.where(begins_B, _drawn_by(1 - lots_B, delays_D), due_B)
        return torch.where(here_B & (due_B != 0), NEVER, due_B)

    def _read(self) -> None:
        self.is_known = bool(self.often_E.any())
        self.tells_lives = bool(self.costs_hw.any()) and bool(self.facts_4[3])


def _falls(lots_B: Tensor, chance_B: Tensor) -> Tensor:
    """Whether the lot falls on what has such a chance, or that is likely."""
    return (lots_B < chance_B) | (lots_B.isnan() & (chance_B >= 0.5))


def _drawn_by(lots_B: Tensor, often_X: Tensor) -> Tensor:
    """Which of some counted outcomes the lots fall on, or the most frequent one; int64 (B,)."""
    below_BX = (often_X.cumsum(0) / often_X.sum().clamp(min=1))[:-1] <= lots_B[:, None]
    return torch.where(lots_B.isnan(), often_X.argmax(), below_BX.sum(1))


def _likeliest(
    open_BHW: Tensor, row_B: Tensor, column_B: Tensor, reach_B: Tensor, pieces: Pieces
) -> tuple[Tensor, Tensor]:
    """The likeliest place for a piece of usual size near to where one was: top row, left column, height and
    width, int64 (B, 4); and whether there is any.
    """
    height, width, top, bottom, left, right = pieces.sizes[0]
    mean_BHW = F.avg_pool2d(open_BHW[:, None].float(), (height, width), stride=1)[:, 0]
    row_H1 = torch.arange(mean_BHW.shape[1], device=row_B.device)[:, None]
    column_W = torch.arange(mean_BHW.shape[2], device=row_B.device)
    field_HW = (row_H1 >= top) & (row_H1 <= bottom) & (column_W >= left) & (column_W <= right)
    row_B11, column_B11, reach_B11 = (each.view(-1, 1, 1) for each in (row_B, column_B, reach_B))
    near_BHW = ((row_H1 - row_B11).abs() <= reach_B11) & ((column_W - column_B11).abs() <= reach_B11)
    best_B, place_B = mean_BHW.masked_fill(~(field_HW & near_BHW), 2 * BARRED).flatten(1).max(1)
    size_B, wide = torch.ones_like(place_B), mean_BHW.shape[2]
    return torch.stack([place_B // wide, place_B % wide, size_B * height, size_B * width], 1), best_B > BARRED


def put_piece(frames_BHW: Tensor, place_B4: Tensor, put_B: Tensor, pieces: Pieces) -> Tensor:
    """The frames with a piece in that place, where one is to be put, on ground alone."""
    H, W = frames_BHW.shape[1:]
    top_B, left_B, height_B, width_B = (each.view(-1, 1, 1) for each in place_B4.unbind(1))
    down_BH1 = torch.arange(H, device=top_B.device)[:, None] - top_B
    right_B1W = torch.arange(W, device=top_B.device) - left_B
    rows_BH1, columns_B1W = (down_BH1 >= 0) & (down_BH1 < height_B), (right_B1W >= 0) & (right_B1W < width_B)
    shows_BHW = rows_BH1 & columns_B1W & put_B.view(-1, 1, 1) & (frames_BHW == pieces.ground)
    return torch.where(shows_BHW, pieces.colours_H[:, None].to(frames_BHW.dtype), frames_BHW)
