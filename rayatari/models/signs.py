"""Signs: places of the screen that show one of few pictures at a time, such as the digits of a score.

A digit that changes is drawn pixel by pixel from what may come next; half a 4 and half a 5 are no digit, and
the next frame goes on from there. Which places are signs, all pictures that each has, and which of them
follow on which, is counted in recorded play. What is drawn there is replaced by the picture nearest to it
that may follow on the one before. A sign that tells the lives shows those that are left, and so keeps them.
A sign that turns with each reward counts it, by itself, at once or in the next step, as it was drawn; and one
that turns in certain turns of another, as when a 9 becomes a 0, turns with these and no others. Where games
always end with a reward at certain pictures of two such signs, such as a 2 and a 0, they do.

Shape suffixes beside those of ``frames``: N signs, A pictures of a sign, X pixels of its place.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rayatari.models.measured import Measured, RecordedPlay
from rayatari.models.sign_counts import NONE, PICTURES, SIDE, TELLS, UNTOLD, SignCounts, sign_places

DIFFERS = 0.3
"""Share of what a change would alter that has to be altered in a picture that may not follow, to be one."""
ENDS = 3
"""Times that a game has to end so, at least, to do it always."""


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
    """Whether a picture always gives way when that reward comes, bool."""
    leader: int
    """The sign whose turns decide those of this one, by number; ``NONE`` where it does not follow one."""
    carries_AA: Tensor
    """Whether it turns as the leader's first picture gives way to the second, bool."""
    ends_RAA: Tensor
    """Whether the game ends with that reward while the leader shows the first picture and this one the
    second, bool."""
    lives_A: Tensor
    """The lives that each picture tells, int64; ``UNTOLD`` where the sign tells something else."""
    tells_lives: bool
    """Whether they tell any."""


class Signs(Measured):
    """The signs of a game, at most ``count``; none until :meth:`measure` or loaded weights bring them."""

    pictures_NAX: Tensor
    turns_NRAA: Tensor
    sure_NRA: Tensor
    leaders_N: Tensor
    """The leader of each, int64."""
    carries_NAA: Tensor
    ends_NRAA: Tensor
    """With which rewards games end, and while the leader and the sign show which pictures, bool."""
    lives_NA: Tensor
    facts_N5: Tensor
    """First and last + 1 row, first and last + 1 column of each place, and how many pictures; int64."""

    def __init__(self, count: int, rewards: int) -> None:
        super().__init__()
        self.register_buffer("pictures_NAX", torch.zeros(count, PICTURES, SIDE * SIDE, dtype=torch.uint8))
        self.register_buffer("turns_NRAA", torch.zeros(count, rewards, PICTURES, PICTURES, dtype=torch.bool))
        self.register_buffer("sure_NRA", torch.zeros(count, rewards, PICTURES, dtype=torch.bool))
        self.register_buffer("leaders_N", torch.full((count,), NONE))
        self.register_buffer("carries_NAA", torch.zeros(count, PICTURES, PICTURES, dtype=torch.bool))
        self.register_buffer("ends_NRAA", torch.zeros(count, rewards, PICTURES, PICTURES, dtype=torch.bool))
        self.register_buffer("lives_NA", torch.full((count, PICTURES), UNTOLD))
        self.register_buffer("facts_N5", torch.zeros(count, 5, dtype=torch.long))
        self.signs: list[Sign] = []
        self.tell_end = False

    def measure(self, chunks: Callable[[], Iterable[RecordedPlay]], nothing: int) -> None:
        """Count what recorded play shows.

        ``chunks`` gives it in order, ``nothing`` is the index of no points among its rewards. It is called
        twice: first for the places, then for their pictures.
        """
        for buffer in self.buffers():
            buffer.zero_()
        self.leaders_N.fill_(NONE)
        self.lives_NA.fill_(UNTOLD)
        boxes = sign_places(play.frames_THW for play in chunks())
        counted = [SignCounts(box, nothing) for box in boxes]
        rewarded: list[tuple[int, bool, list[int]]] = []  # which, whether the game ended, what was shown
        for play in chunks():
            for place in counted:
                place.count(play)
            for t in (play.rewards_T != nothing).nonzero()[:, 0].tolist():
                shown = [place.number(play.frames_THW[t]) for place in counted]
                rewarded.append((int(play.rewards_T[t]), play.ends and t == len(play.rewards_T) - 1, shown))
        signs = sorted((place for place in counted if place.is_sign), key=lambda place: -place.changes)
        signs = signs[: len(self.facts_N5)]
        for n, place in enumerate(signs):
            place.enter(self.pictures_NAX[n], self.turns_NRAA[n], self.lives_NA[n], self.facts_N5[n])
            for cause in place.sure():
                self.sure_NRA[n][cause] = True
        for n, place in enumerate(signs):
            self._find_leader(n, place, signs[:n])  # which turns more often, and so comes first
        for n, leader in enumerate(self.leaders_N.tolist()):
            if leader != NONE:
                self._find_ends(n, rewarded, counted.index(signs[leader]), counted.index(signs[n]))
        self._read()

    def _find_leader(self, n: int, place: SignCounts, others: Sequence[SignCounts]) -> None:
        if self.sure_NRA[n].any() or self.lives_NA[n, 0] != UNTOLD:
            return
        for leader, other in enumerate(others):
            if self.lives_NA[leader, 0] == UNTOLD and (turns := place.carries(other)):
                self.leaders_N[n] = leader
                for turn in turns:
                    self.carries_NAA[n][turn] = True

    def _find_ends(
        self, n: int, rewarded: list[tuple[int, bool, list[int]]], leader: int, follower: int
    ) -> None:
        """Write down with which rewards and pictures games end, of all steps that brought rewards."""
        often: dict[tuple[int, int, int], list[bool]] = defaultdict(list)
        for reward, ended, shown in rewarded:
            often[reward, shown[leader], shown[follower]].append(ended)
        for where, ends in often.items():
            self.ends_NRAA[n][where] = sum(ends) >= max(ENDS, TELLS * len(ends)) and NONE not in where

    def mend(
        self, frames_BHW: Tensor, before_BHW: Tensor, rewards_B: Tensor, lives_B: Tensor, owed_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same frames, classes uint8, with each sign showing a picture that may follow on the one before;
        and what signs owe after it, int64 (B,): 0 nothing, 1 and more the reward whose index is one less.

        A sign that counts a reward turns with it, or in the step after it, where that was still ``owed``, as
        it was drawn, and never else unless it is not known what was owed (-1); one that follows another turns
        as that does. Of the others a picture that may follow stays. In place of one that may not comes the
        nearest of those that follow in steps with that reward (indices ``rewards``); if there is none, or too
        little differs from the one before, that stays. A sign that tells the lives shows the ``lives`` left
        after the step, whatever was drawn, if that may follow. Where the picture before is not known, nothing
        is done.
        """
        steps: list[_Step] = []
        owes_B = torch.zeros_like(owed_B)
        for sign in self.signs:
            drawn_BX, before_BX = (
                frames[:, sign.rows, sign.columns].flatten(1) for frames in (frames_BHW, before_BHW)
            )
            step = _step(drawn_BX, before_BX, torch.where(owed_B > 0, owed_B - 1, rewards_B), sign)
            if sign.tells_lives:
                step = step.keeping(lives_B, sign)
            elif sign.leader != NONE:
                step = step.following(steps[sign.leader], drawn_BX, sign)
            else:
                step, now_owes_B = step.counting(rewards_B, owed_B, sign)
                owes_B = torch.maximum(owes_B, now_owes_B)
            steps.append(step)
            shown_BX = torch.where(step.settled_B[:, None], sign.pictures_AX[step.next_B], drawn_BX)
            frames_BHW = frames_BHW.clone()
            frames_BHW[:, sign.rows, sign.columns] = shown_BX.view(
                shown_BX.shape[0], -1, sign.columns.stop - sign.columns.start
            )
        return frames_BHW, owes_B

    def ends(self, before_BHW: Tensor, rewards_B: Tensor) -> Tensor:
        """Whether games end with these rewards after what the frames before showed, bool (B,)."""
        ends_B = torch.zeros_like(rewards_B, dtype=torch.bool)
        seen = [_known(before_BHW[:, sign.rows, sign.columns].flatten(1), sign) for sign in self.signs]
        for (known_B, was_B), sign in zip(seen, self.signs, strict=True):
            if sign.leader != NONE:
                leader_known_B, leader_was_B = seen[sign.leader]
                ends_B = ends_B | (known_B & leader_known_B & sign.ends_RAA[rewards_B, leader_was_B, was_B])
        return ends_B

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
        self.tell_end = bool(self.ends_NRAA.any())
        for n, (top, bottom, left, right, known) in enumerate(self.facts_N5.tolist()):
            if known:
                pictures_AX = self.pictures_NAX[n, :known, : (bottom - top) * (right - left)]
                turns_RAA = self.turns_NRAA[n, :, :known, :known]
                follows_AA = turns_RAA.any(0) | torch.eye(known, dtype=torch.bool, device=turns_RAA.device)
                place = slice(top, bottom), slice(left, right)
                lives_A = self.lives_NA[n, :known]
                tells_lives = lives_A[0].item() != UNTOLD
                sure_RA, leader = self.sure_NRA[n, :, :known], int(self.leaders_N[n])
                self.signs.append(
                    Sign(
                        *place,
                        pictures_AX,
                        follows_AA,
                        turns_RAA,
                        sure_RA,
                        leader,
                        self.carries_NAA[n],
                        self.ends_NRAA[n],
                        lives_A,
                        tells_lives,
                    )
                )


@dataclass(frozen=True)
class _Step:
    """One step of a sign in B games."""

    known_B: Tensor
    """Whether what it showed before is one of its pictures, bool."""
    was_B: Tensor
    """Which, int64."""
    settled_B: Tensor
    """Whether it shows one of them now, whatever was drawn, bool."""
    next_B: Tensor
    """Which."""
    turned_B: Tensor
    """Which it would show if it turned."""
    differs_B: Tensor
    """Whether it was drawn as if it did, bool."""

    def keeping(self, lives_B: Tensor, sign: Sign) -> "_Step":
        """Of a sign that tells the lives."""
        tells_BA = (sign.lives_A == lives_B[:, None]) & sign.follows_AA[self.was_B]
        next_B = torch.where(tells_BA.any(1), tells_BA.int().argmax(1), self.was_B)
        return replace(self, settled_B=self.known_B, next_B=next_B)

    def following(self, leader: "_Step", drawn_BX: Tensor, sign: Sign) -> "_Step":
        """Of a sign that turns in certain turns of another."""
        carries_B = sign.carries_AA[leader.was_B, leader.next_B]
        others_BA = sign.follows_AA[self.was_B] & ~_one_hot(self.was_B, sign)
        next_B = torch.where(carries_B & others_BA.any(1), _nearest(drawn_BX, others_BA, sign), self.was_B)
        known_B = self.known_B & leader.known_B & leader.settled_B
        return replace(
            self, settled_B=self.settled_B | known_B, next_B=torch.where(known_B, next_B, self.next_B)
        )

    def counting(self, rewards_B: Tensor, owed_B: Tensor, sign: Sign) -> tuple["_Step", Tensor]:
        """Of a sign that counts rewards, where it does; and what it owes after it."""
        late_B = self.known_B & (owed_B > 0) & sign.sure_RA[(owed_B - 1).clamp(min=0), self.was_B]
        paid_B = self.known_B & sign.sure_RA[rewards_B, self.was_B]
        turns_B = late_B | (paid_B & self.differs_B)
        owes_B = torch.where(paid_B & (late_B | ~turns_B), rewards_B + 1, 0)
        counts_B = self.known_B & (owed_B >= 0) & sign.sure_RA.any(0)[self.was_B]
        next_B = torch.where(counts_B, torch.where(turns_B, self.turned_B, self.was_B), self.next_B)
        return replace(self, settled_B=self.settled_B | counts_B, next_B=next_B), owes_B


def _step(drawn_BX: Tensor, before_BX: Tensor, rewards_B: Tensor, sign: Sign) -> _Step:
    """Of any sign: what may follow stays as it was drawn."""
    known_B, was_B = _known(before_BX, sign)
    fits_B = ((drawn_BX[:, None] == sign.pictures_AX).all(-1) & sign.follows_AA[was_B]).any(1)
    turns_BA = sign.turns_RAA[rewards_B, was_B] & ~_one_hot(was_B, sign)
    turned_B = torch.where(turns_BA.any(1), _nearest(drawn_BX, turns_BA, sign), was_B)
    by_change_B = (sign.pictures_AX[turned_B] != before_BX).sum(1)
    differs_B = (drawn_BX != before_BX).sum(1) >= (DIFFERS * by_change_B).clamp(min=1)
    next_B = torch.where(differs_B, turned_B, was_B)
    return _Step(known_B, was_B, known_B & ~fits_B, next_B, turned_B, differs_B)


def _known(shown_BX: Tensor, sign: Sign) -> tuple[Tensor, Tensor]:
    """Whether it is one of the sign's pictures, and which, (B,)."""
    is_BA = (shown_BX[:, None] == sign.pictures_AX).all(-1)
    return is_BA.any(1), is_BA.int().argmax(1)


def _nearest(drawn_BX: Tensor, allowed_BA: Tensor, sign: Sign) -> Tensor:
    """The picture that is most like what was drawn, of those allowed, int64 (B,)."""
    wrong_BA = (drawn_BX[:, None] != sign.pictures_AX).sum(-1)
    return wrong_BA.masked_fill(~allowed_BA, SIDE * SIDE + 1).argmin(1)


def _one_hot(which_B: Tensor, sign: Sign) -> Tensor:
    return torch.arange(len(sign.pictures_AX), device=which_B.device) == which_B[:, None]
