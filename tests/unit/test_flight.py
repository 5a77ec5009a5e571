"""Windows under way: lessons on the model's own frames; a dataset held whole on the device."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from worlds import small_playable, windows

from rayatari.config.world import MapperConfig
from rayatari.models.sampling import sample_step
from rayatari.models.windows import Windows
from rayatari.training.flight import Flight, longest_unroll

HISTORY, EARLIER = 4, 2


def numbered(size: int, horizon: int, left: int | None = None) -> Iterator[Windows]:
    """Batches of windows whose frames and columns say which window and which frame of it they are."""
    left_B = torch.full((size,), left or horizon)
    number = 0
    while True:
        at_BT = torch.arange(number, number + size)[:, None] * 100 + torch.arange(HISTORY + horizon)
        number += size
        earlier_BM = at_BT[:, HISTORY - 1 - EARLIER : HISTORY - 1]
        columns = (at_BT[:, :-1],) * 3
        yield Windows(at_BT[..., None, None], *columns, at_BT, earlier_BM, left_B)


def test_without_unrolls_every_window_is_one_lesson_on_real_frames() -> None:
    flight = Flight(numbered(3, 1), 3, HISTORY, 0.5, np.random.default_rng(0))
    for turn in range(4):
        lesson = flight.next(1)
        first = torch.tensor([100 * (3 * turn + lane) for lane in range(3)])
        assert torch.equal(lesson.past_BTHW[:, :, 0, 0], first[:, None] + torch.arange(HISTORY))
        assert torch.equal(lesson.next_BHW[:, 0, 0], first + HISTORY)
        assert torch.equal(lesson.actions_BM, first[:, None] + HISTORY - 1 + torch.arange(-EARLIER, 1))
        assert torch.equal(lesson.lives_B, first + HISTORY) and not lesson.own_B.any()
        flight.land(lesson.next_BHW)


def test_windows_under_way_stay_aligned_with_what_was_recorded() -> None:
    flight = Flight(numbered(8, 5), 8, HISTORY, 0.5, np.random.default_rng(0))
    own = []
    for _ in range(200):
        lesson = flight.next(5)
        assert torch.equal(lesson.next_BHW, lesson.present_BHW + 1)
        now_B1 = lesson.present_BHW[:, 0]
        assert torch.equal(lesson.actions_BM, now_B1 + torch.arange(-EARLIER, 1))
        # the drawn frames were the real ones, so the past is that of the recording
        assert torch.equal(lesson.past_BTHW[:, -1], lesson.present_BHW)
        assert torch.equal(lesson.past_BTHW[:, 0], lesson.present_BHW - HISTORY + 1)
        assert torch.equal(lesson.own_B, lesson.present_BHW[:, 0, 0] % 100 >= HISTORY)
        own.append(lesson.own_B.float().mean())
        flight.land(lesson.next_BHW)
    assert 0.4 < float(torch.stack(own[20:]).mean()) < 0.6


def test_nothing_is_learned_from_what_comes_after_the_end_of_a_game() -> None:
    flight = Flight(numbered(8, 5, left=2), 8, HISTORY, 0.9, np.random.default_rng(0))
    places = set()
    for _ in range(50):
        lesson = flight.next(5)
        places |= set((lesson.present_BHW[:, 0, 0] % 100).tolist())
        flight.land(lesson.next_BHW)
    assert places == {HISTORY - 1, HISTORY}


def test_the_past_under_way_is_what_the_game_would_show() -> None:
    model = small_playable(MapperConfig(decode_steps=1)).eval()
    given = windows(2, 7)
    given.actions_BT.copy_(torch.tensor([[0, 0, 0, 1, 2, 3], [3, 2, 1, 3, 2, 1]]))
    flight = Flight(iter([given, given]), 2, HISTORY, 0.99, np.random.default_rng(1))
    past = given.frames_BTHW[:, :HISTORY]
    for t in (3, 4):
        lesson = flight.next(3)
        assert torch.equal(lesson.past_BTHW, past)
        drawn = sample_step(model, lesson.past_BTHW, lesson.actions_BM).frames_BHW
        expected = sample_step(model, past, given.actions_BT[:, t : t + 1]).frames_BHW
        assert torch.equal(drawn, expected)
        past = torch.cat([past[:, 1:], drawn[:, None]], 1)
        flight.land(drawn)


@pytest.mark.parametrize(("progress", "longest"), [(0, 1), (0.59, 1), (0.6, 2), (0.7, 4), (0.8, 8), (1, 8)])
def test_unrolls_grow(progress: float, longest: int) -> None:
    assert longest_unroll(MapperConfig(unroll=8, unroll_from=0.6), progress) == longest
    assert longest_unroll(MapperConfig(unroll=1, unroll_from=0.0), progress) == 1
