"""Keyboard and gamepad: which keys of the game are held, and which commands are given."""

from enum import Enum, auto

import pygame

from rayatari.games.spec import GameSpec


class Command(Enum):
    """What a player can ask for beside playing."""

    PAUSE = auto()
    STEP = auto()
    RESET = auto()
    TAKEOVER = auto()
    WARMER = auto()
    COOLER = auto()
    FULLSCREEN = auto()
    HELP = auto()
    QUIT = auto()


_COMMAND_KEYS = {
    pygame.K_p: Command.PAUSE,
    pygame.K_PERIOD: Command.STEP,
    pygame.K_n: Command.STEP,
    pygame.K_r: Command.RESET,
    pygame.K_t: Command.TAKEOVER,
    pygame.K_PLUS: Command.WARMER,
    pygame.K_EQUALS: Command.WARMER,
    pygame.K_KP_PLUS: Command.WARMER,
    pygame.K_MINUS: Command.COOLER,
    pygame.K_KP_MINUS: Command.COOLER,
    pygame.K_f: Command.FULLSCREEN,
    pygame.K_F11: Command.FULLSCREEN,
    pygame.K_h: Command.HELP,
    pygame.K_F1: Command.HELP,
    pygame.K_ESCAPE: Command.QUIT,
}
_PAD_COMMANDS = {6: Command.RESET, 7: Command.PAUSE}
"""Back and start, as SDL numbers them on the usual pads; every lower button fires."""

HELP = (
    ("arrows, WASD", "move (stick or cross of a gamepad)"),
    ("space, enter", "fire (buttons of a gamepad)"),
    ("P", "pause, go on"),
    (". or N", "one step, then pause"),
    ("R", "new game"),
    ("T", "the agent plays, you play"),
    ("+ / -", "temperature of the neural game"),
    ("F", "full screen"),
    ("H", "this help"),
    ("Esc", "end"),
)
"""What the help shows: keys and what they do."""

_PLACES = {
    pygame.KSCAN_UP: "ArrowUp",
    pygame.KSCAN_DOWN: "ArrowDown",
    pygame.KSCAN_LEFT: "ArrowLeft",
    pygame.KSCAN_RIGHT: "ArrowRight",
    pygame.KSCAN_SPACE: "Space",
    pygame.KSCAN_RETURN: "Enter",
    **{getattr(pygame, f"KSCAN_{letter}"): f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
}
"""``KeyboardEvent.code`` of a scan code: both name the place on the keyboard, whatever is printed there."""
_STICK_THRESHOLD = 0.5
_OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


class Controls:
    """Follows events; a key that is tapped between two steps counts for the next one."""

    def __init__(self, spec: GameSpec) -> None:
        self._spec = spec
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self._pads: dict[int, pygame.joystick.JoystickType] = {}

    def handle(self, event: pygame.event.Event) -> Command | None:
        """Take in one event; the command that it gives, if any."""
        if event.type == pygame.QUIT:
            return Command.QUIT
        if event.type == pygame.KEYDOWN:
            return self._key_down(event)
        if event.type == pygame.KEYUP:
            self._release(_PLACES.get(event.scancode, ""))
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()
        elif event.type == pygame.JOYDEVICEADDED:
            pad = pygame.joystick.Joystick(event.device_index)
            self._pads[pad.get_instance_id()] = pad
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
            self._held = {key for key in self._held if not key.startswith("Pad")}
        elif event.type == pygame.JOYAXISMOTION and event.axis < 2:
            self._axis("PadStick", event.axis, event.value)
        elif event.type == pygame.JOYHATMOTION:
            self._axis("PadCross", 0, event.value[0])
            self._axis("PadCross", 1, -event.value[1])
        elif event.type == pygame.JOYBUTTONDOWN:
            if event.button in _PAD_COMMANDS:
                return _PAD_COMMANDS[event.button]
            self._press(f"PadButton{event.button}")
        elif event.type == pygame.JOYBUTTONUP:
            self._release(f"PadButton{event.button}")
        return None

    def action(self) -> int:
        """Index of the action for what is held, or was tapped since the last call."""
        keys = {_as_key(name) for name in self._held | self._tapped}
        self._tapped.clear()
        return self._spec.action_of_keys(keys)

    def _key_down(self, event: pygame.event.Event) -> Command | None:
        place = _PLACES.get(event.scancode, "")
        if place in self._spec.keymap:
            self._press(place)
            return None
        return _COMMAND_KEYS.get(event.key)

    def _press(self, name: str) -> None:
        opposite = _OPPOSITE.get(self._spec.keymap.get(_as_key(name), ""))
        self._tapped = {tap for tap in self._tapped if self._spec.keymap.get(_as_key(tap)) != opposite}
        self._held.add(name)
        self._tapped.add(name)

    def _release(self, name: str) -> None:
        self._held.discard(name)

    def _axis(self, pad: str, axis: int, value: float) -> None:
        low, high = (f"{pad}Left", f"{pad}Right") if axis == 0 else (f"{pad}Up", f"{pad}Down")
        for name, pressed in ((low, value < -_STICK_THRESHOLD), (high, value > _STICK_THRESHOLD)):
            if pressed and name not in self._held:
                self._press(name)
            elif not pressed:
                self._release(name)


def _as_key(name: str) -> str:
    """A gamepad's directions are the arrow keys, its buttons the space bar."""
    if name.startswith("PadButton"):
        return "Space"
    return name.replace("PadStick", "Arrow").replace("PadCross", "Arrow")
