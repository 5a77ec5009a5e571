"""Windows: aligned, complete, inside their episode, in bounded memory, weighted as asked."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from recorded import record_counting

from rayatari.dataset.chunk import Chunk
from rayatari.dataset.reader import pass_rows, read_chunks, read_transitions
from rayatari.dataset.windows import EventWeights, WindowBatch, shuffled_chunks, shuffled_rows, window_batches
from rayatari.games.counting import read


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("counting")
    record_counting(folder, context=6)
    return str(folder)


def windows(path: str, history: int, horizon: int, **settings: object) -> Iterator[WindowBatch]:
    options = {"batch": 7, "buffer_frames": 300, "seed": 0, **settings}
    return window_batches(read_chunks(path), history=history, horizon=horizon, **options)


def test_frames_actions_and_rewards_stay_aligned_from_the_game_to_the_window(dataset: str) -> None:
    truth = {(t.seed, t.step): t for t in read_transitions(dataset)}
    seen = 0
    for batch in windows(dataset, history=4, horizon=3):
        assert batch.frames.shape[1:] == (7, 210, 160)
        for frames, actions, rewards, terminated, lives in zip(
            batch.frames, batch.actions, batch.rewards, batch.terminated, batch.lives, strict=True
        ):
            shown = [read(frame) for frame in frames]
            assert len({reading.seed for reading in shown}) == 1
            for t, (before, after) in enumerate(pairwise(shown)):
                if after.step == before.step == 0:
                    assert (actions[t], rewards[t], terminated[t]) == (0, 0, False)
                    continue
                step = truth[before.seed, before.step]
                assert after.step == before.step + 1
                assert after.action == actions[t] == step.action
                assert (rewards[t], terminated[t]) == (step.reward, step.terminated)
                assert lives[t] == step.lives
            seen += 1
    assert seen > 600


@pytest.mark.parametrize(("history", "horizon"), [(1, 1), (4, 1), (4, 4), (7, 1), (1, 7)])
def test_one_pass_holds_every_window_of_every_episode_once(dataset: str, history: int, horizon: int) -> None:
    expected = Counter((t.episode, t.step + 1) for t in read_transitions(dataset) if t.step + 1 >= horizon)
    found: Counter[tuple[int, int]] = Counter()
    for batch in windows(dataset, history, horizon):
        found.update(zip(batch.episodes.tolist(), batch.steps.tolist(), strict=True))
    assert found == expected


@pytest.mark.parametrize(("history", "horizon"), [(4, 1), (4, 4), (1, 7)])
def test_past_the_end_of_a_game_every_transition_follows_a_present(
    dataset: str, history: int, horizon: int
) -> None:
    last = {t.episode: t for t in read_transitions(dataset)}
    ended = {episode for episode, t in last.items() if t.terminated}
    assert ended
    expected = Counter((t.episode, t.step) for t in read_transitions(dataset) if t.episode in ended)
    found: Counter[tuple[int, int]] = Counter()
    for batch in windows(dataset, history, horizon, past_end=True):
        presents = batch.steps - horizon
        kept = [i for i, episode in enumerate(batch.episodes.tolist()) if episode in ended]
        found.update((int(batch.episodes[i]), int(presents[i])) for i in kept)
        for i in kept:
            left = int(batch.left[i])
            assert left == min(horizon, last[int(batch.episodes[i])].step + 1 - presents[i])
            real = history - 1 + left  # index of the last recorded frame
            assert (batch.frames[i, real:] == batch.frames[i, real]).all()
            assert (batch.lives[i, real:] == batch.lives[i, real]).all()
            for column in (batch.actions, batch.rewards, batch.terminated):
                assert not column[i, real:].any()
            assert batch.terminated[i, real - 1] == (left < horizon or batch.terminated[i, -1])
    assert found == expected


def test_windows_too_long_for_the_context_are_left_out_at_chunk_borders_only(dataset: str) -> None:
    found = {
        key
        for batch in windows(dataset, history=8, horizon=2)
        for key in zip(batch.episodes.tolist(), batch.steps.tolist(), strict=True)
    }
    every = {(t.episode, t.step + 1) for t in read_transitions(dataset) if t.step >= 1}
    missing = every - found
    assert found < every
    assert {step % 128 for _, step in missing} == {1, 2}


def test_history_before_an_episode_is_its_first_frame_repeated(dataset: str) -> None:
    starts = 0
    for batch in windows(dataset, history=4, horizon=1):
        for frames, step, actions in zip(batch.frames, batch.steps, batch.actions, strict=True):
            if step == 1:
                assert [read(frame).step for frame in frames] == [0, 0, 0, 0, 1]
                assert actions[:3].tolist() == [0, 0, 0]
                starts += 1
    assert starts == len({t.episode for t in read_transitions(dataset)})


def test_the_seed_decides_the_order_and_nothing_else(dataset: str) -> None:
    def order(seed: int) -> list[tuple[int, int]]:
        batches = list(windows(dataset, history=2, horizon=1, seed=seed))
        return [k for b in batches for k in zip(b.episodes.tolist(), b.steps.tolist(), strict=True)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))


def test_all_batches_but_the_last_are_full(dataset: str) -> None:
    sizes = [len(batch.frames) for batch in windows(dataset, history=2, horizon=1, batch=9)]
    assert set(sizes[:-1]) == {9}
    assert 0 < sizes[-1] <= 9


def test_no_more_is_decoded_ahead_than_the_buffer_holds(dataset: str) -> None:
    taken = 0

    def counted() -> Iterator[Chunk]:
        nonlocal taken
        for chunk in read_chunks(dataset):
            taken += len(chunk.frames)
            yield chunk

    given = 0
    for batch in window_batches(counted(), batch=5, history=2, horizon=1, buffer_frames=200, seed=0):
        given += len(batch.frames)
        assert taken - given < 200 + 2 * 140


def test_windows_come_as_often_as_the_largest_weight_of_their_targets(dataset: str) -> None:
    def halves(chunk: Chunk) -> np.ndarray:
        return (chunk.rewards / 2).astype(np.float32)

    passes, found = 30, Counter[tuple[int, int]]()
    for seed in range(passes):
        for batch in windows(dataset, history=2, horizon=2, seed=seed, weigh=halves):
            found.update(zip(batch.episodes.tolist(), batch.steps.tolist(), strict=True))
    by_weight: dict[float, list[float]] = {}
    for chunk in read_chunks(dataset):
        rewards = chunk.rewards
        for i in range(max(1, chunk.context), len(rewards)):
            end = (chunk.episode, chunk.start_step - chunk.context + i + 1)
            by_weight.setdefault(max(rewards[i - 1 : i + 1]) / 2, []).append(found[end] / passes)
    assert {1.0, 1.5, 2.0, 2.5, 3.0} <= set(by_weight)
    for weight, times in by_weight.items():
        assert np.mean(times) == pytest.approx(weight, abs=0 if weight == int(weight) else 0.1)


def test_rare_events_weigh_what_they_are_told(dataset: str) -> None:
    weigh, seen = EventWeights(reward=3.0, life_loss=5.0, actions={0: 0.5}), set()
    for chunk in read_chunks(dataset):
        assert EventWeights()(chunk).tolist() == [1.0] * len(chunk.actions)
        for i, weight in enumerate(weigh(chunk).tolist()):
            lost = chunk.lives[i] != chunk.lives[i + 1] or chunk.terminated[i]
            ordinary = 0.5 if chunk.actions[i] == 0 else 1.0
            assert weight == (5.0 if lost else 3.0 if chunk.rewards[i] else ordinary)
            seen.add(weight)
    assert seen == {0.5, 1.0, 3.0, 5.0}


def test_rows_are_shuffled_through_a_bounded_buffer_without_loss() -> None:
    rows = [{"frames": b"x" * 100, "number": number} for number in range(200)]
    out = list(shuffled_rows(rows, buffer_bytes=2000, random=np.random.default_rng(0)))
    numbers = [row["number"] for row in out]
    assert sorted(numbers) == list(range(200)) != numbers
    assert all(number <= place + 20 for place, number in enumerate(numbers))


def test_endless_passes_repeat_the_split_in_new_orders(dataset: str) -> None:
    random = np.random.default_rng(0)
    passes = (pass_rows(dataset, "heldout", random) for _ in range(2))
    keys = [(chunk.episode, chunk.start_step) for chunk in shuffled_chunks(passes, 10**6, seed=1)]
    first, second = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    expected = [(chunk.episode, chunk.start_step) for chunk in read_chunks(dataset, "heldout")]
    assert sorted(first) == sorted(second) == expected
