"""A scripted Breakout player that knows how the paddle moves and works out where the ball will land.

A press turns ALE's knob for a whole step of four frames, 22.8 pixels of paddle, and the paddle goes half of
what is left in each frame. So at rest it stands on a grid that is too coarse for some landings (it catches
over 18 pixels, later over 14). So the player also uses what lies between: it meets the ball with a moving
paddle, or shifts the grid at a wall, beyond which the knob turns on.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from rayatari.errors import UserError
from rayatari.games.interface import Frame
from rayatari.games.readers import BreakoutReader, get_reader
from rayatari.games.spec import GameSpec

_FRAMES = 4
"""Emulator frames of a step."""
_TURN = 5.71
"""Pixels that the knob moves the paddle's resting place for one frame of a press."""
_STEP = _TURN * _FRAMES
"""Pixels for one step of a press."""
_SIDES = [0, -1, 1]
"""To stay, to go left, to go right."""
_KNOB = (4.6, 194.0)
"""The resting places at the knob's two stops; the walls stop the paddle before them."""
_PLACES = (8.0, 144.0)
"""Left edge of the paddle at the walls."""
_START = 99.3
"""Where a new game's knob lets it rest."""
_LEFT, _RIGHT, _LANDING = 8, 152, 186
"""Inner edges of the side walls; least row of the ball in the frame in which it meets the paddle."""
_WHOLE = _RIGHT - 16
"""Rightmost place at which all of a paddle is seen: it goes on into the wall."""
_BALL_WIDTH = 2
_VARIETY = 2.0
"""Largest offset from the paddle's middle that is aimed for, so that the ball leaves at all angles."""
_FORESIGHT = 5
"""Steps before the landing from which on all sequences of presses are compared."""
_BESIDE = 0.25
"""Weight of the frames before and after the landing, which may be off by one."""
_NEAR = 3.0
"""Pixels from the paddle's middle within which a landing is as good as on it."""
_HURRY = 0.3
"""Pixels of error at the landing that are taken for pressing less, or one step earlier."""
_AS_GOOD = 1.5
"""Pixels of error at the landing that presses may bring more than the best ones and still do as well."""


class InterceptPlayer:
    """Goes where the ball will land; it takes the presses that bring the paddle's middle nearest to there."""

    def __init__(self, spec: GameSpec) -> None:
        reader = get_reader(spec.name)
        if not isinstance(reader, BreakoutReader):
            raise UserError(f"player 'intercept' cannot see a ball in {spec.name}: choose another player")
        self.name = "intercept"
        self._reader = reader
        noop, self._fire, left, right = map(spec.action_names.index, ("NOOP", "FIRE", "LEFT", "RIGHT"))
        self._buttons = {0: (noop, self._fire), -1: (left,), 1: (right,)}  # a ball that flies is not served
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._random = np.random.default_rng(seed)
        self._ball: tuple[float, float] | None = None
        self._place, self._knob = _START, _START
        self._side, self._width = 0, 16
        self._across = 0.0
        self._aim = 0.0

    def act(self, frame: Frame) -> int:
        """The button that brings the paddle nearer to where the ball will land, or serves it."""
        return self.advise(frame)[0]

    def advise(self, frame: Frame) -> tuple[int, frozenset[int]]:
        """What :meth:`act` does, and all buttons that do as well, that one among them."""
        reading = self._reader.read(frame)
        before, self._ball = self._ball, reading.ball
        if reading.paddle is not None:
            self._feel(reading.paddle)
            if reading.paddle <= _WHOLE:
                self._width = reading.paddle_width
        if reading.ball is None or reading.paddle is None:
            self._side = 0
            return self._fire, frozenset({self._fire})
        sides = _SIDES if before is None else self._choose(before, reading.ball)
        self._side = sides[0]
        buttons = [button for side in sides for button in self._buttons[side]]
        return buttons[0], frozenset(buttons)

    def _feel(self, paddle: float) -> None:
        """Where the knob is now: whatever was pressed, the paddle's move tells, but for what a wall hides."""
        sides = np.array([self._side, 0, -1, 1])  # of equals the first is taken: what was meant to be pressed
        places, knobs = _move(np.full(4, self._place), np.full(4, self._knob), sides[:, None])
        likely = int(np.abs(places[:, -1] - paddle).argmin())
        self._knob = float(knobs[likely])
        if (
            paddle == self._place
            and _PLACES[0] < paddle < _PLACES[1]
            and abs(self._knob - paddle) < _TURN / 2
        ):
            self._knob = paddle
        self._place = paddle

    def _choose(self, before: tuple[float, float], ball: tuple[float, float]) -> list[int]:
        """-1 to go left, 1 to go right, 0 to stay: the best one, and those that do as well."""
        down, half = ball[1] - before[1], self._width / 2
        across = self._speed(before[0], ball[0])
        if down <= 0:
            self._aim = self._random.uniform(-_VARIETY, _VARIETY)
            away = (_LEFT + _RIGHT) / 2 - half - self._knob
            return _near_enough(int(np.sign(away)) if abs(away) > _STEP else 0, away)
        steps = max(_LANDING - ball[1], 1) / down
        target = _bounce(ball[0] + across * steps) + _BALL_WIDTH / 2 + self._aim - half
        target = min(max(target, _PLACES[0]), _PLACES[1])
        return self._best(target, steps)

    def _speed(self, before: float, now: float) -> float:
        """Pixels that the ball goes to the right in the next step, of its last two places."""
        across = now - before
        if abs(_bounce(before + self._across) - now) <= _BALL_WIDTH < abs(across - self._across):
            across = -self._across  # it met a side wall in between
        self._across = across
        return across

    def _best(self, target: float, steps: float) -> list[int]:
        """First of the presses that bring the paddle's left edge nearest to ``target`` in ``steps`` steps.

        Then the first ones of presses that do as well.
        """
        if steps > _FORESIGHT:
            away = target - self._knob
            return _near_enough(int(np.sign(round(away / _STEP))), away)
        landing = int(np.ceil(steps * _FRAMES)) - 1  # counted from the next frame
        sides_PT = _SEQUENCES[landing // _FRAMES + 1]
        places_PF, _ = _move(
            np.full(len(sides_PT), self._place), np.full(len(sides_PT), self._knob), sides_PT
        )
        errors_PF = np.abs(places_PF - target)
        errors_P = errors_PF[:, landing] + _BESIDE * errors_PF[:, max(landing - 1, 0)]
        errors_P += _BESIDE * errors_PF[:, min(landing + 1, places_PF.shape[1] - 1)]
        late_P = (np.abs(sides_PT) * (1 + np.arange(sides_PT.shape[1]))).sum(1)
        errors_P = np.maximum(errors_P, _NEAR)
        best = (errors_P + _HURRY * late_P).argmin()
        good_P = (errors_P <= errors_P[best] + _AS_GOOD) & (late_P <= late_P[best])  # putting off does worse
        return _first(int(sides_PT[best, 0]), set(sides_PT[good_P, 0].tolist()))


def _move(
    place_P: NDArray[np.float64], knob_P: NDArray[np.float64], sides_PT: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left edges of P paddles in each frame of T steps of presses, (P, 4 T), and their knobs then, (P,)."""
    places = []
    for side_P in sides_PT.T:
        for _ in range(_FRAMES):
            place_P = np.clip((place_P + knob_P) / 2, *_PLACES)
            knob_P = np.clip(knob_P + _TURN * side_P, *_KNOB)
            places.append(place_P)
    return np.stack(places, 1), knob_P


def _near_enough(best: int, away: float) -> list[int]:
    """``best``, and the sides after which the knob, now ``away`` pixels off, is no more than a press off."""
    return _first(best, {side for side in _SIDES if abs(away - _STEP * side) <= _STEP})


def _first(best: int, good: set[int]) -> list[int]:
    """``good``, ``best`` before all others."""
    return [best, *(good - {best})]


_SEQUENCES = {
    steps: np.array(list(itertools.product(_SIDES, repeat=steps))) for steps in range(1, _FORESIGHT + 1)
}
"""All ways to press for so many steps, (3 ** T, T)."""


def _bounce(x: float) -> float:
    """Where a ball that flies to ``x`` comes to between the walls."""
    width = _RIGHT - _BALL_WIDTH - _LEFT
    folded = (x - _LEFT) % (2 * width)
    return _LEFT + (folded if folded <= width else 2 * width - folded)
