"""Quantiles, noise and novelty through RLlib: the mathematics of the local backend, and checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rayatari.agent.curiosity import explorers, mixed_returns
from rayatari.agent.network import playing
from rayatari.agent.parts import network_config, novelty_share
from rayatari.agent.policy import Policy, PolicyModel
from rayatari.agent.rllib.build import build_algorithm
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.games.catalog import get_game

pytestmark = pytest.mark.ray

SPEC = get_game("breakout")
CURIOUS = AgentConfig(
    steps=4_000, learning_starts=200, train_every=8, batch_size=8, channels=(4, 4, 4), hidden=8, envs=4,
    rollout=2, target_update=100, replay_capacity=2000, report_every=100, epsilon_steps=400, threads=1,
    emulator_threads=1, precision="fp32", distribution="qr", quantiles=6, rnd=True, rnd_features=16,
    rnd_alpha_steps=1_000, lr_final=0.5,
)  # fmt: skip
CONFIG = Config(agent=CURIOUS, emulator=EmulatorConfig(max_steps=100))


@pytest.fixture(scope="module")
def algorithm():
    algorithm = build_algorithm(CONFIG, SPEC)
    while algorithm.updates < 3:
        algorithm.training_step()
    yield algorithm
    algorithm.stop()


def learner_of(algorithm):
    [learner] = algorithm.learner_group.foreach_learner(lambda learner: learner)
    return learner.get()


def module_of(algorithm):
    return learner_of(algorithm).module[DEFAULT_MODULE_ID].unwrapped()


def test_both_agents_and_the_imitator_make_the_updates_that_the_formulas_say(algorithm):
    module, objective = module_of(algorithm), module_of(algorithm).objective
    batch = algorithm.local_replay_buffer.draw(8, 0.5, np.random.default_rng(0))
    views, next_views = torch.from_numpy(batch.views), torch.from_numpy(batch.next_views)
    actions, returns = torch.from_numpy(batch.actions), torch.from_numpy(batch.returns)
    discounts, weights = torch.from_numpy(batch.discounts), torch.from_numpy(batch.weights)
    novelty = module.curiosity.novelty(next_views[:, -1])
    alpha = novelty_share(CURIOUS).at(algorithm.env_steps)
    assert alpha > 0.3 and novelty.max() > 0

    parts = {
        "network": (module.network, module.target, returns),
        "explorer": (module.explorer, module.explorer_target, mixed_returns(returns, novelty, alpha)),
    }
    expected, errors = {}, {}
    for name, (network, target, aims) in parts.items():
        network.zero_grad()
        said = objective.look(network, target, views, next_views)
        learned = objective.loss(said, network.support, actions, aims, discounts, weights)
        learned.loss.backward()
        expected |= {f"{name}.{n}": p.grad.clone() for n, p in network.named_parameters()}
        errors[name] = learned.errors_B
    module.curiosity.imitator.zero_grad()
    module.curiosity.errors(next_views[:, -1]).mean().backward()
    imitator = dict(module.curiosity.imitator.named_parameters())
    expected |= {f"curiosity.imitator.{n}": p.grad.clone() for n, p in imitator.items()}

    priorities = algorithm.learn(batch)

    np.testing.assert_allclose(priorities, errors["network"].numpy(), atol=1e-5)
    parameters = dict(module.named_parameters())
    for name, gradient in expected.items():
        torch.testing.assert_close(parameters[name].grad, gradient, rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for n, p in parameters.items() if "target" in n or "random" in n)


def test_runners_get_both_agents_and_each_plays_its_games(algorithm):
    algorithm._sync_weights()
    learned, played = module_of(algorithm), algorithm.env_runner.module
    for part in ("network", "explorer"):
        for name, value in getattr(learned, part).state_dict().items():
            torch.testing.assert_close(getattr(played, part).state_dict()[name], value)
    assert not hasattr(played, "curiosity")
    views = torch.randint(0, 256, (4, 4, 84, 84), dtype=torch.uint8)
    with torch.no_grad():
        played.explorer.advantage[2].bias.add_(torch.tensor([0.0, 0, 0, 9]).repeat_interleave(6))
        played.network.advantage[2].bias.add_(torch.tensor([9.0, 0, 0, 0]).repeat_interleave(6))
    chosen = played.forward_exploration({Columns.OBS: views}, t=10**9, first_game=0, games=4)
    expected = [3 if explores else 0 for explores in explorers(0.5, 0, 1, 4)]
    assert chosen[Columns.ACTIONS].tolist() == expected
    assert played.forward_inference({Columns.OBS: views})[Columns.ACTIONS].tolist() == [0, 0, 0, 0]
    algorithm._sync_weights()


def test_the_statistics_of_novelty_have_seen_every_frame_once(algorithm):
    curiosity = module_of(algorithm).curiosity
    assert int(curiosity.pixel_count) == int(algorithm.local_replay_buffer.heads.sum())
    assert (curiosity.returns_G > 0).all()


def test_both_targets_follow_and_the_learning_rate_falls(algorithm):
    module, learner = module_of(algorithm), learner_of(algorithm)
    learner.last_update_ts_by_mid.clear()
    algorithm.learn(algorithm.local_replay_buffer.draw(8, 0.5, np.random.default_rng(0)))
    for network, target in module.get_target_network_pairs():
        for name, value in network.state_dict().items():
            torch.testing.assert_close(target.state_dict()[name], value)
    names = ("default_optimizer", "explorer", "imitator")
    lrs = [learner._get_optimizer_lr(_optimizer(learner, name)) for name in names]
    due = CURIOUS.lr * (1 - 0.5 * algorithm.env_steps / CURIOUS.steps)
    assert lrs == pytest.approx([due, due, CURIOUS.rnd_lr], rel=1e-6)

    algorithm._progress = 0.9  # of the time that training may take
    algorithm.learn(algorithm.local_replay_buffer.draw(8, 0.5, np.random.default_rng(0)))
    assert learner._get_optimizer_lr(_optimizer(learner, "explorer")) == pytest.approx(CURIOUS.lr * 0.55)
    assert not torch.are_deterministic_algorithms_enabled()
    algorithm._progress = 0.0


def test_a_checkpoint_holds_both_agents_and_what_they_know(algorithm, tmp_path):
    algorithm.save_to_path(tmp_path / "state")
    again = build_algorithm(CONFIG, SPEC)
    try:
        again.restore_from_path(tmp_path / "state")
        before, after = module_of(algorithm).state_dict(), module_of(again).state_dict()
        assert {"network", "target", "explorer", "explorer_target", "curiosity"} <= {
            n.split(".")[0] for n in before
        }
        for name, value in before.items():
            torch.testing.assert_close(after[name], value)
        moments = [
            [s["exp_avg"].abs().sum().item() for s in _optimizer(learner_of(a), "explorer").state.values()]
            for a in (algorithm, again)
        ]
        assert moments[0] == pytest.approx(moments[1]) and sum(moments[0]) > 0
        again.training_step()
    finally:
        again.stop()


def test_a_noisy_agent_explores_by_its_noise_and_is_exported_without():
    agent = replace(
        CURIOUS,
        rnd=False,
        noisy=True,
        exploration="greedy",
        distribution="iqn",
        munchausen=True,
        double=False,
    )
    algorithm = build_algorithm(replace(CONFIG, agent=agent), SPEC)
    try:
        while algorithm.updates < 3:
            algorithm.training_step()
        module = algorithm.env_runner.module
        views = torch.randint(0, 256, (1, 4, 84, 84), dtype=torch.uint8)
        with torch.no_grad():
            for parameter in module.network.parameters():
                parameter.copy_(parameter.half().float())
        drawn = {
            int(module.forward_exploration({Columns.OBS: views}, t=0)[Columns.ACTIONS]) for _ in range(200)
        }
        assert len(drawn) > 1
        model = PolicyModel(playing(network_config(agent, SPEC)), SPEC.action_names, frame_skip=4, step=0)
        policy = Policy(model, algorithm.policy_weights())
        best = policy.q_values(views.numpy()).argmax()
        assert int(module.forward_inference({Columns.OBS: views})[Columns.ACTIONS]) == best
    finally:
        algorithm.stop()


def _optimizer(learner, name):
    return learner.get_optimizer(DEFAULT_MODULE_ID, name)
