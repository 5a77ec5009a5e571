import pickle
from itertools import combinations

import ale_py
import pytest

from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.catalog import get_game, other_games
from rayatari.games.emulator import minimal_action_names, rom_path
from rayatari.games.listing import run
from rayatari.games.spec import BUTTONS, DEFAULT_KEYMAP
from rayatari.games.specs import SPECS

UNUSABLE = {"combat": "two players", "joust": "two players", "klax": "210 lines", "carnival": "210 lines"}


def test_the_seven_games_of_the_paper_have_specs() -> None:
    titles = [spec.title for spec in SPECS.values()]
    assert titles == ["Breakout", "Pong", "Enduro", "BeamRider", "Qbert", "Seaquest", "SpaceInvaders"]
    assert all(get_game(name) is spec and spec.name == name for name, spec in SPECS.items())


@pytest.mark.parametrize("name", SPECS)
def test_actions_are_the_minimal_set_of_the_emulator(name: str) -> None:
    assert SPECS[name].action_names == minimal_action_names(name)


@pytest.mark.parametrize("name", SPECS)
def test_palettes_are_ascending_legal_bytes_with_black(name: str) -> None:
    palette = SPECS[name].palette
    assert list(palette) == sorted(set(palette)) and palette[0] == 0
    assert all(byte % 2 == 0 for byte in palette)


def test_another_game_is_derived() -> None:
    spec = get_game("ms_pacman")
    assert (spec.name, spec.title, spec.flicker) == ("ms_pacman", "MsPacman", True)
    assert spec.action_names == minimal_action_names("ms_pacman")
    assert spec.palette == tuple(range(0, 256, 2))


def test_other_games_are_those_with_one_player_and_210_lines() -> None:
    from ale_py.roms import get_all_rom_ids

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    left_out = set(get_all_rom_ids()) - set(SPECS) - set(other_games())
    for name in left_out:
        ale = ale_py.ALEInterface()
        supported = ale.isSupportedROM(rom_path(name)) is not None
        if supported:
            ale.loadROM(rom_path(name))
        assert not supported or ale.getScreenDims() != (210, 160), name
    for name in ("alien", "freeway", "turmoil", "zaxxon"):
        ale = ale_py.ALEInterface()
        ale.loadROM(rom_path(name))
        assert name in other_games() and ale.getScreenDims() == (210, 160)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("breakot", "did you mean breakout"),
        ("SpaceInvaders", "did you mean space_invaders"),
        ("qqqq", "'rayatari games' lists the games"),
        ("", "'rayatari games' lists the games"),
        *UNUSABLE.items(),
    ],
)
def test_a_game_that_cannot_be_used_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        get_game(name)


def test_specs_travel_between_processes_and_serve_as_keys() -> None:
    for spec in [*SPECS.values(), get_game("freeway")]:
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert {spec: 1}[spec] == 1


@pytest.mark.parametrize(
    ("game", "keys", "action"),
    [
        ("breakout", [], "NOOP"),
        ("breakout", ["ArrowLeft"], "LEFT"),
        ("breakout", ["KeyD"], "RIGHT"),
        ("breakout", ["Space"], "FIRE"),
        ("breakout", ["ArrowLeft", "ArrowRight"], "NOOP"),
        ("breakout", ["ArrowLeft", "ArrowUp"], "LEFT"),
        ("breakout", ["ArrowLeft", "Space"], "FIRE"),
        ("breakout", ["ArrowUp", "Escape"], "NOOP"),
        ("pong", ["ArrowUp"], "RIGHT"),
        ("pong", ["KeyS", "Space"], "LEFTFIRE"),
        ("enduro", ["ArrowUp", "ArrowLeft"], "LEFTFIRE"),
        ("enduro", ["ArrowDown", "ArrowRight"], "DOWNRIGHT"),
        ("enduro", ["ArrowDown", "ArrowLeft", "Space"], "LEFTFIRE"),
        ("beam_rider", ["ArrowUp", "ArrowRight"], "UPRIGHT"),
        ("qbert", ["ArrowUp", "ArrowLeft"], "LEFT"),
        ("seaquest", ["KeyS", "KeyA", "Enter"], "DOWNLEFTFIRE"),
        ("space_invaders", ["ArrowRight", "Space"], "RIGHTFIRE"),
    ],
)
def test_held_keys_become_the_action_or_the_nearest_that_the_game_has(
    game: str, keys: list[str], action: str
) -> None:
    spec = SPECS[game]
    assert spec.action_names[spec.action_of_keys(keys)] == action


@pytest.mark.parametrize("name", SPECS)
def test_every_action_can_be_played_and_every_combination_has_one(name: str) -> None:
    spec = SPECS[name]
    assert set(spec.keymap) == set(DEFAULT_KEYMAP) and set(spec.keymap.values()) <= set(BUTTONS)
    combinations_of_buttons = [set(held) for n in range(6) for held in combinations(BUTTONS, n)]
    played = {spec.action_of_buttons(held) for held in combinations_of_buttons}
    assert played == set(range(len(spec.action_names)))


def test_the_listing_shows_every_game_and_marks_the_chosen_one(capsys: pytest.CaptureFixture[str]) -> None:
    run(Config(game="pong"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(SPECS)]] == list(SPECS)
    assert "pong *" in lines[2] and sum("*" in line for line in lines) == 1
    assert "rayatari/SpaceInvaders-v0" in lines[7] and "yes" in lines[7]
    assert lines[-1].startswith(f"{len(other_games())} other ALE games")
