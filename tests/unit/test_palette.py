import ale_py
import numpy as np
import pytest

from rayatari.games import palette
from rayatari.games.emulator import rom_path
from rayatari.games.specs import SPECS

LEGAL = np.arange(0, 256, 2, dtype=np.uint8)


def colours_of(screen: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.bincount(screen.ravel(), minlength=256)).tolist())


@pytest.mark.parametrize("game", SPECS)
def test_colours_and_greys_are_those_of_the_emulator(game: str) -> None:
    ale = ale_py.ALEInterface()
    ale.loadROM(rom_path(game))
    actions = ale.getMinimalActionSet()
    colours_seen: set[int] = set()
    for number in range(600):
        ale.act(actions[number // 16 % len(actions)])
        if number % 15 == 0:
            screen = np.array(ale.getScreen())
            colours_seen |= colours_of(screen)
            assert np.array_equal(palette.to_rgb(screen), ale.getScreenRGB())
            assert np.array_equal(palette.to_grey(screen), ale.getScreenGrayscale())
    assert len(colours_seen) >= 5
    assert colours_seen <= set(SPECS[game].palette)


def test_the_whole_table_is_that_of_the_emulator() -> None:
    """Gravitar shows all 128 colours within seconds."""
    ale = ale_py.ALEInterface()
    ale.loadROM(rom_path("gravitar"))
    colours_seen: set[int] = set()
    for number in range(400):
        ale.act(ale_py.Action.FIRE if number % 20 < 10 else ale_py.Action.RIGHT)
        screen = np.array(ale.getScreen())
        if not colours_of(screen) <= colours_seen:
            colours_seen |= colours_of(screen)
            assert np.array_equal(palette.to_rgb(screen), ale.getScreenRGB())
            assert np.array_equal(palette.to_grey(screen), ale.getScreenGrayscale())
    assert colours_seen == set(LEGAL.tolist())


def test_rgb_comes_back_as_the_palette_bytes_it_was_made_of() -> None:
    colours = SPECS["enduro"].palette
    frames = np.random.default_rng(0).choice(np.array(colours, np.uint8), (2, 210, 160))
    np.testing.assert_array_equal(palette.from_rgb(palette.to_rgb(frames), colours), frames)


def test_every_colour_of_the_table_comes_back_exactly() -> None:
    np.testing.assert_array_equal(palette.from_rgb(palette.to_rgb(LEGAL), LEGAL.tolist()), LEGAL)


def test_foreign_colours_become_the_nearest_of_the_palette() -> None:
    rgb = np.array([[[2, 1, 0], [199, 75, 70], [255, 255, 255]]], np.uint8)
    assert palette.from_rgb(rgb, (0, 6, 70)).tolist() == [[0, 70, 6]]


@pytest.mark.parametrize("rgb", [np.zeros((210, 160), np.uint8), np.zeros((210, 160, 3), np.float32)])
def test_what_is_no_rgb_is_refused(rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(..., 3\)"):
        palette.from_rgb(rgb, (0, 6))


def test_merging_takes_the_brighter_pixel_whatever_the_order() -> None:
    a, b = np.meshgrid(LEGAL, LEGAL)
    merged = palette.merge_brighter(a, b)
    np.testing.assert_array_equal(merged, palette.merge_brighter(b, a))
    np.testing.assert_array_equal(palette.GREY[merged], np.maximum(palette.GREY[a], palette.GREY[b]))
    assert ((merged == a) | (merged == b)).all()


def test_equally_bright_colours_merge_to_the_higher_byte() -> None:
    equal = [(a, b) for a in LEGAL for b in LEGAL if a < b and palette.GREY[a] == palette.GREY[b]]
    assert equal
    for a, b in equal:
        assert palette.merge_brighter(np.array([a]), np.array([b])).tolist() == [b]


def test_tables_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        palette.RGB[0] = 1
