"""A scripted Breakout player that works out where the ball will land. It clears most of a wall.

At frame skip 4 one press moves the paddle by 22.5 pixels, half of it in the step after, and the paddle
catches over 18. So of the places it can come to in whole presses, a fifth of the ball's landings lie
between two. Then it goes to a wall first, which shifts those places.
"""

import numpy as np

from rayatari.errors import UserError
from rayatari.games.interface import Frame
from rayatari.games.readers import BreakoutReader, get_reader
from rayatari.games.spec import GameSpec

PRESS = 22.5
"""Pixels that the paddle moves for one press of a step."""
_LEFT, _RIGHT, _LANDING = 8, 152, 185
"""Inner edges of the side walls; the ball's row as it meets the paddle."""
_BALL_WIDTH, _HALF_PADDLE = 2, 8
_REACH = 6.0
"""Farthest from the paddle's middle that a landing is trusted to be caught, in pixels."""
_VARIETY = 3.0
"""Largest offset from the paddle's middle that is aimed for, so that the ball leaves at all angles."""
_SERVE_AFTER = 3
"""Steps without a ball between two presses of the serve button."""


class InterceptPlayer:
    """Goes where the ball will land, by whole presses, over a wall where that fits better."""

    def __init__(self, spec: GameSpec) -> None:
        reader = get_reader(spec.name)
        if not isinstance(reader, BreakoutReader):
            raise UserError(f"player 'intercept' cannot see a ball in {spec.name}: change record.players")
        self.name = "intercept"
        self._reader = reader
        self._buttons = {side: spec.action_names.index(name) for side, name in ((-1, "LEFT"), (1, "RIGHT"))}
        self._fire, self._noop = spec.action_names.index("FIRE"), spec.action_names.index("NOOP")
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._random = np.random.default_rng(seed)
        self._ball: tuple[float, float] | None = None
        self._unseen = self._pressed = self._wall = 0
        self._aim = 0.0

    def act(self, frame: Frame) -> int:
        """The button that brings the paddle nearer to where the ball will land, or serves it."""
        reading = self._reader.read(frame)
        before, self._ball = self._ball, reading.ball
        if reading.ball is None or reading.paddle is None:
            self._unseen, self._pressed = self._unseen + 1, 0
            return self._fire if self._unseen % _SERVE_AFTER == 0 else self._noop
        self._unseen = 0
        self._pressed = 0 if before is None else self._side(before, reading.ball, reading.paddle)
        return self._buttons.get(self._pressed, self._noop)

    def _side(self, before: tuple[float, float], ball: tuple[float, float], paddle: float) -> int:
        """-1 to go left, 1 to go right, 0 to stay."""
        across, down = ball[0] - before[0], ball[1] - before[1]
        middle = paddle + _HALF_PADDLE + PRESS / 2 * self._pressed  # where it comes to rest
        middle = min(max(middle, _LEFT + _HALF_PADDLE), _RIGHT)
        if down <= 0:
            self._aim, self._wall = self._random.uniform(-_VARIETY, _VARIETY), 0
            away = (_LEFT + _RIGHT) / 2 - middle
            return int(np.sign(away)) if abs(away) > PRESS else 0
        steps = (_LANDING - ball[1]) / down
        target = _bounce(ball[0] + across * steps) + _BALL_WIDTH / 2 + self._aim
        if self._wall and _LEFT + 1 < paddle < _RIGHT - _HALF_PADDLE - 1:
            return self._wall
        self._wall = 0
        presses = round((target - middle) / PRESS)
        if abs(target - middle - presses * PRESS) > _REACH:
            side = 1 if middle > (_LEFT + _RIGHT) / 2 else -1
            wall = (_RIGHT if side > 0 else _LEFT) - side * _HALF_PADDLE
            if (abs(wall - middle) + abs(wall - target)) / PRESS + 4 < steps:
                self._wall = side
                return side
        return int(np.sign(presses))


def _bounce(x: float) -> float:
    """Where a ball that flies to ``x`` comes to between the walls."""
    width = _RIGHT - _BALL_WIDTH - _LEFT
    folded = (x - _LEFT) % (2 * width)
    return _LEFT + (folded if folded <= width else 2 * width - folded)
