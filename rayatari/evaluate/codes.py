"""Inside the neural game: which codes it uses, what each does to a frame, and when the mapper knows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate import metrics
from rayatari.evaluate.interface import CodedGame, Frames
from rayatari.evaluate.stats import Estimate, mean, share
from rayatari.evaluate.traces import (
    Start,
    Trace,
    contexts,
    earlier_actions,
    next_actions,
    next_frames,
    seeds_of,
)

SHOWN_CODES = 12
_TRIED = 12
"""Places at which a code is tried."""
TIMELINE_STEPS = 120
_PER_EVENT = 40
"""Steps of one event that are looked at, at most."""


@dataclass(frozen=True)
class Known:
    """How well the mapper does on some steps."""

    cells: Estimate
    """Cells with the encoder's code."""
    frames: Estimate
    """Steps with all of them."""
    changed_error: Estimate
    """Error on changed pixels with the mapper's codes."""
    changed_error_true: Estimate
    """The same with the encoder's: what the decoder cannot draw, told everything."""


@dataclass(frozen=True)
class Effect:
    """What one code does, at one place where the encoder gave it."""

    cell: int
    """Where, 0 to N-1."""
    before: Frames
    """The frame before, uint8 (210, 160)."""
    with_code: Frames
    """The next frame as drawn with the encoder's codes."""
    without: Frames
    """The same with this code replaced by the resting one wherever it occurs."""

    @property
    def pixels(self) -> int:
        """Pixels that the code decides."""
        return int(np.count_nonzero(self.with_code != self.without))


@dataclass(frozen=True)
class Codes:
    """All that the page shows."""

    grid: tuple[int, int]
    """Rows and columns of cells."""
    resting: int
    """The most common code, which says that nothing happens."""
    used: NDArray[np.int64]
    """Uses of each code by the encoder, int (K,)."""
    chosen: NDArray[np.int64]
    """Uses of each code by the mapper, int (K,)."""
    effects: dict[int, list[Effect]]
    """By code, the most used first; where it decides most pixels first."""
    by_action: dict[str, Known]
    by_event: dict[str, Known]
    timeline: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Codes of consecutive steps by the encoder and by the mapper, both int (steps, N)."""
    timeline_start: Start


@dataclass(frozen=True)
class _Looked:
    """The steps after some starts: codes, and pixels wrong of those that change."""

    true_MN: NDArray[np.int64]
    chosen_MN: NDArray[np.int64]
    wrong_M: NDArray[np.int64]
    wrong_true_M: NDArray[np.int64]
    changed_M: NDArray[np.int64]

    def known(self, rows: NDArray[np.bool_]) -> Known:
        right_MN = (self.true_MN == self.chosen_MN)[rows]
        return Known(
            cells=share(right_MN.sum(1), np.full(len(right_MN), right_MN.shape[1])),
            frames=mean(right_MN.all(1)),
            changed_error=share(self.wrong_M[rows], self.changed_M[rows]),
            changed_error_true=share(self.wrong_true_M[rows], self.changed_M[rows]),
        )


def perplexity(uses: NDArray[np.int64]) -> float:
    """Effective number of codes: exp of the entropy of their shares."""
    shares = uses[uses > 0] / uses.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def events_of(trace: Trace) -> dict[str, NDArray[np.bool_]]:
    """Which steps of a trace are which event, bool (L,) each; a step may be several or none."""
    found = {
        "points are scored": trace.rewards > 0,
        "points are lost": trace.rewards < 0,
        "a life is lost": trace.lives[1:] < trace.lives[:-1],
    }
    if trace.readings and "ball" in trace.readings[0].seen:
        seen = [reading.seen["ball"].places for reading in trace.readings]
        place = np.array([places[0] if places else (np.nan, np.nan) for places in seen])
        there, moves = ~np.isnan(place[:, 0]), np.diff(place, axis=0)
        turns = np.zeros((len(trace), 2), np.bool_)
        turns[1:] = moves[1:] * moves[:-1] < 0  # false where the ball is not seen
        found |= {
            "the ball turns up or down": turns[:, 1],
            "the ball turns left or right": turns[:, 0],
            "the ball appears": ~there[:-1] & there[1:],
            "the ball vanishes": there[:-1] & ~there[1:],
        }
    happens = np.any(list(found.values()), axis=0)
    return {name: steps for name, steps in found.items() if steps.any()} | {"none of these": ~happens}


def look_inside(
    game: CodedGame, traces: Sequence[Trace], count: int, batch: int, size: int, grid: tuple[int, int],
    advance: Callable[[int], object] = lambda steps: None,
) -> Codes:  # fmt: skip
    """Look at ``count`` steps spread over ``traces``, and at some of each event beside them.

    ``size`` is the number of codes K. ``advance`` is told the steps done.
    """
    events = {id(trace): events_of(trace) for trace in traces}
    places = [Start(trace, step) for trace in traces for step in range(game.history - 1, len(trace))]
    names = list(dict.fromkeys(name for found in events.values() for name in found))
    of_event = {name: [p for p in places if _happens(events[id(p.trace)], name, p.step)] for name in names}
    spread = _spread(places, count)
    starts = spread + [place for name in names for place in _spread(of_event[name], _PER_EVENT)]
    looked = _look(game, starts, batch, advance)
    usual = np.arange(len(starts)) < len(spread)
    used, chosen = (
        np.bincount(codes_MN[usual].ravel(), minlength=size)
        for codes_MN in (looked.true_MN, looked.chosen_MN)
    )
    resting = int(used.argmax())
    by_event = {
        name: np.array([_happens(events[id(start.trace)], name, start.step) for start in starts])
        for name in names
    }
    actions = np.array(next_actions(starts))
    by_action = {name: usual & (actions == action) for action, name in enumerate(game.action_names)}
    timeline = _timeline(max(traces, key=len), game.history)
    in_row = _look(game, timeline, batch, advance)
    return Codes(
        grid=grid,
        resting=resting,
        used=used,
        chosen=chosen,
        effects=_effects(game, starts, looked, resting, used),
        by_action={name: looked.known(rows) for name, rows in by_action.items() if rows.any()},
        by_event={name: looked.known(rows) for name, rows in by_event.items() if rows.any()},
        timeline=(in_row.true_MN, in_row.chosen_MN),
        timeline_start=timeline[0],
    )


def _happens(events: Mapping[str, NDArray[np.bool_]], name: str, step: int) -> bool:
    return name in events and bool(events[name][step])


def _spread(places: Sequence[Start], count: int) -> list[Start]:
    """At most ``count`` of the places, evenly spread."""
    count = min(count, len(places))
    return [places[int((i + 0.5) * len(places) / count)] for i in range(count)]


def _timeline(trace: Trace, history: int) -> list[Start]:
    first = min(history - 1, len(trace) - 1)
    return [Start(trace, step) for step in range(first, min(len(trace), first + TIMELINE_STEPS))]


def _look(game: CodedGame, starts: Sequence[Start], batch: int, advance: Callable[[int], object]) -> _Looked:
    parts = []
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        seeds, history, real = seeds_of(part), contexts(part, game.history), next_frames(part)
        actions, earlier = next_actions(part), earlier_actions(part)
        true_BN = game.true_codes(history[:, -1], real)
        game.reset(seeds, history, earlier)
        chosen_BN = game.sample_codes(actions)
        wrong = []
        for codes_BN in (chosen_BN, true_BN):
            game.reset(seeds, history, earlier)
            drawn = game.step_with_codes(codes_BN, actions).frames
            wrong.append(metrics.wrong_changed_pixels(drawn, history[:, -1], real))
        parts.append((true_BN, chosen_BN, *wrong, metrics.changed_pixels(history[:, -1], real)))
        advance(len(part))
    return _Looked(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _effects(
    game: CodedGame, starts: Sequence[Start], looked: _Looked, resting: int, used: NDArray[np.int64]
) -> dict[int, list[Effect]]:
    """Each of the most used codes at some of its places, where it does most first."""
    effects: dict[int, list[Effect]] = {}
    for code in np.argsort(-used, kind="stable").tolist():
        if used[code] and code != resting and len(effects) < SHOWN_CODES:
            steps, cells = np.nonzero(looked.true_MN == code)
            picks = np.unique(np.linspace(0, len(steps) - 1, _TRIED).round().astype(int))
            chosen = [starts[steps[i]] for i in picks]
            found = _replaced(game, chosen, looked.true_MN[steps[picks]], cells[picks].tolist(), resting)
            effects[code] = sorted(found, key=lambda effect: -effect.pixels)
    return effects


def _replaced(
    game: CodedGame, starts: Sequence[Start], codes_BN: NDArray[np.int64], cells: Sequence[int], resting: int
) -> list[Effect]:
    """The steps after ``starts`` drawn with the codes, and with that of one cell replaced wherever it is."""
    seeds, history, actions = seeds_of(starts), contexts(starts, game.history), next_actions(starts)
    earlier = earlier_actions(starts)
    code_B1 = codes_BN[np.arange(len(starts)), cells][:, None]
    drawn = []
    for codes in (codes_BN, np.where(codes_BN == code_B1, resting, codes_BN)):
        game.reset(seeds, history, earlier)
        drawn.append(game.step_with_codes(codes, actions).frames)
    shown = zip(cells, history[:, -1], *drawn, strict=True)
    return [Effect(cell, before, with_code, without) for cell, before, with_code, without in shown]
