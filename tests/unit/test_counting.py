import numpy as np
import pytest

from rayatari.games.counting import COUNTING, NO_ACTION, Count, CountingGame, draw, read, reward_of
from rayatari.games.interface import Game


def test_frames_rewards_and_actions_stay_aligned() -> None:
    game: Game = CountingGame(length=60)
    seed = 999_999
    frame = game.reset(seed)
    assert read(frame) == Count(seed, 0, NO_ACTION)
    for number in range(60):
        action = number * 5 % 4
        step = game.step(action)
        assert read(step.frame) == Count(seed, number + 1, action)
        assert step.reward == reward_of(seed, number, action)
        assert step.terminated == (number == 59) and not step.truncated


def test_lives_fall_and_the_end_can_be_a_truncation() -> None:
    game = CountingGame(length=12, lives_every=4, truncate=True)
    game.reset(0)
    steps = [game.step(0) for _ in range(12)]
    assert [step.lives for step in steps] == [5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2]
    assert [step.truncated for step in steps] == [False] * 11 + [True]
    with pytest.raises(AssertionError, match="reset"):
        game.step(0)


def test_frames_are_legal_and_all_counts_look_different() -> None:
    counts = [
        Count(s, t, a) for s in (0, 1, 2**31 - 1) for t in (0, 1, 16, 100_000) for a in (0, 3, NO_ACTION)
    ]
    frames = [draw(count) for count in counts]
    assert [read(frame) for frame in frames] == counts
    assert all(frame.shape == (210, 160) and frame.dtype == np.uint8 for frame in frames)
    assert set(np.unique(np.stack(frames)).tolist()) <= set(COUNTING.palette)


def test_rewards_tell_neighbouring_seeds_steps_and_actions_apart() -> None:
    here = reward_of(10, 10, 1)
    assert here not in {reward_of(11, 10, 1), reward_of(10, 10, 2)}
    rewards = {reward_of(seed, step, action) for seed in range(9) for step in range(9) for action in range(4)}
    assert rewards == set(range(7))


def test_a_frame_with_one_wrong_pixel_is_refused() -> None:
    frame = draw(Count(5, 6, 1))
    frame[100, 100] ^= 2
    with pytest.raises(ValueError, match="not a frame"):
        read(frame)
