"""What must hold between the agent's settings, checked before anything is started."""

import os
from typing import Any

from rayatari.agent.curiosity import explorers
from rayatari.agent.replay import FRAME_BYTES
from rayatari.agent.view_stack import STACK
from rayatari.config.agent import AgentConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError

_AT_LEAST_ONE = (
    "steps", "learning_starts", "batch_size", "n_step", "hidden", "target_update", "envs", "rollout",
    "sync_every", "report_every", "score_window", "checkpoint_every", "evaluation_every",
    "evaluation_episodes", "final_episodes", "policies", "groups", "block", "quantiles", "iqn_samples",
    "rnd_features",
)  # fmt: skip
_NOT_NEGATIVE = (
    "runners", "learners", "gpus_per_learner", "threads", "emulator_threads", "gif_steps", "adam_epsilon",
    "replay_alpha", "epsilon_steps", "temperature_start", "temperature_end", "temperature_steps",
    "minutes", "epsilon_ladder", "evaluation_steps", "living_penalty", "life_penalty", "rnd_alpha_steps",
    "teacher_weight", "teacher_margin",
)  # fmt: skip
_POSITIVE = ("train_every", "lr", "grad_clip", "noisy_sigma", "munchausen_temperature", "rnd_lr")
_SHARES = (
    "gamma", "replay_beta", "epsilon_start", "epsilon_end", "evaluation_epsilon", "lr_final", "rnd_share",
    "rnd_alpha_start", "rnd_alpha_end", "munchausen_alpha", "teacher_share", "averaging",
)  # fmt: skip
_SHARE_OF_MEMORY = 0.8


def check_settings(agent: AgentConfig) -> None:
    """Raise UserError when a setting is out of range or two contradict each other."""
    for name in _AT_LEAST_ONE:
        _require(getattr(agent, name) >= 1, f"agent.{name} must be at least 1")
    for name in _NOT_NEGATIVE:
        _require(getattr(agent, name) >= 0, f"agent.{name} must not be negative")
    for name in _POSITIVE:
        _require(getattr(agent, name) > 0, f"agent.{name} must be above 0")
    for name in _SHARES:
        _require(0 <= getattr(agent, name) <= 1, f"agent.{name} must lie between 0 and 1")
    _require(min(agent.channels) >= 1, "agent.channels must be at least 1 each")
    _check_learning(agent)
    _check_exploration(agent)
    _check_replay(agent)
    _check_local(agent)
    _require(
        agent.batch_size % max(agent.learners, 1) == 0,
        f"agent.batch_size={agent.batch_size} cannot be divided among agent.learners={agent.learners}",
    )


def check_resources(agent: AgentConfig, cpus: float, gpus: float) -> None:
    """Raise UserError when the cluster cannot hold the remote runners and learners."""
    wanted = agent.runners + agent.learners
    _require(
        wanted <= cpus,
        f"agent.runners + agent.learners = {wanted} need as many CPUs, the Ray cluster has {cpus:.0f}: "
        "ask for fewer, or raise ray.num_cpus",
    )
    wanted_gpus = agent.gpus_per_learner * max(agent.learners, 1)
    _require(
        wanted_gpus <= gpus,
        f"agent.gpus_per_learner={agent.gpus_per_learner:g} needs {wanted_gpus:g} GPUs, "
        f"the Ray cluster has {gpus:.0f}: lower it",
    )


def resume_settings(config: Config) -> dict[str, Any]:
    """The settings that a checkpoint depends on: they must be the same to go on from it."""
    agent = config.agent
    return {
        "game": config.game,
        "agent.backend": agent.backend,
        "emulator.frame_skip": config.emulator.frame_skip,
        "agent.channels": list(agent.channels),
        "agent.hidden": agent.hidden,
        "agent.dueling": agent.dueling,
        "agent.distribution": [agent.distribution, *_shape(agent)],
        "agent.noisy": agent.noisy,
        "agent.averaging": agent.averaging > 0,
        "agent.rnd": [agent.rnd, agent.rnd_features] if agent.rnd else [False],
        "agent.envs": agent.envs,
        "agent.runners": agent.runners,
        "agent.n_step": agent.n_step,
        "agent.replay_capacity": agent.replay_capacity,
    }


def _shape(agent: AgentConfig) -> list[float]:
    """The numbers that the outputs of ``agent.distribution`` depend on."""
    shapes: dict[str, list[float]] = {
        "none": [],
        "c51": [agent.atoms, agent.value_min, agent.value_max],
        "qr": [agent.quantiles],
        "iqn": [],
    }
    return shapes[agent.distribution]


def _check_learning(agent: AgentConfig) -> None:
    _require(agent.atoms >= 2, "agent.atoms must be at least 2")
    _require(
        agent.value_min < agent.value_max,
        f"agent.value_min={agent.value_min:g} must lie below agent.value_max={agent.value_max:g}",
    )
    _require(agent.munchausen_floor <= 0, "agent.munchausen_floor must not be above 0")
    _require(
        not (agent.munchausen and agent.double),
        "agent.munchausen averages over the actions, so that agent.double has none to choose: "
        "set agent.double=false",
    )
    _require(
        not (agent.munchausen and agent.distribution == "c51"),
        "agent.munchausen cannot shift C51's fixed atoms: set agent.distribution to none, qr or iqn",
    )
    _require(
        agent.error == "huber" or agent.distribution == "none",
        f"agent.error={agent.error} is for agent.distribution=none; {agent.distribution} has its own loss: "
        "leave agent.error out",
    )


def _check_exploration(agent: AgentConfig) -> None:
    _require(
        agent.exploration != "greedy" or agent.noisy or agent.rnd,
        "agent.exploration=greedy never explores by itself: set agent.noisy=true or agent.rnd=true",
    )
    _require(
        agent.epsilon_ladder == 0 or agent.exploration == "epsilon",
        f"agent.epsilon_ladder is for agent.exploration=epsilon, not {agent.exploration}: set it to 0",
    )
    _require(
        not (agent.rnd and agent.teacher),
        "agent.rnd and agent.teacher both give games to somebody else than the agent: set agent.rnd=false",
    )
    games = agent.envs * max(agent.runners, 1)
    _require(
        not agent.rnd or any(explorers(agent.rnd_share, 0, 1, games)),
        f"agent.rnd_share={agent.rnd_share:g} of {games} games is not one game: raise it or agent.envs",
    )


def _check_replay(agent: AgentConfig) -> None:
    _require(
        agent.batch_size <= agent.learning_starts <= agent.replay_capacity,
        f"agent.batch_size={agent.batch_size}, learning_starts={agent.learning_starts} and "
        f"replay_capacity={agent.replay_capacity} must not fall in this order",
    )
    _require(
        agent.learning_starts < agent.steps,
        f"agent.steps={agent.steps} end before agent.learning_starts={agent.learning_starts}: raise them",
    )
    lanes = agent.envs * max(agent.runners, 1)
    least = lanes * (agent.n_step + STACK + 1)
    _require(
        agent.learning_starts >= least,
        f"agent.learning_starts={agent.learning_starts} is too small for {lanes} games with "
        f"agent.n_step={agent.n_step}: make it at least {least}",
    )
    needed, memory = agent.replay_capacity * FRAME_BYTES, _memory()
    _require(
        needed <= memory * _SHARE_OF_MEMORY,
        f"agent.replay_capacity={agent.replay_capacity} takes {needed / 1e9:.1f} GB of memory, this machine "
        f"has {memory / 1e9:.1f} GB: make it smaller",
    )


def _check_local(agent: AgentConfig) -> None:
    if agent.backend == "ray":
        return
    _require(
        agent.runners == agent.learners == 0,
        "agent.backend=local works in one process: set agent.runners=0 and agent.learners=0, or backend=ray",
    )
    _require(
        agent.envs % agent.groups == 0,
        f"agent.envs={agent.envs} cannot be divided into agent.groups={agent.groups}",
    )


def _memory() -> int:
    """Physical memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UserError(otherwise)
