"""Block 2 for games with a reader: are the ball and the paddle there, and where they really are?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rayatari.evaluate.interface import Reading
from rayatari.evaluate.open_loop import Rollout
from rayatari.evaluate.stats import Estimate, median, share, survival_median

DIVERGED_PIXELS = 4.0
"""An object has diverged when it is further than this from its real place, or missing."""


@dataclass(frozen=True)
class ObjectScores:
    """Objects in open loop; see the fields for which are of one step and which of all steps up to it."""

    ball_recall: Estimate
    """Steps 1 to h: share of the real frames with a ball whose neural frame has one; n counts frames."""
    ghost_share: Estimate
    """Steps 1 to h: share of the frames with more ball-like blobs than the real one; n counts frames."""
    ball_error_px: Estimate
    """At step h: median distance of the ball from its real place where both have one; n counts starts."""
    paddle_error_px: Estimate
    """At step h: median distance of the paddle from its real place; n counts starts."""


@dataclass(frozen=True)
class Divergence:
    """Median step at which an object is first more than 4 pixels off or missing; n counts starts.

    No value means that over half of the rollouts kept the object in place to their end.
    """

    ball: Estimate
    paddle: Estimate


def object_scores(rollouts: Sequence[Rollout], step: int) -> ObjectScores:
    """The object measures at horizon ``step`` (1 is the first predicted frame)."""
    pairs = [list(zip(r.readings[:step], r.real_readings[:step], strict=True)) for r in rollouts]
    last = [found[step - 1] for found in pairs if len(found) == step]
    ball_errors = [ball_error(*pair) for pair in last]
    paddle_errors = [paddle_error(*pair) for pair in last]
    return ObjectScores(
        ball_recall=share(
            [sum(neural.ball is not None for neural, real in found if real.ball) for found in pairs],
            [sum(real.ball is not None for _, real in found) for found in pairs],
        ),
        ghost_share=share(
            [sum(neural.ball_count > real.ball_count for neural, real in found) for found in pairs],
            [len(found) for found in pairs],
        ),
        ball_error_px=median([e for e in ball_errors if e is not None and np.isfinite(e)]),
        paddle_error_px=median([e for e in paddle_errors if e is not None and np.isfinite(e)]),
    )


def divergence(rollouts: Sequence[Rollout]) -> Divergence:
    """First divergence of ball and paddle over whole rollouts; steps without the real object do not count."""

    def first(errors: Sequence[float | None]) -> tuple[int, bool]:
        late = [n for n, e in enumerate(errors, start=1) if e is not None and e > DIVERGED_PIXELS]
        return (late[0], True) if late else (len(errors), False)

    def measure(error_of: Callable[[Reading, Reading], float | None]) -> Estimate:
        found = [
            first([error_of(*p) for p in zip(r.readings, r.real_readings, strict=True)]) for r in rollouts
        ]
        return survival_median([step for step, _ in found], [happened for _, happened in found])

    return Divergence(ball=measure(ball_error), paddle=measure(paddle_error))


def ball_error(neural: Reading, real: Reading) -> float | None:
    """Pixels between the balls; infinite when the neural one is missing, None when there is no real one."""
    if real.ball is None:
        return None
    if neural.ball is None:
        return float("inf")
    return float(np.hypot(neural.ball[0] - real.ball[0], neural.ball[1] - real.ball[1]))


def paddle_error(neural: Reading, real: Reading) -> float | None:
    """Pixels between the paddles; infinite when the neural one is missing, None when there is no real one."""
    if real.paddle is None:
        return None
    return float("inf") if neural.paddle is None else abs(neural.paddle - real.paddle)
