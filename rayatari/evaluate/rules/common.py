"""What the rules of several games have in common."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.play import Play

Counts = tuple[int, int]
"""How often a rule held, and how often it could have been broken."""


def ball_visible(play: Play, action_names: Sequence[str]) -> Counts:
    """There is a ball, of all frames."""
    return sum(bool(r.seen["ball"].places) for r in play.readings[1:]), len(play.actions)


def ball_whole(play: Play, action_names: Sequence[str]) -> Counts:
    """There is exactly one ball-like blob, and it is a legal ball, of all frames."""
    balls = [r.seen["ball"] for r in play.readings[1:]]
    return sum(len(ball.places) == ball.count == 1 for ball in balls), len(play.actions)


def field_legal(play: Play, action_names: Sequence[str]) -> Counts:
    """The reader can explain the whole screen, as far as it is read, of all frames."""
    return sum(r.legal for r in play.readings[1:]), len(play.actions)


def add(*parts: Counts) -> Counts:
    """Occasions of several rules together."""
    return sum(held for held, _ in parts), sum(occasions for _, occasions in parts)


def changes(numbers: Sequence[float | None]) -> NDArray[np.float64]:
    """Change of a number on the screen in each step; an unreadable one counts as not changed yet."""
    known, last = [], next((number for number in numbers if number is not None), 0)
    for number in numbers:
        last = last if number is None else number
        known.append(float(last))
    return np.diff(known)


def absences(seen: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First frame of each run of frames without, and the frame after it."""
    for is_seen, run in itertools.groupby(enumerate(seen), key=lambda pair: pair[1]):
        if not is_seen:
            frames = [frame for frame, _ in run]
            yield frames[0], frames[-1] + 1


def followed(caused: NDArray[np.float64], shown: NDArray[np.float64]) -> Counts:
    """The screen adds what was caused, at once or a step later, of all steps at which it should or does.

    What was caused before the first step is not known, so what the first step shows is not judged; nor
    is what the last step causes and does not show yet.
    """
    held = occasions = 0
    due = caused[0] if shown[0] == 0 else 0.0
    for new, change in zip(caused[1:], shown[1:], strict=True):
        if due or change:
            occasions += 1
            held += change in (due, due + new)
        due = new if change in (0, due) else 0.0
    return held, occasions
