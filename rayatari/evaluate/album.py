"""The pictures of a report: film strips and animations of what was measured."""

from collections.abc import Sequence

import numpy as np

from rayatari.evaluate.measure import Measured
from rayatari.evaluate.open_loop import Rollout
from rayatari.evaluate.pictures import animated_gif, data_uri, png
from rayatari.evaluate.report import Strip
from rayatari.games.picture import difference, indices

_GIF_STEPS = 150


def film_strip(rollout: Rollout, steps: Sequence[int]) -> Strip:
    """Real, neural and different pixels at those of ``steps`` that the rollout reached."""
    reached = [step for step in steps if step <= rollout.steps]
    pairs = [(rollout.frames[step - 1], rollout.real_frames[step - 1]) for step in reached]
    trace = rollout.start.trace
    return Strip(
        caption=f"Player: {trace.player} (seed {trace.seed}, from step {rollout.start.step})",
        steps=reached,
        rows={
            "real": [data_uri("image/png", png(indices(real))) for _, real in pairs],
            "neural": [data_uri("image/png", png(indices(neural))) for neural, _ in pairs],
            "difference": [data_uri("image/png", png(difference(neural, real))) for neural, real in pairs],
        },
    )


def open_loop_gif(measured: Measured, milliseconds: int) -> bytes:
    """The first pictured rollout as GIF: real | neural | difference."""
    rollout = measured.pictured[0]
    real, neural = rollout.real_frames[:_GIF_STEPS], np.stack(rollout.frames[:_GIF_STEPS])
    columns = [indices(real), indices(neural), difference(neural, real)]
    return animated_gif(columns, ("real", "neural", "difference"), milliseconds)


def closed_loop_gif(measured: Measured, milliseconds: int) -> bytes:
    """The first player's first game as GIF: the real one | the neural one."""
    sides = [measured.closed[side][0].frames for side in ("real", "neural")]
    steps = min(_GIF_STEPS, *map(len, sides))
    return animated_gif(
        [indices(np.stack(frames[:steps])) for frames in sides], ("real", "neural"), milliseconds
    )
