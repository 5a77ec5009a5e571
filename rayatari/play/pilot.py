"""Players that take over from the person at the keys."""

from rayatari.agent.players import Player, agent_folder, locate_agent, make_player
from rayatari.config.schema import Config
from rayatari.games.spec import GameSpec


def make_pilot(config: Config, spec: GameSpec) -> Player:
    """The player that ``play.pilot`` names; UserError when it does not exist."""
    return make_player(locate_agent(config.play.pilot, agent_folder(config)), spec)
