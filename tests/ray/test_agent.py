"""The agent trained for real, in miniature: RLlib, ALE, checkpoints, and the bundle in the end."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rayatari.agent import train
from rayatari.agent.checkpoints import latest_checkpoint
from rayatari.agent.policy import Policy, PolicyModel, PolicyPlayer, load_policy
from rayatari.agent.rllib.build import build_algorithm, network_config
from rayatari.agent.rllib.learner import learning_timesteps
from rayatari.agent.rollout import LAST
from rayatari.checkpoint import read_card
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.agent_view import agent_view
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.paths import stage_dir
from rayatari.records import read_jsonl

pytestmark = pytest.mark.ray

SPEC = get_game("breakout")
TINY = AgentConfig(
    steps=600, learning_starts=200, train_every=8, batch_size=8, channels=(4, 4, 4), hidden=8, envs=4,
    rollout=2, target_update=100, replay_capacity=2000, report_every=100, checkpoint_every=200,
    evaluation_every=300, evaluation_episodes=1, evaluation_epsilon=1.0, final_episodes=1, policies=2,
    epsilon_steps=400, threads=1, emulator_threads=1, precision="fp32", gif_steps=30,
)  # fmt: skip
CONFIG = Config(agent=TINY, emulator=EmulatorConfig(max_steps=100))


@pytest.fixture(scope="module")
def algorithm():
    algorithm = build_algorithm(CONFIG, SPEC)
    yield algorithm
    algorithm.stop()


def network_of(algorithm):
    [learned] = algorithm.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID])
    return learned.get()


def test_the_learner_makes_the_update_that_the_formula_says(algorithm):
    while algorithm.updates == 0:
        algorithm.training_step()
    module = network_of(algorithm)
    with torch.no_grad():  # the target must not be the network, or Double DQN could not be seen
        for parameter in module.target.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    batch = algorithm.local_replay_buffer.draw(8, 0.5, np.random.default_rng(0))
    views, next_views = torch.from_numpy(batch.views), torch.from_numpy(batch.next_views)
    module.network.zero_grad()
    q = module.network(views)
    with torch.no_grad():
        choice = module.network(next_views).argmax(1)
        next_values = module.target(next_views)[torch.arange(8), choice]
    targets = torch.from_numpy(batch.returns) + torch.from_numpy(batch.discounts) * next_values
    predictions = q[torch.arange(8), torch.from_numpy(batch.actions).long()]
    losses = torch.nn.functional.huber_loss(predictions, targets, reduction="none")
    (torch.from_numpy(batch.weights) * losses).mean().backward()
    expected = {name: parameter.grad.clone() for name, parameter in module.network.named_parameters()}
    before = {name: parameter.detach().clone() for name, parameter in module.network.named_parameters()}

    errors = algorithm.learn(batch)

    np.testing.assert_allclose(errors, (predictions - targets).detach().numpy(), atol=1e-5)
    for name, parameter in module.network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-6)
        assert not torch.equal(parameter.detach(), before[name])


def test_the_exported_policy_plays_like_the_module(algorithm):
    module = network_of(algorithm)
    with torch.no_grad():  # as a bundle keeps them, so that what follows can be exact
        for parameter in module.network.parameters():
            parameter.copy_(parameter.half().float())
    model = PolicyModel(network_config(TINY, SPEC), SPEC.action_names, frame_skip=4, step=0)
    policy = Policy(model, algorithm.policy_weights())
    emulator, player = Emulator(SPEC, CONFIG.emulator), PolicyPlayer(policy)
    frame, stack = emulator.reset(5), np.zeros((1, 4, 84, 84), np.uint8)
    player.reset(5)
    for step in range(20):
        stack = np.roll(stack, -1, axis=1)
        stack[0, -1] = agent_view(frame)
        chosen = module.forward_inference({Columns.OBS: torch.from_numpy(stack)})[Columns.ACTIONS]
        values = module.compute_q_values({Columns.OBS: torch.from_numpy(stack)})["qf_preds"]
        np.testing.assert_array_equal(policy.q_values(stack), values.detach().numpy())
        assert player.act(frame) == int(chosen), step
        frame = emulator.step(step % 4).frame


def test_runners_play_on_with_the_learners_weights(algorithm):
    before = algorithm.updates
    while algorithm.updates < before + 8 or algorithm.updates % TINY.sync_every:
        algorithm.training_step()
    played = algorithm.env_runner.module.network.state_dict()
    for name, value in network_of(algorithm).network.state_dict().items():
        torch.testing.assert_close(played[name], value)


def test_learner_target_and_runners_begin_from_a_policy(algorithm):
    weights = {name: torch.randn_like(value) for name, value in algorithm.policy_weights().items()}
    algorithm.begin_from(weights)
    module = network_of(algorithm)
    for network in (module.network, module.target, algorithm.env_runner.module.network):
        for name, value in weights.items():
            torch.testing.assert_close(network.state_dict()[name], value.float())


def test_environment_steps_count_actions_and_nothing_else(algorithm):
    replay = algorithm.local_replay_buffer
    held = sum(int((replay.outcomes[lane, :n] != LAST).sum()) for lane, n in enumerate(replay.held()))
    assert algorithm.env_steps == held


@pytest.mark.parametrize("settings", [{"play_ahead": "never"}, {"play_ahead": "always"}, {"runners": 1}])
def test_the_same_seed_trains_the_same_network(settings):
    learned = []
    for _ in range(2):
        config = replace(CONFIG, agent=replace(TINY, train_every=2, **settings))
        algorithm = build_algorithm(config, SPEC)
        try:
            while algorithm.updates < 60:
                algorithm.training_step()
            learned.append(network_of(algorithm).network.state_dict())
        finally:
            algorithm.stop()
    for name, value in learned[0].items():
        assert torch.equal(value, learned[1][name]), name


def test_the_target_takes_the_weights_over_when_its_steps_are_due(algorithm):
    [found] = algorithm.learner_group.foreach_learner(lambda learner: learner)
    learner, module = found.get(), network_of(algorithm)
    last = learner.last_update_ts_by_mid[DEFAULT_MODULE_ID]
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.add_(0.1)

    def follows(steps):
        learner.after_gradient_based_update(timesteps=learning_timesteps(last + steps, 0.0))
        pairs = zip(module.network.parameters(), module.target.parameters(), strict=True)
        return all(torch.equal(ours, theirs) for ours, theirs in pairs)

    assert not follows(TINY.target_update - 1)
    assert follows(TINY.target_update)
    assert learner.last_update_ts_by_mid[DEFAULT_MODULE_ID] == last + TINY.target_update


def test_what_is_judged_ahead_is_what_the_target_says_when_it_is_learned():
    agent = replace(TINY, play_ahead="always", rollout=4, train_every=4, block=4)
    algorithm = build_algorithm(replace(CONFIG, agent=agent), SPEC)
    learn, counts = algorithm.learn, {"ahead": 0, "at once": 0}

    def compared(batch, judged=None):
        counts["ahead" if judged else "at once"] += len(batch.actions) // agent.batch_size
        module = network_of(algorithm)
        columns = {Columns.OBS: batch.views, Columns.NEXT_OBS: batch.next_views}
        views = {name: torch.from_numpy(values) for name, values in columns.items()}
        now = {**views, **module.judge(views)}
        for name, values in (judged or {}).items():
            torch.testing.assert_close(values, now[name])
        assert len(batch.actions) % agent.batch_size == 0
        return learn(batch, judged)

    algorithm.learn = compared
    try:
        while algorithm.updates < 200:
            algorithm.training_step()
    finally:
        algorithm.stop()
    # At once: the first where the target has just changed.
    assert counts["ahead"] > 5 * counts["at once"] > 50


def test_the_average_of_the_networks_is_kept_exported_and_restored(tmp_path):
    config = replace(CONFIG, agent=replace(TINY, averaging=0.5, train_every=4))
    algorithm = build_algorithm(config, SPEC)
    again = build_algorithm(config, SPEC)
    try:
        while algorithm.updates == 0:
            algorithm.training_step()
        for _ in range(20):
            made = algorithm.updates + 1
            before = {
                name: value.clone() for name, value in network_of(algorithm).average.state_dict().items()
            }
            algorithm.learn(algorithm.local_replay_buffer.draw(8, 0.5, np.random.default_rng(0)))
            for name, value in network_of(algorithm).network.state_dict().items():
                now = before[name] + (1 - min(0.5, made / (made + 10))) * (value - before[name])
                torch.testing.assert_close(network_of(algorithm).average.state_dict()[name], now)
        algorithm.save_to_path(tmp_path / "state")
        again.restore_from_path(tmp_path / "state")
        for name, value in algorithm.policy_weights().items():
            assert torch.equal(again.policy_weights()[name], value)
            assert torch.equal(value, network_of(algorithm).average.state_dict()[name].half())
        weights = {name: torch.randn_like(value) for name, value in again.policy_weights().items()}
        again.begin_from(weights)
        for name, value in again.policy_weights().items():
            assert torch.equal(value, weights[name])
    finally:
        algorithm.stop()
        again.stop()


def test_remote_runners_fill_their_own_lanes():
    config = replace(CONFIG, agent=replace(TINY, runners=2, steps=200))
    algorithm = build_algorithm(config, SPEC)
    try:
        while algorithm.updates < 5:
            algorithm.training_step()
        heads = algorithm.local_replay_buffer.heads
        assert len(heads) == 8
        assert (heads == heads[0]).all()
        first, second = (
            algorithm.local_replay_buffer.views[0, :40],
            algorithm.local_replay_buffer.views[4, :40],
        )
        assert (first != second).any()
        learned = network_of(algorithm).network.state_dict()["advantage.2.bias"]
        played = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.network.state_dict()["advantage.2.bias"], local_env_runner=False
        )
        algorithm._sync_weights()
        played = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.network.state_dict()["advantage.2.bias"], local_env_runner=False
        )
        for bias in played:
            torch.testing.assert_close(bias, learned)
    finally:
        algorithm.stop()


def test_an_interrupted_training_goes_on_and_ends_in_a_bundle(tmp_path, monkeypatch, capsys):
    config = replace(CONFIG, runs=str(tmp_path))
    folder = stage_dir(config, "agent")
    iterate = train.AgentTraining._iterate

    def interrupted(training, bar):
        iterate(training, bar)
        if training.step >= 330:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.AgentTraining, "_iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(config)
    monkeypatch.setattr(train.AgentTraining, "_iterate", iterate)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    assert 330 <= checkpoint.step < 600
    logged = list(read_jsonl(folder / "metrics.jsonl"))
    assert not (folder / "card.json").exists()

    resumed = build_algorithm(config, SPEC)
    resumed.restore_from_path(checkpoint.path / "algorithm")
    assert resumed.env_steps == checkpoint.step
    assert resumed.updates == logged[-1]["updates"]
    assert len(resumed.local_replay_buffer) >= checkpoint.step
    assert resumed.env_runner.num_env_steps_sampled_lifetime == checkpoint.step
    resumed.stop()

    with pytest.raises(UserError, match=r"agent.hidden was 8, is 16"):
        train.run(replace(config, agent=replace(TINY, hidden=16)))

    train.run(config)
    card = read_card(folder, "policy", "")
    assert card.metrics["episodes"] == 1
    assert card.metrics["protocol"]["epsilon"] == 1.0
    assert card.seconds > 0
    assert load_policy(folder).action_names == SPEC.action_names
    assert not (folder / "checkpoints").exists()
    kept = sorted(path.name for path in (folder / "policies").iterdir())
    assert len(kept) == 2
    assert all(load_policy(folder / "policies" / name).name == f"dqn-{name[5:]}" for name in kept)
    assert (folder / "best_episode.gif").stat().st_size > 0

    records = list(read_jsonl(folder / "metrics.jsonl"))
    steps = [record["step"] for record in records if "updates" in record]
    updates = [record["updates"] for record in records if "updates" in record]
    assert steps == sorted(set(steps))
    assert updates == sorted(updates)
    assert updates[-1] == pytest.approx((steps[-1] - 200) / 8, abs=5)
    assert records[: len(logged)] == logged
    assert any("evaluation/score_mean" in record for record in records)
    epsilons = [record["epsilon"] for record in records if "epsilon" in record]
    assert epsilons == sorted(epsilons, reverse=True)

    capsys.readouterr()
    train.run(config)
    assert "finished, see" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_named_before_anything_starts(tmp_path):
    config = replace(CONFIG, runs=str(tmp_path))
    checkpoints = stage_dir(config, "agent") / "checkpoints" / "step-10"
    checkpoints.mkdir(parents=True)
    (checkpoints / "checkpoint.json").write_text(
        json.dumps({"step": 10, "record": {}, "files": {"a": [1, 2]}})
    )
    with pytest.raises(UserError, match="damaged"):
        train.run(config)
    shutil.rmtree(checkpoints)
    with pytest.raises(UserError, match="unknown game"):
        train.run(replace(config, game="brakeout"))
