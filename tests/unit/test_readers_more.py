"""All readers against the console's memory on real play; Pong's and Enduro's on frames no console draws."""

import numpy as np
import pytest
import torch

from rayatari.config.runtime import EmulatorConfig
from rayatari.evaluate.reader_check import check_reader
from rayatari.games.emulator import Emulator
from rayatari.games.interface import Frame
from rayatari.games.memory import CHECKS
from rayatari.games.readers import EnduroReader, PongReader, get_reader
from rayatari.games.specs import SPECS

FRAMES, SHARE = 1500, 0.99
QUANTITIES = {"breakout": 7, "pong": 6, "enduro": 8}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("game", CHECKS)
def test_readers_agree_with_memory_on_real_play(game: str) -> None:
    found = check_reader(SPECS[game], FRAMES, every=7)
    assert found.frames == FRAMES and len(found.right) == QUANTITIES[game]
    assert {name: share for name, share in found.shares().items() if share < SHARE} == {}


@pytest.mark.parametrize("game", CHECKS)
def test_a_check_finds_readings_of_another_moment_wrong(game: str) -> None:
    emulator, reader = Emulator(SPECS[game], EmulatorConfig(frame_skip=1)), get_reader(game)
    assert reader is not None
    frame = emulator.reset(3)
    reading = reader.read(frame)
    rng = np.random.default_rng(0)
    for number in range(300):
        before = emulator.ram
        emulator.step(1 if number % 20 < 10 else int(rng.integers(len(SPECS[game].action_names))))
    wrong = [name for name, right in CHECKS[game](reading, emulator.ram, before).items() if not right]
    assert len(wrong) >= 2


def played(game: str, steps: int, action: int) -> Frame:
    emulator = Emulator(SPECS[game], EmulatorConfig())
    emulator.reset(1)
    for _ in range(steps):
        frame = emulator.step(action).frame
    return frame


@pytest.fixture
def rally() -> Frame:
    """Pong with the ball in play, away from both paddles."""
    frame = played("pong", 35, 0)
    reading = PongReader().read(frame)
    assert reading.ball and 30 < reading.ball[0] < 120 and reading.opponent and reading.legal
    return frame


def test_a_second_ball_of_pong_is_counted(rally: Frame) -> None:
    rally[100:104, 60:62] = 14
    reading = PongReader().read(rally)
    assert reading.ball_count == 2 and not reading.legal and reading.unexplained


def test_half_a_ball_of_pong_is_a_blob_but_no_ball(rally: Frame) -> None:
    x, y = (int(place) for place in PongReader().read(rally).ball or (0, 0))
    rally[y : y + 2, x : x + 2] = 0x22
    reading = PongReader().read(rally)
    assert (reading.ball, reading.ball_count, reading.legal) == (None, 1, False)


def test_a_vanished_ball_of_pong_is_none_and_legal(rally: Frame) -> None:
    x, y = (int(place) for place in PongReader().read(rally).ball or (0, 0))
    rally[y : y + 4, x : x + 2] = 0x22
    reading = PongReader().read(rally)
    assert (reading.ball, reading.ball_count, reading.legal) == (None, 0, True)


def test_a_torn_paddle_of_pong_is_two_pieces(rally: Frame) -> None:
    top = PongReader().read(rally).opponent
    assert top is not None
    rally[int(top) + 6 : int(top) + 8, 16:20] = 0x22
    reading = PongReader().read(rally)
    assert (reading.opponent, reading.opponent_count, reading.legal) == (None, 2, False)


def test_a_stray_pixel_in_pongs_field_is_unexplained(rally: Frame) -> None:
    rally[60, 80] = 0x38
    reading = PongReader().read(rally)
    assert reading.unexplained == 1 and not reading.legal


def test_a_broken_digit_of_pong_makes_no_score(rally: Frame) -> None:
    rally[1:21, 116:128] = 0xC8
    reading = PongReader().read(rally)
    assert reading.score is None and reading.opponent_score == 0


@pytest.fixture
def drive() -> Frame:
    """Enduro by day with a car ahead."""
    frame = played("enduro", 130, 1)
    reading = EnduroReader().read(frame)
    assert reading.legal and reading.cars and reading.phase == "day"
    return frame


def test_a_car_that_vanishes_is_not_seen(drive: Frame) -> None:
    before = EnduroReader().read(drive)
    drive[52:155][drive[52:155] == before.colours[0]] = 0xC0
    after = EnduroReader().read(drive)
    assert len(after.cars) < len(before.cars)


def test_a_smeared_own_car_is_none(drive: Frame) -> None:
    x, y = (int(place) for place in EnduroReader().read(drive).car or (0, 0))
    drive[y + 2 : y + 10, x : x + 9] = 0xC0
    assert EnduroReader().read(drive).car is None


def test_a_torn_digit_makes_no_odometer_and_no_count(drive: Frame) -> None:
    drive[168, 82] ^= 0x28
    drive[183, 97] ^= 0x28
    reading = EnduroReader().read(drive)
    assert (reading.odometer, reading.cars_left, reading.legal) == (None, None, False)


@pytest.mark.parametrize("game", CHECKS)
@pytest.mark.parametrize("seed", range(3))
def test_noise_and_plain_screens_are_read_and_are_not_legal(game: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reader = get_reader(game)
    assert reader is not None
    colours = np.array(SPECS[game].palette, np.uint8)
    for frame in (rng.choice(colours, (210, 160)), np.full((210, 160), colours[seed], np.uint8)):
        reading = reader.read(frame)
        assert not reading.legal
    assert not any(seen.places for seen in reading.seen.values())
