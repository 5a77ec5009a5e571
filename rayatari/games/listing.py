"""``rayatari games``: what can be played."""

from rayatari.config.schema import Config
from rayatari.games.catalog import other_games
from rayatari.games.registration import environment_id
from rayatari.games.specs import SPECS

_HEADINGS = ("game", "gymnasium id", "colours", "flicker", "actions")


def run(config: Config) -> None:
    """Print a table of the games with a spec of their own, and how many others go by name.

    The game that ``config`` chooses is marked with a star.
    """
    rows = [_HEADINGS]
    for spec in SPECS.values():
        mark = " *" if spec.name == config.game else ""
        flicker = "yes" if spec.flicker else "no"
        actions = f"{len(spec.action_names)}: {' '.join(spec.action_names)}"
        rows.append((spec.name + mark, environment_id(spec.title), str(len(spec.palette)), flicker, actions))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    others = other_games()
    print(
        f"\n{len(others)} other ALE games can be used by name, such as game={others[0]} or game={others[-1]}."
    )
