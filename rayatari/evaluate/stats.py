"""Numbers with their count and a 95 % bootstrap interval.

The interval is that of a percentile bootstrap over units: the starts or episodes that were played.
Frames of one rollout depend on each other, so they are never resampled one by one.
"""

import math
from collections.abc import Sequence
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
    """Lower end of the 95 % bootstrap interval."""
    high: float | None = None
    """Upper end of the 95 % bootstrap interval; None where it lies beyond what was observed."""


def share(hits: ArrayLike, totals: ArrayLike, n: int | None = None) -> Estimate:
    """``sum(hits) / sum(totals)`` over units, each (units,); ``n`` is the sum of totals unless given."""
    return shares(np.asarray(hits)[:, None], np.asarray(totals)[:, None], None if n is None else [n])[0]


def shares(hits: ArrayLike, totals: ArrayLike, counts: Sequence[int] | None = None) -> list[Estimate]:
    """:func:`share` of every column of (units, columns), all resampled alike."""
    hits_UC, totals_UC = np.asarray(hits, np.float64), np.asarray(totals, np.float64)
    assert hits_UC.shape == totals_UC.shape and hits_UC.ndim == 2, (hits_UC.shape, totals_UC.shape)
    sums = totals_UC.sum(axis=0)
    counts = [int(total) for total in sums] if counts is None else counts
    weights = _weights(len(hits_UC))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = hits_UC.sum(axis=0) / sums
        resampled = (weights @ hits_UC) / (weights @ totals_UC)
    return [
        _estimate(value, resampled[:, column], counts[column] if sums[column] else 0)
        for column, value in enumerate(values)
    ]


def mean(values: ArrayLike) -> Estimate:
    """Mean of one value a unit."""
    array = np.asarray(values, np.float64)
    return share(array, np.ones_like(array))


def median(values: ArrayLike) -> Estimate:
    """Median of one value a unit."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return Estimate(None, 0)
    resampled = np.median(array[_picks(array.size)], axis=1)
    return _estimate(float(np.median(array)), resampled, array.size)


def survival_median(steps: ArrayLike, happened: ArrayLike) -> Estimate:
    """Median step at which something happens first (Kaplan and Meier, 1958).

    ``steps`` (units,) is the step at which it happened, or up to which it was observed not to, as
    ``happened`` (units,) says. The value is None where fewer than half came to it while observed.
    """
    steps_U, happened_U = np.asarray(steps, np.float64), np.asarray(happened, bool)
    if not steps_U.size:
        return Estimate(None, 0)
    picks = _picks(steps_U.size)
    resampled = np.array([_survival_median(steps_U[pick], happened_U[pick]) for pick in picks])
    return _estimate(_survival_median(steps_U, happened_U), resampled, steps_U.size)


def _survival_median(steps: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
    order = np.lexsort((~happened, steps))
    at_risk = len(steps) - np.arange(len(steps))
    surviving = np.cumprod(1 - happened[order] / at_risk)
    below = np.flatnonzero(surviving <= 0.5 + 1e-9)
    return float(steps[order][below[0]]) if below.size else math.inf


def _estimate(value: float, resampled: NDArray[np.float64], n: int) -> Estimate:
    known = resampled[~np.isnan(resampled)]
    if n == 0 or not known.size:
        return Estimate(None, 0)
    low, high = np.percentile(known, _INTERVAL, method="nearest")
    return Estimate(_finite(value), n, _finite(low), _finite(high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@cache
def _weights(units: int) -> NDArray[np.float64]:
    """How often each resample draws each unit, (resamples, units)."""
    if not units:
        return np.zeros((_RESAMPLES, 0))
    return np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), _RESAMPLES).astype(float)


@cache
def _picks(units: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(units, size=(_RESAMPLES, units))
