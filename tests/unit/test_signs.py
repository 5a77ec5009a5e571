"""Places that show one of few pictures: counted in recorded play, and nothing else is shown there."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from worlds import WORLD, small_playable

from rayatari.models.measured import RecordedPlay
from rayatari.models.sampling import draw_step, sample_codes, sample_step
from rayatari.models.sign_counts import PICTURES, RESTS, UNTOLD
from rayatari.models.signs import ENDS, Signs

INK, BALL = 2, 3
NOTHING, POINT = 0, 1
UNKNOWN, EVEN, OWED = -1, 0, 1 + POINT
DIGITS = {
    digit: torch.tensor([[int(p) for p in row] for row in rows.split()], dtype=torch.uint8) * INK
    for digit, rows in enumerate(
        [
            "11111 10001 10001 10001 11111",
            "00100 00100 00100 00100 00100",
            "11111 00001 11111 10000 11111",
            "11111 00001 11111 00001 11111",
        ]
    )
}


def screen(score: int, lives: int, ball: tuple[int, int] | None = None) -> Tensor:
    """Classes (64, 80): two digits at the top, and a ball below."""
    frame = torch.zeros(64, 80, dtype=torch.uint8)
    frame[2:7, 10:15], frame[2:7, 40:45] = DIGITS[score], DIGITS[lives]
    if ball:
        frame[ball[0] : ball[0] + 4, ball[1] : ball[1] + 4] = BALL
    return frame


def played() -> Iterator[RecordedPlay]:
    """Two games of three points, the second of which shows each a step late, and of two lives lost."""
    for late in (0, 1):
        frames, rewards, left = [], [], []
        for t in range(6 * RESTS):
            score = min(3, max(0, t - late) // RESTS)
            lives = 3 - min(2, t // (2 * RESTS + 3))
            frames.append(screen(score, lives, ball=(20 + t % 40, t)))
            rewards.append(POINT if (t + 1) % RESTS == 0 and t < 3 * RESTS else NOTHING)
            left.append(lives)
        steps = torch.zeros(len(frames) - 1, dtype=torch.long)
        yield RecordedPlay(torch.stack(frames), torch.tensor(rewards[:-1]), torch.tensor(left), steps)


def calm(frames: Tensor) -> RecordedPlay:
    """Play without points."""
    steps = torch.zeros(len(frames), dtype=torch.long)
    return RecordedPlay(frames, steps[1:], steps, steps[1:])


def known() -> Signs:
    signs = Signs(4, rewards=2)
    signs.measure(played, NOTHING)
    return signs


def uncounted() -> Signs:
    """The same, of a bundle that is older than digits that count by themselves."""
    signs = known()
    signs.sure_NRA.zero_()
    signs._read()
    return signs


def mended(
    drawn: Tensor, before: Tensor, reward: int = NOTHING, lives: int = 3, signs: Signs | None = None
) -> Tensor:
    return counted(drawn, before, reward, lives=lives, signs=signs)[0]


def counted(
    drawn: Tensor, before: Tensor, reward: int = NOTHING, owed: int = EVEN, lives: int = 3,
    signs: Signs | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """The frame, and what is owed after it."""
    given = (torch.tensor([number]) for number in (reward, lives, owed))
    frames, owes = (signs or known()).mend(drawn[None], before[None], *given)
    return frames[0], int(owes)


def blurred(first: int, second: int) -> Tensor:
    """Half of one digit of the score and half of another, which is none."""
    frame, other = screen(first, 3), screen(second, 3)
    frame[5:7] = other[5:7]
    return frame


def test_digits_are_found_and_what_passes_by_is_not() -> None:
    signs = known()
    boxes = sorted((sign.columns.start, sign.rows.start) for sign in signs.signs)
    assert boxes == [(10, 2), (40, 2)]
    assert sorted(len(sign.pictures_AX) for sign in signs.signs) == [3, 4]


def test_what_explains_a_change_is_counted_however_late_it_shows() -> None:
    score, lives = sorted(known().signs, key=lambda sign: sign.columns.start)
    assert score.turns_RAA[POINT].sum() == 3 and score.turns_RAA[NOTHING].sum() == 0
    assert lives.turns_RAA[NOTHING].sum() == 2 and lives.turns_RAA[POINT].sum() == 0


def test_a_place_with_many_pictures_is_no_sign() -> None:
    frames = torch.zeros(RESTS * (PICTURES + 2), 64, 80, dtype=torch.uint8)
    for t in range(len(frames)):
        frames[t, 4, 4 : 5 + t // RESTS] = INK
    signs = Signs(4, rewards=1)
    signs.measure(lambda: [calm(frames)], 0)
    assert not signs.signs


@pytest.mark.parametrize(
    "reward, shown", [(POINT, 2), (NOTHING, 1)], ids=["the next where it was earned", "else the one before"]
)
def test_half_of_two_digits_becomes_one_of_them(reward: int, shown: int) -> None:
    assert torch.equal(mended(blurred(1, 2), screen(1, 3), reward), screen(shown, 3))


def test_a_digit_that_stays_is_shown_as_drawn() -> None:
    for drawn in (screen(1, 3), screen(1, 3, ball=(30, 30))):
        assert torch.equal(mended(drawn, screen(1, 3)), drawn)


def test_a_digit_that_counts_points_turns_at_once_or_a_step_late_as_drawn() -> None:
    shown, owed = counted(screen(2, 3), screen(1, 3), POINT)
    assert torch.equal(shown, screen(2, 3)) and owed == EVEN
    shown, owed = counted(screen(1, 3), screen(1, 3), POINT)
    assert torch.equal(shown, screen(1, 3)) and owed == OWED
    shown, owed = counted(screen(1, 3), screen(1, 3), NOTHING, owed=OWED)
    assert torch.equal(shown, screen(2, 3)) and owed == EVEN


def test_a_digit_that_counts_points_loses_none_of_two_that_come_at_once() -> None:
    shown, owed = counted(screen(1, 3), screen(1, 3), POINT, owed=OWED)
    assert torch.equal(shown, screen(2, 3)) and owed == OWED


def test_a_digit_that_counts_points_never_turns_without() -> None:
    assert counted(screen(2, 3), screen(1, 3), NOTHING)[1] == EVEN
    assert torch.equal(mended(screen(2, 3), screen(1, 3), NOTHING), screen(1, 3))


def test_it_turns_as_drawn_where_it_is_not_known_what_it_owes() -> None:
    shown, owed = counted(screen(2, 3), screen(1, 3), NOTHING, owed=UNKNOWN)
    assert torch.equal(shown, screen(2, 3)) and owed == EVEN


def test_the_next_digit_turns_as_the_first_begins_anew_and_only_then() -> None:
    signs = Signs(4, rewards=2)
    signs.measure(two_digits, NOTHING)
    ones, tens = (tally(9), tally(10)), (tally(11), tally(12))
    for (before, after), drawn in ((ones, tally(9)), (ones, tally(0)), (tens, tally(2))):
        shown, _ = counted(drawn, before, owed=OWED, signs=signs)
        assert torch.equal(shown, after)


def test_a_game_ends_with_the_point_that_always_ended_it() -> None:
    signs = Signs(4, rewards=2)
    signs.measure(lambda: [replace(play, ends=True) for play in [*two_digits()] * ENDS], NOTHING)
    assert signs.tell_end and not known().tell_end
    before, rewards = torch.stack([tally(28), tally(29), tally(29)]), torch.tensor([POINT, POINT, NOTHING])
    assert signs.ends(before, rewards).tolist() == [False, True, False]


def tally(points: int) -> Tensor:
    """Classes (64, 80): how often ten points were scored on the left, by the length of a bar, ones on the
    right."""
    frame = torch.zeros(64, 80, dtype=torch.uint8)
    frame[2:7, 10 : 11 + points // 10] = frame[2:7, 40 : 41 + points % 10] = INK
    return frame


def two_digits() -> Iterator[RecordedPlay]:
    """A game of thirty points, the last of which is never shown."""
    steps = 30 * RESTS + 1
    frames = torch.stack([tally(min(29, t // RESTS)) for t in range(steps)])
    rewards = torch.tensor([POINT if (t + 1) % RESTS == 0 else NOTHING for t in range(steps - 1)])
    still = torch.zeros(steps, dtype=torch.long)
    yield RecordedPlay(frames, rewards, still, still[1:])


def test_a_digit_that_does_not_count_by_itself_may_follow_as_drawn() -> None:
    assert torch.equal(mended(screen(2, 3), screen(1, 3), signs=uncounted()), screen(2, 3))


def test_a_digit_that_never_followed_is_not_shown() -> None:
    assert torch.equal(mended(screen(3, 3), screen(1, 3)), screen(1, 3))
    assert torch.equal(mended(screen(3, 3), screen(1, 3), POINT), screen(2, 3))


@pytest.mark.parametrize(
    ("left", "drawn", "shown"),
    [(2, 3, 2), (3, 2, 3), (1, 1, 3)],
    ids=["lost", "left", "never at once"],
)
def test_the_lives_that_are_left_are_shown_whatever_was_drawn(left: int, drawn: int, shown: int) -> None:
    assert torch.equal(mended(screen(0, drawn), screen(0, 3), lives=left), screen(0, shown))


def test_lives_are_told_by_their_sign() -> None:
    signs, head = known(), torch.tensor([7, 7])
    assert signs.tells_lives and not Signs(4, rewards=2).tells_lives
    torn = screen(0, 2)
    torn[3, 40:45] = INK
    frames = torch.stack([screen(3, 2), torn])
    assert signs.lives(frames, head).tolist() == [2, 7]


def test_it_is_counted_which_sign_tells_the_lives() -> None:
    score, lives = sorted(known().signs, key=lambda sign: sign.columns.start)
    assert lives.lives_A.tolist() == [3, 2, 1]
    assert score.lives_A.tolist() == [UNTOLD] * 4


def test_a_spot_is_no_sign_of_change() -> None:
    drawn = screen(1, 3)
    drawn[4:6, 11:13] = INK
    assert torch.equal(mended(drawn, screen(1, 3), POINT, signs=uncounted()), screen(1, 3))


def test_what_was_never_seen_is_left_alone() -> None:
    before = screen(1, 3)
    before[2:7, 10:15] = INK
    assert torch.equal(mended(blurred(1, 2), before), blurred(1, 2))


def test_games_of_a_batch_are_mended_each_for_itself_and_saved_signs_are_those_counted() -> None:
    signs, again = known(), Signs(4, rewards=2)
    again.load_state_dict(signs.state_dict())
    drawn = torch.stack([blurred(1, 2), blurred(1, 2), screen(2, 3)])
    before, rewards = torch.stack([screen(1, 3)] * 3), torch.tensor([NOTHING, POINT, NOTHING])
    lives, nothing_owed = torch.tensor([3, 3, 3]), torch.full((3,), EVEN)
    for found in (signs, again):
        shown, _ = found.mend(drawn, before, rewards, lives, nothing_owed)
        assert torch.equal(shown, torch.stack([screen(1, 3), screen(2, 3), screen(1, 3)]))
    assert torch.equal(Signs(4, rewards=2).mend(drawn, before, rewards, lives, nothing_owed)[0], drawn)


def test_a_game_shows_nothing_else_in_a_signs_place() -> None:
    model = small_playable(world=replace(WORLD, model=replace(WORLD.model, signs=2))).eval()
    assert model.signs is not None
    frames = torch.zeros(4 * RESTS, 224, 160, dtype=torch.uint8)
    frames[2 * RESTS :, 100:108, 40:48] = 1
    model.signs.measure(lambda: [calm(frames)], 0)
    past = frames[:1, None].repeat(1, 4, 1, 1)
    past[:, :-1, 100:108, 40:44] = 2
    actions = torch.zeros(1, model.earlier + 1, dtype=torch.long)
    shown = sample_step(model, past, actions).frames_BHW
    signs, model.signs = model.signs, None
    drawn = sample_step(model, past, actions)
    mended, _ = signs.mend(
        drawn.frames_BHW, past[:, -1], drawn.rewards_B, drawn.lives_B, torch.tensor([UNKNOWN])
    )
    assert torch.equal(shown, mended)
    assert (shown != drawn.frames_BHW)[:, 100:108, 40:48].any()
    assert len(shown[:, 100:108, 40:48].unique()) == 1


def test_lives_fall_by_lot_and_are_kept_by_their_sign() -> None:
    model = small_playable(world=replace(WORLD, model=replace(WORLD.model, signs=4))).eval()
    assert model.signs is not None
    plays = [replace(play, frames_THW=F.pad(play.frames_THW, (0, 80, 0, 160))) for play in played()]
    model.signs.measure(lambda: plays, NOTHING)
    with torch.no_grad():
        model.heads.lives.weight.zero_()
        model.heads.lives.bias.copy_(torch.tensor([0.0, 0, 1, 3, 0, 0]).add(1e-9).log())  # 2 or 3
    past = plays[0].frames_THW[:4][None].repeat(3, 1, 1, 1)
    actions = torch.zeros(3, model.earlier + 1, dtype=torch.long)
    sight = model.look(past, actions)
    codes = sample_codes(model, sight, actions)
    step = draw_step(model, sight, codes, actions, past[:, -1], torch.tensor([0.2, 0.3, torch.nan]))
    assert step.lives_B.tolist() == [2, 3, 3]
    assert model.signs.lives(step.frames_BHW, torch.zeros(3)).tolist() == [2, 3, 3]
