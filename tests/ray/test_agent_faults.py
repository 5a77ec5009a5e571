"""What is killed comes back: environment runners in a running training, the driver from its checkpoint."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import ray
import torch
from ray import tune
from ray.rllib.core import DEFAULT_MODULE_ID

from rayatari.agent.checkpoints import latest_checkpoint
from rayatari.agent.rllib.algorithm import AtariDQN
from rayatari.agent.rllib.build import build_algorithm, rllib_config
from rayatari.config.agent import AgentConfig
from rayatari.config.load import load_config
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.games.catalog import get_game
from rayatari.paths import stage_dir
from rayatari.records import read_jsonl

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SPEC = get_game("breakout")
TINY = AgentConfig(
    steps=100_000, learning_starts=200, train_every=8, batch_size=8, channels=(4, 4, 4), hidden=8, envs=4,
    rollout=2, target_update=100, replay_capacity=8000, report_every=100, epsilon_steps=400, threads=1,
    emulator_threads=1, precision="fp32",
)  # fmt: skip
CONFIG = Config(agent=TINY, emulator=EmulatorConfig(max_steps=100))


def runner_states(algorithm):
    """Process, environment steps and a bias of every remote runner."""
    return algorithm.env_runner_group.foreach_env_runner(
        lambda runner: (
            os.getpid(),
            runner.num_env_steps_sampled_lifetime,
            runner.module.network.state_dict()["advantage.2.bias"],
        ),
        local_env_runner=False,
    )


def learned_module(algorithm):
    [module] = algorithm.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID])
    return module.get()


def test_a_killed_runner_is_replaced_and_training_goes_on():
    config = replace(CONFIG, agent=replace(TINY, runners=2))
    algorithm = build_algorithm(config, SPEC)
    try:
        while algorithm.updates < 40:
            algorithm.train()
        (killed, _, _), (survivor, _, _) = runner_states(algorithm)
        heads, updates = algorithm.local_replay_buffer.heads.copy(), algorithm.updates
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 120
        while (algorithm.local_replay_buffer.heads[:4] < heads[:4] + 100).any():
            assert time.monotonic() < deadline, "the killed runner was not replaced"
            algorithm.train()
        states = runner_states(algorithm)
        assert len(states) == 2
        assert states[1][0] == survivor
        assert states[0][0] not in (killed, survivor)
        assert algorithm.updates > updates
        steps = [count for _, count, _ in states]
        assert min(steps) > 400, "the new runner explores as if training had just begun"
        assert max(steps) - min(steps) < 200
        algorithm._sync_weights()
        learned = learned_module(algorithm).network.state_dict()["advantage.2.bias"]
        for _, _, bias in runner_states(algorithm):
            torch.testing.assert_close(bias, learned)
    finally:
        algorithm.stop()


def test_training_waits_for_runners_when_all_of_them_are_killed():
    config = replace(CONFIG, agent=replace(TINY, runners=1))
    algorithm = build_algorithm(config, SPEC)
    try:
        while algorithm.updates < 5:
            algorithm.train()
        [(process, _, _)] = runner_states(algorithm)
        os.kill(process, signal.SIGKILL)
        steps, deadline = algorithm.env_steps, time.monotonic() + 120
        while algorithm.env_steps < steps + 200:
            assert time.monotonic() < deadline
            algorithm.train()
    finally:
        algorithm.stop()


def test_a_killed_driver_goes_on_from_its_checkpoint(tmp_path):
    words = [
        "train-agent", f"runs={tmp_path}", "agent.steps=3000", "agent.learning_starts=200",
        "agent.train_every=8", "agent.batch_size=8", "agent.channels=[4,4,4]", "agent.hidden=8",
        "agent.envs=4", "agent.rollout=2", "agent.replay_capacity=8000", "agent.report_every=100",
        "agent.checkpoint_every=400", "agent.evaluation_every=100000", "agent.evaluation_episodes=1",
        "agent.final_episodes=1", "agent.gif_steps=0", "agent.target_update=300", "agent.epsilon_steps=2500",
        "agent.threads=1", "agent.emulator_threads=1", "agent.precision=fp32", "emulator.max_steps=60",
    ]  # fmt: skip
    command = [sys.executable, "-m", "rayatari", *words]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    config = load_config(overrides=words[1:])
    folder = stage_dir(config, "agent")

    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while latest_step(folder) < 800:
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()[0].decode()
        time.sleep(0.05)
    first.kill()
    first.communicate()
    checkpoint = latest_checkpoint(folder / "checkpoints")
    before = [record for record in read_jsonl(folder / "metrics.jsonl") if record["step"] <= checkpoint.step]

    resumed = build_algorithm(config, SPEC)
    try:
        resumed.restore_from_path(checkpoint.path / "algorithm")
        assert resumed.env_steps == checkpoint.step
        assert resumed.updates == before[-1]["updates"]
        assert checkpoint.step <= len(resumed.local_replay_buffer) <= checkpoint.step * 1.1
        runner = resumed.env_runner
        assert runner.num_env_steps_sampled_lifetime == checkpoint.step
        epsilon = runner.module.exploration.schedule.at(checkpoint.step)
        assert epsilon == pytest.approx(before[-1]["epsilon"])
        module = learned_module(resumed)
        network, target = module.network.state_dict(), module.target.state_dict()
        assert any(not torch.equal(network[name], target[name]) for name in network)
    finally:
        resumed.stop()

    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"goes on at step {checkpoint.step:,}" in second.stdout
    records = [record for record in read_jsonl(folder / "metrics.jsonl") if "updates" in record]
    steps = [record["step"] for record in records]
    assert steps == sorted(set(steps)), "a step was counted twice"
    assert steps[-1] >= 3000
    assert records[-1]["updates"] == pytest.approx((steps[-1] - 200) / 8, abs=12)
    assert [record["updates"] for record in records] == sorted(record["updates"] for record in records)


def latest_step(folder):
    return max((int(path.name[5:]) for path in folder.glob("checkpoints/step-*")), default=0)


def test_the_target_network_and_its_schedule_survive_a_checkpoint(tmp_path):
    algorithm = build_algorithm(CONFIG, SPEC)
    try:
        while algorithm.updates < 40:
            algorithm.training_step()
        algorithm.save_to_path(tmp_path / "saved")
        saved = {name: value.clone() for name, value in learned_module(algorithm).target.state_dict().items()}
        [updated_at] = algorithm.learner_group.foreach_learner(
            lambda learner: dict(learner.last_update_ts_by_mid)
        )
        other = build_algorithm(CONFIG, SPEC)
        try:
            other.restore_from_path(tmp_path / "saved")
            [restored_at] = other.learner_group.foreach_learner(
                lambda learner: dict(learner.last_update_ts_by_mid)
            )
            assert restored_at.get() == updated_at.get()
            for name, value in learned_module(other).target.state_dict().items():
                torch.testing.assert_close(value, saved[name])
            np.testing.assert_array_equal(
                other.local_replay_buffer.heads, algorithm.local_replay_buffer.heads
            )
        finally:
            other.stop()
    finally:
        algorithm.stop()


def test_the_agent_trains_as_a_trial_of_tune(tmp_path):
    settings = replace(TINY, report_every=200)
    tuner = tune.Tuner(
        AtariDQN,
        param_space=rllib_config(replace(CONFIG, agent=settings), SPEC),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path),
            stop={"training_iteration": 2},
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
            verbose=0,
        ),
    )
    [result] = tuner.fit()
    assert result.error is None
    assert result.metrics["num_env_steps_sampled_lifetime"] >= 400
    restored = build_algorithm(replace(CONFIG, agent=settings), SPEC)
    try:
        restored.restore_from_path(result.checkpoint.path)
        assert restored.env_steps == result.metrics["num_env_steps_sampled_lifetime"]
        assert restored.updates > 0
        assert len(restored.local_replay_buffer) >= restored.env_steps
    finally:
        restored.stop()
