"""Numbers, counts and intervals."""

import numpy as np
import pytest

from rayatari.evaluate.stats import difference, mean, median, ratio, share, shares, survival_median


def test_a_share_is_the_ratio_of_sums_and_counts_its_total():
    found = share([1, 0, 3], [2, 0, 4])
    assert found.value == pytest.approx(4 / 6)
    assert found.n == 6


def test_a_share_of_nothing_has_no_value():
    assert share([0, 0], [0, 0]).value is None
    assert share([], []).n == 0


def test_the_interval_holds_the_value_and_shrinks_with_more_units():
    random = np.random.default_rng(0)
    few, many = (random.random(n) < 0.3 for n in (20, 500))
    narrow, wide = share(many, np.ones(500)), share(few, np.ones(20))
    for found in (narrow, wide):
        assert found.low <= found.value <= found.high
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = mean(random.normal(5.0, 2.0, size=60))
        covered += found.low <= 5.0 <= found.high
    assert 180 <= covered <= 199


def test_shares_of_many_columns_equal_the_share_of_each():
    hits, totals = np.array([[1, 2], [3, 0]]), np.array([[2, 2], [4, 0]])
    assert shares(hits, totals) == [share(hits[:, 0], totals[:, 0]), share(hits[:, 1], totals[:, 1])]


def test_the_median_of_an_even_number_lies_between():
    found = median([1, 2, 4, 9])
    assert (found.value, found.n) == (3, 4)


def test_the_survival_median_counts_rollouts_that_ended_early_as_long_as_they_were_seen():
    found = survival_median([2, 3, 10, 10], [True, True, False, False])
    assert found.value == 3
    early_end = survival_median([1, 3, 5], [False, True, True])
    assert early_end.value == 3


def test_the_survival_median_has_no_value_where_most_never_came_to_it():
    found = survival_median([5, 10, 10], [True, False, False])
    assert found.value is None
    assert found.n == 3


def test_starts_of_one_episode_are_drawn_together() -> None:
    random = np.random.default_rng(0)
    level = random.random(6).repeat(50)  # 6 episodes of 50 alike starts
    episodes = np.arange(6).repeat(50).tolist()
    apart, together = mean(level), mean(level, episodes)
    assert apart.value == pytest.approx(together.value) and apart.n == together.n == 300
    assert together.high - together.low > 4 * (apart.high - apart.low)
    wide, narrow = median(level, episodes), median(level)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_one_episode_alone_has_no_interval() -> None:
    for found in (mean([1.0, 2.0, 3.0], [7, 7, 7]), median([1.0, 2.0], [7, 7]), share([3], [4])):
        assert found.value is not None and found.low is None and found.high is None


def test_the_interval_over_episodes_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        levels = random.normal(5.0, 2.0, size=30)
        values = levels.repeat(5) + random.normal(0, 0.3, 150)
        found = mean(values, np.arange(30).repeat(5).tolist())
        covered += found.low <= 5.0 <= found.high
    assert 175 <= covered <= 199


def test_the_median_over_infinite_values_has_no_value_where_they_are_half() -> None:
    assert median([1.0, 2.0, np.inf]).value == 2
    assert median([1.0, np.inf]).value is None and median([np.inf, np.inf]).value is None


def test_ratio_and_difference_compare_means_of_two_sides() -> None:
    assert ratio([2, 4], [1, 1]).value == 3 and difference([2, 4], [1, 1]).value == 2
    assert ratio([1, 2], [0, 0]).value is None
    assert difference([], [1]).n == 0
    found = ratio(np.arange(10, 30), np.arange(10, 30))
    assert found.low < 1 < found.high
