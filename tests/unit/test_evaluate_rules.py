"""Breakout's rules on made-up readings: each is seen to hold and to be broken."""

import numpy as np
import pytest

from rayatari.evaluate.play import Play
from rayatari.evaluate.rules import breakout as rules
from rayatari.evaluate.rules import rule_scores
from rayatari.games.readers import BreakoutReading

ACTIONS = ("NOOP", "FIRE", "RIGHT", "LEFT")
NOOP, FIRE, RIGHT, LEFT = range(4)
WALL = np.ones((6, 18), bool)
BALL = (50.0, 120.0)


def reading(
    ball=BALL, ball_count=1, paddle=60.0, bricks=WALL, score=0, lives=5, unexplained=0
) -> BreakoutReading:
    return BreakoutReading(
        ball=ball,
        ball_count=ball_count if ball else 0,
        paddle=paddle,
        paddle_width=16,
        bricks=bricks,
        score=score,
        lives=lives,
        unexplained=unexplained,
    )


def play(readings, actions=None, rewards=None) -> Play:
    steps = len(readings) - 1
    return Play("someone", list(actions or [NOOP] * steps), list(rewards or [0.0] * steps), list(readings))


def wall_without(*bricks) -> np.ndarray:
    wall = WALL.copy()
    for row, column in bricks:
        wall[row, column] = False
    return wall


@pytest.mark.parametrize(("row", "points"), [(0, 7), (1, 7), (2, 4), (3, 4), (4, 1), (5, 1)])
@pytest.mark.parametrize("lag", [0, 1])
def test_points_of_a_vanished_brick_may_show_at_once_or_a_step_later(row, points, lag):
    gone = wall_without((row, 3))
    shown = [0, 0, 0 if lag else points, points, points]
    walls = [WALL, WALL, gone, gone, gone]
    game = play([reading(bricks=w, score=s) for w, s in zip(walls, shown, strict=True)])
    assert rules.points_match_bricks(game, ACTIONS) == (1, 1)


def test_wrong_missing_and_unearned_points_break_the_rule():
    gone = wall_without((5, 3))
    wrong = play([reading(), reading(), reading(bricks=gone, score=7), reading(bricks=gone, score=7)])
    missing = play([reading(), reading(), reading(bricks=gone), reading(bricks=gone), reading(bricks=gone)])
    unearned = play([reading(), reading(), reading(score=4), reading(score=4)])
    for game in (wrong, missing, unearned):
        assert rules.points_match_bricks(game, ACTIONS) == (0, 1)


def test_points_of_two_bricks_may_show_together():
    one, two = wall_without((5, 3)), wall_without((5, 3), (4, 3))
    game = play(
        [
            reading(),
            reading(),
            reading(bricks=one),
            reading(bricks=two, score=2),
            reading(bricks=two, score=2),
        ]
    )
    assert rules.points_match_bricks(game, ACTIONS) == (1, 1)


def test_what_the_last_step_causes_is_not_judged():
    game = play([reading(), reading(), reading(bricks=wall_without((5, 3)))])
    assert rules.points_match_bricks(game, ACTIONS) == (0, 0)


def test_rewards_are_held_against_the_screen():
    shown = [0, 0, 0, 4, 4, 11]
    game = play([reading(score=s) for s in shown], rewards=[0, 4, 0, 0, 1])
    assert rules.reward_matches_screen(game, ACTIONS) == (1, 2)


def test_a_brick_that_comes_back_breaks_the_rule_and_a_new_wall_does_not():
    gone, empty = wall_without((2, 2)), np.zeros((6, 18), bool)
    back = play([reading(bricks=w) for w in (gone, WALL, WALL)])
    refilled = play([reading(bricks=w) for w in (empty, WALL, gone)])
    assert rules.bricks_stay_gone(back, ACTIONS) == (1, 2)
    assert rules.bricks_stay_gone(refilled, ACTIONS) == (2, 2)


def lives_play(balls, lives) -> Play:
    return play([reading(ball=BALL if b else None, lives=n) for b, n in zip(balls, lives, strict=True)])


def test_a_lost_ball_costs_one_life_whenever_it_is_paid():
    assert rules.lives_fall_with_ball(lives_play([1, 0, 0, 0, 1, 1], [5, 5, 5, 4, 4, 4]), ACTIONS) == (1, 1)
    at_the_serve = lives_play([1, 0, 0, 1, 1, 1], [5, 5, 5, 5, 4, 4])
    assert rules.lives_fall_with_ball(at_the_serve, ACTIONS) == (1, 1)


def test_a_ball_that_comes_back_for_free_and_a_life_that_goes_without_it_break_the_rule():
    assert rules.lives_fall_with_ball(lives_play([1, 0, 0, 1, 1], [5, 5, 5, 5, 5]), ACTIONS) == (0, 1)
    assert rules.lives_fall_with_ball(lives_play([1, 1, 1, 1, 1], [5, 5, 4, 4, 4]), ACTIONS) == (0, 1)
    assert rules.lives_fall_with_ball(lives_play([1, 0, 0, 1, 1], [5, 5, 3, 3, 3]), ACTIONS) == (0, 1)


def test_a_ball_that_is_hidden_for_a_frame_is_not_lost():
    assert rules.lives_fall_with_ball(lives_play([1, 1, 0, 1, 1], [5, 5, 5, 5, 5]), ACTIONS) == (0, 0)
    assert rules.lives_fall_with_ball(lives_play([1, 1, 0, 1, 1], [5, 5, 5, 4, 4]), ACTIONS) == (1, 1)


def test_bricks_may_hide_the_ball_for_some_frames():
    def hidden(y, frames):
        seen, gone = reading(ball=(50.0, y)), reading(ball=None)
        return rules.lives_fall_with_ball(play([seen, seen, *[gone] * frames, seen, seen]), ACTIONS)

    assert hidden(88.0, 3) == (0, 0)
    assert hidden(88.0, 4) == hidden(150.0, 2) == (0, 1)


def test_a_ball_that_waits_to_be_served_says_nothing():
    assert rules.lives_fall_with_ball(lives_play([0, 0, 1, 1], [5, 5, 5, 5]), ACTIONS) == (0, 0)
    assert rules.lives_fall_with_ball(lives_play([1, 1, 0, 0], [5, 5, 5, 4]), ACTIONS) == (0, 0)


def test_score_and_lives_must_be_readable_and_move_the_right_way():
    assert rules.score_and_lives_legal(
        play([reading(), reading(score=7), reading(score=7, lives=4)]), ACTIONS
    ) == (2, 2)
    for broken in (reading(score=None), reading(lives=None), reading(lives=6), reading(lives=3)):
        assert rules.score_and_lives_legal(play([reading(), broken]), ACTIONS) == (0, 1)
    assert rules.score_and_lives_legal(play([reading(score=7), reading(score=0)]), ACTIONS) == (0, 1)


@pytest.mark.parametrize(
    ("action", "places", "held"),
    [
        (LEFT, [60, 50, 40], 1),
        (LEFT, [60, 50, 60], 0),
        (LEFT, [30, 20, 8], 1),
        (RIGHT, [60, 70, 80], 1),
        (RIGHT, [60, 70, 70], 0),
        (NOOP, [60, 55, 55], 1),
        (FIRE, [60, 55, 45], 0),
        (LEFT, [60, 50, None], 0),
        (NOOP, [60, None, None], 0),
    ],
)
def test_the_paddle_goes_where_it_is_told_for_two_steps(action, places, held):
    game = play([reading(paddle=place) for place in places], actions=[action, action])
    assert rules.paddle_obeys(game, ACTIONS) == (held, 1)


def test_the_first_step_of_a_new_direction_is_excused():
    game = play([reading(paddle=p) for p in (60, 50, 53)], actions=[LEFT, RIGHT])
    assert rules.paddle_obeys(game, ACTIONS) == (0, 0)


@pytest.mark.parametrize("end", [8, 144])
def test_steps_that_begin_at_an_end_of_the_field_are_left_out(end):
    game = play([reading(paddle=p) for p in (60, end, end)], actions=[LEFT, LEFT])
    assert rules.paddle_obeys(game, ACTIONS) == (0, 0)


def test_a_field_with_unexplained_pixels_is_not_legal():
    assert rules.field_legal(play([reading(), reading(), reading(unexplained=3)]), ACTIONS) == (1, 2)


def test_a_ball_is_whole_when_there_is_exactly_one():
    game = play([reading(), reading(), reading(ball=None), reading(ball_count=2)])
    assert rules.ball_visible(game, ACTIONS) == (2, 3)
    assert rules.ball_whole(game, ACTIONS) == (1, 3)


def test_scores_add_the_occasions_of_all_plays():
    found = rule_scores(
        "breakout", [play([reading(), reading()]), play([reading()] + [reading(ball=None)] * 3)], ACTIONS
    )
    assert found["ball_visible"].value == 1 / 4
    assert found["ball_visible"].n == 4
    assert found["lives_fall_with_ball"].value is None
