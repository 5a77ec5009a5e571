"""Each kind of learning as a whole: networks in, loss, gradients and priorities out."""

import itertools

import pytest
import torch

from rayatari.agent.loss import project, quantile_huber
from rayatari.agent.network import QNetwork, QNetworkConfig, playing
from rayatari.agent.noisy import NoisyLinear
from rayatari.agent.objective import NEXT, NEXT_EXPECTED, TAUS, VALUES, Munchausen, Objective
from rayatari.agent.policy import Policy, PolicyModel, half_precision

KINDS = {"none": 1, "c51": 11, "qr": 6, "iqn": 5}
BATCH = 4


def sizes(distribution="none", **settings):
    return QNetworkConfig(
        3, (4, 4, 4), 16, distribution=distribution, atoms=KINDS[distribution], value_min=-2, value_max=2,
        **settings,
    )  # fmt: skip


def views(seed=0):
    return torch.randint(
        0, 256, (BATCH, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def pair(config):
    torch.manual_seed(1)
    return QNetwork(config), QNetwork(config).requires_grad_(False)


ACTIONS, RETURNS = torch.tensor([0, 2, 1, 0], dtype=torch.uint8), torch.tensor([0.5, -1.0, 0.0, 1.0])
DISCOUNTS, WEIGHTS = torch.tensor([0.97, 0.97, 0.0, 0.9]), torch.tensor([1.0, 0.5, 0.25, 1.0])


def learn(objective, online, target):
    torch.manual_seed(2)
    said = objective.look(online, target, views(), views(9))
    return said, objective.loss(said, online.support, ACTIONS, RETURNS, DISCOUNTS, WEIGHTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("double", [True, False])
def test_every_kind_teaches_both_streams_each_in_its_own_way(kind, double):
    """With dueling, value and advantages both learn; a shift of the value alone cannot be cancelled."""
    config = sizes(kind)
    online, target = pair(config)
    said, learned = learn(Objective(config, double), online, target)
    assert said[VALUES].shape == (BATCH, 3, config.atoms)
    learned.loss.backward()
    assert online.value is not None
    for head in (online.value, online.advantage):
        assert head[2].weight.grad.abs().max() > 1e-4
    if kind == "c51":  # both streams decide how probable each atom is
        assert (online.value[2].weight.grad.abs().amax(1) > 1e-5).all()
    assert all(parameter.grad is None for parameter in target.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_value_and_centred_advantages_meet_atom_by_atom(kind):
    network, _ = pair(sizes(kind))
    values = network.values(views())
    features = network.encoder(views())
    if kind == "iqn":
        features = network._at(features, network.support.expand(BATCH, -1))
    expected = network.value(features)
    expected = expected.squeeze(2) if kind == "iqn" else expected
    torch.testing.assert_close(values.mean(1), expected, atol=1e-5, rtol=1e-4)


def test_expected_values_are_the_means_of_the_distributions():
    c51, _ = pair(sizes("c51"))
    probabilities = torch.softmax(c51.values(views()), 2)
    torch.testing.assert_close(c51(views()), (probabilities * torch.linspace(-2, 2, 11)).sum(2))
    qr, _ = pair(sizes("qr"))
    torch.testing.assert_close(qr(views()), qr.values(views()).mean(2))
    iqn, _ = pair(sizes("iqn"))
    middles = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).expand(BATCH, -1)
    torch.testing.assert_close(iqn(views()), iqn.values(views(), middles).mean(2))


def test_iqn_answers_for_each_quantile_alone():
    network, _ = pair(sizes("iqn"))
    taus = torch.tensor([[0.1, 0.9, 0.4]]).expand(BATCH, -1)
    values = network.values(views(), taus)
    alone = network.values(views(), taus[:, 1:2])
    torch.testing.assert_close(values[:, :, 1:2], alone)
    assert (values[:, :, 0] - values[:, :, 1]).abs().max() > 1e-4
    angles = torch.pi * torch.arange(64) * 0.4  # eq. 4 of the paper, by hand
    embedded = torch.relu(torch.cos(angles) @ network.embedding.weight.T + network.embedding.bias)
    features = network.encoder(views()) * embedded
    advantages = network.advantage(features)
    by_hand = network.value(features) + advantages - advantages.mean(1, keepdim=True)
    torch.testing.assert_close(values[:, :, 2], by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["c51", "qr", "iqn"])
def test_double_dqn_judges_with_the_targets_distribution_of_the_online_choice(kind):
    config = sizes(kind)
    online, target = pair(config)
    said, _ = learn(Objective(config, double=True), online, target)
    assert torch.equal(said[NEXT_EXPECTED].argmax(1), online(views(9)).argmax(1))
    single, _ = learn(Objective(config, double=False), online, target)
    torch.testing.assert_close(single[NEXT_EXPECTED], target(views(9)), atol=1e-5, rtol=1e-4)
    if kind != "iqn":
        torch.testing.assert_close(said[NEXT], target.values(views(9)))


def test_priorities_and_loss_of_c51_are_divergences_weighted_by_importance():
    config = sizes("c51")
    online, target = pair(config)
    said, learned = learn(Objective(config), online, target)
    rows = torch.arange(BATCH)
    following = torch.softmax(said[NEXT][rows, said[NEXT_EXPECTED].argmax(1)], 1)
    aims = project(online.support, RETURNS, DISCOUNTS, following)
    log_probabilities = torch.log_softmax(said[VALUES][rows, ACTIONS.long()], 1)
    divergences = (aims * (aims.clamp(min=1e-30).log() - log_probabilities)).sum(1)
    torch.testing.assert_close(learned.errors_B, divergences.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(learned.loss, (WEIGHTS * divergences).mean())
    assert (learned.errors_B >= 0).all()


@pytest.mark.parametrize("kind", ["qr", "iqn"])
def test_priorities_and_loss_of_quantiles_use_the_quantiles_that_were_asked_for(kind):
    config = sizes(kind)
    online, target = pair(config)
    said, learned = learn(Objective(config), online, target)
    taus = said[TAUS] if kind == "iqn" else ((torch.arange(6) + 0.5) / 6).expand(BATCH, -1)
    rows = torch.arange(BATCH)
    best = said[NEXT][rows, said[NEXT_EXPECTED].argmax(1)]
    aims = RETURNS[:, None] + DISCOUNTS[:, None] * best
    losses = quantile_huber(said[VALUES][rows, ACTIONS.long()], taus, aims)
    torch.testing.assert_close(learned.errors_B, losses.detach())
    torch.testing.assert_close(learned.loss, (WEIGHTS * losses).mean())


@pytest.mark.parametrize("kind", ["none", "qr", "iqn"])
def test_munchausen_learns_from_the_log_policy_of_the_target_network(kind):
    config = sizes(kind)
    online, target = pair(config)
    plain, _ = learn(Objective(config, double=False), online, target)
    objective = Objective(config, double=False, munchausen=Munchausen(0.9, 0.5, -1.0))
    said, learned = learn(objective, online, target)
    now, following = target(views()), target(views(9))
    bonus = 0.9 * (0.5 * torch.log_softmax(now / 0.5, 1)[torch.arange(BATCH), ACTIONS.long()]).clamp(-1, 0)
    log_policy = torch.log_softmax(following / 0.5, 1)
    soft = (log_policy.exp()[:, :, None] * (said[NEXT] - 0.5 * log_policy[:, :, None])).sum(1)
    aims = (RETURNS + bonus)[:, None] + DISCOUNTS[:, None] * soft
    torch.testing.assert_close(
        objective._targets(said, ACTIONS, RETURNS, DISCOUNTS), aims, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(said[NEXT], plain[NEXT])
    assert torch.isfinite(learned.loss)


def test_one_small_step_lowers_the_loss_of_every_kind():
    for kind, squared in itertools.product(KINDS, (False, True)):
        config = sizes(kind)
        online, target = pair(config)
        objective = Objective(config, squared=squared)
        _, before = learn(objective, online, target)
        before.loss.backward()
        with torch.no_grad():
            for parameter in online.parameters():
                parameter -= 1e-3 * parameter.grad / parameter.grad.norm().clamp(min=1e-8)
        _, after = learn(objective, online, target)
        assert after.loss < before.loss, kind


def test_noise_differs_at_every_pass_and_is_that_of_the_formula():
    torch.manual_seed(0)
    layer = NoisyLinear(3, 2, sigma=0.5)
    torch.testing.assert_close(layer.sigma_weight.detach(), torch.full((2, 3), 0.5 / 3**0.5))
    assert layer.weight.abs().max() <= 3**-0.5
    with torch.no_grad():
        layer.sigma_weight.mul_(torch.rand(2, 3) + 0.5)  # unequal, so that rows cannot pass for columns
        layer.sigma_bias.mul_(torch.rand(2) + 0.5)
    x = torch.randn(4, 3)
    assert not torch.equal(layer(x, noisy=True), layer(x, noisy=True))
    torch.manual_seed(5)
    noisy = layer(x, noisy=True)
    torch.manual_seed(5)
    e_in, e_out = (e.sign() * e.abs().sqrt() for e in (torch.randn(4, 3), torch.randn(4, 2)))
    for row in range(4):
        weight = layer.weight + layer.sigma_weight * torch.outer(e_out[row], e_in[row])
        bias = layer.bias + layer.sigma_bias * e_out[row]
        torch.testing.assert_close(noisy[row], weight @ x[row] + bias)


def test_noise_has_the_means_as_its_mean_and_is_gone_at_evaluation():
    torch.manual_seed(0)
    layer = NoisyLinear(3, 2, sigma=0.5)
    x = torch.randn(1, 3)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    many = layer(x.expand(40_000, 3), noisy=True)
    torch.testing.assert_close(many.mean(0), layer(x)[0], atol=0.02, rtol=0)
    assert (many.std(0) > 0.1).all()


def test_iqns_quantiles_share_the_noise_of_their_state():
    torch.manual_seed(0)
    layer = NoisyLinear(3, 2, sigma=0.5)
    x = torch.randn(2, 1, 3).expand(2, 5, 3)
    noisy = layer(x, noisy=True)
    torch.testing.assert_close(noisy, noisy[:, :1].expand(2, 5, 2))
    assert not torch.allclose(noisy[0] - layer(x)[0], noisy[1] - layer(x)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_learns_and_is_not_exported(kind):
    config = sizes(kind, sigma=0.5)
    online, target = pair(config)
    _, learned = learn(Objective(config), online, target)
    learned.loss.backward()
    sigmas = {name: p for name, p in online.named_parameters() if "sigma" in name}
    assert len(sigmas) == 8
    assert all(parameter.grad.abs().max() > 0 for parameter in sigmas.values())
    weights = half_precision(online.state_dict())
    policy = Policy(PolicyModel(playing(config), ("a", "b", "c"), 4, 0), weights)
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.copy_(parameter.half().float())
        torch.testing.assert_close(torch.from_numpy(policy.q_values(views().numpy())), online(views()))
        assert not torch.allclose(online(views(), noisy=True), online(views()))


@pytest.mark.parametrize(("kind", "atoms"), [("none", 1), ("c51", 51), ("qr", 32), ("iqn", 8)])
def test_networks_of_every_kind_fit_a_bundle_of_seven_megabytes(kind, atoms):
    weights = QNetwork(QNetworkConfig(9, distribution=kind, atoms=atoms)).state_dict()
    assert sum(tensor.numel() * 2 for tensor in weights.values()) < 7 * 2**20
