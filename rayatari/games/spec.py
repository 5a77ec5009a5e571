"""Game specs: what must be known of a game before it is started. No emulator is loaded here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import product

BUTTONS = ("up", "down", "left", "right", "fire")
"""What a joystick can do; an action is a combination of them, such as ``UPRIGHTFIRE``."""

DEFAULT_KEYMAP: Mapping[str, str] = {
    "ArrowUp": "up", "ArrowDown": "down", "ArrowLeft": "left", "ArrowRight": "right", "Space": "fire",
    "KeyW": "up", "KeyS": "down", "KeyA": "left", "KeyD": "right", "Enter": "fire",
}  # fmt: skip
"""Button of each key. Keys bear the names of the web's ``KeyboardEvent.code``, which mean places."""


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
    keymap: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_KEYMAP), hash=False)
    """Button of each key that the game uses (keys as in ``DEFAULT_KEYMAP``)."""

    def action_of_keys(self, held: Collection[str]) -> int:
        """Index of the action for the keys ``held`` down (``KeyboardEvent.code``); others are ignored."""
        return self.action_of_buttons({self.keymap[key] for key in held if key in self.keymap})

    def action_of_buttons(self, held: Collection[str]) -> int:
        """Index of the action for the buttons ``held`` (of ``BUTTONS``), 0 (no-op) where none fits.

        Opposite directions cancel. Where the game lacks the combination, the nearest action that it has
        is taken: the vertical direction is given up first, then both directions, fire last, because
        fire is a tap and a direction is held: pressing fire must serve the ball of Breakout also while
        the paddle is moving.
        """
        vertical = ("UP" if "up" in held else "") + ("DOWN" if "down" in held else "")
        horizontal = ("RIGHT" if "right" in held else "") + ("LEFT" if "left" in held else "")
        choices = product(
            ("FIRE", "") if "fire" in held else ("",),
            (horizontal, "") if horizontal in ("RIGHT", "LEFT") else ("",),
            (vertical, "") if vertical in ("UP", "DOWN") else ("",),
        )
        for fire, across, along in choices:
            if along + across + fire in self.action_names:
                return self.action_names.index(along + across + fire)
        return self.action_names.index("NOOP")
