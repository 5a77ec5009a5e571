"""Bellman targets and losses of deep Q-learning, as plain functions of tensors.

Shapes: B batch, A actions, N values per action of the prediction, M of the target; all float32.
"""

import torch
from torch import Tensor
from torch.nn import functional


def pick(values_BAN: Tensor, actions_B: Tensor) -> Tensor:
    """What belongs to one action of each sample: (B, N) of (B, A, N), or (B,) of (B, A)."""
    rest = values_BAN.shape[2:]
    index_B1N = actions_B.long().view(-1, 1, *(1 for _ in rest)).expand(-1, 1, *rest)
    return values_BAN.gather(1, index_B1N).squeeze(1)


def bellman_targets(
    returns_B: Tensor, discounts_B: Tensor, next_target_BAM: Tensor, chooser_BA: Tensor
) -> Tensor:
    """n-step targets, (B, M).

    ``returns_B`` is the discounted sum of the n rewards, ``discounts_B`` the factor of the state
    after them: gamma**n, or 0 where the episode ended. The action of highest ``chooser_BA`` is taken:
    the target network's own values, or the online network's (Double DQN, van Hasselt et al., 2016).
    """
    best_BM = pick(next_target_BAM, chooser_BA.argmax(dim=1))
    return returns_B[:, None] + discounts_B[:, None] * best_BM


def munchausen_targets(
    returns_B: Tensor,
    discounts_B: Tensor,
    actions_B: Tensor,
    now_BA: Tensor,
    next_BA: Tensor,
    next_target_BAM: Tensor,
    *,
    alpha: float,
    temperature: float,
    floor: float,
) -> Tensor:
    """Targets of M-DQN and, with quantiles, M-IQN (Vieillard et al., 2020), (B, M).

    With the policy pi = softmax(Q / temperature) of the target network's expected values, ``now_BA`` of
    the state that was acted in and ``next_BA`` of the next: returns + alpha * clip(temperature *
    log pi(a|s), floor, 0) + discounts * sum_a' pi(a'|s') * (Z(s', a') - temperature * log pi(a'|s')).
    """
    log_now_BA = torch.log_softmax(now_BA / temperature, 1)
    bonus_B = alpha * (temperature * pick(log_now_BA, actions_B)).clamp(floor, 0)
    log_next_BA = torch.log_softmax(next_BA / temperature, 1)
    soft_BAM = next_target_BAM - temperature * log_next_BA[:, :, None]
    value_BM = (log_next_BA.exp()[:, :, None] * soft_BAM).sum(1)
    return (returns_B + bonus_B)[:, None] + discounts_B[:, None] * value_BM


def huber(predictions_B: Tensor, targets_B: Tensor) -> Tensor:
    """Huber losses (delta 1), (B,)."""
    return functional.huber_loss(predictions_B, targets_B, reduction="none")


def half_squared(predictions_B: Tensor, targets_B: Tensor) -> Tensor:
    """Halves of the squared errors, (B,)."""
    return 0.5 * (predictions_B - targets_B).square()


def large_margin(values_BA: Tensor, advice_B: Tensor, margin: float) -> Tensor:
    """max_a (Q(s, a) + margin [a is not advised]) - max_{a advised} Q(s, a), (B,).

    Where one action is advised it is that of Hester et al. (2018, eq. 2). Bit a of ``advice_B`` says that
    action a is. 0 where an advised action is better than all others by ``margin``, and without advice.
    """
    bits_A = 1 << torch.arange(values_BA.shape[1], device=values_BA.device)
    advised_BA = (advice_B[:, None] & bits_A) != 0
    best_B = values_BA.masked_fill(~advised_BA, -torch.inf).amax(1)
    missing_B = (values_BA + margin * ~advised_BA).amax(1) - best_B
    return torch.where(advised_BA.any(1), missing_B, 0.0)


def project(support_N: Tensor, returns_B: Tensor, discounts_B: Tensor, probabilities_BN: Tensor) -> Tensor:
    """C51's projection: the distribution of returns + discounts * Z on the atoms of ``support_N``, (B, N).

    ``probabilities_BN`` is that of Z. The mass of a return between two atoms is shared by nearness; one
    outside the support goes to its end (Bellemare et al., 2017, eq. 7).
    """
    gap = (support_N[-1] - support_N[0]) / (len(support_N) - 1)
    moved_BN = returns_B[:, None] + discounts_B[:, None] * support_N
    places_BN = (moved_BN.clamp(support_N[0], support_N[-1]) - support_N[0]) / gap
    atoms_N = torch.arange(len(support_N), device=support_N.device)
    shares_BNN = (1 - (places_BN[:, :, None] - atoms_N).abs()).clamp(min=0)
    return (probabilities_BN[:, :, None] * shares_BNN).sum(1)


def categorical(logits_BN: Tensor, targets_BN: Tensor) -> Tensor:
    """Kullback-Leibler divergences of softmax(logits) from the target distributions, (B,).

    Their gradient is that of C51's cross-entropy; they are 0 where nothing is left to learn, which is
    what makes them priorities (Hessel et al., 2018).
    """
    return functional.kl_div(torch.log_softmax(logits_BN, 1), targets_BN, reduction="none").sum(1)


def quantile_huber(predictions_BN: Tensor, taus_BN: Tensor, targets_BM: Tensor) -> Tensor:
    """Quantile Huber losses (kappa 1), (B,): sum over the N quantiles, mean over the M target samples.

    An overestimate of quantile tau costs 1 - tau, an underestimate tau (Dabney et al., 2018a, eq. 10).
    """
    predictions_BNM = predictions_BN[:, :, None].expand(-1, -1, targets_BM.shape[1])
    targets_BNM = targets_BM[:, None, :].expand_as(predictions_BNM)
    costs_BNM = (taus_BN[:, :, None] - (targets_BNM < predictions_BNM).float()).abs()
    losses_BNM = functional.huber_loss(predictions_BNM, targets_BNM, reduction="none")
    return (costs_BNM * losses_BNM).mean(2).sum(1)
