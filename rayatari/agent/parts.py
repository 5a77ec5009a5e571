"""Network and exploration as the settings ask for them: the same for every backend."""

from rayatari.agent.exploration import Exploration
from rayatari.agent.network import QNetworkConfig
from rayatari.agent.schedule import Linear
from rayatari.config.agent import AgentConfig
from rayatari.games.spec import GameSpec


def network_config(agent: AgentConfig, spec: GameSpec) -> QNetworkConfig:
    """The network that ``agent`` asks for in the game ``spec``."""
    return QNetworkConfig(len(spec.action_names), agent.channels, agent.hidden, agent.dueling)


def exploration(agent: AgentConfig) -> Exploration:
    """The exploration that ``agent`` asks for."""
    if agent.exploration == "epsilon":
        schedule = Linear(agent.epsilon_start, agent.epsilon_end, agent.epsilon_steps)
    else:
        schedule = Linear(agent.temperature_start, agent.temperature_end, agent.temperature_steps)
    return Exploration(agent.exploration, schedule, agent.epsilon_ladder)
