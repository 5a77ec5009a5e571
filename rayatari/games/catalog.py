"""Every game that can be used by name: the seven of ``specs``, and the others that ALE has."""

import difflib
from functools import lru_cache

from rayatari.errors import UserError
from rayatari.games.spec import GameSpec
from rayatari.games.specs import SPECS

_TWO_PLAYERS = ("combat", "joust", "maze_craze", "warlords")
_OTHER_SCREENS = (
    "adventure", "air_raid", "carnival", "journey_escape", "keystone_kapers", "king_kong", "klax",
    "laser_gates", "mr_do", "pacman", "pooyan", "sir_lancelot", "space_war",
)  # fmt: skip
"""Games that draw more than 210 lines, most of them for PAL television with its other colours."""


@lru_cache
def get_game(name: str) -> GameSpec:
    """Spec of the game ``name`` (ale_py's ROM id); UserError with near matches for an unknown one.

    The seven of ``SPECS`` are measured. Any other is derived: its actions are ALE's minimal set; its
    palette all 128 colours, because a sample of play could miss one, and a dataset knows the bytes that
    it holds; it is taken to flicker, because merging two frames loses nothing that can be seen, and not
    merging loses whole sprites.
    """
    if name in SPECS:
        return SPECS[name]
    if name in _TWO_PLAYERS:
        raise UserError(f"'{name}' needs two players: choose another of 'rayatari games'")
    if name in _OTHER_SCREENS:
        raise UserError(f"'{name}' does not draw 210 lines in NTSC: choose another of 'rayatari games'")
    if name not in other_games():
        near = difflib.get_close_matches(name.lower(), [*SPECS, *other_games()], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "'rayatari games' lists the games"
        raise UserError(f"unknown game '{name}': {hint}")
    return _derive(name)


@lru_cache
def other_games() -> tuple[str, ...]:
    """Names of the games that can be used beside the seven of ``SPECS``, in alphabetical order."""
    from ale_py import roms

    unusable = {*SPECS, *_TWO_PLAYERS, *_OTHER_SCREENS}
    return tuple(sorted(set(roms.get_all_rom_ids()) - unusable))


def _derive(name: str) -> GameSpec:
    from rayatari.games.emulator import minimal_action_names

    return GameSpec(
        name=name,
        title=name.title().replace("_", ""),
        action_names=minimal_action_names(name),
        palette=tuple(range(0, 256, 2)),
        flicker=True,
    )
