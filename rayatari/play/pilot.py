"""Players that take over from the person at the keys."""

from rayatari.agent.players import Player, locate_agent, make_player
from rayatari.checkpoint import is_finished
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.spec import GameSpec
from rayatari.paths import shipped_agent, stage_dir


def make_pilot(config: Config, spec: GameSpec) -> Player:
    """The player that ``play.pilot`` names; UserError when it does not exist."""
    name, folder = config.play.pilot, stage_dir(config, "agent")
    shipped = shipped_agent(spec.name)
    if name == "agent" and shipped and not is_finished(folder):
        return make_player(f"policy:{shipped}", spec)
    if name.partition(":")[0] == "agent" and not is_finished(folder):
        raise UserError(
            f"no trained agent in {folder}: run 'rayatari train-agent' first, name the run with name=NAME, "
            "or choose pilot=policy:PATH"
        )
    return make_player(locate_agent(name, folder), spec)
