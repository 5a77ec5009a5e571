"""What recorded play shows of signs: their places, their pictures, and why one gives way to another."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from rayatari.models.bodies import labels
from rayatari.models.measured import RecordedPlay

SIDE = 24
"""Longest side of a sign, in pixels."""
PICTURES = 16
"""Most pictures of a sign."""
RESTS = 8
"""Steps for which a sign's pictures stay at least, on the mean of each: what passes by is no sign."""
UPHEAVAL = 0.2
"""Share of the screen beyond which a change says nothing of places, as when a game begins."""
TELLS = 0.9
"""Share of the frames with a picture that have the same number of lives, at least, where it tells these; of
the times that a reward comes in which a sign turns that counts it; and of the turns of a sign that come with
turns of another that bring them."""
LATE = 2
"""Steps at the end of a recording whose rewards may show only after it."""
UNTOLD = NONE = -1


class SignCounts:
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

    def number(self, frame_HW: Tensor) -> int:
        """The picture that a frame shows, ``NONE`` where it is none that was counted."""
        top, bottom, left, right = self.box
        return self.pictures.get(frame_HW[top:bottom, left:right].flatten().numpy().tobytes(), NONE)

    def sure(self) -> Iterator[tuple[int, int]]:
        """Rewards and pictures that always give way with them."""
        turned: Counter[int] = Counter()
        for (reward, _, _), moments in self.steps.items():
            turned[reward] += len(moments)
        earned: Counter[int] = Counter()
        for (reward, _), often in self.earned.items():
            earned[reward] += often
        for reward, first, _ in self.steps:
            if reward != self.nothing and turned[reward] >= TELLS * earned[reward]:
                yield reward, first

    def carries(self, leader: "SignCounts") -> set[tuple[int, int]]:
        """The turns of another sign that bring those of this one, if they explain these."""
        mine = set(self.moments())
        turns: dict[tuple[int, int], list[bool]] = defaultdict(list)
        for (_, first, second), moments in leader.steps.items():
            turns[first, second] += [moment in mine for moment in moments]
        brings = {turn for turn, together in turns.items() if sum(together) >= TELLS * len(together)}
        return brings if sum(sum(turns[turn]) for turn in brings) >= TELLS * len(mine) else set()

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
        for reward, first in self.sure():
            often = {
                second: len(self.steps.get((reward, first, second), ())) for second in self.pictures.values()
            }
            turns_RAA[reward, first] = False
            turns_RAA[reward, first, max(often, key=lambda second: often[second])] = True
        lives_A[: len(self.pictures)] = torch.tensor(self._told())
        facts_5.copy_(torch.tensor([*self.box, len(self.pictures)]))


def sign_places(chunks: Iterable[Tensor]) -> list[tuple[int, int, int, int]]:
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
