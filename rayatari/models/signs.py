"""Signs: places of the screen that show one of few pictures at a time, such as the digits of a score.

A digit that changes is drawn pixel by pixel from what may come next; half a 4 and half a 5 are no digit, and
the next frame goes on from there. Which places are signs, all pictures that each has, and which of them
follow on which, is counted in recorded play. What is drawn there is replaced by the picture nearest to it
that may follow on the one before. A sign that tells the lives shows those that are left, and so keeps them.

Shape suffixes beside those of ``frames``: N signs, A pictures of a sign, X pixels of its place.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.bodies import labels
from rayatari.models.measured import Measured, RecordedPlay

SIDE = 24
"""Longest side of a sign, in pixels."""
PICTURES = 16
"""Most pictures of a sign."""
DIFFERS = 0.3
"""Share of what a change would alter that has to be altered in a picture that may not follow, to be one."""
RESTS = 8
"""Steps for which a sign's pictures stay at least, on the mean of each: what passes by is no sign."""
UPHEAVAL = 0.2
"""Share of the screen beyond which a change says nothing of places, as when a game begins."""
TELLS = 0.9
"""Share of the frames with a picture that have the same number of lives, at least, where it tells these; and
of the times that a reward comes while it is shown in which it gives way alone, where it counts that."""
LATE = 2
"""Steps at the end of a recording whose rewards may show only after it."""
UNTOLD = -1


@dataclass(frozen=True)
class Sign:
    """One place, and what it may show."""

    rows: slice
    columns: slice
    pictures_AX: Tensor
    """Classes."""
    follows_AA: Tensor
    """Whether the second may come after the first, bool."""
    turns_RAA: Tensor
    """Whether the first gives way to the second in a step with that reward, or right after it, bool; with
    reward 0 where no reward explains it."""
    sure_RA: Tensor
    """Whether a picture always gives way when that reward comes, and no other sign's with it, bool."""
    lives_A: Tensor
    """The lives that each picture tells, int64; ``UNTOLD`` where the sign tells something else."""
    tells_lives: bool
    """Whether they tell any."""


class Signs(Measured):
    """The signs of a game, at most ``count``; none until :meth:`measure` or loaded weights bring them."""

    pictures_NAX: Tensor
    turns_NRAA: Tensor
    sure_NRA: Tensor
    lives_NA: Tensor
    facts_N5: Tensor
    """First and last + 1 row, first and last + 1 column of each place, and how many pictures; int64."""

    def __init__(self, count: int, rewards: int) -> None:
        super().__init__()
        self.register_buffer("pictures_NAX", torch.zeros(count, PICTURES, SIDE * SIDE, dtype=torch.uint8))
        self.register_buffer("turns_NRAA", torch.zeros(count, rewards, PICTURES, PICTURES, dtype=torch.bool))
        self.register_buffer("sure_NRA", torch.zeros(count, rewards, PICTURES, dtype=torch.bool))
        self.register_buffer("lives_NA", torch.full((count, PICTURES), UNTOLD))
        self.register_buffer("facts_N5", torch.zeros(count, 5, dtype=torch.long))
        self.signs: list[Sign] = []

    def measure(self, chunks: Callable[[], Iterable[RecordedPlay]], nothing: int) -> None:
        """Count what recorded play shows.

        ``chunks`` gives it in order, ``nothing`` is the index of no points among its rewards. It is called
        twice: first for the places, then for their pictures.
        """
        for buffer in (self.pictures_NAX, self.turns_NRAA, self.sure_NRA, self.facts_N5):
            buffer.zero_()
        self.lives_NA.fill_(UNTOLD)
        boxes = _places(play.frames_THW for play in chunks())
        counted = [_Counted(box, nothing) for box in boxes]
        for play in chunks():
            for place in counted:
                place.count(play)
        signs = sorted((place for place in counted if place.is_sign), key=lambda place: -place.changes)
        for n, place in zip(range(len(self.facts_N5)), signs, strict=False):
            place.enter(self.pictures_NAX[n], self.turns_NRAA[n], self.lives_NA[n], self.facts_N5[n])
            others = {moment for other in signs if other is not place for moment in other.moments()}
            for cause in place.sure(others):
                self.sure_NRA[n][cause] = True
        self._read()

    def mend(self, frames_BHW: Tensor, before_BHW: Tensor, rewards_B: Tensor, lives_B: Tensor) -> Tensor:
        """The same frames, classes uint8, with each sign showing a picture that may follow on the one before.

        A picture that always gives way when a reward comes does so with that reward, and with no other. Of
        the others one that may follow stays. In place of one that may not comes the nearest of those that
        follow in steps with that reward (indices ``rewards``); if there is none, or too little differs from
        the one before, that stays. A sign that tells the lives shows the ``lives`` left after the step,
        whatever was drawn, if that may follow. Where the one before is not known, nothing is done.
        """
        for sign in self.signs:
            drawn_BX, before_BX = (
                frames[:, sign.rows, sign.columns].flatten(1) for frames in (frames_BHW, before_BHW)
            )
            frames_BHW = frames_BHW.clone()
            if sign.tells_lives:
                mended_BX = _kept(drawn_BX, before_BX, lives_B, sign)
            else:
                mended_BX = _mended(drawn_BX, before_BX, rewards_B, sign)
            frames_BHW[:, sign.rows, sign.columns] = mended_BX.view(
                mended_BX.shape[0], -1, sign.columns.stop - sign.columns.start
            )
        return frames_BHW

    @property
    def tells_lives(self) -> bool:
        """Whether one of them tells the lives."""
        return any(sign.tells_lives for sign in self.signs)

    def lives(self, frames_BHW: Tensor, unknown_B: Tensor) -> Tensor:
        """The lives that the frames tell, int64 (B,); ``unknown`` (B,) where they do not."""
        for sign in self.signs:
            if sign.tells_lives:
                known_B, shown_B = _known(frames_BHW[:, sign.rows, sign.columns].flatten(1), sign)
                unknown_B = torch.where(known_B, sign.lives_A[shown_B], unknown_B)
        return unknown_B

    def _read(self) -> None:
        self.signs = []
        for n, (top, bottom, left, right, known) in enumerate(self.facts_N5.tolist()):
            if known:
                pictures_AX = self.pictures_NAX[n, :known, : (bottom - top) * (right - left)]
                turns_RAA = self.turns_NRAA[n, :, :known, :known]
                follows_AA = turns_RAA.any(0) | torch.eye(known, dtype=torch.bool, device=turns_RAA.device)
                place = slice(top, bottom), slice(left, right)
                lives_A = self.lives_NA[n, :known]
                tells_lives = lives_A[0].item() != UNTOLD
                sure_RA = self.sure_NRA[n, :, :known]
                self.signs.append(
                    Sign(*place, pictures_AX, follows_AA, turns_RAA, sure_RA, lives_A, tells_lives)
                )


def _kept(drawn_BX: Tensor, before_BX: Tensor, lives_B: Tensor, sign: Sign) -> Tensor:
    known_B, was_B = _known(before_BX, sign)
    tells_BA = (sign.lives_A == lives_B[:, None]) & sign.follows_AA[was_B]
    next_B = torch.where(tells_BA.any(1), tells_BA.int().argmax(1), was_B)
    return torch.where(known_B[:, None], sign.pictures_AX[next_B], drawn_BX)


def _known(shown_BX: Tensor, sign: Sign) -> tuple[Tensor, Tensor]:
    """Whether it is one of the sign's pictures, and which, (B,)."""
    is_BA = (shown_BX[:, None] == sign.pictures_AX).all(-1)
    return is_BA.any(1), is_BA.int().argmax(1)


def _mended(drawn_BX: Tensor, before_BX: Tensor, rewards_B: Tensor, sign: Sign) -> Tensor:
    known_B, was_B = _known(before_BX, sign)
    wrong_BA = (drawn_BX[:, None] != sign.pictures_AX).sum(-1)
    fits_B = ((wrong_BA == 0) & sign.follows_AA[was_B]).any(1)
    others_BA = torch.arange(len(sign.pictures_AX), device=was_B.device) != was_B[:, None]
    turns_BA = sign.turns_RAA[rewards_B, was_B] & others_BA
    nearest_B = wrong_BA.masked_fill(~turns_BA, SIDE * SIDE + 1).argmin(1)
    by_change_B = (sign.pictures_AX[nearest_B] != before_BX).sum(1)
    differs_B = (drawn_BX != before_BX).sum(1) >= DIFFERS * by_change_B
    sure_B, counts_B = sign.sure_RA[rewards_B, was_B], sign.sure_RA.any(0)[was_B]
    turns_B = turns_BA.any(1) & ((differs_B & ~counts_B) | sure_B)
    next_B = torch.where(turns_B, nearest_B, was_B)
    return torch.where((known_B & (counts_B | ~fits_B))[:, None], sign.pictures_AX[next_B], drawn_BX)


class _Counted:
    """The pictures of one place, as they come."""

    def __init__(self, box: tuple[int, int, int, int], nothing: int) -> None:
        self.box, self.nothing = box, nothing
        self.pictures: dict[bytes, int] = {}
        self.steps: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        """When the second picture came after the first, by reward and these."""
        self.earned: Counter[tuple[int, int]] = Counter()
        """How often a reward came while a picture was shown."""
        self.clock = 0
        self.shown: Counter[int] = Counter()
        self.entered: Counter[int] = Counter()
        self.lives: dict[int, Counter[int]] = defaultdict(Counter)
        self.full = False

    @property
    def is_sign(self) -> bool:
        """Whether it shows more than one picture, but few, and most of them for a while."""
        rests = [self.shown[number] / self.entered[number] for number in self.pictures.values()]
        return not self.full and len(rests) > 1 and statistics.median(rests) >= RESTS

    @property
    def changes(self) -> int:
        """How often one picture gave way to another."""
        return len(self.moments())

    def moments(self) -> list[int]:
        """When one picture gave way to another."""
        return [moment for moments in self.steps.values() for moment in moments]

    def sure(self, others: set[int]) -> Iterator[tuple[int, int]]:
        """Rewards and pictures that always give way with them, while no ``others`` do so."""
        for (reward, first, _), moments in self.steps.items():
            alone = sum(not others & {moment - 1, moment, moment + 1} for moment in moments)
            if reward != self.nothing and alone >= TELLS * max(self.earned[reward, first], len(moments)):
                yield reward, first

    def count(self, play: RecordedPlay) -> None:
        """Take in some frames that follow on each other."""
        if self.full:
            return
        top, bottom, left, right = self.box
        shown_TX = play.frames_THW[:, top:bottom, left:right].flatten(1)
        turns = (shown_TX[1:] != shown_TX[:-1]).any(1).nonzero()[:, 0].tolist()
        first, since = self._enter(shown_TX[0]), 0
        for t in turns:
            second = self._enter(shown_TX[t + 1])
            self._rest(first, play.lives_T[since : t + 1], play.rewards_T[since : t + 1])
            since = t + 1
            earned = play.rewards_T[max(0, t - 1) : t + 1]
            causes = [int(reward) for reward in earned if reward != self.nothing]
            if causes or t:  # what came before the first step is not known
                self.steps[causes[-1] if causes else self.nothing, first, second].append(self.clock + t)
            first = second
        self._rest(first, play.lives_T[since:], play.rewards_T[since:-LATE])
        self.clock += len(shown_TX)
        self.full = len(self.pictures) > PICTURES

    def _rest(self, picture: int, lives_T: Tensor, rewards_T: Tensor) -> None:
        """Count the frames of a picture that stays, and what comes meanwhile."""
        self.shown[picture] += len(lives_T)
        self.lives[picture].update(lives_T.tolist())
        self.earned.update((reward, picture) for reward in rewards_T.tolist())

    def _told(self) -> list[int]:
        """The lives that each picture tells, or that they tell none."""
        usual = [self.lives[number].most_common(1)[0] for number in range(len(self.pictures))]
        sure = all(count >= TELLS * self.shown[number] for number, (_, count) in enumerate(usual))
        told = [lives for lives, _ in usual]
        return told if sure and len(set(told)) == len(told) else [UNTOLD] * len(told)

    def _enter(self, shown_X: Tensor) -> int:
        number = self.pictures.setdefault(shown_X.numpy().tobytes(), len(self.pictures))
        self.entered[number] += 1
        return number

    def enter(self, pictures_AX: Tensor, turns_RAA: Tensor, lives_A: Tensor, facts_5: Tensor) -> None:
        """Write down what was counted."""
        for picture, number in self.pictures.items():
            pixels_X = torch.frombuffer(bytearray(picture), dtype=torch.uint8)
            pictures_AX[number, : len(pixels_X)] = pixels_X
        for step in self.steps:
            turns_RAA[step] = True
        lives_A[: len(self.pictures)] = torch.tensor(self._told())
        facts_5.copy_(torch.tensor([*self.box, len(self.pictures)]))


def _places(chunks: Iterable[Tensor]) -> list[tuple[int, int, int, int]]:
    """Boxes (top, bottom, left, right) around pixels that change and hang together, no larger than a sign."""
    changes_HW = torch.zeros(())
    for frames_THW in chunks:
        changed_THW = frames_THW[1:] != frames_THW[:-1]
        calm_T = changed_THW.float().mean((1, 2)) < UPHEAVAL
        changes_HW = changes_HW + changed_THW[calm_T].sum(0)
    if changes_HW.ndim == 0 or not changes_HW.any():
        return []
    # Pixels with one between them hang together, too: the strokes of a digit.
    near_HW = F.max_pool2d((changes_HW > 0).float()[None], 3, 1, 1)[0] > 0
    labels_HW = labels(near_HW.to(torch.uint8)[None])[0].masked_fill(changes_HW == 0, -1)
    boxes = []
    for label in labels_HW.unique().tolist():
        rows, columns = (labels_HW == label).nonzero(as_tuple=True)
        top, bottom = int(rows.min()), int(rows.max()) + 1
        left, right = int(columns.min()), int(columns.max()) + 1
        if label >= 0 and max(bottom - top, right - left) <= SIDE:
            boxes.append((top, bottom, left, right))
    return boxes
