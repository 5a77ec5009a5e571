"""Numbers with their count and a 95 % bootstrap interval.

The interval is that of a percentile bootstrap over episodes. Frames of one episode depend on each other,
and so do the starts that are taken from it, so neither is ever resampled one by one: ``groups`` names the
episode of each unit, and all units of an episode are drawn together. One episode alone has no interval.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """One measured number. ``value`` is None where nothing could be measured (``n`` is 0)."""

    value: float | None
    """The number itself; None too where it is not finite or lies beyond what was observed."""
    n: int
    """What it was counted over: frames, events or starts, as the measure says."""
    low: float | None = None
    """Lower end of the 95 % bootstrap interval; None where a single episode tells nothing of it."""
    high: float | None = None
    """Upper end of the 95 % bootstrap interval; None where it lies beyond what was observed."""


Groups = Sequence[Hashable] | None
"""The episode of each unit; without it every unit is an episode of its own."""


def share(hits: ArrayLike, totals: ArrayLike, n: int | None = None, groups: Groups = None) -> Estimate:
    """``sum(hits) / sum(totals)`` over units, each (units,); ``n`` is the sum of totals unless given."""
    counts = None if n is None else [n]
    return shares(np.asarray(hits)[:, None], np.asarray(totals)[:, None], counts, groups)[0]


def shares(
    hits: ArrayLike, totals: ArrayLike, counts: Sequence[int] | None = None, groups: Groups = None
) -> list[Estimate]:
    """:func:`share` of every column of (units, columns), all resampled alike."""
    hits_UC, totals_UC = np.asarray(hits, np.float64), np.asarray(totals, np.float64)
    assert hits_UC.shape == totals_UC.shape and hits_UC.ndim == 2, (hits_UC.shape, totals_UC.shape)
    numbers = _numbered(groups, len(hits_UC))
    hits_EC, totals_EC = (_sum_by(values, numbers) for values in (hits_UC, totals_UC))
    sums = totals_EC.sum(axis=0)
    counts = [int(total) for total in sums] if counts is None else counts
    weights = _weights(len(hits_EC))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = hits_EC.sum(axis=0) / sums
        resampled = (weights @ hits_EC) / (weights @ totals_EC)
    return [
        _estimate(value, resampled[:, column], counts[column] if sums[column] else 0, len(hits_EC))
        for column, value in enumerate(values)
    ]


def mean(values: ArrayLike, groups: Groups = None) -> Estimate:
    """Mean of one value a unit."""
    array = np.asarray(values, np.float64)
    return share(array, np.ones_like(array), groups=groups)


def median(values: ArrayLike, groups: Groups = None) -> Estimate:
    """Median of one value a unit; None where that is infinite."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return Estimate(None, 0)
    draws = _draws(groups, array.size)
    resampled = np.array([_median(array[draw]) for draw in draws])
    return _estimate(_median(array), resampled, array.size, _episodes(groups, array.size))


def survival_median(steps: ArrayLike, happened: ArrayLike, groups: Groups = None) -> Estimate:
    """Median step at which something happens first (Kaplan and Meier, 1958).

    ``steps`` (units,) is the step at which it happened, or up to which it was observed not to, as
    ``happened`` (units,) says. The value is None where fewer than half came to it while observed.
    """
    steps_U, happened_U = np.asarray(steps, np.float64), np.asarray(happened, bool)
    if not steps_U.size:
        return Estimate(None, 0)
    resampled = np.array(
        [_survival_median(steps_U[draw], happened_U[draw]) for draw in _draws(groups, steps_U.size)]
    )
    value = _survival_median(steps_U, happened_U)
    return _estimate(value, resampled, steps_U.size, _episodes(groups, steps_U.size))


def ratio(above: ArrayLike, below: ArrayLike) -> Estimate:
    """Mean of the episodes ``above`` over that of ``below``, the two resampled apart; n counts ``above``."""
    return _compare(above, below, lambda a, b: a / b if b else math.nan)


def difference(above: ArrayLike, below: ArrayLike) -> Estimate:
    """Mean of the episodes ``above`` less that of ``below``, the two resampled apart; n counts ``above``."""
    return _compare(above, below, lambda a, b: a - b)


def _compare(above: ArrayLike, below: ArrayLike, form: Callable[[float, float], float]) -> Estimate:
    ours, theirs = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if not ours.size or not theirs.size:
        return Estimate(None, 0)
    means = [array[_picks(array.size, seed)].mean(axis=1) for seed, array in enumerate((ours, theirs))]
    resampled = np.array([form(a, b) for a, b in zip(*means, strict=True)])
    value = form(float(ours.mean()), float(theirs.mean()))
    return _estimate(value, resampled, ours.size, min(ours.size, theirs.size))


def _median(values: NDArray[np.float64]) -> float:
    """The median, also where some are infinite."""
    with np.errstate(invalid="ignore"):
        middle = float(np.median(values))
    return math.inf if math.isnan(middle) else middle


def _survival_median(steps: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
    order = np.lexsort((~happened, steps))
    at_risk = len(steps) - np.arange(len(steps))
    surviving = np.cumprod(1 - happened[order] / at_risk)
    below = np.flatnonzero(surviving <= 0.5 + 1e-9)
    return float(steps[order][below[0]]) if below.size else math.inf


def _estimate(value: float, resampled: NDArray[np.float64], n: int, episodes: int) -> Estimate:
    known = resampled[~np.isnan(resampled)]
    if n == 0 or not known.size:
        return Estimate(None, 0)
    if episodes < 2:
        return Estimate(_finite(value), n)
    low, high = np.percentile(known, _INTERVAL, method="nearest")
    return Estimate(_finite(value), n, _finite(low), _finite(high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbered(groups: Groups, units: int) -> NDArray[np.int64]:
    """The episode of each unit as a number from 0 on, (units,)."""
    if groups is None:
        return np.arange(units)
    assert len(groups) == units, (len(groups), units)
    known = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([known[group] for group in groups], np.int64)


def _episodes(groups: Groups, units: int) -> int:
    return units if groups is None else len(set(groups))


def _sum_by(values_UC: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of the units of each episode, (episodes, columns)."""
    sums = np.zeros((int(numbers.max(initial=-1)) + 1, values_UC.shape[1]))
    np.add.at(sums, numbers, values_UC)
    return sums


def _draws(groups: Groups, units: int) -> Iterator[NDArray[np.int64]]:
    """The units of each resample: those of the episodes that it draws."""
    numbers = _numbered(groups, units)
    members = [np.flatnonzero(numbers == number) for number in range(int(numbers.max(initial=-1)) + 1)]
    for pick in _picks(len(members)):
        yield np.concatenate([members[number] for number in pick])


@cache
def _weights(episodes: int) -> NDArray[np.float64]:
    """How often each resample draws each episode, (resamples, episodes)."""
    if not episodes:
        return np.zeros((_RESAMPLES, 0))
    chances = np.full(episodes, 1 / episodes)
    return np.random.default_rng(0).multinomial(episodes, chances, _RESAMPLES).astype(float)


@cache
def _picks(episodes: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(episodes, size=(_RESAMPLES, episodes))
