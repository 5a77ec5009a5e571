"""Prioritized replay in the memory of the learner's device: the same as ``rayatari.agent.replay``.

Everything that a draw does is arithmetic of fixed shape on the device, so that it can be part of a CUDA
graph. Shapes: L lanes, S slots of a ring, B batch, G lanes of one group.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rayatari.agent.replay import Replay, ReplayConfig
from rayatari.agent.rollout import CONTINUES, LAST, NO_ADVICE, TERMINATED, TRUNCATED
from rayatari.agent.view_stack import STACK
from rayatari.games.agent_view import VIEW_SIZE

WEIGHT_ONE = 1 << 24
"""Priorities are summed as whole numbers of this fraction: such sums are exact, in any order."""
_COLUMNS = ("ages", "actions", "advice", "rewards", "outcomes")
_WORDS = VIEW_SIZE * VIEW_SIZE // 8
"""Frames are copied as 64-bit words, not as bytes."""


@dataclass(frozen=True)
class DeviceBatch:
    """B transitions of up to n steps, on the device; meanings as in ``ReplayBatch``."""

    views: Tensor
    """uint8 (B, 4, 84, 84)."""
    actions: Tensor
    """uint8 (B,)."""
    advice: Tensor
    """int32 (B,)."""
    returns: Tensor
    """float32 (B,)."""
    next_views: Tensor
    """uint8 (B, 4, 84, 84)."""
    discounts: Tensor
    """float32 (B,)."""


class DeviceReplay:
    """One ring of frames per lane; lanes of one group are written together, frame by frame."""

    def __init__(self, config: ReplayConfig, groups: int, device: torch.device) -> None:
        assert config.ring > config.n_step + STACK, "the rings are too short for one transition"
        shape = (config.lanes, config.ring)
        self.config, self.device = config, device
        self.group = config.lanes // groups
        """Lanes of a group."""
        self.heads = [0] * groups
        """Frames ever written to each lane, by group."""
        self.views = torch.zeros((*shape, VIEW_SIZE, VIEW_SIZE), dtype=torch.uint8, device=device)
        self.ages = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.actions = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.advice = torch.full(shape, NO_ADVICE, dtype=torch.int32, device=device)
        self.rewards = torch.zeros(shape, dtype=torch.float32, device=device)
        self.outcomes = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.weights = torch.zeros(shape, dtype=torch.int64, device=device)
        """Priorities to the power alpha, in units of 1 / WEIGHT_ONE; 0 cannot be drawn."""
        self.max_priority = torch.ones((), dtype=torch.float32, device=device)
        self._back = torch.arange(STACK - 1, -1, -1, device=device)
        self._ahead = torch.arange(config.n_step, device=device)
        powers = [config.gamma**k for k in range(config.n_step + 1)]
        self._powers = torch.tensor(powers, dtype=torch.float64, device=device)

    def __len__(self) -> int:
        """Frames held."""
        return sum(min(head, self.config.ring) for head in self.heads) * self.group

    def add(
        self,
        group: int,
        views: Tensor,
        ages: Tensor,
        actions: Tensor,
        rewards: Tensor,
        outcomes: Tensor,
        advice: Tensor,
    ) -> None:
        """Write one frame to each lane of ``group``: uint8 (G, 84, 84), the rest (G,) of any dtype."""
        ring, head = self.config.ring, self.heads[group]
        lanes = slice(group * self.group, (group + 1) * self.group)
        slot = head % ring
        self.views[lanes, slot] = views
        self.ages[lanes, slot] = ages.to(torch.uint8)
        self.actions[lanes, slot] = actions.to(torch.uint8)
        self.advice[lanes, slot] = advice.to(torch.int32)
        self.rewards[lanes, slot] = (rewards.sign() if self.config.clip_rewards else rewards).float()
        self.outcomes[lanes, slot] = outcomes.to(torch.uint8)
        self.heads[group] = head + 1
        self.weights[lanes, (head + STACK - 1) % ring] = 0  # the frames before it are about to go
        if head >= self.config.n_step:
            ready = (head - self.config.n_step) % ring
            taken = self.outcomes[lanes, ready] != LAST
            self.weights[lanes, ready] = taken * _fixed(self.max_priority**self.config.alpha)

    def draw(self, count: int) -> Tensor:
        """Where ``count`` transitions lie, one from each of as many equal parts of the weights, (B,)."""
        sums = self.weights.view(-1).cumsum(0)
        parts_B = torch.arange(count, dtype=torch.float64, device=self.device)
        random_B = torch.rand(count, dtype=torch.float64, device=self.device)
        points_B = ((parts_B + random_B) * (sums[-1].double() / count)).long()
        return torch.searchsorted(sums, points_B.minimum(sums[-1] - 1), right=True)

    def importance(self, leaves_B: Tensor, beta: Tensor) -> Tensor:
        """Importance weights, largest 1, float32 (B,)."""
        odds_B = self.weights.view(-1)[leaves_B].float()
        return (odds_B / odds_B.min()) ** -beta

    def gather(self, leaves_B: Tensor) -> DeviceBatch:
        """The transitions at ``leaves_B``."""
        ring = self.config.ring
        starts_B, slots_B = leaves_B // ring * ring, leaves_B % ring
        ahead_BN = starts_B[:, None] + (slots_B[:, None] + self._ahead) % ring
        outcomes_BN = self.outcomes.view(-1)[ahead_BN]
        ends_BN = (outcomes_BN == TERMINATED) | (outcomes_BN == TRUNCATED)
        within_BN = ends_BN.cumsum(1) - ends_BN.long() == 0
        rewards_BN = self.rewards.view(-1)[ahead_BN].double()
        steps_B = within_BN.sum(1)
        terminated_B = ((outcomes_BN == TERMINATED) & within_BN).any(1)
        discounts_B = self._powers[steps_B] * ~terminated_B
        return DeviceBatch(
            views=self._stacks(starts_B, slots_B),
            actions=self.actions.view(-1)[leaves_B],
            advice=self.advice.view(-1)[leaves_B],
            returns=(rewards_BN * within_BN * self._powers[:-1]).sum(1).float(),
            next_views=self._stacks(starts_B, (slots_B + steps_B) % ring),
            discounts=discounts_B.float(),
        )

    def update(self, leaves_B: Tensor, errors_B: Tensor) -> None:
        """Set the priorities of just drawn transitions to their absolute TD errors."""
        priorities_B = errors_B.detach().float().abs() + 1e-6
        self.max_priority.copy_(torch.maximum(self.max_priority, priorities_B.max()))
        self.weights.view(-1)[leaves_B] = _fixed(priorities_B**self.config.alpha)

    def cut_off(self) -> None:
        """End the running episodes at their last frame: what comes next was not played on from it."""
        for group, head in enumerate(self.heads):
            if head == 0:
                continue
            lanes = slice(group * self.group, (group + 1) * self.group)
            last, before = (head - 1) % self.config.ring, (head - 2) % self.config.ring
            running = self.outcomes[lanes, last] != LAST
            cut = running & (self.ages[lanes, last] > 0) & (self.outcomes[lanes, before] == CONTINUES)
            self.outcomes[lanes, last] = torch.where(running, LAST, self.outcomes[lanes, last])
            self.outcomes[lanes, before] = torch.where(cut, TRUNCATED, self.outcomes[lanes, before])

    def to_host(self) -> Replay:
        """A copy in the main memory."""
        host = Replay(self.config)
        host.views[...] = self.views.cpu().numpy()
        host.restore(
            {name: getattr(self, name).cpu().numpy() for name in _COLUMNS}
            | {
                "heads": np.repeat(self.heads, self.group),
                "weights": self.weights.view(-1).cpu().numpy() / WEIGHT_ONE,
                "max_priority": self.max_priority.cpu().numpy(),
            }
        )
        return host

    def from_host(self, host: Replay) -> None:
        """Take over what :meth:`to_host` gave."""
        for name in ("views", *_COLUMNS):
            getattr(self, name).copy_(torch.from_numpy(getattr(host, name)))
        self.heads = [int(head) for head in host.heads[:: self.group]]
        weights = np.rint(np.array(host.tree.leaves) * WEIGHT_ONE).astype(np.int64)
        self.weights.copy_(torch.from_numpy(weights).view_as(self.weights))
        self.max_priority.fill_(host.max_priority)

    def _stacks(self, starts_B: Tensor, slots_B: Tensor) -> Tensor:
        """The frames at ``slots_B`` and the three before them, black before the episode began."""
        words = self.views.view(-1, VIEW_SIZE * VIEW_SIZE).view(torch.int64)
        frames_B4W = words[starts_B[:, None] + (slots_B[:, None] - self._back) % self.config.ring]
        ages_B = self.ages.view(-1)[starts_B + slots_B].long()
        frames_B4W *= (ages_B[:, None] >= self._back)[:, :, None]
        assert frames_B4W.shape[2] == _WORDS
        return frames_B4W.view(torch.uint8).view(len(slots_B), STACK, VIEW_SIZE, VIEW_SIZE)


def _fixed(weights: Tensor) -> Tensor:
    """Weights above 0 as whole numbers above 0."""
    return (weights.double() * WEIGHT_ONE).round().long().clamp(min=1)
