"""Several emulators stepped together by ALE's C++ threads, cut into rollouts. Knows nothing of Ray."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from numpy.typing import NDArray

from rayatari.agent.rewards import POINTS, RewardRule
from rayatari.agent.rollout import (
    CONTINUES,
    LAST,
    MAX_AGE,
    NO_ADVICE,
    TERMINATED,
    TRUNCATED,
    Episode,
    Rollout,
)
from rayatari.agent.teacher import Teacher, TeacherRule
from rayatari.agent.view_stack import ViewStack
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.agent_view import VIEW_SIZE
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH
from rayatari.games.spec import GameSpec

Act = Callable[[NDArray[np.uint8]], NDArray[np.int64]]
"""Actions (N,) for stacked views (N, 4, 84, 84)."""


@dataclass(frozen=True)
class Moment:
    """What one step of N games did: the columns of a :class:`Rollout`, and the frames that follow."""

    ages: NDArray[np.uint8]
    """Ages of the frames acted on, uint8 (N,)."""
    actions: NDArray[np.uint8]
    """Actions taken on them, uint8 (N,); 0 where the outcome is LAST."""
    rewards: NDArray[np.float32]
    """Rewards, float32 (N,): the points scored, as the game's reward rule counts them."""
    outcomes: NDArray[np.uint8]
    """CONTINUES, TERMINATED, TRUNCATED or LAST, uint8 (N,)."""
    views: NDArray[np.uint8]
    """The next frames, uint8 (N, 84, 84)."""
    starts: NDArray[np.bool_]
    """Which of them begin an episode, bool (N,)."""
    episodes: tuple[Episode, ...]
    """Episodes that ended; not those that a teacher played."""
    advice: NDArray[np.int32] | None = None
    """The actions that a teacher would have done on the frames acted on, as bits, int32 (N,)."""


class VectorGame:
    """``count`` games of one kind, played without end.

    The views equal ``rayatari.games.agent_view`` of the frames that the emulator shows: the last
    frame of a step, or the brighter of the last two where the game flickers. (After a game over ALE
    shows a frame from just before it; nothing is learned from that one.)

    The step after an episode's end starts the next episode and takes no action (gymnasium's NEXT_STEP
    autoreset), so the last frame of an episode is seen, and is kept, like every other frame.
    """

    def __init__(
        self,
        spec: GameSpec,
        emulator: EmulatorConfig,
        count: int,
        *,
        life_loss_ends: bool,
        threads: int = 0,
        rewards: RewardRule = POINTS,
        teacher: TeacherRule | None = None,
    ) -> None:
        height, width = (SCREEN_HEIGHT, SCREEN_WIDTH) if teacher else (VIEW_SIZE, VIEW_SIZE)
        self.env: Any = AtariVectorEnv(
            spec.name,
            count,
            num_threads=threads,
            stack_num=1,
            img_height=height,
            img_width=width,
            frameskip=emulator.frame_skip,
            maxpool=spec.flicker,
            noop_max=emulator.noop_max,
            repeat_action_probability=emulator.sticky,
            max_num_frames_per_episode=emulator.max_steps * emulator.frame_skip,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self.count = count
        self._teacher = Teacher(teacher, spec, count) if teacher else None
        self._life_loss_ends = life_loss_ends
        self._rewards = rewards
        self._stack = ViewStack(count)
        self._over = np.zeros(count, bool)
        self._ages = np.zeros(count, np.int64)
        self._scores = np.zeros(count, np.float64)
        self._lives = np.zeros(count, np.int64)
        self._sent = np.zeros(count, np.int64)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Start all games anew, seeded ``seed``, ``seed + 1``, ...: their first frames (N, 84, 84)."""
        observations, info = self.env.reset(seed=seed)
        self._over[:] = False
        self._ages[:] = 0
        self._scores[:] = 0
        self._lives[:] = info["lives"]
        if self._teacher is not None:
            self._teacher.reset(seed)
        starts = np.ones(self.count, bool)
        views = self._look(observations[:, 0], starts)
        self._stack.push(views, starts)
        return views

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step; the emulators' threads work on it until :meth:`receive` is called."""
        if self._teacher is not None:
            actions = np.where(self._teacher.plays, self._teacher.actions, actions)
        self._sent = actions
        self.env.send(actions)

    def receive(self) -> Moment:
        """Wait for the end of the step that :meth:`send` began. (:meth:`play` does both.)"""
        starting, played = self._over, ~self._over
        ages = np.minimum(self._ages, MAX_AGE).astype(np.uint8)
        advice, own = self._advice()
        observations, rewards, terminated, truncated, info = self.env.recv()
        life_lost = info["lives"] < self._lives
        ended_life = life_lost & self._life_loss_ends
        outcomes = np.select(
            [starting, terminated | ended_life, truncated], [LAST, TERMINATED, TRUNCATED], CONTINUES
        )
        self._scores += rewards
        self._ages += 1
        self._over = terminated | truncated
        ended = [
            Episode(float(self._scores[i]), int(self._ages[i])) for i in np.flatnonzero(self._over & own)
        ]
        self._ages[starting] = 0
        self._scores[starting | self._over] = 0
        self._lives[:] = info["lives"]
        return Moment(
            ages=ages,
            actions=np.where(played, self._sent, 0).astype(np.uint8),
            rewards=np.where(played, self._rewards(rewards, life_lost), 0.0).astype(np.float32),
            outcomes=outcomes.astype(np.uint8),
            views=self._look(observations[:, 0], starting),
            starts=starting,
            episodes=tuple(ended),
            advice=advice,
        )

    def play(self, act: Act, steps: int) -> Rollout:
        """Play ``steps`` steps of each game with ``act``."""
        shape = (steps, self.count)
        rollout = Rollout(
            views=np.empty((*shape, VIEW_SIZE, VIEW_SIZE), np.uint8),
            ages=np.empty(shape, np.uint8),
            actions=np.zeros(shape, np.uint8),
            rewards=np.zeros(shape, np.float32),
            outcomes=np.empty(shape, np.uint8),
            advice=None if self._teacher is None else np.full(shape, NO_ADVICE, np.int32),
        )
        episodes: list[Episode] = []
        for t in range(steps):
            episodes += self._step(act, rollout, t)
        return replace(rollout, episodes=tuple(episodes))

    def _step(self, act: Act, rollout: Rollout, t: int) -> tuple[Episode, ...]:
        rollout.views[t] = self._stack.views[:, -1]
        self.send(act(self._stack.views))
        moment = self.receive()
        rollout.ages[t], rollout.actions[t] = moment.ages, moment.actions
        rollout.rewards[t], rollout.outcomes[t] = moment.rewards, moment.outcomes
        if rollout.advice is not None and moment.advice is not None:
            rollout.advice[t] = moment.advice
        self._stack.push(moment.views, moment.starts)
        return moment.episodes

    def _look(self, screens: NDArray[np.uint8], starts: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """What the agent sees, uint8 (N, 84, 84), of what the emulators gave; a teacher sees all of it."""
        return screens if self._teacher is None else self._teacher.watch(screens, starts.tolist())

    def _advice(self) -> tuple[NDArray[np.int32] | None, NDArray[np.bool_]]:
        """What the teacher said of the frames acted on, (N,), and which games the agent plays, bool (N,)."""
        if self._teacher is None:
            return None, np.ones(self.count, bool)
        return self._teacher.advice.copy(), ~self._teacher.plays
