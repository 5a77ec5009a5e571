"""Block 2: the neural game runs on its own frames while the recorded actions are played."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate import metrics
from rayatari.evaluate.interface import BatchGame, CodedGame, Frames
from rayatari.evaluate.stats import Estimate, shares
from rayatari.evaluate.traces import Start, contexts, earlier_actions, next_actions, next_frames, seeds_of
from rayatari.games.readers import Reader, Reading

PIXELS = 210 * 160


@dataclass
class Rollout:
    """One start, played to the horizon or to the end of the real episode."""

    start: Start
    wrong: NDArray[np.int64]
    """Wrong pixels after each step, int (steps,)."""
    frozen_wrong: NDArray[np.int64]
    """Wrong pixels of copy-last-frame after each step, int (steps,)."""
    rewards: NDArray[np.float32]
    """Points of each step as the neural game gives them, float32 (steps,)."""
    readings: list[Reading] = field(default_factory=list)
    """What the reader sees in each neural frame; empty for games without one."""
    frames: list[Frames] = field(default_factory=list)
    """The neural frames, kept for pictures only where asked for."""

    @property
    def steps(self) -> int:
        """Steps that count."""
        return len(self.wrong)

    @property
    def episode(self) -> int:
        """The real episode that it belongs to, by its seed."""
        return self.start.trace.seed

    @property
    def real_frames(self) -> Frames:
        """The real frames of the same steps, uint8 (steps, 210, 160)."""
        return self.start.trace.frames[self.start.step + 1 : self.start.step + 1 + self.steps]

    @property
    def actions(self) -> NDArray[np.int64]:
        """The actions that were played, int (steps,)."""
        return self.start.trace.actions[self.start.step : self.start.step + self.steps]

    @property
    def real_readings(self) -> Sequence[Reading]:
        """What the reader sees in the real frames of the same steps."""
        assert self.start.trace.readings is not None
        return self.start.trace.readings[self.start.step + 1 : self.start.step + 1 + self.steps]

    @property
    def start_reading(self) -> Reading:
        """What the reader sees in the last real frame before the first step."""
        assert self.start.trace.readings is not None
        return self.start.trace.readings[self.start.step]


@dataclass(frozen=True)
class PixelCurves:
    """Share of wrong pixels after 1, 2, ... steps; ``n`` counts the starts still in play."""

    neural: list[Estimate]
    copy_last_frame: list[Estimate]


def play_open_loop(
    game: BatchGame,
    starts: Sequence[Start],
    horizon: int,
    reader: Reader | None = None,
    keep: Sequence[int] = (),
    advance: Callable[[int], object] = lambda steps: None,
    codes: NDArray[np.int64] | None = None,
) -> list[Rollout]:
    """Play all starts as one batch for ``horizon`` steps; steps after a real episode's end are left out.

    ``keep`` numbers the starts whose neural frames are kept. ``advance`` is told each finished step.
    ``codes``, int (N,), stand in for those that a coded game would choose, in every step.
    """
    steps = [min(horizon, start.remaining) for start in starts]
    rollouts = [
        Rollout(start, np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.float32))
        for start, n in zip(starts, steps, strict=True)
    ]
    frozen = game.reset(seeds_of(starts), contexts(starts, game.history), earlier_actions(starts))
    for ahead in range(max(steps)):
        actions = next_actions(starts, ahead)
        if codes is None:
            result = game.step(actions)
        else:
            assert isinstance(game, CodedGame)
            result = game.step_with_codes(np.tile(codes, (len(starts), 1)), actions)
        real = next_frames(starts, ahead)
        wrong, frozen_wrong = metrics.wrong_pixels(result.frames, real), metrics.wrong_pixels(frozen, real)
        for number, rollout in enumerate(rollouts):
            if ahead < rollout.steps:
                rollout.wrong[ahead] = wrong[number]
                rollout.frozen_wrong[ahead] = frozen_wrong[number]
                rollout.rewards[ahead] = result.rewards[number]
                if reader:
                    rollout.readings.append(reader.read(result.frames[number]))
                if number in keep:
                    rollout.frames.append(result.frames[number].copy())
        advance(1)
    return rollouts


def pixel_curves(rollouts: Sequence[Rollout]) -> PixelCurves:
    """Mean share of wrong pixels after each step, over the starts that are still in play there."""
    return PixelCurves(neural=pixel_curve(rollouts), copy_last_frame=pixel_curve(copied(rollouts)))


def pixel_curve(rollouts: Sequence[Rollout]) -> list[Estimate]:
    """The same of one side."""
    alive = _padded([np.ones(rollout.steps) for rollout in rollouts])
    counts = [int(n) for n in alive.sum(axis=0)]
    wrong = _padded([rollout.wrong for rollout in rollouts])
    return shares(wrong, alive * PIXELS, counts, [rollout.episode for rollout in rollouts])


def copied(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """What copying the last real frame makes of the same starts."""
    return [
        replace(
            rollout,
            wrong=rollout.frozen_wrong,
            rewards=np.zeros_like(rollout.rewards),
            readings=[rollout.start_reading] * rollout.steps if rollout.readings else [],
            frames=[],
        )
        for rollout in rollouts
    ]


def _padded(rows: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Rows of unequal length as one array, zeros after their ends."""
    padded = np.zeros((len(rows), max(len(row) for row in rows)))
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
