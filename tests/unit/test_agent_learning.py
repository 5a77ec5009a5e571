from dataclasses import replace

import numpy as np
import pytest
import torch
from ray.rllib.utils.torch_utils import clip_gradients

from rayatari.agent.exploration import Exploration, boltzmann, epsilon_greedy
from rayatari.agent.master_weights import Bf16Copy
from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.parts import exploration
from rayatari.agent.rllib.learner import clip_by_global_norm
from rayatari.agent.schedule import Linear
from rayatari.config.agent import AgentConfig

SMALL = QNetworkConfig(actions=4, channels=(4, 4, 4), hidden=16)


def test_dueling_values_have_the_state_value_as_their_mean():
    torch.manual_seed(0)
    network = QNetwork(SMALL)
    views = torch.randint(0, 256, (5, 4, 84, 84), dtype=torch.uint8)
    q = network(views)
    features = network.encoder(views)
    assert network.value is not None
    torch.testing.assert_close(q.mean(dim=1, keepdim=True), network.value(features))
    advantage = network.advantage(features)
    torch.testing.assert_close(q - q.mean(1, keepdim=True), advantage - advantage.mean(1, keepdim=True))


def test_pixels_count_from_zero_to_one():
    torch.manual_seed(0)
    network = QNetwork(SMALL)
    views = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8)
    first = network.encoder[0]
    plain = torch.nn.functional.conv2d(views.float() / 255, first.weight, first.bias, stride=4)
    torch.testing.assert_close(first(views), plain, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(first(views).float(), plain, atol=0.03, rtol=0.03)


def test_the_value_head_learns_and_is_absent_without_dueling():
    network = QNetwork(SMALL)
    network(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).sum().backward()
    assert network.value is not None
    assert all(parameter.grad is not None for parameter in network.value.parameters())
    plain = QNetwork(QNetworkConfig(actions=4, channels=(4, 4, 4), hidden=16, dueling=False))
    assert not any(name.startswith("value") for name in plain.state_dict())


@pytest.mark.parametrize("distribution", ["none", "qr", "c51", "iqn"])
@pytest.mark.parametrize("dueling", [True, False])
def test_preferences_are_values_but_for_a_constant_of_each_state(distribution, dueling):
    torch.manual_seed(0)
    network = QNetwork(replace(SMALL, dueling=dueling, distribution=distribution, atoms=5))
    views = torch.randint(0, 256, (6, 4, 84, 84), dtype=torch.uint8)
    gap = network(views) - network.preferences(views)
    torch.testing.assert_close(gap, gap[:, :1].expand_as(gap))


def test_learning_with_a_copy_in_bf16_gives_the_weights_the_gradients_that_autocast_would():
    torch.manual_seed(0)
    network = QNetwork(SMALL)
    views = torch.randint(0, 256, (5, 4, 84, 84), dtype=torch.uint8)

    def learn(learner):
        with torch.autocast("cpu", torch.bfloat16):
            learner(views).square().sum().backward()

    learn(network)
    expected = [parameter.grad.clone() for parameter in network.parameters()]
    copy = Bf16Copy(network)
    for _ in range(2):  # gradients of an earlier pass are not added to
        network.zero_grad(set_to_none=True)
        copy.refresh()
        learn(copy.network)
        copy.hand_over()
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            assert parameter.grad.dtype == torch.float32
            torch.testing.assert_close(parameter.grad, gradient, rtol=0.02, atol=0.02 * gradient.abs().max())
    with torch.no_grad():
        network.advantage[0].weight.add_(1.0)
    copy.refresh()
    assert torch.equal(copy.network.advantage[0].weight, network.advantage[0].weight.bfloat16())


def test_the_network_of_the_dqn_paper_fits_a_seven_megabyte_bundle():
    parameters = sum(p.numel() for p in QNetwork(QNetworkConfig(actions=18)).parameters())
    assert parameters * 2 < 7_000_000


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_boltzmann_actions_follow_the_softmax_at_their_temperature(temperature):
    torch.manual_seed(0)
    q = torch.tensor([0.3, 0.0, 0.5, 0.45])
    actions = boltzmann(q.expand(40_000, 4), temperature)
    shares = np.bincount(actions.numpy(), minlength=4) / 40_000
    np.testing.assert_allclose(shares, torch.softmax(q / temperature, 0), atol=0.01)


def test_boltzmann_without_temperature_is_greedy():
    q = torch.tensor([[0.1, 0.2], [0.2, 0.1]])
    assert boltzmann(q, 0.0).tolist() == [1, 0]
    assert boltzmann(q, 1e-6).tolist() == [1, 0]


def test_epsilon_greedy_draws_any_action_with_probability_epsilon():
    torch.manual_seed(0)
    q = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(40_000, 4)
    shares = np.bincount(epsilon_greedy(q, 0.2).numpy(), minlength=4) / 40_000
    np.testing.assert_allclose(shares, [0.05, 0.85, 0.05, 0.05], atol=0.01)
    assert (epsilon_greedy(q, 0.0) == 1).all()


def test_exploration_is_annealed_by_its_schedule():
    schedule = Linear(1.0, 0.1, 1000)
    assert [schedule.at(step) for step in (0, 500, 1000, 5000)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    assert Linear(1.0, 0.1, 0).at(0) == pytest.approx(0.1)
    torch.manual_seed(0)
    q = torch.tensor([0.0, 1.0]).expand(4000, 2)
    hot = Exploration("boltzmann", Linear(100.0, 0.01, 10))
    assert 0.45 < hot.choose(q, 0).float().mean() < 0.55
    assert (hot.choose(q, 10) == 1).all()
    assert hot.label == "temperature"


def test_the_ladder_is_the_same_however_the_games_are_shared_out():
    """All in one batch, in two interleaved groups, or by two runners one after the other."""
    explore = Exploration("epsilon", Linear(0.4, 0.4, 1), ladder=7.0)
    drawn = []

    def seen(q_BA, epsilon, generator):
        drawn.append(epsilon)
        return q_BA.argmax(1)

    values = torch.zeros(8, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rayatari.agent.exploration.epsilon_greedy", seen)
        explore.choose(values, 0)
        explore.choose(values[:4], 0, 0, 2)
        explore.choose(values[:4], 0, 1, 2)
        explore.choose(values[:4], 0, 0, games=8)
        explore.choose(values[:4], 0, 4, games=8)
    whole, even, odd, first, second = drawn
    torch.testing.assert_close(whole, 0.4 ** (1 + 7 * torch.arange(8) / 7))
    torch.testing.assert_close(torch.stack([even, odd], 1).flatten(), whole)
    torch.testing.assert_close(torch.cat([first, second]), whole)


def test_the_default_temperature_falls_from_one_to_a_twentieth():
    schedule = exploration(AgentConfig(exploration="boltzmann")).schedule
    assert (schedule.at(0), schedule.at(10**9)) == (1.0, 0.05)


def test_greedy_takes_the_best_action():
    greedy = exploration(AgentConfig(exploration="greedy"))
    values = torch.rand(200, 4)
    torch.testing.assert_close(greedy.choose(values, 0), values.argmax(1))
    assert greedy.label == "epsilon"


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_gradients_are_clipped_as_rllib_clips_them(scale):
    torch.manual_seed(0)
    plain = {"a": scale * torch.randn(3, 5), "b": None, "c": scale * torch.randn(7)}
    ours = {name: None if value is None else value.clone() for name, value in plain.items()}
    present = {name: value for name, value in plain.items() if value is not None}
    expected = clip_gradients(present, grad_clip=10.0, grad_clip_by="global_norm")
    norm = clip_by_global_norm(ours, grad_clip=10.0, grad_clip_by="global_norm")
    torch.testing.assert_close(norm, expected)
    assert (norm > 10) == (scale > 1)
    for name, value in present.items():
        torch.testing.assert_close(ours[name], value)
