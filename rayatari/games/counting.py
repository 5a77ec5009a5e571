"""A game that is its own ledger: from any frame one reads which step of which episode it is.

It proves the plumbing. Whatever stands between a game and a training batch may reorder, chunk, compress
and shuffle; with this game a test can check of every sample that frame, action and reward belong together.
"""

from dataclasses import dataclass

import numpy as np

from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH, Frame, Step
from rayatari.games.spec import GameSpec

COUNTING = GameSpec(
    name="counting",
    title="Counting",
    action_names=("NOOP", "FIRE", "RIGHT", "LEFT"),
    palette=tuple(range(0, 32, 2)),
)
"""Spec of the counting game: Breakout's actions, and 16 colours, one for each hexadecimal digit."""

NO_ACTION = 15
"""What the first frame of an episode shows as its last action."""

_DIGITS = {"seed": 8, "step": 6, "action": 1}
_BLOCK = SCREEN_WIDTH // sum(_DIGITS.values())


@dataclass(frozen=True)
class Count:
    """What a frame of the counting game shows."""

    seed: int
    """Seed of the episode, 0 to 2**31 - 1."""
    step: int
    """Steps played since the reset, 0 for the first frame."""
    action: int
    """The action that led to this frame; ``NO_ACTION`` for the first frame."""


class CountingGame:
    """A Game of ``length`` steps, of which every ``lives_every``-th costs one of five lives.

    Its end is a termination, unless ``truncate`` is set.
    """

    def __init__(self, length: int = 200, lives_every: int = 50, truncate: bool = False) -> None:
        self.spec = COUNTING
        self._length = length
        self._lives_every = lives_every
        self._truncate = truncate
        self._count = Count(seed=0, step=length, action=NO_ACTION)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return COUNTING.action_names

    @property
    def palette(self) -> tuple[int, ...]:
        """Palette bytes of its frames."""
        return COUNTING.palette

    @property
    def lives(self) -> int:
        """Lives left."""
        return max(5 - self._count.step // self._lives_every, 0)

    def reset(self, seed: int) -> Frame:
        """Start the episode of ``seed`` and return its first frame."""
        self._count = Count(seed, 0, NO_ACTION)
        return draw(self._count)

    def step(self, action: int) -> Step:
        """Count one step."""
        assert self._count.step < self._length, (
            "the episode is over, or none was started: reset() comes first"
        )
        assert 0 <= action < len(self.action_names), action
        reward = reward_of(self._count.seed, self._count.step, action)
        self._count = Count(self._count.seed, self._count.step + 1, action)
        over = self._count.step == self._length
        return Step(
            draw(self._count), reward, over and not self._truncate, over and self._truncate, self.lives
        )


def reward_of(seed: int, step: int, action: int) -> float:
    """Points for playing ``action`` on the frame that shows ``step`` in the episode of ``seed``: 0 to 6."""
    return float((seed * 31 + step * 5 + action * 3) % 7)


def draw(count: Count) -> Frame:
    """The frame that shows ``count``: its hexadecimal digits as upright bars of one colour each."""
    values = "".join(f"{getattr(count, field):0{digits}x}" for field, digits in _DIGITS.items())
    colours = np.array([COUNTING.palette[int(digit, 16)] for digit in values], np.uint8)
    row = np.zeros(SCREEN_WIDTH, np.uint8)
    row[: _BLOCK * len(colours)] = np.repeat(colours, _BLOCK)
    return np.tile(row, (SCREEN_HEIGHT, 1))


def read(frame: Frame) -> Count:
    """What ``frame`` shows; ValueError where it is no frame of this game, down to the last pixel."""
    digits = "".join(f"{colour // 2:x}" for colour in frame[0, : _BLOCK * sum(_DIGITS.values()) : _BLOCK])
    fields, at = {}, 0
    for field, width in _DIGITS.items():
        fields[field] = int(digits[at : at + width], 16)
        at += width
    count = Count(**fields)
    if frame.shape != (SCREEN_HEIGHT, SCREEN_WIDTH) or not np.array_equal(frame, draw(count)):
        raise ValueError("not a frame of the counting game")
    return count
