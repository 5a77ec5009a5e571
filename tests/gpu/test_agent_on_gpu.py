"""The local backend on a GPU: updates run as a CUDA graph that learns what single updates learn."""

from dataclasses import replace

import pytest
import torch

from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.parts import exploration, network_config
from rayatari.config.agent import AgentConfig
from rayatari.config.schema import Config
from rayatari.games.catalog import get_game

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

SPEC = get_game("breakout")
AGENT = AgentConfig(
    backend="local", device="cuda", steps=10_000, learning_starts=1_000, train_every=16, batch_size=64,
    envs=16, groups=2, target_update=400, replay_capacity=8_000, report_every=1_500, epsilon_steps=1_000,
    threads=1, emulator_threads=2, life_loss_ends=True,
)  # fmt: skip


def algorithm(**settings: object) -> LocalDQN:
    agent = replace(AGENT, **settings)
    return LocalDQN(Config(agent=agent), SPEC, network_config(agent, SPEC), exploration(agent))


def test_updates_are_captured_and_change_the_network() -> None:
    dqn = algorithm()
    before = dqn.policy_weights()
    learned = dqn.iterate(0.0)
    assert dqn.updates > 10
    assert dqn.learner._replay_graph is not None
    assert all(torch.isfinite(torch.tensor(value)) for value in learned.values())
    assert learned["gradient_norm"] > 0
    after = dqn.policy_weights()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert int((dqn.replay.weights > 0).sum()) > 1_000


@pytest.mark.parametrize(
    "settings",
    [
        {"distribution": "c51"},
        {"distribution": "qr"},
        {"distribution": "iqn", "noisy": True, "exploration": "greedy"},
        {"munchausen": True, "double": False},
        {"rnd": True},
    ],
)
def test_updates_of_every_kind_are_captured(settings: dict[str, object]) -> None:
    dqn = algorithm(**settings)
    before = dqn.learner.state()
    learned = dqn.iterate(0.0)
    assert dqn.learner._replay_graph is not None
    assert all(torch.isfinite(torch.tensor(value)) for value in learned.values())
    after = dqn.learner.state()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    learners = {"network", "explorer"} if "rnd" in settings else {"network"}
    assert learners <= {name.split(".")[0] for name in changed}


def test_a_replayed_update_equals_a_single_one() -> None:
    """From the same state and random numbers, in fp32, both change the weights alike."""
    dqn = algorithm(precision="fp32")
    dqn.iterate(0.0)
    learner, replay = dqn.learner, dqn.replay
    assert learner._replay_graph is not None
    network = {name: value.clone() for name, value in learner.network.state_dict().items()}
    adam = {
        p: {k: v.clone() for k, v in s.items()} for p, s in learner.exploiter.trainer.optimizer.state.items()
    }
    weights = replay.weights.clone()
    results = []
    for update in (learner._replay_graph, learner._update):
        for name, value in learner.network.state_dict().items():
            value.copy_(network[name])
        for parameter, state in learner.exploiter.trainer.optimizer.state.items():
            for key, value in state.items():
                value.copy_(adam[parameter][key])
        replay.weights.copy_(weights)
        torch.cuda.manual_seed(5)
        update()
        torch.cuda.synchronize()
        results.append(
            ({n: v.clone() for n, v in learner.network.state_dict().items()}, replay.weights.clone())
        )
    (first, first_weights), (second, second_weights) = results
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(first_weights.double(), second_weights.double(), rtol=1e-2, atol=1e4)
    assert not torch.equal(first_weights, weights)
