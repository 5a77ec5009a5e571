"""Prioritized replay (Schaul et al., 2016) over single frames.

Stacks and n-step returns are made when a batch is drawn, so a transition takes 7 kB, not 56.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayatari.agent.rollout import CONTINUES, LAST, MAX_AGE, NO_ADVICE, TERMINATED, TRUNCATED, Rollout
from rayatari.agent.sum_tree import SumTree
from rayatari.agent.view_stack import STACK
from rayatari.games.agent_view import VIEW_SIZE

FRAME_BYTES = VIEW_SIZE * VIEW_SIZE
_BACK = np.arange(STACK - 1, -1, -1)


@dataclass(frozen=True)
class ReplayConfig:
    """The size of the memory and what is drawn from it."""

    lanes: int
    """Games that write to it side by side; each has its own ring."""
    capacity: int
    """Frames in all."""
    n_step: int = 3
    """Rewards summed before the bootstrap."""
    gamma: float = 0.99
    """Discount of one step."""
    alpha: float = 0.5
    """Exponent of the priorities; 0 draws uniformly."""
    clip_rewards: bool = True
    """Learn from the sign of a reward (Mnih et al., 2015)."""

    @property
    def ring(self) -> int:
        """Frames of one lane."""
        return self.capacity // self.lanes


@dataclass(frozen=True)
class ReplayBatch:
    """B transitions of up to n steps."""

    views: NDArray[np.uint8]
    """uint8 (B, 4, 84, 84)."""
    actions: NDArray[np.uint8]
    """uint8 (B,)."""
    advice: NDArray[np.int32]
    """The actions that a teacher would have done, as bits, int32 (B,); NO_ADVICE where none said so."""
    returns: NDArray[np.float32]
    """Discounted sum of the rewards until the bootstrap, float32 (B,)."""
    next_views: NDArray[np.uint8]
    """The state after them, uint8 (B, 4, 84, 84)."""
    discounts: NDArray[np.float32]
    """Factor of the value of ``next_views``: gamma to the number of steps, 0 at an end, float32 (B,)."""
    weights: NDArray[np.float32]
    """Importance weights, the largest of each batch 1, float32 (B,)."""
    leaves: NDArray[np.int64]
    """Where the transitions lie, for :meth:`Replay.update`, int64 (B,)."""

    def part(self, start: int = 0, stop: int | None = None) -> "ReplayBatch":
        """The transitions ``start`` to ``stop`` of them, not copied."""
        return ReplayBatch(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})


class Replay:
    """One ring of frames per lane, and one sum tree over all of them.

    A frame can be drawn once the n frames after it have been written, as long as the three before
    it are still there, and if an action was taken on it: whatever cannot be drawn has weight zero.
    """

    def __init__(self, config: ReplayConfig) -> None:
        assert config.ring > config.n_step + STACK, "the rings are too short for one transition"
        shape = (config.lanes, config.ring)
        self.config = config
        self.views = np.zeros((*shape, VIEW_SIZE, VIEW_SIZE), np.uint8)
        self.ages = np.zeros(shape, np.uint8)
        self.actions = np.zeros(shape, np.uint8)
        self.advice = np.full(shape, NO_ADVICE, np.int32)
        self.rewards = np.zeros(shape, np.float32)
        self.outcomes = np.zeros(shape, np.uint8)
        self.heads = np.zeros(config.lanes, np.int64)
        """Frames ever written to each lane."""
        self.tree = SumTree(config.lanes * config.ring)
        self.max_priority = 1.0

    def __len__(self) -> int:
        """Frames held."""
        return int(self.held().sum())

    def held(self) -> NDArray[np.int64]:
        """Frames held by each lane, int64 (lanes,)."""
        return np.minimum(self.heads, self.config.ring)

    def add(self, rollout: Rollout) -> None:
        """Write a rollout to the lanes of its games."""
        steps, games = rollout.actions.shape
        lanes = rollout.first_game + np.arange(games)
        for t in range(steps):
            self._seal(lanes, rollout.ages[t])
            slots = self.heads[lanes] % self.config.ring
            rewards = rollout.rewards[t]
            self.views[lanes, slots] = rollout.views[t]
            self.ages[lanes, slots] = rollout.ages[t]
            self.actions[lanes, slots] = rollout.actions[t]
            self.advice[lanes, slots] = NO_ADVICE if rollout.advice is None else rollout.advice[t]
            self.rewards[lanes, slots] = np.sign(rewards) if self.config.clip_rewards else rewards
            self.outcomes[lanes, slots] = rollout.outcomes[t]
            self.heads[lanes] += 1
            self._weigh(lanes)

    def draw(self, count: int, beta: float, rng: np.random.Generator, batches: int = 1) -> ReplayBatch:
        """Draw ``batches`` batches of ``count`` transitions, one after the other: B = batches * count.

        ``beta`` (0 to 1) is how far the weights undo the priorities.
        """
        leaves = self.tree.draw(count, rng, batches)
        lanes, slots = np.divmod(leaves, self.config.ring)
        returns, steps, terminated = self._look_ahead(lanes, slots)
        odds = self.tree.leaves[leaves].reshape(batches, count)
        weights = (odds / odds.min(1, keepdims=True)) ** -beta
        return ReplayBatch(
            views=self._stacks(lanes, slots),
            actions=self.actions[lanes, slots],
            advice=self.advice[lanes, slots],
            returns=returns,
            next_views=self._stacks(lanes, (slots + steps) % self.config.ring),
            discounts=np.where(terminated, 0.0, self.config.gamma**steps).astype(np.float32),
            weights=weights.reshape(-1).astype(np.float32),
            leaves=leaves,
        )

    def update(self, leaves: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Set the priorities of drawn transitions to their TD errors (B,); of twins the last counts."""
        priorities = np.abs(errors).astype(np.float64) + 1e-6
        self.max_priority = max(self.max_priority, float(priorities.max()))
        leaves, last = np.unique(leaves[::-1], return_index=True)
        drawable = self.tree.leaves[leaves] > 0  # not overwritten since they were drawn
        self.tree.set(leaves[drawable], priorities[::-1][last][drawable] ** self.config.alpha)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is needed to restore the memory, frames apart (see :attr:`views`)."""
        return {
            "ages": self.ages,
            "actions": self.actions,
            "advice": self.advice,
            "rewards": self.rewards,
            "outcomes": self.outcomes,
            "heads": self.heads,
            "weights": self.tree.leaves,
            "max_priority": np.array(self.max_priority),
        }

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what :meth:`arrays` gave; the frames are written to :attr:`views` by the caller."""
        for name in ("ages", "actions", "advice", "rewards", "outcomes", "heads"):
            getattr(self, name)[...] = arrays[name]
        self.tree.fill(arrays["weights"])
        self.max_priority = float(arrays["max_priority"])

    def _seal(self, lanes: NDArray[np.int64], ages: NDArray[np.uint8]) -> None:
        """End the episodes of lanes whose next frame, of age ``ages``, does not continue them.

        That happens when a runner is replaced or a run is resumed: the frame after the last action
        was never seen. So the last frame counts as the one that the episode was cut off at.
        """
        last = (self.heads[lanes] - 1) % self.config.ring
        next_age = np.minimum(self.ages[lanes, last].astype(np.int64) + 1, MAX_AGE)
        broken = (self.heads[lanes] > 0) & (self.outcomes[lanes, last] != LAST) & (ages != next_age)
        lanes, last = lanes[broken], last[broken]
        self.outcomes[lanes, last] = LAST
        before = last - 1
        cut = (self.ages[lanes, last] > 0) & (self.outcomes[lanes, before] == CONTINUES)
        self.outcomes[lanes[cut], before[cut]] = TRUNCATED

    def _weigh(self, lanes: NDArray[np.int64]) -> None:
        """After one frame was written to each of ``lanes``: what became drawable, what no longer is."""
        ring, heads = self.config.ring, self.heads[lanes]
        ready = heads - 1 - self.config.n_step
        lost = heads - 1 - ring + STACK - 1
        ready_leaves = (lanes * ring + ready % ring)[ready >= 0]
        lost_leaves = (lanes * ring + lost % ring)[lost >= 0]
        taken = self.outcomes.reshape(-1)[ready_leaves] != LAST
        weights = np.where(taken, self.max_priority**self.config.alpha, 0.0)
        self.tree.set(
            np.concatenate([ready_leaves, lost_leaves]),
            np.concatenate([weights, np.zeros(len(lost_leaves))]),
        )

    def _look_ahead(
        self, lanes: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Returns, numbers of steps until the bootstrap, and whether the episode ended, each (B,)."""
        offsets = np.arange(self.config.n_step)
        ahead = (slots[:, None] + offsets) % self.config.ring
        outcomes = self.outcomes[lanes[:, None], ahead]
        ends = (outcomes == TERMINATED) | (outcomes == TRUNCATED)
        within = np.cumsum(ends, axis=1) - ends == 0
        rewards = self.rewards[lanes[:, None], ahead]
        returns = (rewards * within * self.config.gamma**offsets).sum(axis=1).astype(np.float32)
        terminated = ((outcomes == TERMINATED) & within).any(axis=1)
        return returns, within.sum(axis=1), terminated

    def _stacks(self, lanes: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The frames at ``slots`` and the three before them, black before the episode began."""
        back = (slots[:, None] - _BACK) % self.config.ring
        stacks: NDArray[np.uint8] = self.views[lanes[:, None], back]
        stacks[self.ages[lanes, slots][:, None] < _BACK] = 0
        return stacks
