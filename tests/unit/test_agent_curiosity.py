"""Random network distillation: what is new is worth something, and two agents share one replay memory."""

from dataclasses import replace

import pytest
import torch

from rayatari.agent.curiosity import Curiosity, CuriosityConfig, explorers, mixed_returns, two_minds
from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.local.learner import Learner
from rayatari.agent.parts import exploration, network_config, novelty_share
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.games.catalog import get_game

SPEC = get_game("breakout")
TINY = AgentConfig(
    backend="local", device="cpu", steps=4_000, learning_starts=200, train_every=8, batch_size=8,
    channels=(4, 4, 4), hidden=8, envs=4, groups=2, target_update=100, replay_capacity=2_000,
    report_every=100, epsilon_steps=400, threads=1, emulator_threads=1, precision="fp32", rnd=True,
    rnd_features=16, rnd_alpha_start=0.5, rnd_alpha_steps=1_000,
)  # fmt: skip
CONFIG = Config(agent=TINY, emulator=EmulatorConfig(max_steps=100))


def curiosity(games=2, gamma=0.9):
    torch.manual_seed(0)
    return Curiosity(CuriosityConfig(games, (4, 8, 8), 16, gamma))


def frames(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 84, 84), dtype=torch.uint8, generator=generator)


def dqn(**settings):
    agent = replace(TINY, **settings)
    return LocalDQN(replace(CONFIG, agent=agent), SPEC, network_config(agent, SPEC), exploration(agent))


def test_novelty_falls_where_one_has_been_and_stays_where_not():
    curious = curiosity()
    known, unknown = frames(4, 1), frames(4, 2)
    curious.observe(known[:2])
    before_known = curious.novelty(known).mean()
    optimizer = torch.optim.Adam(curious.imitator.parameters(), lr=1e-3)
    falling = [before_known]
    for _ in range(3):
        for _ in range(30):
            optimizer.zero_grad()
            curious.errors(known).mean().backward()
            optimizer.step()
        falling.append(curious.novelty(known).mean())
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.2 * before_known
    assert curious.novelty(unknown).mean() > 2 * falling[-1]
    assert all(parameter.grad is None for parameter in curious.random.parameters())


def test_both_networks_start_orthogonal_and_without_bias():
    for network in (curiosity().random, curiosity().imitator):
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                weight = layer.weight.detach().flatten(1)
                rows = weight if weight.shape[0] <= weight.shape[1] else weight.T
                torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(len(rows)), atol=1e-4, rtol=0)
                assert not layer.bias.any()


def test_running_moments_are_those_of_all_frames_and_returns():
    curious = curiosity()
    shown = [frames(2, seed) // (1 + seed % 3) for seed in range(20)]
    returns, every = torch.zeros(2), []
    for pair in shown:
        curious.observe(pair)
        returns = 0.9 * returns + curious.errors(pair).detach()
        every.append(returns)
    pixels = torch.cat(shown).float()
    torch.testing.assert_close(curious.pixel_mean, pixels.mean(0), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(curious.pixel_variance, pixels.var(0, unbiased=False), atol=1, rtol=1e-3)
    torch.testing.assert_close(curious.returns_G, returns)
    variance = torch.cat(every).var(unbiased=False)
    torch.testing.assert_close(curious.return_variance, variance, atol=1e-5, rtol=1e-3)
    error = curious.errors(shown[0]).detach()
    torch.testing.assert_close(curious.novelty(shown[0]), error / variance.sqrt(), rtol=1e-3, atol=1e-5)


def test_pixels_are_normalised_and_clipped_to_five():
    curious = curiosity()
    still = torch.full((2, 84, 84), 100, dtype=torch.uint8)
    curious.observe(still)
    curious.observe(still)
    seen = []
    curious.random.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    flash = still.clone()
    flash[:, :10] = 255
    curious.errors(flash)
    assert seen[0].min() == 0 and seen[0].max() == 5


def test_the_explorer_learns_from_a_mixture():
    mixed = mixed_returns(torch.tensor([1.0, 0.0]), torch.tensor([0.2, 3.0]), 0.25)
    torch.testing.assert_close(mixed, torch.tensor([0.75 + 0.05, 0.75]))
    share = novelty_share(TINY)
    assert [share.at(step) for step in (0, 500, 1_000, 9_000)] == pytest.approx([0.5, 0.25, 0.0, 0.0])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_explorer_plays_its_share_of_the_games_spread_over_all(share):
    playing = explorers(share, 0, 1, 32)
    assert sum(playing) == 32 * share
    for start in range(0, 32, 4):
        assert sum(playing[start : start + 4]) == 4 * share
    in_groups = [explorers(share, group, 2, 16) for group in range(2)]
    assert [in_groups[i % 2][i // 2] for i in range(32)] == playing


def test_each_game_is_played_by_its_own_agent():
    views = frames(5, 0)[:, None].expand(-1, 4, -1, -1)
    calls = []

    def mind(value):
        def act(given):
            calls.append(len(given))
            return torch.full((len(given), 3), value)

        return act

    explores = torch.tensor([False, True, True, False, True])
    values = two_minds(mind(1.0), mind(2.0), views, explores)
    assert values[:, 0].tolist() == [1, 2, 2, 1, 2]
    assert calls == [2, 3]


def test_two_agents_learn_from_one_replay_and_only_one_from_novelty():
    both = dqn()
    exported = {name: value.clone() for name, value in both.policy_weights().items()}
    statistics = both.iterate(0.0)
    while not statistics:
        statistics = both.iterate(0.0)
    assert statistics["novelty"] > 0
    learner = both.learner
    batch = learner.replay.gather(learner.replay.draw(8))
    weights, alpha = torch.ones(8), torch.tensor(0.5)
    novelty = learner.curiosity.novelty(batch.next_views[:, -1])
    torch.manual_seed(0)
    with_novelty = learner._loss(
        learner.explorer, batch, mixed_returns(batch.returns, novelty, alpha), weights
    )
    without = learner._loss(learner.explorer, batch, batch.returns, weights)
    assert not torch.allclose(with_novelty.errors_B, without.errors_B)
    assert not torch.equal(learner.network.encoder[0].weight, learner.explorer.network.encoder[0].weight)
    after = both.policy_weights()
    assert after.keys() == exported.keys()  # that of one agent, the exploiting one
    torch.testing.assert_close(after["advantage.2.bias"], learner.network.advantage[2].bias.detach().half())
    assert not torch.equal(after["advantage.2.bias"], exported["advantage.2.bias"])


def test_the_exploiting_agent_learns_the_same_whatever_novelty_weighs():
    player = dqn(learning_starts=1_000)
    player.iterate(0.0)
    weights, results = player.replay.weights.clone(), []
    for alpha in (0.0, 1.0):
        torch.manual_seed(3)
        learner = Learner(player.learner.objective, player.agent, player.replay)
        learner.alpha.fill_(alpha)
        player.replay.weights.copy_(weights)
        learner._update()
        results.append([learner.network.state_dict(), learner.explorer.network.state_dict()])
    (first, first_explorer), (second, second_explorer) = results
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first_explorer[name], second_explorer[name]) for name in first_explorer)


def test_a_checkpoint_holds_both_agents_and_what_they_know(tmp_path):
    agent = dqn()
    for _ in range(4):
        agent.iterate(0.1)
    agent.save_to_path(tmp_path / "state")
    again = dqn()
    again.restore_from_path(tmp_path / "state")
    before, after = agent.learner.state(), again.learner.state()
    assert before.keys() == after.keys()
    assert {name.split(".")[0] for name in before} == {
        "network", "target", "adam", "explorer", "curiosity", "imitation",
    }  # fmt: skip
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    again.iterate(0.2)
    assert again.learner.alpha.item() == pytest.approx(novelty_share(TINY).at(agent.env_steps), abs=1e-6)
