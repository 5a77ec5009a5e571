"""Whoever plays a game by itself: random, scripted and trained players, and the errors they make.

A player sees every frame of an episode, in order, and answers with the index of an action.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from rayatari.agent.intercept import InterceptPlayer
from rayatari.checkpoint import is_finished
from rayatari.config.record import PlayerConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.interface import Frame
from rayatari.games.readers import BreakoutReader, get_reader
from rayatari.games.spec import GameSpec
from rayatari.paths import shipped_agent, stage_dir

PADDLE_CENTRE, BALL_CENTRE = 7.5, 0.5
"""Distance of the middle of paddle and ball from their left edge, in pixels."""
_SERVE_AFTER = 3
"""Steps without a ball between two presses of the serve button."""
_REACH = 3.0
"""Farthest from the middle of the paddle that the ball is caught, in pixels; the paddle is 16 wide."""
_STILL = 4.0
"""Pixels off that spot at which the paddle rests: it overshoots where it chases the last ones."""
_KINDS = "random, noop, follow, intercept, agent, agent:weak, agent:middle, agent:step-N or policy:PATH"


class Player(Protocol):
    """Plays one game, frame by frame."""

    name: str
    """Who plays, as records call it."""

    def reset(self, seed: int) -> None:
        """Begin an episode; everything random in it follows from ``seed``."""

    def act(self, frame: Frame) -> int:
        """Index of the action to play, having seen ``frame``: palette bytes, uint8 (210, 160)."""


def make_player(text: str, spec: GameSpec) -> Player:
    """The player that ``text`` names: ``random``, ``noop``, ``follow``, ``intercept`` or ``policy:PATH``.

    UserError for any other text, for a scripted one in a game that nobody can read, and for a policy
    that is missing, damaged or of another game. ``agent`` is resolved by :func:`locate_agent` first.
    """
    kind, _, path = text.partition(":")
    if text == "random":
        return RandomPlayer(len(spec.action_names))
    if text == "noop":
        return NoopPlayer(noop_action(spec))
    if text == "follow":
        return FollowPlayer(spec)
    if text == "intercept":
        return InterceptPlayer(spec)
    if kind == "policy" and path:
        return _policy_player(Path(path), spec)
    raise UserError(f"unknown player '{text}': choose {_KINDS}")


def agent_folder(config: Config) -> Path:
    """Where ``agent…`` is looked for: the run's own, or the package's until that one is trained."""
    own, shipped = stage_dir(config, "agent"), shipped_agent(config.game)
    return own if shipped is None or is_finished(own) else shipped


def locate_agent(text: str, agent: Path) -> str:
    """Turn ``agent…`` into the ``policy:PATH`` of a bundle below the folder ``agent``; others stay.

    ``agent`` is the best policy; ``agent:weak`` the one of the lowest score among those that training
    kept, ``agent:middle`` the middle one by score, ``agent:step-N`` that of step N. UserError when it
    does not exist.
    """
    kind, _, which = text.partition(":")
    if kind != "agent":
        return text
    from rayatari.agent.league import League  # loads torch, which scripted play does without

    kept = [member.path for member in sorted(League(agent / "policies", 0).members(), key=lambda m: m.score)]
    if not is_finished(agent) or (which and not kept):
        raise UserError(
            f"player '{text}': no trained agent in {agent}: run 'rayatari train-agent' first, name the run "
            "with name=NAME, or choose another player"
        )
    if not which:
        return f"policy:{agent}"
    named = {"weak": kept[0], "middle": kept[len(kept) // 2], **{path.name: path for path in kept}}
    if which not in named:
        raise UserError(f"unknown player '{text}': choose agent:{', agent:'.join(named)}")
    return f"policy:{named[which]}"


@dataclass
class RandomPlayer:
    """Presses a button at random, each equally likely."""

    actions: int
    """Number of actions to choose from."""
    name: str = "random"
    _random: np.random.Generator = field(default_factory=np.random.default_rng)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._random = np.random.default_rng(seed)

    def act(self, frame: Frame) -> int:
        """A random action."""
        return int(self._random.integers(self.actions))


@dataclass
class NoopPlayer:
    """Presses nothing."""

    noop: int
    """Index of the no-op."""
    name: str = "noop"

    def reset(self, seed: int) -> None:
        """Nothing to begin."""

    def act(self, frame: Frame) -> int:
        """The no-op."""
        return self.noop


class FollowPlayer:
    """Keeps the paddle under the ball that the game's reader sees, and serves when it sees none.

    It catches the ball with another part of the paddle each time, so that the ball leaves at other angles.
    """

    def __init__(self, spec: GameSpec) -> None:
        reader = get_reader(spec.name)
        if not isinstance(reader, BreakoutReader):
            raise UserError(f"player 'follow' cannot see a ball in {spec.name}: choose another player")
        self.name = "follow"
        self._reader = reader
        self._left, self._right = spec.action_names.index("LEFT"), spec.action_names.index("RIGHT")
        self._fire, self._noop = spec.action_names.index("FIRE"), noop_action(spec)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._random = np.random.default_rng(seed)
        self._unseen = 0
        self._height = 0.0
        self._aim = 0.0

    def act(self, frame: Frame) -> int:
        """The button that brings the paddle nearer to the ball, or serves it."""
        reading = self._reader.read(frame)
        if reading.ball is None or reading.paddle is None:
            self._unseen += 1
            return self._fire if self._unseen % _SERVE_AFTER == 0 else self._noop
        self._unseen = 0
        x, y = reading.ball
        if y < self._height:
            self._aim = self._random.uniform(-_REACH, _REACH)
        self._height = y
        away = x + BALL_CENTRE + self._aim - (reading.paddle + PADDLE_CENTRE)
        if abs(away) <= _STILL:
            return self._noop
        return self._right if away > 0 else self._left


class ErringPlayer:
    """Another player with random actions and phases of doing nothing mixed in."""

    def __init__(self, player: Player, errors: PlayerConfig, spec: GameSpec, name: str) -> None:
        self.name = name
        self._player = player
        self._errors = errors
        self._actions = len(spec.action_names)
        self._noop = noop_action(spec)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._player.reset(seed)
        self._random = np.random.default_rng((seed, 1))  # another stream than the player's own
        self._forced, self._forced_steps = self._noop, 0

    def act(self, frame: Frame) -> int:
        """The player's own action, or one that is forced upon it."""
        own = self._player.act(frame)  # asked in any case: players keep track of what they see
        if self._forced_steps == 0:
            self._err()
        if self._forced_steps == 0:
            return own
        self._forced_steps -= 1
        return self._forced

    def _err(self) -> None:
        """Begin a phase of no-ops or of a random action, or none."""
        errors = self._errors
        idle, erratic = self._random.random(2)
        if idle < errors.idle:
            self._forced, self._forced_steps = self._noop, self._length(errors.idle_steps)
        elif erratic < errors.epsilon:
            self._forced = int(self._random.integers(self._actions))
            self._forced_steps = self._length(errors.hold)

    def _length(self, longest: int) -> int:
        return int(self._random.integers(longest)) + 1


def noop_action(spec: GameSpec) -> int:
    """Index of the action that presses nothing."""
    return spec.action_names.index("NOOP")


def _policy_player(folder: Path, spec: GameSpec) -> Player:
    from rayatari.agent.policy import PolicyPlayer, load_policy  # loads torch too

    policy = load_policy(folder)
    if policy.action_names != spec.action_names:
        raise UserError(
            f"the policy in {folder} was trained on another game than {spec.name}: choose another player"
        )
    return PolicyPlayer(policy)
