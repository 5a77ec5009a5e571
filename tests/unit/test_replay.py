import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rayatari.agent.replay import Replay, ReplayConfig
from rayatari.agent.replay_file import load_replay, save_replay
from rayatari.agent.rollout import CONTINUES, LAST, NO_ADVICE, TERMINATED, TRUNCATED, Rollout
from rayatari.agent.sum_tree import SumTree


def test_sum_tree_draws_leaves_in_proportion_to_their_weights():
    tree = SumTree(11)
    weights = np.array([0, 1, 2, 0, 3, 4, 0, 0, 5, 0, 5], np.float64)
    tree.set(np.arange(11), weights)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([tree.draw(100, rng) for _ in range(200)])
    shares = np.bincount(drawn, minlength=11) / len(drawn)
    assert tree.total == 20
    np.testing.assert_allclose(shares, weights / 20, atol=0.01)
    assert not shares[weights == 0].any()


def test_sum_tree_keeps_its_sums_under_changes():
    rng = np.random.default_rng(1)
    tree, expected = SumTree(37), np.zeros(37)
    for _ in range(200):
        leaves = rng.choice(37, size=5, replace=False)
        expected[leaves] = rng.random(5) * (rng.random(5) < 0.7)
        tree.set(leaves, expected[leaves])
        np.testing.assert_array_equal(tree.leaves, expected)
        assert tree.total == pytest.approx(expected.sum())
    refilled = SumTree(37)
    refilled.fill(tree.leaves)
    assert refilled.total == pytest.approx(tree.total)


def test_sum_tree_never_draws_an_empty_leaf_at_the_edge():
    tree = SumTree(4)
    tree.set(np.arange(4), np.array([0.0, 0.1, 0.0, 0.0]))

    class EdgeDraws:
        def random(self, count):
            return np.full(count, np.nextafter(1.0, 0))

    assert set(tree.draw(8, EdgeDraws())) == {1}


class Stream:
    """One lane of random episodes, and what a learner must make of it, by brute force."""

    def __init__(self, seed, length):
        rng = np.random.default_rng(seed)
        self.ages, self.outcomes, self.rewards, self.actions = [], [], [], []
        age = 0
        while len(self.ages) < length:
            last = bool(self.outcomes) and self.outcomes[-1] in ("end", TRUNCATED)
            outcome = (
                LAST if last else rng.choice([CONTINUES, "end", TRUNCATED, "life"], p=[0.7, 0.1, 0.1, 0.1])
            )
            self.ages.append(age)
            self.outcomes.append(int(outcome) if outcome not in ("end", "life") else outcome)
            self.rewards.append(0.0 if last else float(rng.normal()))
            self.actions.append(0 if last else int(rng.integers(4)))
            age = 0 if last else age + 1

    def rollout(self, start, stop, lane=0):
        outcomes = [TERMINATED if o in ("end", "life") else o for o in self.outcomes[start:stop]]
        views = np.zeros((stop - start, 1, 84, 84), np.uint8)
        views[:, 0, 0, 0] = 1 + np.arange(start, stop) // 250
        views[:, 0, 0, 1] = np.arange(start, stop) % 250
        columns = (self.ages[start:stop], self.actions[start:stop], self.rewards[start:stop], outcomes)
        kinds = (np.uint8, np.uint8, np.float32, np.uint8)
        arrays = [np.array(c, k)[:, None] for c, k in zip(columns, kinds, strict=True)]
        advice = (np.arange(start, stop) % 5).astype(np.int32)[:, None] if lane else None
        return Rollout(views, *arrays, first_game=lane, advice=advice)

    def transition(self, i, n, gamma):
        """(frames of the stack, return, frames of the next stack, discount) from frame ``i``."""
        total, steps = 0.0, 0
        for k in range(n):
            total += gamma**k * self.rewards[i + k]
            steps += 1
            if self.outcomes[i + k] in ("end", "life"):
                return self.stack(i), total, None, 0.0
            if self.outcomes[i + k] == TRUNCATED:
                break
        return self.stack(i), total, self.stack(i + steps), gamma**steps

    def stack(self, i):
        return [i - back if self.ages[i] >= back else None for back in (3, 2, 1, 0)]


def frame_numbers(stack):
    """Inverse of the views of :class:`Stream`; None for black."""
    return [None if view[0, 0] == 0 else int(view[0, 0] - 1) * 250 + int(view[0, 1]) for view in stack]


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("length", [40, 700])
def test_replay_equals_a_brute_force_reading_of_the_stream(n_step, length):
    ring, lanes, gamma = 64, 3, 0.9
    streams = [Stream(seed, length) for seed in range(lanes)]
    replay = Replay(ReplayConfig(lanes, ring * lanes, n_step, gamma, alpha=0.0, clip_rewards=False))
    for start in range(0, length, 4):
        for lane, stream in enumerate(streams):
            replay.add(stream.rollout(start, min(start + 4, length), lane))
    batch = replay.draw(3000, beta=1.0, rng=np.random.default_rng(0))
    seen = [set() for _ in streams]
    for b, leaf in enumerate(batch.leaves):
        lane, slot = divmod(int(leaf), ring)
        i = slot + (length - 1 - slot) // ring * ring
        stack, total, next_stack, discount = streams[lane].transition(i, n_step, gamma)
        seen[lane].add(i)
        assert frame_numbers(batch.views[b]) == stack
        assert batch.actions[b] == streams[lane].actions[i]
        assert batch.advice[b] == (i % 5 if lane else NO_ADVICE)
        assert batch.returns[b] == pytest.approx(total, abs=1e-5)
        assert batch.discounts[b] == pytest.approx(discount, abs=1e-6)
        if next_stack is not None:
            assert frame_numbers(batch.next_views[b]) == next_stack
    oldest = max(0, length - ring + 3)
    for lane, stream in enumerate(streams):
        drawable = {i for i in range(oldest, length - n_step) if stream.outcomes[i] != LAST}
        assert seen[lane] == drawable
    assert (batch.weights == 1).all()


@pytest.mark.parametrize("restart", [0, 9])
def test_an_episode_broken_off_by_a_restart_is_bootstrapped_at_its_last_frame(restart):
    replay = Replay(ReplayConfig(1, 64, n_step=3, gamma=0.5, alpha=0.0, clip_rewards=False))
    ages = np.array([[0], [1], [2], [3], [restart], [restart + 1], [restart + 2], [restart + 3]], np.uint8)
    views = np.zeros((8, 1, 84, 84), np.uint8)
    views[:, 0, 0, 0], views[:, 0, 0, 1] = 1, np.arange(8)
    ones = np.ones((8, 1))
    columns = (ages, ones.astype(np.uint8), ones.astype(np.float32), (ones * CONTINUES).astype(np.uint8))
    replay.add(Rollout(views, *columns))
    batch = replay.draw(200, beta=0.0, rng=np.random.default_rng(0))
    assert set(batch.leaves) == {0, 1, 2, 4}
    expected = {0: (1.75, 3, 0.125), 1: (1.5, 3, 0.25), 2: (1.0, 3, 0.5), 4: (1.75, 7, 0.125)}
    for b, leaf in enumerate(batch.leaves):
        reached = frame_numbers(batch.next_views[b])[-1]
        assert (batch.returns[b], reached, batch.discounts[b]) == expected[leaf]


def test_priorities_decide_what_is_drawn_and_weights_undo_it():
    stream = Stream(5, 60)
    replay = Replay(ReplayConfig(1, 64, n_step=1, alpha=0.5))
    replay.add(stream.rollout(0, 60))
    drawable = np.flatnonzero(replay.tree.leaves)
    errors = np.linspace(0.1, 4.0, len(drawable)).astype(np.float32)
    replay.update(drawable, errors)
    rng = np.random.default_rng(0)
    batches = [replay.draw(32, beta=1.0, rng=rng) for _ in range(600)]
    drawn = np.bincount(np.concatenate([b.leaves for b in batches]), minlength=64)[drawable]
    np.testing.assert_allclose(drawn / drawn.sum(), errors**0.5 / (errors**0.5).sum(), atol=0.004)
    batch = batches[0]
    odds = dict(zip(drawable, errors.astype(np.float64) ** 0.5, strict=True))
    expected = np.array([1 / odds[leaf] for leaf in batch.leaves])
    np.testing.assert_allclose(batch.weights, expected / expected.max(), rtol=1e-4)


def test_several_batches_are_drawn_at_once_as_they_are_one_by_one():
    replay = Replay(ReplayConfig(1, 128, n_step=1, alpha=1.0))
    replay.add(Stream(7, 120).rollout(0, 120))
    drawable = np.flatnonzero(replay.tree.leaves)
    replay.update(drawable, np.linspace(0.1, 4.0, len(drawable)).astype(np.float32))
    at_once = replay.draw(32, 0.7, np.random.default_rng(3), batches=3)
    rng = np.random.default_rng(3)
    singles = [replay.draw(32, 0.7, rng) for _ in range(3)]
    for name in ("views", "actions", "returns", "next_views", "discounts", "weights", "leaves"):
        one_by_one = np.concatenate([getattr(batch, name) for batch in singles])
        np.testing.assert_array_equal(getattr(at_once, name), one_by_one)
    assert at_once.weights.reshape(3, 32).max(1).tolist() == [1, 1, 1]


def test_of_a_transition_drawn_twice_the_later_error_counts():
    replay = Replay(ReplayConfig(1, 64, n_step=1, alpha=1.0))
    replay.add(Stream(8, 60).rollout(0, 60))
    one, other = np.flatnonzero(replay.tree.leaves)[:2]
    replay.update(np.array([one, other, one]), np.array([5.0, 1.0, -2.0], np.float32))
    assert replay.tree.leaves[[one, other]].tolist() == pytest.approx([2.0, 1.0], rel=1e-5)


def test_a_million_transitions_fit_in_eight_gigabytes():
    million = Replay(ReplayConfig(8, 1_000_000))  # the system gives the pages only when they are written
    arrays = [million.views, *million.arrays().values(), million.tree.nodes]
    assert sum(array.nbytes for array in arrays) < 7.2e9
    new_process = multiprocessing.get_context("spawn")  # this one may reuse the memory of other tests
    with ProcessPoolExecutor(1, new_process) as pool:
        written, grown = pool.submit(bytes_of_frames).result()
    assert 0.95 * written < grown < 24_000 * 8_000  # the system counts in batches of pages


def bytes_of_frames():
    """Bytes of 24,000 frames, and by how much the process grows when its replay takes in as many more."""
    million = Replay(ReplayConfig(8, 1_000_000))
    views = np.full((3_000, 8, 84, 84), 7, np.uint8)
    column = np.zeros((3_000, 8), np.uint8)
    rollout = Rollout(views, column, column, column.astype(np.float32), column)
    million.add(rollout)  # what is needed once does not count
    before = resident_bytes()
    million.add(rollout)
    return views.nbytes, resident_bytes() - before


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_rewards_are_learned_as_their_sign_when_clipped():
    stream = Stream(6, 40)
    replay = Replay(ReplayConfig(1, 64, n_step=1, clip_rewards=True))
    replay.add(stream.rollout(0, 40))
    assert set(np.unique(replay.rewards)) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("length", [40, 300])
def test_a_saved_replay_draws_the_same_batches(tmp_path, length):
    config = ReplayConfig(2, 128, n_step=3, alpha=0.6)
    replay, restored = Replay(config), Replay(config)
    for lane in range(2):
        replay.add(Stream(lane, length).rollout(0, length, lane))
    replay.update(np.flatnonzero(replay.tree.leaves)[:9], np.arange(1, 10, dtype=np.float32))
    save_replay(replay, tmp_path / "replay")
    load_replay(restored, tmp_path / "replay")
    ours, theirs = (r.draw(64, 0.5, np.random.default_rng(3)) for r in (replay, restored))
    for name in ("views", "actions", "returns", "next_views", "discounts", "weights", "leaves"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert len(restored) == len(replay)
    assert restored.max_priority == replay.max_priority
