"""Games whose faithfulness is known beforehand, for the tests of the evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rayatari.evaluate.traces import Trace
from rayatari.games.readers import BreakoutReader
from rayatari.games.spec import GameSpec

CELL_ROWS, CELL_COLUMNS = 7, 5


@dataclass
class Result:
    frames: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    lives: np.ndarray


class FrozenGame:
    """Nothing ever changes."""

    history = 4

    def __init__(self, spec: GameSpec) -> None:
        self.action_names = spec.action_names

    def reset(
        self, seeds: Sequence[int], frames: np.ndarray, actions: np.ndarray | None = None
    ) -> np.ndarray:
        self._frames = frames[:, -1].copy()
        return self._frames

    def step(self, actions: Sequence[int]) -> Result:
        count = len(actions)
        assert count == len(self._frames)
        return Result(
            self._frames, np.zeros(count, np.float32), np.zeros(count, bool), np.zeros(count, np.int64)
        )


class PerfectGame:
    """Recognises the real frames that it starts from, and shows what really came next."""

    history = 12  # frames until no two places of a trace look alike

    def __init__(self, spec: GameSpec, traces: Sequence[Trace]) -> None:
        self.action_names = spec.action_names
        self._places: dict[bytes, tuple[Trace, int]] = {}
        for trace in traces:
            for step in range(self.history - 1, len(trace) + 1):
                context = trace.frames[step - self.history + 1 : step + 1].tobytes()
                assert context not in self._places, "the frames of two places look alike"
                self._places[context] = (trace, step)

    def reset(
        self, seeds: Sequence[int], frames: np.ndarray, actions: np.ndarray | None = None
    ) -> np.ndarray:
        assert frames.shape[1] == self.history and len(seeds) == len(frames)
        self._rows = [self._places[context.tobytes()] for context in frames]
        if actions is not None:
            for (trace, step), known in zip(self._rows, actions, strict=True):
                assert np.array_equal(known, trace.actions[step - len(known) : step]), (
                    "other actions led here"
                )
        return frames[:, -1]

    def step(self, actions: Sequence[int]) -> Result:
        for (trace, step), action in zip(self._rows, actions, strict=True):
            assert step >= len(trace) or action == trace.actions[step], "another action than the recorded one"
        rewards = [trace.rewards[step] if step < len(trace) else 0.0 for trace, step in self._rows]
        self._rows = [(trace, min(step + 1, len(trace))) for trace, step in self._rows]
        return Result(
            np.stack([self.draw(trace.frames[step]) for trace, step in self._rows]),
            np.array(rewards, np.float32),
            np.array([trace.terminated and step == len(trace) for trace, step in self._rows]),
            np.array([trace.lives[step] for trace, step in self._rows]),
        )

    def draw(self, frame: np.ndarray) -> np.ndarray:
        """What the game shows of the true frame."""
        return frame

    def true_codes(self, present: np.ndarray, following: np.ndarray) -> np.ndarray:
        changed = (present != following).reshape(-1, CELL_ROWS, 30, CELL_COLUMNS, 32)
        return changed.sum(axis=(2, 4)).reshape(len(present), -1)

    def sample_codes(self, actions: Sequence[int]) -> np.ndarray:
        return np.concatenate([self._codes(trace, step) for trace, step in self._rows])

    def step_with_codes(self, codes: np.ndarray, actions: Sequence[int]) -> Result:
        told_true = [
            (self._codes(trace, step) == given).all()
            for (trace, step), given in zip(self._rows, codes, strict=True)
        ]
        frames = [t.frames[s + 1 if told else s] for (t, s), told in zip(self._rows, told_true, strict=True)]
        count = len(frames)
        return Result(
            np.stack(frames), np.zeros(count, np.float32), np.zeros(count, bool), np.zeros(count, np.int64)
        )

    def _codes(self, trace: Trace, step: int) -> np.ndarray:
        return self.true_codes(trace.frames[None, step], trace.frames[None, step + 1])


class BalllessGame(PerfectGame):
    """A perfect game that forgets to draw the ball."""

    def draw(self, frame: np.ndarray) -> np.ndarray:
        ball = BreakoutReader().read(frame).ball
        if ball is None:
            return frame
        x, y = (int(place) for place in ball)
        erased = frame.copy()
        erased[y : y + 4, x : x + 2] = 0
        return erased


class GhostlyGame(PerfectGame):
    """A perfect game that draws a second ball in the empty middle of the field."""

    def draw(self, frame: np.ndarray) -> np.ndarray:
        ball = BreakoutReader().read(frame).ball
        if ball is None or 110 < ball[1] < 150:
            return frame
        haunted = frame.copy()
        haunted[130:134, 80:82] = frame[int(ball[1]) + 1, int(ball[0])]
        return haunted


class RestlessPlayer:
    """Moves at random and never waits long with the serve, so that no two places of a trace look alike."""

    def __init__(self, name: str = "restless") -> None:
        self.name = name

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def act(self, frame: np.ndarray) -> int:
        return int(self._random.choice([1, 1, 2, 3]))
