"""The local backend: its replay equals the one in the main memory, and it trains a bundle without Ray."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rayatari.agent import train
from rayatari.agent.checkpoints import latest_checkpoint
from rayatari.agent.exploration import Exploration
from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.local.device_replay import WEIGHT_ONE, DeviceReplay
from rayatari.agent.local.evaluation import evaluate_side_by_side
from rayatari.agent.parts import exploration, network_config
from rayatari.agent.policy import load_policy
from rayatari.agent.replay import Replay, ReplayConfig
from rayatari.agent.rollout import LAST, TERMINATED, TRUNCATED
from rayatari.agent.schedule import Linear
from rayatari.agent.vector_game import VectorGame
from rayatari.checkpoint import read_card
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.paths import stage_dir
from rayatari.records import read_jsonl
from rayatari.seeding import EVALUATION_SEED

SPEC = get_game("breakout")
CPU = torch.device("cpu")
TINY = AgentConfig(
    backend="local", device="cpu", steps=900, learning_starts=200, train_every=8, batch_size=8,
    channels=(4, 4, 4), hidden=8, envs=4, groups=2, target_update=100, replay_capacity=2000, report_every=100,
    checkpoint_every=200, evaluation_every=300, evaluation_episodes=2, evaluation_epsilon=1.0,
    evaluation_steps=60, final_episodes=2, policies=2, epsilon_steps=400, threads=1, emulator_threads=1,
    precision="fp32", gif_steps=30, life_loss_ends=True, lr_final=0.1,
)  # fmt: skip
CONFIG = Config(agent=TINY, emulator=EmulatorConfig(max_steps=100))


def random_rollout(steps, lanes, seed):
    """Play of Breakout with random actions: lives lost, games cut off, frames at which nothing was done."""
    game = VectorGame(SPEC, EmulatorConfig(max_steps=45), lanes, life_loss_ends=True, threads=1)
    game.reset(seed)
    rng = np.random.default_rng(seed)
    rollout = game.play(lambda views: rng.integers(4, size=lanes), steps)
    return replace(rollout, advice=rng.integers(16, size=(steps, lanes), dtype=np.int32))


def filled(config, groups, rollout):
    """The same rollout in the main memory and, group by group, on the device."""
    host, device = Replay(config), DeviceReplay(config, groups, CPU)
    host.add(rollout)
    names = ("ages", "actions", "rewards", "outcomes", "advice")
    columns = [torch.from_numpy(getattr(rollout, name)) for name in names]
    views = torch.from_numpy(rollout.views)
    for t in range(len(rollout.ages)):
        for group in range(groups):
            lanes = slice(group * device.group, (group + 1) * device.group)
            device.add(group, views[t, lanes], *(column[t, lanes] for column in columns))
    return host, device


@pytest.mark.parametrize("steps", [50, 400])
@pytest.mark.parametrize(("n_step", "clip"), [(1, True), (3, True), (5, False)])
def test_the_device_replay_holds_and_draws_what_the_replay_in_main_memory_does(steps, n_step, clip):
    config = ReplayConfig(4, 4 * 64, n_step, gamma=0.9, alpha=0.6, clip_rewards=clip)
    rollout = random_rollout(steps, 4, seed=n_step)
    assert {TERMINATED, TRUNCATED, LAST} <= set(np.unique(rollout.outcomes))
    host, device = filled(config, 2, rollout)
    drawable = np.flatnonzero(host.tree.leaves)
    np.testing.assert_array_equal(np.flatnonzero(device.weights.view(-1).numpy()), drawable)
    lanes, slots = np.divmod(drawable, config.ring)
    returns, ahead, terminated = host._look_ahead(lanes, slots)
    batch = device.gather(torch.from_numpy(drawable))
    np.testing.assert_array_equal(batch.views.numpy(), host._stacks(lanes, slots))
    np.testing.assert_array_equal(
        batch.next_views.numpy(), host._stacks(lanes, (slots + ahead) % config.ring)
    )
    np.testing.assert_array_equal(batch.actions.numpy(), host.actions[lanes, slots])
    np.testing.assert_array_equal(batch.advice.numpy(), host.advice[lanes, slots])
    np.testing.assert_allclose(batch.returns.numpy(), returns, atol=1e-6)
    np.testing.assert_allclose(batch.discounts.numpy(), np.where(terminated, 0, 0.9**ahead), rtol=1e-6)
    assert terminated.any() and not terminated.all()
    assert len(device) == len(host)


def test_priorities_on_the_device_are_those_of_the_main_memory_and_decide_what_is_drawn():
    config = ReplayConfig(2, 2 * 64, n_step=2, alpha=0.5)
    host, device = filled(config, 1, random_rollout(100, 2, seed=3))
    drawable = np.flatnonzero(host.tree.leaves)
    errors = np.linspace(0.0, 4.0, len(drawable)).astype(np.float32)
    host.update(drawable, errors)
    device.update(torch.from_numpy(drawable), torch.from_numpy(-errors))
    weights = device.weights.view(-1).numpy() / WEIGHT_ONE
    np.testing.assert_allclose(weights, host.tree.leaves, rtol=1e-4)
    assert float(device.max_priority) == pytest.approx(host.max_priority)

    torch.manual_seed(0)
    leaves = torch.cat([device.draw(64) for _ in range(600)]).numpy()
    shares = np.bincount(leaves, minlength=len(weights)) / len(leaves)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.003)
    assert set(leaves) <= set(drawable)
    some = torch.from_numpy(drawable[5:9])
    expected = (weights[drawable[5:9]] / weights[drawable[5:9]].min()) ** -0.4
    np.testing.assert_allclose(device.importance(some, torch.tensor(0.4)).numpy(), expected, rtol=1e-4)


def test_a_device_replay_survives_the_way_to_disk_and_what_ran_is_cut_off():
    config = ReplayConfig(4, 4 * 64, n_step=3)
    host, device = filled(config, 2, random_rollout(150, 4, seed=5))
    again = DeviceReplay(config, 2, CPU)
    again.from_host(device.to_host())
    for name in ("views", "ages", "actions", "rewards", "outcomes", "weights"):
        assert torch.equal(getattr(again, name), getattr(device, name)), name
    assert again.heads == device.heads

    fresh = random_rollout(1, 4, seed=6)
    host.add(fresh)  # sees from the ages that episodes were broken off
    again.cut_off()
    last = 149 % 64
    np.testing.assert_array_equal(again.outcomes[:, last].numpy(), host.outcomes[:, last])
    np.testing.assert_array_equal(again.outcomes[:, last - 1].numpy(), host.outcomes[:, last - 1])


def test_games_on_the_ladder_explore_less_the_higher_they_stand():
    explore = Exploration("epsilon", Linear(0.4, 0.4, 1), ladder=7.0)
    values = torch.zeros(4, 2)
    values[:, 1] = 1.0  # the best action is 1
    torch.manual_seed(0)
    random_shares = []
    for group in range(2):
        chosen = torch.stack([explore.choose(values, 0, group, 2) for _ in range(4000)])
        random_shares.append(2 * (chosen == 0).float().mean(0))
    shares = torch.stack(random_shares, 1).reshape(-1)  # game 0, 1, 2, ... of eight
    expected = 0.4 ** (1 + 7 * torch.arange(8) / 7)
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_the_stored_frames_are_those_that_the_emulators_showed():
    """One game in two groups of one, played by the algorithm itself, against its own chain of stacks."""
    config = replace(CONFIG, agent=replace(TINY, envs=2, learning_starts=800, n_step=1))
    algorithm = LocalDQN(config, SPEC, network_config(config.agent, SPEC), exploration(config.agent))
    algorithm.iterate(0.0)
    replay = algorithm.replay
    for lane in range(2):
        held, ages = replay.heads[lane], replay.ages[lane].long()
        outcomes = replay.outcomes[lane]
        for t in range(1, held):
            started = outcomes[t - 1] == LAST
            assert int(ages[t]) == (0 if started else int(ages[t - 1]) + 1)
        leaves = torch.arange(held - 1) + lane * replay.config.ring
        stacks = replay.gather(leaves).views
        assert torch.equal(stacks[:, -1], replay.views[lane, : held - 1])
    last = torch.tensor([replay.heads[0] - 1])
    following = algorithm._groups[0].stack[0]
    assert torch.equal(following[2], replay.gather(last).views[0, 3]) or bool(
        (replay.outcomes[0, last] == LAST).item()
    )


def test_the_average_of_the_networks_is_kept_exported_and_restored(tmp_path):
    agent = replace(TINY, averaging=0.5, learning_starts=850, lr=1e-2)
    config = replace(CONFIG, agent=agent)
    algorithm = LocalDQN(config, SPEC, network_config(agent, SPEC), exploration(agent))
    learner = algorithm.learner
    first = {name: value.clone() for name, value in learner.network.state_dict().items()}
    for _ in range(9):
        algorithm.iterate(0.0)
    while learner.updates < 8:
        learner.update()
    for name, value in learner.network.state_dict().items():
        now = first[name] + (1 - (8 / 18) ** 8) * (value - first[name])
        torch.testing.assert_close(learner.average.state_dict()[name], now)
        torch.testing.assert_close(algorithm.policy_weights()[name].float(), now, atol=1e-3, rtol=1e-3)
    for _ in range(8):
        learner.update()
    algorithm.save_to_path(tmp_path / "state")
    again = LocalDQN(config, SPEC, network_config(agent, SPEC), exploration(agent))
    again.restore_from_path(tmp_path / "state")
    for name, value in algorithm.policy_weights().items():
        assert torch.equal(again.policy_weights()[name], value)
    last = learner.network.state_dict()
    kept = algorithm.policy_weights()
    assert any(not torch.equal(last[name].half(), value) for name, value in kept.items())


def test_an_interrupted_local_training_goes_on_and_ends_in_a_bundle(tmp_path, monkeypatch, capsys):
    config = replace(CONFIG, runs=str(tmp_path))
    folder = stage_dir(config, "agent")
    iterate = train.AgentTraining._iterate

    def interrupted(training, bar):
        iterate(training, bar)
        if training.step >= 430:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.AgentTraining, "_iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(config)
    monkeypatch.setattr(train.AgentTraining, "_iterate", iterate)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    logged = list(read_jsonl(folder / "metrics.jsonl"))
    resumed = LocalDQN(config, SPEC, network_config(TINY, SPEC), exploration(TINY))
    resumed.restore_from_path(checkpoint.path / "algorithm")
    assert resumed.env_steps == checkpoint.step
    assert resumed.updates == logged[-1]["updates"] > 0
    assert len(resumed.replay) >= checkpoint.step
    resumed.iterate(0.5)
    assert resumed.learner.exploiter.trainer.lr.item() == pytest.approx(TINY.lr * 0.55)

    with pytest.raises(UserError, match=r"agent.backend was local, is ray"):
        train.run(replace(config, agent=replace(TINY, backend="ray", envs=4)))

    train.run(config)
    card = read_card(folder, "policy", "")
    assert card.metrics["episodes"] == 2
    assert card.metrics["protocol"]["max_steps"] == 60
    assert load_policy(folder).action_names == SPEC.action_names
    assert not (folder / "checkpoints").exists()
    assert len(list((folder / "policies").iterdir())) == 2
    assert (folder / "best_episode.gif").stat().st_size > 0
    records = list(read_jsonl(folder / "metrics.jsonl"))
    assert records[: len(logged)] == logged
    updates = [record["updates"] for record in records if "updates" in record]
    assert updates[-1] == pytest.approx((900 - 200) / 8, abs=8)
    assert all(record["loss"] > 0 for record in records if record.get("updates"))


def test_training_ends_at_the_time_limit_with_a_bundle(tmp_path):
    agent = replace(TINY, steps=10_000_000, minutes=0.02, evaluation_every=10_000_000)
    config = replace(CONFIG, runs=str(tmp_path), agent=agent)
    train.run(config)
    card = read_card(stage_dir(config, "agent"), "policy", "")
    assert 0 < card.metrics["step"] < 1_000_000


def test_training_begins_from_a_bundle_and_says_when_it_does_not_fit(tmp_path):
    first = replace(CONFIG, runs=str(tmp_path), name="first", agent=replace(TINY, steps=300))
    train.run(first)
    bundle = stage_dir(first, "agent")
    then = replace(first, name="then", agent=replace(first.agent, start_from=str(bundle), lr=1e-12))
    train.run(then)
    for name, value in load_policy(bundle).weights.items():
        torch.testing.assert_close(load_policy(stage_dir(then, "agent")).weights[name], value)
    one, both = (read_card(stage_dir(config, "agent"), "policy", "") for config in (first, then))
    assert both.inputs == {"start_from": str(bundle)}
    assert train.trained(both)["steps_before"] == one.model["step"] + both.model["step"]
    assert train.trained(both)["seconds_before"] == one.seconds + both.seconds
    for settings, named in (
        ({"hidden": 16}, "hidden is 8, not 16"),
        ({"start_from": str(tmp_path)}, "artifact not found"),
        ({"start_from": "shipped"}, "channels is"),
    ):
        wrong = replace(then, name="wrong", agent=replace(then.agent, **settings))
        with pytest.raises(UserError, match=named):
            train.run(wrong)
    with pytest.raises(UserError, match="no agent of freeway comes with the package"):
        train.run(replace(then, game="freeway", name="freeway", agent=replace(TINY, start_from="shipped")))
    with pytest.raises(UserError, match="plays another game than pong"):
        train.run(replace(then, game="pong", name="pong"))


def test_side_by_side_evaluation_scores_each_game_once():
    noop = np.array([[1.0, 0, 0, 0]], np.float32)  # never serves: no points until the limit
    limit = EmulatorConfig(max_steps=40)
    result = evaluate_side_by_side(
        lambda views: np.repeat(noop, len(views), 0), SPEC, limit,
        episodes=3, epsilon=0.0, first_seed=EVALUATION_SEED, threads=1,
    )  # fmt: skip
    assert result.scores == [0.0] * 3
    assert [len(episode.actions) for episode in result.episodes] == [40] * 3
    random = evaluate_side_by_side(
        lambda views: np.repeat(noop, len(views), 0), SPEC, EmulatorConfig(),
        episodes=6, epsilon=1.0, first_seed=EVALUATION_SEED, threads=1,
    )  # fmt: skip
    assert 0 < random.mean < 10
    assert all(50 < len(episode.actions) < 1000 for episode in random.episodes)


def test_a_gpu_that_is_not_there_is_asked_for_in_vain(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match=r"agent.device=auto"):
        train.run(replace(CONFIG, runs=str(tmp_path), agent=replace(TINY, device="cuda")))
