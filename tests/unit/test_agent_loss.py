"""Targets and losses against formulas worked out by hand or by brute force."""

import numpy as np
import pytest
import torch

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
from rayatari.agent.rollout import NO_ADVICE


def test_double_dqn_takes_the_target_networks_value_of_the_online_networks_choice():
    returns, discounts = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.97, 0.9, 0.0])
    target = torch.tensor([[1.0, 5.0], [2.0, 3.0], [100.0, 100.0]])
    online = torch.tensor([[9.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    double = bellman_targets(returns, discounts, target[:, :, None], online)
    torch.testing.assert_close(double, torch.tensor([[1 + 0.97 * 1.0], [-2 + 0.9 * 3.0], [0.5]]))
    single = bellman_targets(returns, discounts, target[:, :, None], target)
    torch.testing.assert_close(single, torch.tensor([[1 + 0.97 * 5.0], [-2 + 0.9 * 3.0], [0.5]]))


def test_a_distribution_is_moved_as_a_whole():
    quantiles = torch.tensor([[[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]]])
    moved = bellman_targets(torch.tensor([1.0]), torch.tensor([0.5]), quantiles, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(moved, torch.tensor([[3.5, 4.0, 4.5]]))


def test_values_are_those_of_the_actions_taken():
    values = torch.arange(12.0).view(2, 3, 2)
    picked = pick(values, torch.tensor([2, 0], dtype=torch.uint8))
    torch.testing.assert_close(picked, torch.tensor([[4.0, 5.0], [6.0, 7.0]]))


def test_huber_is_square_near_zero_and_straight_further_out():
    predictions, targets = torch.tensor([2.0, 1.0]), torch.tensor([5.0, 1.5])
    torch.testing.assert_close(huber(predictions, targets), torch.tensor([3.0 - 0.5, 0.5 * 0.25]))
    torch.testing.assert_close(half_squared(predictions, targets), torch.tensor([4.5, 0.125]))


def test_the_large_margin_loss_by_hand():
    values = torch.tensor([[1.0, 0.5, 0.9], [1.0, 0.5, 0.9], [1.0, 0.0, 0.1], [5.0, 0.0, 0.0]])
    advice = torch.tensor([0b001, 0b010, 0b001, NO_ADVICE], dtype=torch.int32)
    losses = large_margin(
        values, advice, 0.8
    )  # 0.9 + 0.8 - 1, 1 + 0.8 - 0.5, all others a margin below, none
    torch.testing.assert_close(losses, torch.tensor([0.7, 1.3, 0.0, 0.0]))


def test_the_large_margin_loss_asks_for_any_of_the_advised_actions():
    values = torch.tensor([[1.0, 0.5, 0.9], [1.0, 0.5, 0.9], [1.0, 0.5, 0.9]])
    advice = torch.tensor([0b101, 0b110, 0b111], dtype=torch.int32)
    losses = large_margin(values, advice, 0.8)  # 0.5 + 0.8 - 1, 1 + 0.8 - 0.9, no other is left
    torch.testing.assert_close(losses, torch.tensor([0.3, 0.9, 0.0]))


def projected_one_by_one(support, returns, discount, probabilities):
    """Algorithm 1 of Bellemare et al. (2017), atom by atom."""
    low, high, count = support[0], support[-1], len(support)
    gap, result = (high - low) / (count - 1), np.zeros(count)
    for atom, probability in zip(support, probabilities, strict=True):
        place = (min(max(returns + discount * atom, low), high) - low) / gap
        below, above = int(np.floor(place)), int(np.ceil(place))
        if below == above:
            result[below] += probability
        else:
            result[below] += probability * (above - place)
            result[above] += probability * (place - below)
    return result


def test_the_projection_equals_the_papers_algorithm():
    rng = np.random.default_rng(0)
    support = np.linspace(-3.0, 5.0, 17)
    returns = np.array([0.0, 0.3, -7.0, 9.0, 1.0, 0.5])
    discounts = np.array([1.0, 0.97, 0.9, 0.9, 0.0, 0.0])  # moved nowhere, a bit, out on either side; ends
    probabilities = rng.dirichlet(np.ones(17), size=6)
    result = project(*(torch.from_numpy(x) for x in (support, returns, discounts, probabilities)))
    expected = [
        projected_one_by_one(support, *row) for row in zip(returns, discounts, probabilities, strict=True)
    ]
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(result[0].numpy(), probabilities[0])
    assert result[2, 0] > 0.5 and result[3, -1] > 0.5


def test_the_projection_keeps_the_mean_of_what_stays_inside():
    support = torch.linspace(-10, 10, 51)
    probabilities = torch.zeros(1, 51)
    probabilities[0, 20:30] = 0.1
    moved = project(support, torch.tensor([0.77]), torch.tensor([0.9]), probabilities)
    assert float(moved[0] @ support) == pytest.approx(
        0.77 + 0.9 * float(probabilities[0] @ support), abs=1e-4
    )


def test_the_categorical_loss_is_zero_at_the_target_and_has_the_gradient_of_the_cross_entropy():
    target = torch.tensor([[0.0, 0.2, 0.8], [1.0, 0.0, 0.0]])
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.3, 0.1]], requires_grad=True)
    losses = categorical(logits, target)
    losses.sum().backward()
    probabilities = torch.softmax(logits.detach(), 1)
    torch.testing.assert_close(logits.grad, probabilities - target)
    kl = [(t * (t / p).log()).nan_to_num(0.0).sum() for t, p in zip(target, probabilities, strict=True)]
    torch.testing.assert_close(losses.detach(), torch.stack(kl))
    sure = torch.tensor([[-30.0, float(np.log(0.2)), float(np.log(0.8))]])
    assert float(categorical(sure, target[:1])) == pytest.approx(0.0, abs=1e-6)


def test_the_quantile_loss_on_numbers_worked_out_by_hand():
    predictions, taus = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.25, 0.75]])
    targets = torch.tensor([[0.5, -2.0, 4.0]])
    # quantile 0.25 at 0: 0.5 and 4 lie above and cost 0.25 times 0.125 and 3.5; -2 below, 0.75 times 1.5
    # quantile 0.75 at 1: 0.5 and -2 lie below and cost 0.25 times 0.125 and 2.5; 4 above, 0.75 times 2.5
    first = (0.25 * 0.125 + 0.25 * 3.5 + 0.75 * 1.5) / 3
    second = (0.25 * 0.125 + 0.25 * 2.5 + 0.75 * 2.5) / 3
    assert float(quantile_huber(predictions, taus, targets)) == pytest.approx(first + second)


def test_quantiles_that_minimise_the_loss_are_those_of_the_targets():
    torch.manual_seed(0)
    returns = torch.randn(1, 4000) * 20  # wide, so that Huber's round corner does not matter
    taus = torch.tensor([[0.1, 0.5, 0.9]])
    learned = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.Adam([learned], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        quantile_huber(learned, taus, returns).sum().backward()
        optimizer.step()
    torch.testing.assert_close(learned.detach()[0], returns[0].quantile(taus[0]), atol=0.7, rtol=0)


def test_the_munchausen_target_by_hand():
    alpha, temperature, floor = 0.9, 0.5, -1.0
    now, following = np.array([1.0, 0.2]), np.array([0.4, 1.0])
    policy = np.exp(following / temperature) / np.exp(following / temperature).sum()
    log_now = now[1] / temperature - np.log(np.exp(now / temperature).sum())
    soft = (policy * (following - temperature * np.log(policy))).sum()
    expected = 0.3 + alpha * max(temperature * log_now, floor) + 0.97 * soft
    rows = [torch.tensor(x[None], dtype=torch.float32) for x in (now, following)]
    target = munchausen_targets(
        torch.tensor([0.3]), torch.tensor([0.97]), torch.tensor([1]), rows[0], rows[1], rows[1][:, :, None],
        alpha=alpha, temperature=temperature, floor=floor,
    )  # fmt: skip
    assert float(target) == pytest.approx(expected, abs=1e-5)


def test_the_munchausen_bonus_is_floored_and_gone_at_alpha_zero_with_a_hard_policy():
    now, following = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    settings = {"temperature": 0.03, "floor": -1.0}
    reward, discount, worst = torch.tensor([0.5]), torch.tensor([0.9]), torch.tensor([1])
    arguments = (reward, discount, worst, now, following, following[:, :, None])
    assert float(munchausen_targets(*arguments, alpha=0.9, **settings)) == pytest.approx(0.5 - 0.9 + 1.8)
    assert float(munchausen_targets(*arguments, alpha=0.0, **settings)) == pytest.approx(0.5 + 1.8)
