"""Game specs: what must be known of a game before it is started. No emulator is loaded here."""

import difflib
from dataclasses import dataclass

from rayatari.errors import UserError


@dataclass(frozen=True)
class GameSpec:
    """The constants of one game."""

    name: str
    """Name in configs, paths and commands, such as ``space_invaders`` (also ale_py's ROM id)."""
    title: str
    """Name in Gymnasium ids, such as ``SpaceInvaders`` for ``rayatari/SpaceInvaders-v0``."""
    action_names: tuple[str, ...]
    """ALE's minimal action set, in its order."""
    palette: tuple[int, ...]
    """Palette bytes that the game's screens use, ascending."""
    flicker: bool = False
    """Sprites are drawn on alternate frames, so the last two emulator frames are merged."""
