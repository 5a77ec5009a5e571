"""Measure what rayatari/games/specs.py holds of each game: its colours, and whether it flickers.

    python scripts/measure_games.py [GAME ...] [--frames 300000]

Colours: the union over long play at random with sticky actions, each action held for a while. Lives are
given back (in Enduro the cars to pass are taken away, and the gas is held) so that later levels, snow,
night and fog come. Flicker: the share of frames with a sprite that the next frame does not show at that
place and the frame after it shows again. Only a game that flickers by design comes over a few per cent.
"""

import argparse
from collections.abc import Iterator

import ale_py
import numpy as np
from numpy.typing import NDArray

from rayatari.games.emulator import rom_path
from rayatari.games.interface import Frame
from rayatari.games.specs import SPECS

HOLDS = (4.0, 12.0, 40.0)
"""Mean emulator frames for which an action is held, one long episode each."""
PINNED_RAM = {
    "breakout": {57: 5}, "beam_rider": {5: 3}, "qbert": {8: 3}, "seaquest": {59: 3},
    "space_invaders": {73: 3}, "enduro": {43: 1, 44: 0},
}  # fmt: skip
"""RAM that is set again and again: the lives, or the cars still to pass."""
LONGEST_EPISODE = 60_000
"""Frames after which an episode ends: from frame 65,536 Breakout cycles its colours to save the screen."""
WINDOW, EVERY = 32, 512
"""Frames of one flicker measurement, and frames from one measurement to the next."""
REACH, LEAST_PIXELS = 4, 4
"""Pixels that a sprite may move between frames, and pixels from which it counts as one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="*", default=list(SPECS))
    parser.add_argument("--frames", type=int, default=300_000, help="emulator frames of each game")
    options = parser.parse_args()
    for game in options.games:
        colours: set[int] = set()
        vanishing: list[bool] = []
        for seed, hold in enumerate(HOLDS):
            window: list[Frame] = []
            for number, frame in enumerate(play(game, seed, hold, options.frames // len(HOLDS))):
                colours.update(np.flatnonzero(np.bincount(frame.ravel(), minlength=256)).tolist())
                if number % EVERY < WINDOW:
                    window.append(frame)
                elif window:
                    vanishing += vanishing_sprites(np.stack(window))
                    window = []
        unlisted = sorted(colours - set(SPECS[game].palette)) if game in SPECS else []
        print(f"{game}: flicker in {np.mean(vanishing):.1%} of {len(vanishing)} frames, ", end="")
        print(f"{len(colours)} colours {tuple(sorted(colours))}, not in the spec: {unlisted}", flush=True)


def play(game: str, seed: int, hold: float, frames: int) -> Iterator[Frame]:
    """Emulator frames of a player that draws a new action every ``hold`` frames on average."""
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", 0.25)
    ale.loadROM(rom_path(game))
    actions = ale.getMinimalActionSet()
    if game == "enduro":
        actions = [action for action in actions if "FIRE" in action.name]
    rng = np.random.default_rng(seed)
    action = actions[0]
    for number in range(frames):
        if rng.random() < 1 / hold:
            action = actions[rng.integers(len(actions))]
        if number % 64 == 0:
            for address, value in PINNED_RAM.get(game, {}).items():
                ale.setRAM(address, value)
        ale.act(action)
        if ale.game_over() or number % LONGEST_EPISODE == LONGEST_EPISODE - 1:
            ale.reset_game()
        yield np.array(ale.getScreen())


def vanishing_sprites(frames_THW: NDArray[np.uint8]) -> list[bool]:
    """For each of T - 2 frames: has it a sprite that is gone in the next frame and back in the one after?"""
    background_HW = np.median(frames_THW, axis=0).astype(np.uint8)
    sprites_THW = frames_THW != background_HW
    near_THW = np.stack([grow(sprites_HW) for sprites_HW in sprites_THW])
    lost_THW = sprites_THW[:-2] & ~near_THW[1:-1] & near_THW[2:]
    return (lost_THW.sum(axis=(1, 2)) >= LEAST_PIXELS).tolist()


def grow(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and all pixels up to ``REACH`` rows and columns around it."""
    for axis in (0, 1):
        mask_HW = np.any([np.roll(mask_HW, by, axis) for by in range(-REACH, REACH + 1)], axis=0)
    return mask_HW


if __name__ == "__main__":
    main()
