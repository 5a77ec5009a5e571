"""The page on the codes: what happens in a trace, what is looked at, and what is shown of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from game_bundle import write_game

from rayatari.evaluate.codes import events_of, look_inside, perplexity
from rayatari.evaluate.codes_page import _mark, marked_film, render
from rayatari.evaluate.open_loop import play_open_loop
from rayatari.evaluate.traces import Start, Trace
from rayatari.games.picture import INK, indices
from rayatari.games.readers.breakout import BreakoutReader
from rayatari.models.neural_game import NeuralGame

STEPS = 12


def trace_of(balls: list[tuple[int, int] | None]) -> Trace:
    """A trace that shows a ball at these places, below the bricks."""
    frames = np.zeros((len(balls), 210, 160), np.uint8)
    for frame, ball in zip(frames, balls, strict=True):
        if ball:
            frame[ball[1] : ball[1] + 4, ball[0] : ball[0] + 2] = 70
    reader, steps = BreakoutReader(), len(balls) - 1
    return Trace(
        "someone", 1, frames, np.arange(steps) % 4, np.zeros(steps, np.float32),
        np.full(steps + 1, 5), False, tuple(reader.read(frame) for frame in frames),
    )  # fmt: skip


def test_events_are_found_where_they_happen() -> None:
    balls = [None, (50, 120), (54, 124), (58, 120), (54, 116), (50, 112), None]
    trace = trace_of(balls)
    trace = replace(trace, rewards=np.array([0, 0, 7, 0, 0, 0], np.float32))
    found = {name: np.flatnonzero(steps).tolist() for name, steps in events_of(trace).items()}
    assert found == {
        "points are scored": [2],
        "the ball appears": [0],
        "the ball turns up or down": [2],
        "the ball turns left or right": [3],
        "the ball vanishes": [5],
        "none of these": [1, 4],
    }
    lost = replace(trace, lives=np.array([5, 5, 5, 5, 4, 4, 4]), readings=None)
    assert np.flatnonzero(events_of(lost)["a life is lost"]).tolist() == [3]


def test_perplexity_is_the_effective_number_of_codes() -> None:
    assert perplexity(np.array([5, 5, 0, 5, 5])) == pytest.approx(4)
    assert perplexity(np.array([0, 9])) == pytest.approx(1)


def test_codes_are_counted_tried_and_shown(tmp_path: Path) -> None:
    game = NeuralGame.load(write_game(tmp_path), temperature=0.0)
    random = np.random.default_rng(0)
    frames = random.choice(np.array(game.palette, np.uint8), (STEPS + 1, 210, 160))
    readings = tuple(BreakoutReader().read(frame) for frame in frames)
    lives = np.array([5] * 7 + [4] * 6)
    trace = Trace("x", 1, frames, np.arange(STEPS) % 4, np.zeros(STEPS, np.float32), lives, False, readings)
    done: list[int] = []
    codes = look_inside(game, [trace], 6, 4, 16, game.model.world.grid, done.append)
    assert codes.used.sum() == codes.chosen.sum() == 6 * 35
    assert codes.resting == codes.used.argmax() and codes.resting not in codes.effects
    assert sum(known.frames.n for known in codes.by_action.values()) == 6
    assert codes.by_event["a life is lost"].frames.n >= 1
    true_TN, chosen_TN = codes.timeline
    assert true_TN.shape == chosen_TN.shape == (STEPS - 3, 35)
    expected = game.true_codes(frames[3:-1], frames[4:])
    np.testing.assert_array_equal(true_TN, expected)
    for effects in codes.effects.values():
        pixels = [effect.pixels for effect in effects]
        assert pixels == sorted(pixels, reverse=True)
    page = render("Breakout", codes, None)
    assert page.count("class=effect>") == len(codes.effects) and "a life is lost" in page


def test_the_film_marks_what_the_reader_sees(tmp_path: Path) -> None:
    game = NeuralGame.load(write_game(tmp_path), temperature=0.0)
    trace = trace_of([(50, 120 + 2 * step) for step in range(10)])
    real = np.where(trace.frames == 70, 134, trace.frames)  # a colour that the small game knows
    rollout = play_open_loop(game, [Start(replace(trace, frames=real), 4)], 4, BreakoutReader(), [0])[0]
    gif = marked_film(rollout, 60)
    assert gif.startswith(b"GIF8")
    picture = indices(trace.frames[5])
    assert trace.readings is not None
    _mark(picture, trace.readings[5])
    rows, columns = np.nonzero(picture == INK)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (127, 137, 47, 55)
