"""The seven games of the DQN paper (Mnih et al., 2013), measured by scripts/measure_games.py."""

from rayatari.games.spec import DEFAULT_KEYMAP, GameSpec


def _actions(names: str) -> tuple[str, ...]:
    return tuple(names.split())


def _palette(hexadecimal: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(hexadecimal))


SPECS = {
    spec.name: spec
    for spec in (
        GameSpec(
            name="breakout",
            title="Breakout",
            action_names=_actions("NOOP FIRE RIGHT LEFT"),
            # Without the colours of the screen saver, which begins at frame 65,536 of an episode.
            palette=_palette("00 06 16 26 36 46 86 b6 c6"),
        ),
        GameSpec(
            name="pong",
            title="Pong",
            action_names=_actions("NOOP FIRE RIGHT LEFT RIGHTFIRE LEFTFIRE"),
            palette=_palette("00 0e 22 38 8a c8 d2 e4 fa"),
            # RIGHT moves the bat up and LEFT down.
            keymap={
                **DEFAULT_KEYMAP,
                "ArrowUp": "right",
                "ArrowDown": "left",
                "KeyW": "right",
                "KeyS": "left",
            },
        ),
        GameSpec(
            name="enduro",
            title="Enduro",
            action_names=_actions("NOOP FIRE RIGHT LEFT DOWN DOWNRIGHT DOWNLEFT RIGHTFIRE LEFTFIRE"),
            palette=_palette(
                "00 02 04 06 08 0a 0c 0e 14 16 18 1a 24 26 28 32 34 36 42 44 46 52 56 62 72 82 84 86 96 "
                "a6 b6 c0 c6 c8 d0 d6 e0 e6 f6"
            ),
            # FIRE is the accelerator.
            keymap={**DEFAULT_KEYMAP, "ArrowUp": "fire", "KeyW": "fire"},
        ),
        GameSpec(
            name="beam_rider",
            title="BeamRider",
            action_names=_actions("NOOP FIRE UP RIGHT LEFT UPRIGHT UPLEFT RIGHTFIRE LEFTFIRE"),
            palette=_palette(
                "00 08 0e 14 16 18 1a 1c 1e 26 2a 30 32 34 36 3a 40 42 44 46 48 4a 4c 4e 50 56 60 62 64 "
                "66 68 6a 6c 6e 8c a4 d4 d8 da ea"
            ),
        ),
        GameSpec(
            name="qbert",
            title="Qbert",
            action_names=_actions("NOOP FIRE UP RIGHT LEFT DOWN"),
            # Nearly every colour: the discs cycle through the hues.
            palette=_palette(
                "00 02 04 06 08 0a 0c 0e 10 12 14 16 18 1a 1c 1e 20 22 24 26 28 2a 2c 2e 30 32 34 36 38 "
                "3a 3c 3e 40 42 44 46 48 4a 4c 4e 50 52 54 56 58 5a 5c 5e 60 62 64 66 68 6a 6c 6e 70 72 "
                "74 76 78 7a 7c 7e 80 82 84 86 88 8a 8c 8e 90 92 94 96 98 9a 9c 9e a0 a2 a4 a6 a8 aa ac "
                "ae b0 b2 b4 b6 b8 ba bc be c0 c2 c4 c6 c8 ca cc ce d0 d2 d4 d6 d8 da dc de e0 e2 e4 e6 "
                "e8 ea ec fe"
            ),
        ),
        GameSpec(
            name="seaquest",
            title="Seaquest",
            action_names=_actions(
                "NOOP FIRE UP RIGHT LEFT DOWN UPRIGHT UPLEFT DOWNRIGHT DOWNLEFT UPFIRE RIGHTFIRE "
                "LEFTFIRE DOWNFIRE UPRIGHTFIRE UPLEFTFIRE DOWNRIGHTFIRE DOWNLEFTFIRE"
            ),
            palette=_palette(
                "00 06 08 0c 0e 14 18 1a 24 32 34 36 44 54 58 64 74 82 84 86 90 92 94 96 98 9a 9c a0 b0 "
                "c0 c6 c8 e8"
            ),
        ),
        GameSpec(
            name="space_invaders",
            title="SpaceInvaders",
            action_names=_actions("NOOP FIRE RIGHT LEFT RIGHTFIRE LEFTFIRE"),
            palette=_palette("00 06 14 34 52 c4 e2 f6"),
            # Shots are drawn in every second frame: 60 % of the frames lack a sprite that both of their
            # neighbours show; in the other six games at most 1.2 % do.
            flicker=True,
        ),
    )
}
"""Spec of each game by name."""
