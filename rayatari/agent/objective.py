"""What one update minimises, on either backend: which networks look at what, and the loss that follows.

Shapes as in ``rayatari.agent.loss``. What the networks say travels as a mapping of names to tensors,
because that is what an RLlib module returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rayatari.agent.loss import (
    bellman_targets,
    categorical,
    half_squared,
    huber,
    large_margin,
    munchausen_targets,
    pick,
    project,
    quantile_huber,
)
from rayatari.agent.network import QNetwork, QNetworkConfig, expectation

VALUES, TAUS = "values", "taus"
NEXT, NEXT_EXPECTED, NOW_EXPECTED = "next_values", "next_expected", "now_expected"


@dataclass(frozen=True)
class Munchausen:
    """The numbers of Munchausen DQN (Vieillard et al., 2020)."""

    alpha: float = 0.9
    """Weight of the log-policy that is added to the reward."""
    temperature: float = 0.03
    """Of the softmax policy, in units of Q."""
    floor: float = -1.0
    """Least log-policy (times the temperature) that is added."""


@dataclass(frozen=True)
class Advice:
    """How a teacher's actions are learned from (Hester et al., 2018)."""

    weight: float = 1.0
    """Of the large-margin loss beside the Bellman error."""
    margin: float = 0.8
    """By how much the teacher's action must be the best one, in units of Q."""


@dataclass(frozen=True)
class Loss:
    """The loss of one batch."""

    loss: Tensor
    """Mean of the samples' losses, each with its importance weight: a scalar with a gradient."""
    errors_B: Tensor
    """What the priorities are made of: TD errors, or losses where returns have a distribution."""
    q_mean: Tensor
    """Mean value of the actions taken."""


@dataclass(frozen=True)
class Objective:
    """The kind of learning."""

    network: QNetworkConfig
    """The network that learns; its target is of the same kind."""
    double: bool = True
    """Double DQN: the online network chooses the action that the target network judges."""
    squared: bool = False
    """Squared error in place of Huber's, where the network gives expected returns."""
    munchausen: Munchausen | None = None
    """Munchausen targets; they average over actions, so that ``double`` has nothing to choose."""
    advice: Advice | None = None
    """The teacher's part."""

    def look(
        self,
        online: QNetwork,
        target: QNetwork,
        views: Tensor,
        next_views: Tensor,
        judged: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What the networks say of B states and those after them, uint8 (B, 4, 84, 84).

        Only ``VALUES`` has a gradient. Noisy networks draw noise of their own at each look. ``judged`` is
        what :meth:`judge` said before, if it did.
        """
        said: dict[str, Tensor] = {}
        taus = self._draw_taus(views)
        if taus is not None:
            said[TAUS] = taus
        said[VALUES] = online.values(views, taus, noisy=True)
        said |= self.judge(target, views, next_views) if judged is None else judged
        if self.double and not self.munchausen:
            with torch.no_grad():
                said[NEXT_EXPECTED] = online.preferences(next_views, noisy=True)
        return said

    @torch.no_grad()
    def judge(self, target: QNetwork, views: Tensor, next_views: Tensor) -> dict[str, Tensor]:
        """What the target network alone says of them: it may be asked once for several batches."""
        if self.double and not self.munchausen:
            return {NEXT: target.values(next_views, self._draw_taus(next_views), noisy=True)}
        said = dict(zip((NEXT, NEXT_EXPECTED), self._judge(target, next_views), strict=True))
        if self.munchausen:
            said[NOW_EXPECTED] = target(views, noisy=True)
        return said

    def loss(
        self,
        said: Mapping[str, Tensor],
        support_N: Tensor,
        actions_B: Tensor,
        returns_B: Tensor,
        discounts_B: Tensor,
        weights_B: Tensor,
        advice_B: Tensor | None = None,
    ) -> Loss:
        """The loss of what :meth:`look` gave; ``support_N`` is the network's.

        ``advice_B`` are the actions that a teacher would do, as bits, or NO_ADVICE; :attr:`advice` uses it.
        """
        values_BN = pick(said[VALUES], actions_B)
        if self.network.distribution == "c51":
            losses_B, expected_B = self._categorical(values_BN, support_N, said, returns_B, discounts_B)
            errors_B = losses_B
        else:
            targets_BM = self._targets(said, actions_B, returns_B, discounts_B)
            expected_B = values_BN.mean(1)
            if self.network.distribution == "none":
                targets_B = targets_BM.squeeze(1)
                losses_B = (half_squared if self.squared else huber)(expected_B, targets_B)
                errors_B = expected_B - targets_B
            else:
                taus_BN = said.get(TAUS, support_N.expand_as(values_BN))
                losses_B = errors_B = quantile_huber(values_BN, taus_BN, targets_BM)
        if self.advice is not None and advice_B is not None:
            expected_BA = expectation(self.network.distribution, said[VALUES], support_N)
            taught_B = large_margin(expected_BA, advice_B, self.advice.margin)
            losses_B = losses_B + self.advice.weight * taught_B
        return Loss((weights_B * losses_B).mean(), errors_B.detach(), expected_B.detach().mean())

    def _categorical(
        self,
        logits_BN: Tensor,
        support_N: Tensor,
        said: Mapping[str, Tensor],
        returns_B: Tensor,
        discounts_B: Tensor,
    ) -> tuple[Tensor, Tensor]:
        next_logits_BN = pick(said[NEXT], said[NEXT_EXPECTED].argmax(1))
        next_BN = torch.softmax(next_logits_BN, 1)
        losses_B = categorical(logits_BN, project(support_N, returns_B, discounts_B, next_BN))
        return losses_B, torch.softmax(logits_BN.detach(), 1) @ support_N

    def _targets(
        self, said: Mapping[str, Tensor], actions_B: Tensor, returns_B: Tensor, discounts_B: Tensor
    ) -> Tensor:
        if self.munchausen is None:
            return bellman_targets(returns_B, discounts_B, said[NEXT], said[NEXT_EXPECTED])
        return munchausen_targets(
            returns_B, discounts_B, actions_B, said[NOW_EXPECTED], said[NEXT_EXPECTED], said[NEXT],
            alpha=self.munchausen.alpha, temperature=self.munchausen.temperature,
            floor=self.munchausen.floor,
        )  # fmt: skip

    def _judge(self, target: QNetwork, next_views: Tensor) -> tuple[Tensor, Tensor]:
        """The target's values of the next states (B, A, M), and their expectations (B, A).

        IQN's targets are at random quantiles, its expectations at the midpoints; one pass gives both.
        """
        taus_BM = self._draw_taus(next_views)
        if taus_BM is None:
            values_BAM = target.values(next_views, noisy=True)
            return values_BAM, target.expected(values_BAM)
        count = taus_BM.shape[1]
        middle_BN = target.support.expand(len(next_views), -1)
        both_BAM = target.values(next_views, torch.cat([taus_BM, middle_BN], 1), noisy=True)
        return both_BAM[:, :, :count], both_BAM[:, :, count:].mean(2)

    def _draw_taus(self, views: Tensor) -> Tensor | None:
        if self.network.distribution != "iqn":
            return None
        return torch.rand(len(views), self.network.atoms, device=views.device)
