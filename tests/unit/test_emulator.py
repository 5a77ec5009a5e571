from collections.abc import Iterator
from pathlib import Path

import ale_py
import numpy as np
import pytest

from rayatari.config.runtime import EmulatorConfig
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator, rom_path
from rayatari.games.interface import Game, Step
from rayatari.games.palette import GREY, merge_brighter
from rayatari.games.specs import SPECS

FIRE, RIGHT = 1, 2


def play(emulator: Emulator, seed: int, steps: int = 120) -> Iterator[Step]:
    """Steps of a fixed course of actions from the reset on; the first one holds the reset's frame."""
    yield Step(emulator.reset(seed), 0.0, False, False, emulator.lives)
    for number in range(steps):
        step = emulator.step(number // 5 % len(emulator.action_names))
        yield step
        if step.terminated:
            return


def frames_of(emulator: Emulator, seed: int, steps: int = 120) -> np.ndarray:
    return np.stack([step.frame for step in play(emulator, seed, steps)])


@pytest.mark.parametrize("sticky", [0.0, 0.25])
@pytest.mark.parametrize("game", ["breakout", "space_invaders", "beam_rider"])
def test_same_seed_and_actions_give_the_same_frames(game: str, sticky: float) -> None:
    used, fresh = (Emulator(SPECS[game], EmulatorConfig(sticky=sticky)) for _ in range(2))
    first = frames_of(used, seed=3)
    other_seed = frames_of(used, seed=4)
    assert first.shape != other_seed.shape or not np.array_equal(first, other_seed)
    np.testing.assert_array_equal(frames_of(used, seed=3), first)
    np.testing.assert_array_equal(frames_of(fresh, seed=3), first)


def test_sticky_actions_depend_on_the_seed_alone_once_noops_are_off() -> None:
    config = EmulatorConfig(sticky=0.25, noop_max=0)
    emulator = Emulator(SPECS["breakout"], config)
    assert not np.array_equal(frames_of(emulator, seed=1), frames_of(emulator, seed=2))
    steady = Emulator(SPECS["breakout"], EmulatorConfig(noop_max=0))
    np.testing.assert_array_equal(frames_of(steady, seed=1), frames_of(steady, seed=2))


def test_noops_differ_among_seeds_up_to_their_largest_number() -> None:
    """Enduro's clock runs from the start: equal RAM means equal numbers of no-ops."""
    emulator = Emulator(SPECS["enduro"], EmulatorConfig(noop_max=3))
    starts = set()
    for seed in range(40):
        emulator.reset(seed)
        starts.add(emulator.ram.tobytes())
    assert len(starts) == 4


def test_fire_is_never_pressed_on_its_own() -> None:
    emulator = Emulator(SPECS["breakout"], EmulatorConfig())
    emulator.reset(0)
    ball_y = 101
    for _ in range(60):
        emulator.step(0)
    assert emulator.ram[ball_y] == 0
    for _ in range(3):
        emulator.step(FIRE)
    assert emulator.ram[ball_y] > 0


@pytest.mark.parametrize("frame_skip", [1, 2, 4])
def test_a_step_is_frame_skip_emulator_frames(frame_skip: int) -> None:
    config = EmulatorConfig(frame_skip=frame_skip, noop_max=0)
    emulator, single = (
        Emulator(SPECS["breakout"], c) for c in (config, EmulatorConfig(frame_skip=1, noop_max=0))
    )
    emulator.reset(0), single.reset(0)
    for action in (FIRE, RIGHT, RIGHT, 0, 3):
        step = emulator.step(action)
        for _ in range(frame_skip):
            last = single.step(action)
        np.testing.assert_array_equal(step.frame, last.frame)


def test_flickering_games_show_the_last_two_frames_merged() -> None:
    emulator = Emulator(SPECS["space_invaders"], EmulatorConfig(noop_max=0))
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(rom_path("space_invaders"))
    emulator.reset(0)
    merging_mattered = False
    for _ in range(100):
        step = emulator.step(FIRE)
        screens = []
        for _ in range(4):
            ale.act(ale_py.Action.FIRE)
            screens.append(np.array(ale.getScreen()))
        np.testing.assert_array_equal(step.frame, merge_brighter(screens[2], screens[3]))
        merging_mattered |= bool((GREY[step.frame] > GREY[screens[3]]).any())
    assert merging_mattered


@pytest.mark.parametrize("game", SPECS)
def test_frames_are_legal_screens_of_the_game(game: str) -> None:
    emulator: Game = Emulator(SPECS[game], EmulatorConfig())
    for step in play(emulator, seed=0, steps=200):
        assert step.frame.shape == (210, 160) and step.frame.dtype == np.uint8
        assert set(np.unique(step.frame).tolist()) <= set(emulator.palette)


def test_a_frame_that_was_returned_is_not_written_again() -> None:
    emulator = Emulator(SPECS["breakout"], EmulatorConfig())
    frame = emulator.reset(0)
    kept = frame.copy()
    frames = [emulator.step(RIGHT).frame for _ in range(5)]
    np.testing.assert_array_equal(frame, kept)
    frames[-1][:] = 0
    assert emulator.step(0).frame.any()


def test_an_episode_ends_with_its_last_life_and_earns_what_the_screen_says() -> None:
    emulator = Emulator(SPECS["breakout"], EmulatorConfig())
    steps = list(play(emulator, seed=1, steps=2000))
    assert steps[-1].terminated and not steps[-1].truncated
    lives = [step.lives for step in steps]
    assert lives[0] == 5 and lives[-1] == 0 == emulator.lives and sorted(lives, reverse=True) == lives
    tens_and_ones = int(emulator.ram[77])
    assert sum(step.reward for step in steps) == (tens_and_ones >> 4) * 10 + (tens_and_ones & 15) > 0
    with pytest.raises(AssertionError, match="reset"):
        emulator.step(0)


def test_an_episode_is_truncated_at_its_step_limit() -> None:
    emulator = Emulator(SPECS["breakout"], EmulatorConfig(max_steps=7))
    emulator.reset(0)
    steps = [emulator.step(0) for _ in range(7)]
    assert [step.truncated for step in steps] == [False] * 6 + [True]
    assert not any(step.terminated for step in steps)
    with pytest.raises(AssertionError, match="reset"):
        emulator.step(0)


def test_other_games_play_by_name() -> None:
    spec = get_game("freeway")
    emulator = Emulator(spec, EmulatorConfig())
    frames = frames_of(emulator, seed=0, steps=20)
    assert spec.action_names == ("NOOP", "UP", "DOWN")
    assert set(np.unique(frames).tolist()) <= set(spec.palette)


@pytest.mark.parametrize("action", [-1, 4])
def test_an_action_out_of_range_is_refused(action: int) -> None:
    emulator = Emulator(SPECS["breakout"], EmulatorConfig())
    emulator.reset(0)
    with pytest.raises(UserError, match=r"breakout has the actions 0 to 3 \(NOOP, FIRE, RIGHT, LEFT\)"):
        emulator.step(action)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UserError, match="seed"):
        Emulator(SPECS["breakout"], EmulatorConfig()).reset(seed)


@pytest.mark.parametrize(
    "config",
    [
        EmulatorConfig(frame_skip=0),
        EmulatorConfig(sticky=1.0),
        EmulatorConfig(sticky=-0.1),
        EmulatorConfig(noop_max=-1),
        EmulatorConfig(max_steps=0),
    ],
)
def test_settings_out_of_range_are_refused(config: EmulatorConfig) -> None:
    with pytest.raises(UserError, match=r"emulator\.\w+="):
        Emulator(SPECS["breakout"], config)


def test_a_missing_rom_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"ROM of breakout cannot be read.*ALE_ROMS_DIR"):
        Emulator(SPECS["breakout"], EmulatorConfig())
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"ROM of breakout cannot be read.*ALE_ROMS_DIR"):
        Emulator(SPECS["breakout"], EmulatorConfig())


def test_a_damaged_rom_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "breakout.bin").write_bytes(b"not a cartridge")
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"ROM of breakout cannot be read.*hash"):
        Emulator(SPECS["breakout"], EmulatorConfig())


def test_playing_writes_nothing_to_the_console(capfd: pytest.CaptureFixture[str]) -> None:
    list(play(Emulator(SPECS["pong"], EmulatorConfig(sticky=0.25)), seed=0, steps=5))
    assert capfd.readouterr() == ("", "")
