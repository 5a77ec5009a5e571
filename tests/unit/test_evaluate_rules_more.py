"""Pong's and Enduro's rules, and what sanity is, on made-up readings: each holds and is broken."""

import numpy as np
import pytest

from rayatari.evaluate.play import Play
from rayatari.evaluate.rules import RULES, enduro, pong, rule_scores
from rayatari.evaluate.sanity import GRACE, PATIENCE, first_insanity
from rayatari.games.catalog import get_game
from rayatari.games.readers import BreakoutReading, EnduroReading, PongReading

PONG, ENDURO, BREAKOUT = (get_game(name).action_names for name in ("pong", "enduro", "breakout"))
NOOP, FIRE, RIGHT, LEFT = range(4)
BALL = (60.0, 100.0)


def pong_reading(ball=BALL, paddle=100.0, opponent=90.0, score=0, opponent_score=0, **more) -> PongReading:
    settings = {
        "ball_count": int(ball is not None), "paddle_count": 1, "opponent_count": 1, "unexplained": 0, **more
    }  # fmt: skip
    return PongReading(
        ball=ball, paddle=paddle, opponent=opponent, score=score, opponent_score=opponent_score, **settings
    )


def enduro_reading(
    car=(80.0, 140.0), cars=(), odometer=10.0, cars_left=200, day=1, phase="day"
) -> EnduroReading:
    return EnduroReading(car, cars, (0xB6,) * len(cars), odometer, cars_left, day, phase)


def breakout_reading(ball=BALL, bricks=None, score=0, lives=5, unexplained=0) -> BreakoutReading:
    wall = np.ones((6, 18), bool) if bricks is None else bricks
    return BreakoutReading(ball, int(ball is not None), 60.0, 16, wall, score, lives, unexplained)


def play(readings, actions=None, rewards=None) -> Play:
    steps = len(readings) - 1
    return Play("someone", list(actions or [NOOP] * steps), list(rewards or [0.0] * steps), list(readings))


def leaving(x, score=0, opponent_score=0, at=3) -> Play:
    """The ball is last seen at ``x`` and gone from frame 3 on; the scores change in frame ``at``."""
    seen = [pong_reading(ball=(x, 100.0) if t < 3 else None) for t in range(8)]
    shown = [
        pong_reading(ball=r.ball, score=score * (t >= at), opponent_score=opponent_score * (t >= at))
        for t, r in enumerate(seen)
    ]
    return play(shown)


@pytest.mark.parametrize(
    ("game", "held"),
    [
        (leaving(4.0, score=1), (1, 1)),
        (leaving(155.0, opponent_score=1), (1, 1)),
        (leaving(4.0, score=1, at=4), (1, 1)),
        (leaving(4.0, opponent_score=1), (0, 1)),
        (leaving(155.0, score=1), (0, 1)),
        (leaving(4.0), (0, 1)),
        (leaving(4.0, score=2), (0, 1)),
        (leaving(4.0, score=1, at=6), (0, 2)),
    ],
)
def test_a_point_goes_to_the_right_side_when_the_ball_leaves(game, held) -> None:
    assert pong.point_when_ball_leaves(game, PONG) == held


def test_a_ball_that_is_hidden_for_a_frame_has_not_left() -> None:
    readings = [pong_reading(), pong_reading(ball=None), pong_reading(), pong_reading()]
    assert pong.point_when_ball_leaves(play(readings), PONG) == (0, 0)


def test_an_unreadable_score_when_the_ball_leaves_breaks_the_rule() -> None:
    readings = [pong_reading(ball=(4.0, 90.0))] + [pong_reading(ball=None, score=None)] * 4
    assert pong.point_when_ball_leaves(play(readings), PONG) == (0, 1)


def test_pongs_rewards_are_held_against_both_scores() -> None:
    readings = [
        pong_reading(),
        pong_reading(),
        pong_reading(score=1),
        pong_reading(score=1, opponent_score=1),
    ]
    assert pong.reward_matches_screen(play(readings, rewards=[0, 1, -1]), PONG) == (2, 2)
    assert pong.reward_matches_screen(play(readings, rewards=[0, 1, 1]), PONG) == (1, 2)


@pytest.mark.parametrize(
    ("action", "places", "held"),
    [
        (RIGHT, [100, 92, 84], 1),
        (RIGHT, [100, 92, 96], 0),
        (LEFT, [100, 108, 116], 1),
        (NOOP, [100, 104, 106], 1),
        (NOOP, [100, 104, 112], 0),
        (RIGHT, [100, 92, None], 0),
    ],
)
def test_pongs_paddle_goes_where_it_is_told_for_two_steps(action, places, held) -> None:
    game = play([pong_reading(paddle=place) for place in places], actions=[action, action])
    assert pong.paddle_obeys(game, PONG) == (held, 1)


def test_pongs_scores_rise_one_at_a_time() -> None:
    def legal(*scores) -> tuple[int, int]:
        return pong.scores_legal(play([pong_reading(score=a, opponent_score=b) for a, b in scores]), PONG)

    assert legal((0, 0), (1, 0), (1, 1)) == (2, 2)
    assert legal((1, 0), (0, 0)) == legal((0, 0), (2, 0)) == legal((0, 0), (1, 1)) == (0, 1)
    assert legal((0, 0), (None, 0)) == (0, 1)


def test_the_odometer_runs_forward_and_not_too_fast() -> None:
    def runs(*miles) -> tuple[int, int]:
        return enduro.odometer_runs(play([enduro_reading(odometer=m) for m in miles]), ENDURO)

    assert runs(1.0, 1.0, 1.1) == (2, 2)
    assert runs(1.0, 0.9) == runs(1.0, 1.5) == runs(1.0, None) == (0, 1)


def test_the_position_counts_down_with_the_reward_and_starts_again_with_a_new_day() -> None:
    left = [enduro_reading(cars_left=n) for n in (200, 200, 199, 199, 200)]
    assert enduro.position_matches_reward(play(left, rewards=[0, 1, 0, -1]), ENDURO) == (2, 2)
    assert enduro.position_matches_reward(play(left, rewards=[0, 0, 0, -1]), ENDURO) == (1, 2)
    over_night = [enduro_reading(cars_left=0), enduro_reading(cars_left=300, day=2)]
    assert enduro.position_legal(play(over_night), ENDURO) == (1, 1)
    assert enduro.position_matches_reward(play(over_night * 1), ENDURO) == (0, 0)
    for wrong in (enduro_reading(cars_left=150), enduro_reading(cars_left=None), enduro_reading(day=3)):
        assert enduro.position_legal(play([enduro_reading(), wrong]), ENDURO) == (0, 1)


def test_times_of_the_day_follow_each_other() -> None:
    def ordered(*phases) -> tuple[int, int]:
        return enduro.phases_in_order(play([enduro_reading(phase=p) for p in phases]), ENDURO)

    assert ordered("day", "day", "snow", "dusk", "night", "fog", "night", "day") == (7, 7)
    assert ordered("day", "night") == ordered("day", None) == (0, 1)


def test_the_own_car_does_not_move_against_its_order() -> None:
    def obeys(*places) -> tuple[int, int]:
        readings = [enduro_reading(car=place and (place, 140.0)) for place in places]
        return enduro.car_obeys(play(readings, actions=[ENDURO.index("LEFT")] * 2), ENDURO)

    assert obeys(80.0, 79.0, 78.0) == obeys(80.0, 79.0, 79.0) == (1, 1)
    assert obeys(80.0, 79.0, 81.0) == obeys(80.0, 79.0, None) == (0, 1)


def test_enduros_screen_agrees_where_it_is_legal_and_follows_the_reward() -> None:
    readings = [
        enduro_reading(cars_left=n, odometer=m) for n, m in ((200, 1), (200, 1), (199, 1.1), (199, 0))
    ]
    assert enduro.screen_agrees(play(readings, rewards=[0, 1, 0]), ENDURO) == (2, 3)
    assert enduro.screen_agrees(play(readings), ENDURO) == (1, 3)


@pytest.mark.parametrize("game", RULES)
def test_every_rule_of_a_game_gives_a_share(game) -> None:
    reading = {"pong": pong_reading, "enduro": enduro_reading, "breakout": breakout_reading}[game]()
    found = rule_scores(game, [play([reading] * 4)], get_game(game).action_names)
    assert set(found) == set(RULES[game]) and found["field_legal"].value == 1


def test_a_second_of_torn_frames_ends_sanity_and_less_does_not() -> None:
    def torn(frames) -> Play:
        return play([pong_reading()] * 5 + [pong_reading(unexplained=3)] * frames + [pong_reading()] * 5)

    assert first_insanity("pong", torn(GRACE), PONG) is None
    assert first_insanity("pong", torn(GRACE + 1), PONG) == (5 + GRACE, "torn")


def test_a_ball_that_stays_away_ends_sanity() -> None:
    gone = play([pong_reading()] + [pong_reading(ball=None)] * (PATIENCE + 1))
    assert first_insanity("pong", gone, PONG) == (PATIENCE + 1, "ball lost")


def test_breakouts_ball_may_wait_for_the_button_for_ever() -> None:
    waiting = [breakout_reading(ball=None)] * (3 * PATIENCE)
    assert first_insanity("breakout", play(waiting), BREAKOUT) is None
    early = [NOOP] * 9 + [FIRE] + [NOOP] * (len(waiting) - 11)
    assert first_insanity("breakout", play(waiting, early), BREAKOUT) is None
    pressed = [NOOP] * 19 + [FIRE] + [NOOP] * (len(waiting) - 21)
    assert first_insanity("breakout", play(waiting, pressed), BREAKOUT) == (20 + PATIENCE, "ball lost")


def test_a_brick_that_comes_back_for_good_ends_sanity_and_one_that_flickers_does_not() -> None:
    gone = np.ones((6, 18), bool)
    gone[2, 2] = False
    away, there = [breakout_reading(bricks=gone)] * (2 * GRACE), [breakout_reading()] * (2 * GRACE)
    back = play(there + away + there)
    assert first_insanity("breakout", back, BREAKOUT) == (4 * GRACE, "bricks back")
    assert first_insanity("breakout", play(there + away + there[:2] + away), BREAKOUT) is None
    empty = [breakout_reading(bricks=np.zeros((6, 18), bool))] * (2 * GRACE)
    assert first_insanity("breakout", play(empty + there), BREAKOUT) is None


def test_a_number_that_falls_for_good_ends_sanity_and_a_misread_one_does_not() -> None:
    def scores(*values) -> Play:
        return play([breakout_reading(score=value) for value in values])

    assert first_insanity("breakout", scores(5, 5, 5, 4, 4, 4), BREAKOUT) == (5, "number")
    assert first_insanity("breakout", scores(5, 5, 5, 4, None, 5, 5, 5), BREAKOUT) is None
    lives = play([breakout_reading(lives=n) for n in (4, 4, 4, 5, 5, 5)])
    assert first_insanity("breakout", lives, BREAKOUT) == (5, "number")
    miles = play([enduro_reading(odometer=m) for m in (9.1, 9.2, 9.3, 2.0, 2.1, 2.2)])
    assert first_insanity("enduro", miles, ENDURO) == (5, "number")
