"""Network, objective and exploration as the settings ask for them: the same for every backend."""

from rayatari.agent.exploration import Exploration
from rayatari.agent.network import QNetworkConfig
from rayatari.agent.objective import Advice, Munchausen, Objective
from rayatari.agent.schedule import Linear
from rayatari.agent.teacher import TeacherRule
from rayatari.config.agent import AgentConfig
from rayatari.games.spec import GameSpec


def network_config(agent: AgentConfig, spec: GameSpec) -> QNetworkConfig:
    """The network that ``agent`` asks for in the game ``spec``."""
    atoms = {"none": 1, "c51": agent.atoms, "qr": agent.quantiles, "iqn": agent.iqn_samples}
    return QNetworkConfig(
        actions=len(spec.action_names),
        channels=agent.channels,
        hidden=agent.hidden,
        dueling=agent.dueling,
        distribution=agent.distribution,
        atoms=atoms[agent.distribution],
        value_min=agent.value_min,
        value_max=agent.value_max,
        sigma=agent.noisy_sigma if agent.noisy else 0.0,
    )


def objective(agent: AgentConfig, network: QNetworkConfig) -> Objective:
    """What an update of ``network`` minimises."""
    munchausen = Munchausen(agent.munchausen_alpha, agent.munchausen_temperature, agent.munchausen_floor)
    return Objective(
        network,
        agent.double,
        agent.error == "squared",
        munchausen if agent.munchausen else None,
        Advice(agent.teacher_weight, agent.teacher_margin) if agent.teacher else None,
    )


def exploration(agent: AgentConfig) -> Exploration:
    """The exploration that ``agent`` asks for."""
    schedules = {
        "epsilon": Linear(agent.epsilon_start, agent.epsilon_end, agent.epsilon_steps),
        "boltzmann": Linear(agent.temperature_start, agent.temperature_end, agent.temperature_steps),
        "greedy": Linear(0.0, 0.0, 0),
    }
    return Exploration(agent.exploration, schedules[agent.exploration], agent.epsilon_ladder)


def novelty_share(agent: AgentConfig) -> Linear:
    """Weight of novelty in the exploring agent's reward, by environment step."""
    return Linear(agent.rnd_alpha_start, agent.rnd_alpha_end, agent.rnd_alpha_steps)


def teacher_rule(agent: AgentConfig) -> TeacherRule | None:
    """The teacher that ``agent`` asks for, if one."""
    return TeacherRule(agent.teacher, agent.teacher_share) if agent.teacher else None
