"""What is measured on recorded play instead of learned, and kept beside the weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn


@dataclass(frozen=True)
class RecordedPlay:
    """T frames of recorded play that follow on each other."""

    frames_THW: Tensor
    """Classes, uint8."""
    rewards_T: Tensor
    """Indices of the rewards of the T - 1 steps between them, int64."""
    lives_T: Tensor
    """Lives left as each frame was shown, int64."""
    actions_T: Tensor
    """Indices of the actions of the T - 1 steps, int64."""
    begins: bool = False
    """Whether a game begins with the first frame."""
    ends: bool = False
    """Whether the last step ends the game."""
    game: int = 0
    """Number of the game."""
    first: int = 0
    """Number, in the game, of the first frame."""
    repeated: int = 0
    """Steps that the part of the game before this one ended with."""


class Measured(nn.Module, ABC):
    """Facts of a game in buffers, and what is made of them to work with.

    A subclass reads its buffers in :meth:`_read`, which runs again whenever they are loaded or moved to
    another device. A bundle that is older than one of its facts leaves that as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_leave_unknown)
        self.register_load_state_dict_post_hook(_read_again)

    @abstractmethod
    def _read(self) -> None:
        """Make of the buffers what the frames are compared with."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._read()
        return self


def _read_again(facts: Measured, _: object) -> None:
    facts._read()


def _leave_unknown(facts: Measured, known: dict[str, Tensor], prefix: str, *_: object) -> None:
    for name, buffer in facts.named_buffers(recurse=False):
        known.setdefault(prefix + name, buffer)
