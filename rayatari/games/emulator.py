"""The real game: ALE behind the interface that all games share."""

import contextlib
import io
from pathlib import Path

import ale_py
import numpy as np
from numpy.typing import NDArray

from rayatari.config.runtime import EmulatorConfig
from rayatari.errors import UserError
from rayatari.games.interface import Frame, Step
from rayatari.games.palette import merge_brighter
from rayatari.games.spec import GameSpec

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


class Emulator:
    """One Atari game in ALE (Bellemare et al., 2013).

    A step plays its action for ``frame_skip`` emulator frames and shows the last one; in flickering
    games the last two, merged to the brighter colour. A reset plays up to ``noop_max`` no-ops, their
    number drawn from the seed; fire is never pressed on its own. The same seed and actions give the
    same frames, in a new Emulator as in a used one.
    """

    def __init__(self, spec: GameSpec, config: EmulatorConfig) -> None:
        """Raise UserError where a setting is out of range or the ROM of the game cannot be loaded."""
        check_settings(config)
        self.spec = spec
        self._config = config
        self._rom = rom_path(spec.name)
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", config.sticky)
        self._load(seed=0)
        self._actions = [getattr(ale_py.Action, name) for name in spec.action_names]
        self._powered_on = self._ale.cloneSystemState()
        self._first_screen = self._last = self._before_last = self._screen()
        self._steps = 0
        self._over = True

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in the order of ALE's minimal action set."""
        return self.spec.action_names

    @property
    def palette(self) -> tuple[int, ...]:
        """Palette bytes that the frames consist of, ascending."""
        return self.spec.palette

    @property
    def lives(self) -> int:
        """Lives left; 0 in games without lives."""
        return int(self._ale.lives())

    @property
    def ram(self) -> NDArray[np.uint8]:
        """The console's memory after the last emulator frame, uint8 (128,)."""
        return np.array(self._ale.getRAM(), np.uint8)

    def reset(self, seed: int) -> Frame:
        """Start the episode of ``seed`` (0 to 2**31 - 1) and return its first frame."""
        if not 0 <= seed < 2**31:
            raise UserError(f"seed {seed} is out of range: emulator seeds lie in 0 to {2**31 - 1}")
        self._power_on(seed)
        noops = np.random.default_rng(seed).integers(self._config.noop_max + 1)
        for _ in range(noops):
            self._advance(ale_py.Action.NOOP)
        self._steps = 0
        self._over = False
        return self._frame()

    def step(self, action: int) -> Step:
        """Play the action of that index for ``frame_skip`` frames, or until the game is over."""
        assert not self._over, "the episode is over, or none was started: reset() comes first"
        if not 0 <= action < len(self._actions):
            raise UserError(
                f"action {action} is out of range: {self.spec.name} has the actions 0 to "
                f"{len(self._actions) - 1} ({', '.join(self.action_names)})"
            )
        reward, terminated = 0.0, False
        for _ in range(self._config.frame_skip):
            reward += self._advance(self._actions[action])
            terminated = self._ale.game_over(with_truncation=False)
            if terminated:
                break
        self._steps += 1
        truncated = not terminated and self._steps >= self._config.max_steps
        self._over = terminated or truncated
        return Step(self._frame(), reward, terminated, truncated, self.lives)

    def _power_on(self, seed: int) -> None:
        """Bring the console to the state after switching it on.

        ALE draws sticky actions from a generator that only loading a ROM seeds (some 70 ms). Without
        them nothing in ALE is random, and a saved state does it in 0.1 ms; that state holds no screen.
        """
        if self._config.sticky:
            self._load(seed)
        else:
            self._ale.restoreSystemState(self._powered_on)
        self._last = self._before_last = self._first_screen

    def _load(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(self._rom)
        self._ale.reset_game()  # as all users of ALE do: Beam Rider is not the same before its first reset

    def _advance(self, action: ale_py.Action) -> float:
        """Play one emulator frame and return its points."""
        points = self._ale.act(action)
        self._before_last, self._last = self._last, self._screen()
        return float(points)

    def _screen(self) -> Frame:
        return np.array(self._ale.getScreen(), np.uint8)

    def _frame(self) -> Frame:
        return merge_brighter(self._before_last, self._last) if self.spec.flicker else self._last.copy()


def minimal_action_names(name: str) -> tuple[str, ...]:
    """ALE's minimal action set of the game ``name``, in its order."""
    ale = ale_py.ALEInterface()
    ale.loadROM(rom_path(name))
    return tuple(action.name for action in ale.getMinimalActionSet())


def rom_path(name: str) -> Path:
    """Path of the ROM that ale_py has under ``name``; UserError where it has none or cannot read it."""
    if name not in ale_py.roms.get_all_rom_ids():
        raise UserError(f"ale_py has no ROM named '{name}': 'rayatari games' lists the games")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ale_py announces ALE_ROMS_DIR there
            path = ale_py.roms.get_rom_path(name)
    except OSError as error:
        reason = " ".join(str(error).split())
        remedy = "reinstall ale-py, or set ALE_ROMS_DIR right"
        raise UserError(f"the ROM of {name} cannot be read ({reason}): {remedy}") from None
    assert path is not None
    return path


def check_settings(config: EmulatorConfig) -> None:
    """Raise UserError where a setting of the emulator is out of its range."""
    for name, least in (("frame_skip", 1), ("max_steps", 1), ("noop_max", 0)):
        if getattr(config, name) < least:
            raise UserError(f"emulator.{name}={getattr(config, name)} is wrong: at least {least} is needed")
    if not 0 <= config.sticky < 1:
        raise UserError(f"emulator.sticky={config.sticky} is wrong: a probability from 0 to below 1")
