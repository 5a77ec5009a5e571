"""Tiles: rectangles of one colour that are there as a whole or not at all, such as the bricks of a wall.

A decoder takes a brick away by halves, and what it leaves is copied from then on. Which tiles a game has is
found in recorded play: neighbouring pixels that show either their colour or the ground, and always the same
of the two. Of what is drawn there the majority decides whether a tile is there. One that has gone comes back
only together with most of the others, as a new wall does. It is counted, too, whether they go one at a time,
and which reward comes with each; where no reward comes otherwise, a tile that goes decides it.

Shape suffixes beside those of ``frames``: N tiles, X pixels of the largest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.bodies import linked
from rayatari.models.measured import Measured, RecordedPlay

SIDE = 24
"""Longest side of a tile, in pixels."""
SMALLEST = 16
"""Fewest pixels of a tile."""
EITHER = 0.98
"""Share of the frames, at least, in which a tile's pixel shows its colour or the ground."""
SELDOM = 0.002
"""Share of the frames, at least, in which it shows the one, and in which the other."""
APART = 0.02
"""Of the frames in which a pixel shows the ground, the share in which its neighbours in the tile may not."""
TOGETHER = 0.5
"""Share of all tiles that come back at once, at least, where any does."""
ALONE = 0.1
"""Most times that a tile comes back without so many, for each time that it goes: what does so is none."""
CRUMBS = 0.25
"""Most of a tile's pixels that are taken for something else, such as a ball, and left."""
SURE = 0.98
"""Share of what is seen, at least, that makes a rule."""


@dataclass(frozen=True)
class Standing:
    """The tiles of B games after a step."""

    there_BN: Tensor
    """Which are there, bool."""
    gone_BN: Tensor
    """Which have gone in the step, bool."""


class Tiles(Measured):
    """The tiles of a game, at most ``count``; none until :meth:`measure` or loaded weights bring them."""

    facts_N5: Tensor
    """First and last + 1 row, first and last + 1 column, and class of each tile, int64."""
    ground: Tensor
    """The class that lies beneath, uint8."""
    pays_N: Tensor
    """The reward that comes with each as it goes, int64."""
    nothing: Tensor
    """Index of the reward that is none, int64."""
    rules_2: Tensor
    """Whether they go one at a time, and whether every reward comes with one that goes; bool."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("facts_N5", torch.zeros(count, 5, dtype=torch.long))
        self.register_buffer("ground", torch.zeros((), dtype=torch.uint8))
        self.register_buffer("pays_N", torch.zeros(count, dtype=torch.long))
        self.register_buffer("nothing", torch.zeros((), dtype=torch.long))
        self.register_buffer("rules_2", torch.zeros(2, dtype=torch.bool))
        self._read()

    def measure(self, frames_NHW: Tensor, chunks: Iterable[RecordedPlay], nothing: int) -> None:
        """Find the tiles in recorded frames, classes uint8, and see in recorded play whether they return and
        what comes as they go; ``nothing`` is the index of the reward that is none.
        """
        self.facts_N5.zero_()
        self.ground.fill_(int(frames_NHW.flatten().bincount().argmax()))
        found = list(_rectangles(frames_NHW, int(self.ground)))
        pixels_NX, real_NX = _pixels(found, self.width)
        colours_N = torch.tensor([facts[4] for facts in found], dtype=torch.uint8)
        alone_N = torch.zeros(len(found), dtype=torch.long)
        steps: list[tuple[list[int], int]] = []
        for play in chunks:
            there_TN = _share(play.frames_THW, pixels_NX, real_NX, colours_N) >= 0.5
            gone_TN, comes_TN = there_TN[:-1] & ~there_TN[1:], ~there_TN[:-1] & there_TN[1:]
            alone_N += comes_TN[comes_TN.sum(1) < TOGETHER * len(found)].sum(0)
            eventful_T = gone_TN.any(1) | (play.rewards_T != nothing)
            steps += [
                (gone_TN[t].nonzero()[:, 0].tolist(), int(play.rewards_T[t]))
                for t in eventful_T.nonzero()[:, 0].tolist()
            ]
        goes = Counter(n for gone, _ in steps for n in gone)
        kept = [n for n, alone in enumerate(alone_N.tolist()) if goes[n] and alone <= ALONE * goes[n]]
        kept = kept[: len(self.facts_N5)]
        for place, n in enumerate(kept):
            self.facts_N5[place] = torch.tensor(found[n])
        self._count(steps, kept, nothing)
        self._read()

    def there(self, frames_BHW: Tensor) -> Tensor:
        """Which tiles frames show, bool (B, N)."""
        return self._shares(frames_BHW) >= 0.5

    def standing(self, frames_BHW: Tensor, before_BHW: Tensor, goes_B: Tensor | None = None) -> Standing:
        """The tiles that are there after what the frames before showed.

        Where they go one at a time, of several that would that of which least was drawn does; or that of
        number ``goes``, int64, none where that is -1.
        """
        shown_BN, were_BN = self._shares(frames_BHW), self.there(before_BHW)
        now_BN = shown_BN >= 0.5
        together_B = (now_BN & ~were_BN).sum(1) >= TOGETHER * len(self.colours_N)
        there_BN = now_BN & (were_BN | together_B[:, None])
        gone_BN = were_BN & ~there_BN
        if goes_B is not None:
            number_N = torch.arange(were_BN.shape[1], device=were_BN.device)
            gone_BN = were_BN & (number_N == goes_B[:, None])
            there_BN = (were_BN & ~gone_BN) | (now_BN & together_B[:, None])
        elif self.go_singly:
            least_BN = F.one_hot(shown_BN.masked_fill(~gone_BN, 2.0).argmin(1), shown_BN.shape[1]) > 0
            there_BN = there_BN | (gone_BN & ~least_BN)
            gone_BN = gone_BN & least_BN
        return Standing(there_BN, gone_BN)

    def rewards(self, standing: Standing, rewards_B: Tensor) -> Tensor:
        """The rewards that come with tiles that go, where nothing else brings any; else those given."""
        if not self.tell_rewards:
            return rewards_B
        paid_B = self.known_pays_N[standing.gone_BN.int().argmax(1)]
        return torch.where(standing.gone_BN.any(1), paid_B, self.nothing)

    def _count(self, steps: list[tuple[list[int], int]], kept: list[int], nothing: int) -> None:
        """Write down what comes with tiles that go; ``steps`` are those found that go, and the reward."""
        place = {n: number for number, n in enumerate(kept)}
        events = [([place[n] for n in gone if n in place], reward) for gone, reward in steps]
        goes = [gone for gone, _ in events if gone]
        single = [(gone[0], reward) for gone, reward in events if len(gone) == 1]
        paid = [Counter(reward for n, reward in single if n == number) for number in range(len(kept))]
        self.nothing.fill_(nothing)
        self.pays_N.fill_(nothing)
        for number, rewards in enumerate(paid):
            if rewards:
                self.pays_N[number] = rewards.most_common(1)[0][0]
        singly = len(single) >= SURE * len(goes)
        as_said = [reward for n, reward in single if reward == self.pays_N[n]]
        earned = sum(reward != nothing for _, reward in events)
        explained = sum(reward != nothing for reward in as_said)
        tells = singly and len(as_said) >= SURE * len(single) and explained >= SURE * max(1, earned)
        self.rules_2.copy_(torch.tensor([singly and bool(single), tells]))

    def lift(self, frames_BHW: Tensor) -> Tensor:
        """The same frames, classes uint8, without any tile, whole or torn; other things stay there."""
        colours_N = self.ground.expand(len(self.colours_N))
        return self._painted(frames_BHW, self._shares(frames_BHW) > CRUMBS, colours_N)

    def put(self, frames_BHW: Tensor, there_BN: Tensor) -> Tensor:
        """The same frames with those tiles whole."""
        return self._painted(frames_BHW, there_BN, self.colours_N)

    def _shares(self, frames_BHW: Tensor) -> Tensor:
        return _share(frames_BHW, self.pixels_NX, self.real_NX, self.colours_N)

    def _painted(self, frames_BHW: Tensor, chosen_BN: Tensor, colours_N: Tensor) -> Tensor:
        flat_BX, (N, X) = frames_BHW.flatten(1), self.pixels_NX.shape
        places_BX = self.pixels_NX.flatten().expand(flat_BX.shape[0], -1)
        shown_BNX = flat_BX.gather(1, places_BX).view(flat_BX.shape[0], N, X)
        painted_BNX = torch.where(chosen_BN[..., None], colours_N[:, None], shown_BNX)
        return flat_BX.scatter(1, places_BX, painted_BNX.flatten(1)).view_as(frames_BHW)

    @property
    def boxes(self) -> Tensor:
        """First and last + 1 row, first and last + 1 column of those that there are, int64."""
        return self.facts_N5[: len(self.colours_N), :4]

    def _read(self) -> None:
        facts = [each for each in self.facts_N5.tolist() if each[1]]
        device = self.facts_N5.device
        self.pixels_NX, self.real_NX = (part.to(device) for part in _pixels(facts, self.width))
        self.colours_N = torch.tensor([each[4] for each in facts], dtype=torch.uint8, device=device)
        self.known_pays_N = self.pays_N[: len(facts)]
        self.go_singly, self.tell_rewards = self.rules_2.tolist()


def _pixels(found: list[list[int]], width: int) -> tuple[Tensor, Tensor]:
    """Places of each tile's pixels in a flattened frame, int64 (N, X), and which of them are its own, bool.

    Smaller tiles than the largest name their first pixel again.
    """
    largest = max(((bottom - top) * (right - left) for top, bottom, left, right, _ in found), default=0)
    pixels_NX = torch.zeros(len(found), largest, dtype=torch.long)
    real_NX = torch.zeros(len(found), largest, dtype=torch.bool)
    for n, (top, bottom, left, right, _) in enumerate(found):
        own = (torch.arange(top, bottom)[:, None] * width + torch.arange(left, right)).flatten()
        pixels_NX[n] = own[0]
        pixels_NX[n, : len(own)] = own
        real_NX[n, : len(own)] = True
    return pixels_NX, real_NX


def _share(frames_BHW: Tensor, pixels_NX: Tensor, real_NX: Tensor, colours_N: Tensor) -> Tensor:
    """Share of each tile's pixels that have its colour, float (B, N)."""
    flat_BX = frames_BHW.flatten(1)
    shown_BNX = flat_BX.index_select(1, pixels_NX.flatten()).view(flat_BX.shape[0], *pixels_NX.shape)
    own_BNX = (shown_BNX == colours_N[:, None]) & real_NX
    return own_BNX.sum(-1) / real_NX.sum(-1)


def _rectangles(frames_NHW: Tensor, ground: int) -> Iterator[list[int]]:
    """Facts of the rectangles whose pixels go together, from top to bottom."""
    frames = len(frames_NHW)
    counts_PHW = torch.stack([(frames_NHW == colour).sum(0) for colour in range(int(frames_NHW.max()) + 1)])
    bare_HW = counts_PHW[ground].clone()
    counts_PHW[ground] = 0
    shown_HW, colours_HW = counts_PHW.max(0)
    candidates_HW = shown_HW + bare_HW >= EITHER * frames
    candidates_HW &= torch.minimum(shown_HW, bare_HW) >= SELDOM * frames

    def joined(axis: int) -> Tensor:
        size = bare_HW.shape[axis] - 1

        def pair(values: Tensor) -> tuple[Tensor, Tensor]:
            return values.narrow(axis, 0, size), values.narrow(axis, 1, size)

        (ours, other), (bare, bare_other) = pair(candidates_HW), pair(bare_HW)
        apart = torch.zeros_like(bare)
        for frame_HW in frames_NHW == ground:
            apart += torch.ne(*pair(frame_HW))
        together = apart <= APART * torch.minimum(bare, bare_other)
        return together & ours & other & torch.eq(*pair(colours_HW))

    labels_HW = linked([joined(0)[None], joined(1)[None]])[0]
    for label in labels_HW[candidates_HW].unique().tolist():
        rows, columns = (labels_HW == label).nonzero(as_tuple=True)
        top, bottom = int(rows.min()), int(rows.max()) + 1
        left, right = int(columns.min()), int(columns.max()) + 1
        is_whole = len(rows) == (bottom - top) * (right - left)
        if is_whole and len(rows) >= SMALLEST and max(bottom - top, right - left) <= SIDE:
            yield [top, bottom, left, right, int(colours_HW[top, left])]
