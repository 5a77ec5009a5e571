"""Block 2 for games with a reader: is each thing there, and where it really is?

Things are what the reader sees by kind: Breakout's ball and paddle, Pong's two paddles, Enduro's cars.
"""

from collections.abc import Sequence

import numpy as np

from rayatari.evaluate.open_loop import Rollout
from rayatari.evaluate.stats import Estimate, median, share, survival_median
from rayatari.games.readers import Place, Reading

DIVERGED_PIXELS = 4.0
"""A thing has diverged when it is further than this from its real place, or missing."""
ObjectScores = dict[str, Estimate]


def object_scores(rollouts: Sequence[Rollout], step: int) -> ObjectScores:
    """The measures of every kind at horizon ``step`` (1 is the first predicted frame).

    ``<kind>_recall``, steps 1 to h: of the real things the share that the neural frame has too, wherever
    (of several at most as many as are really there); n counts things.
    ``<kind>_ghosts``, steps 1 to h: share of the frames with more of them than the real one, broken ones
    included; n counts frames.
    ``<kind>_error_px``, at step h: median distance from the real place, a missing one infinitely far; n
    counts things.
    """
    pairs = [list(zip(r.readings[:step], r.real_readings[:step], strict=True)) for r in rollouts]
    groups = [rollout.episode for rollout in rollouts]
    scores: ObjectScores = {}
    for kind in kinds(rollouts):
        seen = [[(neural.seen[kind], real.seen[kind]) for neural, real in found] for found in pairs]
        scores[f"{kind}_recall"] = share(
            [sum(min(len(a.places), len(b.places)) for a, b in found) for found in seen],
            [sum(len(b.places) for _, b in found) for found in seen],
            groups=groups,
        )
        scores[f"{kind}_ghosts"] = share(
            [sum(a.count > b.count for a, b in found) for found in seen],
            [len(found) for found in seen],
            groups=groups,
        )
        last = [
            (error, group)
            for found, group in zip(pairs, groups, strict=True)
            if len(found) == step
            for error in errors(kind, *found[-1])
        ]
        scores[f"{kind}_error_px"] = median([e for e, _ in last], [group for _, group in last])
    return scores


def kinds(rollouts: Sequence[Rollout]) -> list[str]:
    """What the reader of this game sees."""
    return list(rollouts[0].start_reading.seen)


def divergence(rollouts: Sequence[Rollout]) -> dict[str, Estimate]:
    """By kind the median step at which one of its things is first more than 4 pixels off or missing.

    n counts starts. Steps without such a thing in the real game do not count. No value means that over
    half of the rollouts kept all of them in place to their end.
    """

    def first(kind: str, rollout: Rollout) -> tuple[int, bool]:
        frames = zip(rollout.readings, rollout.real_readings, strict=True)
        for step, (neural, real) in enumerate(frames, start=1):
            if any(error > DIVERGED_PIXELS for error in errors(kind, neural, real)):
                return step, True
        return rollout.steps, False

    found = {kind: [first(kind, rollout) for rollout in rollouts] for kind in kinds(rollouts)}
    groups = [rollout.episode for rollout in rollouts]
    return {
        kind: survival_median([step for step, _ in steps], [happened for _, happened in steps], groups)
        for kind, steps in found.items()
    }


def errors(kind: str, neural: Reading, real: Reading) -> list[float]:
    """Pixels from each real thing of that kind to its neural one; infinite where there is none.

    Of several the nearest pairs belong together, nearest first.
    """
    ours, theirs = neural.seen[kind].places, real.seen[kind].places
    ranked = sorted((_distance(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs))
    found = [float("inf")] * len(theirs)
    used: set[int] = set()
    for distance, i, j in ranked:
        if i not in used and np.isinf(found[j]):
            used.add(i)
            found[j] = distance
    return found


def _distance(a: Place, b: Place) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
