"""The Bellman targets and the loss of deep Q-learning, as plain functions of tensors."""

from torch import Tensor
from torch.nn import functional


def bellman_targets(
    returns_B: Tensor, discounts_B: Tensor, next_target_BA: Tensor, next_online_BA: Tensor | None
) -> Tensor:
    """n-step targets, float32 (B,).

    ``returns_B`` is the discounted sum of the n rewards, ``discounts_B`` the factor of the state
    after them: gamma**n, or 0 where the episode ended. With ``next_online_BA`` the online network
    chooses the action that the target network judges (Double DQN, van Hasselt et al., 2016).
    """
    chooser_BA = next_target_BA if next_online_BA is None else next_online_BA
    best_B1 = chooser_BA.argmax(dim=1, keepdim=True)
    return returns_B + discounts_B * next_target_BA.gather(1, best_B1).squeeze(1)


def values_of(q_BA: Tensor, actions_B: Tensor) -> Tensor:
    """The values of the actions taken, (B,)."""
    return q_BA.gather(1, actions_B.long().unsqueeze(1)).squeeze(1)


def weighted_huber(predictions_B: Tensor, targets_B: Tensor, weights_B: Tensor) -> Tensor:
    """Mean Huber loss (delta 1), each sample counted with its importance weight."""
    losses_B = functional.huber_loss(predictions_B, targets_B, reduction="none")
    return (weights_B * losses_B).mean()
