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
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.hardware import follows_data
from rayatari.models.measured import Measured, RecordedPlay
from rayatari.models.pieces import Pieces
from rayatari.models.tiles import Tiles

WAITS = 33
"""Lengths of an absence that are told apart; the last stands for all longer ones."""
ENTRANCES, DELAYS, CELL = 64, 16, 16
"""Most places where pieces come, delays of what follows an absence, and pixels of a cell's side."""
MEMORY = 6
"""Numbers remembered of a game: steps since a piece was seen, its row and column then, steps until the reward
and until the loss of a life that it left behind, -1 for what is not known or due; and how much it has hidden
of late."""
HIDES = 0.9
"""Share of the times that a piece hides which are no longer than the longest that is allowed."""
LEAVES = 0.05
"""Share of the times that a piece is gone from a cell, at least, in which it has left, where it may."""
REST = 4
"""Steps of being seen that make up for hiding once; the rest is how much a piece has hidden of late."""
OFTEN = 0.99
"""Share of the times that a piece hides before which it had hidden no more of late than is allowed."""
SURE = 0.9
"""Share of what is seen, at least, that makes a rule."""
BARRED = -1e4
"""Stands for a place where nothing can be."""
_NEVER = -1


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
        self.register_buffer("pays_hw", torch.full(grid, _NEVER))
        self.register_buffer("delays_2D", torch.zeros(2, DELAYS))
        self.register_buffer("facts_4", torch.zeros(4, dtype=torch.long))
        self.register_buffer("of_late", torch.full((), _NEVER))
        self.register_buffer("nothing", torch.zeros((), dtype=torch.long))
        self._read()

    def measure(
        self, chunks: Iterable[RecordedPlay], nothing: int, pieces: Pieces, tiles: Tiles | None
    ) -> None:
        """Count what happens in recorded play; ``nothing`` is the index of the reward that is none."""
        for buffer in self.buffers():
            buffer.zero_()
        self.pays_hw.fill_(_NEVER)
        self.nothing.fill_(nothing)
        counts = _Counts(self.comes_AV.shape[0], self.history, nothing)
        for play in chunks:
            bare_THW = play.frames_THW if tiles is None else tiles.lift(play.frames_THW)
            counts.take(play, pieces.free(bare_THW))
        counts.enter(self)
        self._read()

    def recall(self, free_BTHW: Tensor) -> Tensor:
        """What can be remembered (B, M) of games of which no more than their last frames is known.

        ``free`` are the pixels of free pieces in each of them, bool.
        """
        B, T = free_BTHW.shape[:2]
        seen_X, row_X, column_X = _corners(free_BTHW.flatten(0, 1))
        step_T = torch.arange(1, T + 1, device=free_BTHW.device)
        last_B = (seen_X.view(B, T) * step_T).amax(1)
        which_B1 = (last_B - 1).clamp(min=0)[:, None]
        row_B, column_B = (each.view(B, T).gather(1, which_B1)[:, 0] for each in (row_X, column_X))
        never_B = torch.full_like(last_B, _NEVER)
        row_B, column_B = (torch.where(last_B > 0, each, never_B) for each in (row_B, column_B))
        return torch.stack([T - last_B, row_B, column_B, never_B, never_B, torch.zeros_like(last_B)], 1)

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
        waited_B, row_B, column_B, pay_B, cost_B, late_B = memory_BM.unbind(1)
        free_BHW = pieces.free(frames_BHW)
        drawn_B, to_row_B, to_column_B = _corners(free_BHW)
        known_B, absent_B = row_B >= 0, waited_B >= self.history
        far_B = torch.maximum((to_row_B - row_B).abs(), (to_column_B - column_B).abs())
        reach_B = self.facts_4[1] * (waited_B + 1)
        drawn_B = drawn_B & ~(known_B & ~absent_B & (far_B > reach_B))
        cell_B = self._cells(row_B, column_B)
        leaves_B = self.leaves_hw.flatten()[cell_B]
        hides_B = self.hides_hw.flatten()[cell_B] & (waited_B < self.facts_4[0])
        hides_B = hides_B & ((late_B <= self.of_late) | (self.of_late < 0) | (waited_B > 0))
        chance_B = self.comes_AV[actions_B, waited_B.clamp(max=WAITS - 1)]
        comes_B = absent_B & (cost_B < 0) & _falls(lots_B, chance_B)
        lost_B = known_B & ~absent_B & ~drawn_B & ~leaves_B & ~hides_B
        kept_B = drawn_B & ~absent_B
        cleared_BHW = torch.where(free_BHW & ~kept_B.view(-1, 1, 1), pieces.ground, frames_BHW)
        place_B4 = self.entrances_E4[_drawn_by(lots_B / chance_B.clamp(min=1e-6), self.often_E)]
        if not follows_data(lost_B) or bool(lost_B.any()):
            open_BHW = evidence().masked_fill(cleared_BHW != pieces.ground, BARRED)
            found_B4, is_free_B = _likeliest(open_BHW, row_B, column_B, reach_B, pieces)
            lost_B = lost_B & is_free_B
            place_B4 = torch.where(lost_B[:, None], found_B4, place_B4)
        put_B = comes_B | lost_B
        here_B = kept_B | put_B
        shown_BHW = _shown(cleared_BHW, place_B4, put_B, pieces)
        at_B2 = torch.stack([to_row_B, to_column_B], 1)
        at_B2 = torch.where(put_B[:, None], place_B4[:, :2], at_B2)
        at_B2 = torch.where(here_B[:, None], at_B2, memory_BM[:, 1:3])
        left_B = ~here_B & (waited_B == 0) & leaves_B
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
        return Turn(shown_BHW, rewards_B, cost_B == 0, memory_BM.clamp(min=_NEVER))

    def _cells(self, row_B: Tensor, column_B: Tensor) -> Tensor:
        down, right = self.hides_hw.shape
        return (row_B // CELL).clamp(0, down - 1) * right + (column_B // CELL).clamp(0, right - 1)

    def _due(
        self, due_B: Tensor, here_B: Tensor, begins_B: Tensor, lots_B: Tensor, delays_D: Tensor
    ) -> Tensor:
        """Steps until what is due: it begins to be where a piece leaves, and ends where it was but hidden."""
        due_B = torch.where(begins_B, _drawn_by(1 - lots_B, delays_D), due_B)
        return torch.where(here_B & (due_B != 0), _NEVER, due_B)

    def _read(self) -> None:
        self.is_known = bool(self.often_E.any())
        self.tells_lives = bool(self.costs_hw.any()) and bool(self.facts_4[3])


def _corners(free_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether there are such pixels, bool (B,), and their first row and column, int64 (B,)."""
    rows_BH, columns_BW = free_BHW.any(2).int(), free_BHW.any(1).int()
    return rows_BH.amax(1) > 0, rows_BH.argmax(1), columns_BW.argmax(1)


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


def _shown(frames_BHW: Tensor, place_B4: Tensor, put_B: Tensor, pieces: Pieces) -> Tensor:
    """The frames with a piece in that place, where one is to be put, on ground alone."""
    H, W = frames_BHW.shape[1:]
    top_B, left_B, height_B, width_B = (each.view(-1, 1, 1) for each in place_B4.unbind(1))
    down_BH1 = torch.arange(H, device=top_B.device)[:, None] - top_B
    right_B1W = torch.arange(W, device=top_B.device) - left_B
    rows_BH1, columns_B1W = (down_BH1 >= 0) & (down_BH1 < height_B), (right_B1W >= 0) & (right_B1W < width_B)
    shows_BHW = rows_BH1 & columns_B1W & put_B.view(-1, 1, 1) & (frames_BHW == pieces.ground)
    return torch.where(shows_BHW, pieces.colours_H[:, None].to(frames_BHW.dtype), frames_BHW)


@dataclass
class _Stay:
    """A piece as it was seen last, and what has happened since."""

    at: tuple[int, int]
    early_rewards: list[int] = field(default_factory=list)
    early_losses: int = 0
    """Rewards, and losses of lives, of the step that it was seen after."""
    rewards: list[tuple[int, int]] = field(default_factory=list)
    """Steps from then on, and the reward."""
    losses: list[int] = field(default_factory=list)
    """Steps from then on to each loss of a life."""
    late: int = 0
    """How much it has hidden of late."""


class _Counts:
    """What recorded play shows, counted."""

    def __init__(self, actions: int, history: int, nothing: int) -> None:
        self.history, self.nothing = history, nothing
        self.tries_AV, self.comes_AV = torch.zeros(2, actions, WAITS)
        self.entrances: Counter[tuple[int, int, int, int]] = Counter()
        self.hidden: Counter[int] = Counter()
        self.hides: Counter[tuple[int, int]] = Counter()
        self.late: Counter[int] = Counter()
        """How much pieces had hidden of late as they hid again."""
        self.steps: Counter[int] = Counter()
        self.left: list[_Stay] = []
        self.others = [0, 0]
        """Rewards and losses of lives while there was a piece, or it was hidden."""

    def take(self, play: RecordedPlay, free_THW: Tensor) -> None:
        """Count some frames that follow on each other; ``free`` are their pieces' pixels."""
        seen_T, row_T, column_T = (each.tolist() for each in _corners(free_THW))
        height_T, width_T = (free_THW.any(axis).sum(1).tolist() for axis in (2, 1))
        pixels_T = free_THW.sum((1, 2)).tolist()
        rewards, lives, actions = play.rewards_T.tolist(), play.lives_T.tolist(), play.actions_T.tolist()
        waited = 0 if play.begins else None
        stay: _Stay | None = None
        for t, seen in enumerate(seen_T):
            if seen:
                at = row_T[t], column_T[t]
                follower = _Stay(at)
                if stay is not None and waited is not None:
                    self._returned(stay, waited, follower)
                waited, stay = 0, follower
            elif waited is not None:
                waited += 1
            if t == len(rewards) or waited is None:
                continue
            if stay is not None and rewards[t] != self.nothing:
                stay.rewards.append((waited, rewards[t]))
            if stay is not None and lives[t + 1] < lives[t]:
                stay.losses.append(waited)
            if waited >= self.history:
                where = actions[t], min(waited, WAITS - 1)
                self.tries_AV[where] += 1
                self.comes_AV[where] += seen_T[t + 1]
                size = height_T[t + 1], width_T[t + 1]
                if seen_T[t + 1] and size[0] * size[1] == pixels_T[t + 1]:
                    self.entrances[row_T[t + 1], column_T[t + 1], *size] += 1

    def _returned(self, stay: _Stay, waited: int, follower: _Stay) -> None:
        """Count a piece that is seen again after so many frames without it."""
        if waited >= self.history or (waited and stay.losses):
            self.left.append(stay)
            return
        self.others[0] += len(stay.early_rewards)
        self.others[1] += stay.early_losses
        cell = stay.at[0] // CELL, stay.at[1] // CELL
        if waited:
            self.hidden[waited] += 1
            self.hides[cell] += 1
            self.late[stay.late] += 1
            follower.late = stay.late + REST - 1
            self.others[0] += len(stay.rewards)
        else:  # what came in that step may be for a piece that is about to leave
            follower.early_rewards = [reward for _, reward in stay.rewards]
            follower.early_losses = len(stay.losses)
            follower.late = max(0, stay.late - 1)
            self.steps[max(abs(follower.at[0] - stay.at[0]), abs(follower.at[1] - stay.at[1]))] += 1

    def enter(self, facts: Presence) -> None:
        """Write down what was counted."""
        chances_V = self.comes_AV.sum(0) / self.tries_AV.sum(0).clamp(min=1)
        for action, tries_V in enumerate(self.tries_AV):
            known: Tensor | None = None
            for waited in range(WAITS):
                if tries_V[waited]:
                    known = self.comes_AV[action, waited] / tries_V[waited]
                facts.comes_AV[action, waited] = chances_V[waited] if known is None else known
        for number, (place, count) in enumerate(self.entrances.most_common(ENTRANCES)):
            facts.entrances_E4[number], facts.often_E[number] = torch.tensor(place), float(count)
        for cell in self.hides:
            facts.hides_hw[cell] = True
        self._enter_leaves(facts)
        facts.facts_4[0] = _most(self.hidden, HIDES)
        facts.facts_4[1] = _most(self.steps, 0.999)
        facts.of_late.fill_(_most(self.late, OFTEN) if self.late else _NEVER)

    def _enter_leaves(self, facts: Presence) -> None:
        leaves: Counter[tuple[int, int]] = Counter()
        paid: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        ones, followed, delays = [0, 0], [0, 0], (Counter[int](), Counter[int]())
        for stay in self.left:
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
            facts.leaves_hw[cell] = often >= LEAVES * (often + self.hides[cell])
        if ones[0] >= SURE * len(self.left):
            for cell, rewards in ((cell, counted.most_common(1)) for cell, counted in paid.items()):
                facts.pays_hw[cell] = rewards[0][0] if rewards else _NEVER
        if self.left and ones[1] >= SURE * len(self.left):
            facts.costs_hw.copy_(facts.leaves_hw)
        for kind, counted in enumerate(delays):
            for step, count in counted.items():
                facts.delays_2D[kind, step] = float(count)
            seen = followed[kind] + self.others[kind]
            facts.facts_4[2 + kind] = bool(seen) and followed[kind] >= SURE * seen


def _most(counted: Counter[int], share: float) -> int:
    """The least number that so many of those counted do not exceed."""
    seen = 0
    for number in sorted(counted):
        seen += counted[number]
        if seen >= share * counted.total():
            return number
    return 0
