"""From our configuration to a running RLlib algorithm."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rayatari.agent.curiosity import CuriosityConfig
from rayatari.agent.parts import exploration, network_config, novelty_share, objective, teacher_rule
from rayatari.agent.replay import ReplayConfig
from rayatari.agent.rewards import reward_rule
from rayatari.agent.rllib.algorithm import AtariDQN, AtariDQNConfig
from rayatari.agent.rllib.env_runner import AtariEnvRunner
from rayatari.agent.rllib.module import AtariDQNModule
from rayatari.agent.settings import check_resources
from rayatari.agent.view_stack import STACK
from rayatari.config.agent import AgentConfig
from rayatari.config.schema import Config
from rayatari.games.agent_view import VIEW_SIZE
from rayatari.games.spec import GameSpec
from rayatari.memory import keep_freed_memory
from rayatari.ray_session import ray_session


def build_algorithm(config: Config, spec: GameSpec) -> AtariDQN:
    """Build runners, learners and replay memory; Ray must be initialised."""
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    torch.set_num_threads(config.agent.threads or _threads(config.agent))
    keep_freed_memory()  # or each update gets its megabytes back as page faults, a third of its time
    algorithm = rllib_config(config, spec).build_algo()
    assert isinstance(algorithm, AtariDQN)
    return algorithm


@contextmanager
def rllib_backend(config: Config, spec: GameSpec) -> Iterator[AtariDQN]:
    """The algorithm in a Ray session; UserError when the cluster cannot hold it."""
    with ray_session(config.ray):
        resources = ray.cluster_resources()
        check_resources(config.agent, resources.get("CPU", 0), resources.get("GPU", 0))
        yield build_algorithm(config, spec)


def rllib_config(config: Config, spec: GameSpec) -> AtariDQNConfig:
    """RLlib's configuration of our agent, to be built here or handed to a Tuner."""
    agent = config.agent
    rllib: Any = AtariDQNConfig()
    rllib.environment(
        env=spec.name,
        env_config={
            "spec": spec,
            "emulator": config.emulator,
            "life_loss_ends": agent.life_loss_ends,
            "threads": agent.emulator_threads or int(_plays_ahead(agent)),
            "rewards": reward_rule(agent),
            "teacher": teacher_rule(agent),
        },
    )
    rllib.env_runners(
        env_runner_cls=AtariEnvRunner,
        num_env_runners=agent.runners,
        num_envs_per_env_runner=agent.envs,
        rollout_fragment_length=agent.rollout,
        batch_mode="truncate_episodes",
    )
    rllib.learners(num_learners=agent.learners, num_gpus_per_learner=agent.gpus_per_learner)
    rllib.rl_module(rl_module_spec=_module_spec(agent, spec))
    rllib.reporting(
        min_sample_timesteps_per_iteration=agent.report_every,
        metrics_num_episodes_for_smoothing=agent.score_window,
    )
    rllib.debugging(seed=config.seed, log_level="ERROR")
    _set_training(rllib, agent)
    assert isinstance(rllib, AtariDQNConfig)
    return rllib


def _plays_ahead(agent: AgentConfig) -> bool:
    """Whether the next rollout is played while the last one is learned from."""
    if agent.play_ahead != "auto":
        return agent.play_ahead == "always"
    elsewhere = bool(agent.runners or agent.learners or agent.gpus_per_learner)
    return elsewhere or ((os.cpu_count() or 1) > 1 and agent.train_every >= agent.batch_size / 2)


def _threads(agent: AgentConfig) -> int:
    """Torch threads of the driver: what players on this machine leave, but at least half of the cores."""
    cores, players = os.cpu_count() or 1, agent.runners or int(_plays_ahead(agent))
    return max(cores - players, cores // 2, 1)


def _set_training(rllib: Any, agent: AgentConfig) -> None:
    rllib.training(
        lr=agent.lr,
        gamma=agent.gamma,
        adam_epsilon=agent.adam_epsilon,
        grad_clip=agent.grad_clip,
        train_batch_size_per_learner=agent.batch_size // max(agent.learners, 1),
        target_network_update_freq=agent.target_update,
        num_steps_sampled_before_learning_starts=agent.learning_starts,
    )
    rllib.torch_skip_nan_gradients = True  # or all gradients are swept for infinities twice an update
    rllib.averaging = agent.averaging
    rllib.train_every = agent.train_every
    rllib.play_ahead = _plays_ahead(agent)
    rllib.block, rllib.sync_every = agent.block, agent.sync_every
    rllib.checkpoint_replay = agent.checkpoint_replay
    rllib.curiosity_lr, rllib.novelty_share = agent.rnd_lr, novelty_share(agent)
    rllib.total_steps, rllib.lr_final, rllib.beta = agent.steps, agent.lr_final, agent.replay_beta
    rllib.replay = ReplayConfig(
        lanes=agent.envs * max(agent.runners, 1),
        capacity=agent.replay_capacity,
        n_step=agent.n_step,
        gamma=agent.gamma,
        alpha=agent.replay_alpha,
        clip_rewards=False,  # the games have done it
    )


def _module_spec(agent: AgentConfig, spec: GameSpec) -> RLModuleSpec:
    network = network_config(agent, spec)
    games = agent.envs * max(agent.runners, 1)
    curiosity = CuriosityConfig(games, agent.channels, agent.rnd_features, agent.gamma)
    return RLModuleSpec(
        module_class=AtariDQNModule,
        observation_space=gymnasium.spaces.Box(0, 255, (STACK, VIEW_SIZE, VIEW_SIZE), np.uint8),
        action_space=gymnasium.spaces.Discrete(len(spec.action_names)),
        model_config={
            "network": network,
            "exploration": exploration(agent),
            "objective": objective(agent, network),
            "curiosity": curiosity if agent.rnd else None,
            "rnd_share": agent.rnd_share,
            "bf16": agent.precision == "bf16",
            "averaging": agent.averaging > 0,
        },
    )
