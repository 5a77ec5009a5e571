"""A piece keeps to the courses of recorded play, and turns where and as it did there."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from rayatari.models import turns
from rayatari.models.courses import Courses
from rayatari.models.measured import RecordedPlay
from rayatari.models.packed import pack
from rayatari.models.pieces import Pieces
from rayatari.models.presence import Presence
from rayatari.models.turns import AHEAD, HIDDEN, UNKNOWN, Turns, moments

SHAPE, SIZE = (64, 80), (4, 2)
GROUND, WALL, BALL = 7, 1, 2
TOP, BOTTOM, LEFT, RIGHT = 8, 48, 6, 70
"""Where a ball turns, by its first pixel: at walls above and aside, and on a bar that comes and goes."""


def flight(row: int, column: int, down: int, right: int, steps: int, bar: Iterator[bool]) -> list[list[int]]:
    """Rows and columns of a ball; one that meets no bar flies on and is gone below the frame."""
    places = []
    for _ in range(steps):
        places.append([row, column])
        row, column = row + down, column + right
        if row <= TOP or (row == BOTTOM and next(bar)):
            down = -down
        if column <= LEFT or column >= RIGHT:
            right = -right
    return [place for place in places if place[0] < 60]


def always(value: bool) -> Iterator[bool]:
    while True:
        yield value


def flights(steps: int = 400) -> Tensor:
    """Three places on end of a ball that is thrown back below at every other time, int64 (N, 2, 3)."""
    found = []
    for start in range(8):
        bar = iter([True, False] * 200) if start % 2 else iter([True, True, False] * 200)
        places = torch.tensor(flight(20, 10 + 4 * start, 4, 2, steps, bar))
        found.append(places.unfold(0, 3, 1))
    return torch.cat(found)


def known_courses() -> Courses:
    courses = Courses(SHAPE)
    courses.measure(flights())
    return courses


def ahead(courses: Courses, place: tuple[int, int], came: tuple[int, int]) -> tuple[list[int], list[bool]]:
    went, known = courses.ahead(torch.tensor([place]), torch.tensor([came]))
    return went[0].tolist(), known[0].tolist()


def test_a_piece_flies_straight_on_and_turns_at_walls() -> None:
    courses = known_courses()
    assert ahead(courses, (28, 30), (4, 2)) == ([32, 32], [True, True])
    assert ahead(courses, (TOP, 30), (-4, 2)) == ([TOP + 4, 32], [True, True])
    assert ahead(courses, (28, RIGHT), (4, 2)) == ([32, RIGHT - 2], [True, True])


def test_there_is_no_course_where_what_a_piece_meets_decides() -> None:
    courses = known_courses()
    assert not any(ahead(courses, (BOTTOM, 30), (4, 2))[1])
    assert not any(ahead(courses, (28, 30), (5, 2))[1]), "it never flew so fast"
    assert not any(ahead(courses, (28, 30), (40, 2))[1])


def test_one_axis_leads_and_the_other_is_counted_where_it_is_sure() -> None:
    """A paddle throws a ball back to either side: columns are blurred there, and rows as well."""
    straight = torch.tensor([[[20, 24, 28], [30, 32, 34]]]).repeat(200, 1, 1)
    thrown = torch.tensor([[[44, 48, 44 if n % 2 else 52], [30, 32, 34 - 4 * (n % 2)]] for n in range(50)])
    courses = Courses(SHAPE)
    courses.measure(torch.cat([straight, thrown]))
    assert courses.leader == 0
    assert ahead(courses, (24, 32), (4, 2)) == ([28, 34], [True, True])
    assert not any(ahead(courses, (48, 32), (4, 2))[1])


def told(place: list[int], before: list[int], first: list[int], taken: Tensor, waited: int = 0) -> list[int]:
    return moments(torch.tensor([waited]), torch.tensor([[place, before, first]]), taken[None], SIZE)[
        0
    ].tolist()


def test_a_moment_tells_when_and_where_along_a_thing_a_piece_meets_it() -> None:
    taken = torch.zeros(SHAPE, dtype=torch.bool)
    taken[44:48, 30:46] = True
    place, before, first = [36, 35], [32, 33], [28, 31]
    assert told(place, before, first, taken) == [36, 35, 4, 2, 4, 2, 10, -8, 5, 0]
    assert told(place, before, [-1, -1], taken)[4:6] == [UNKNOWN, UNKNOWN]
    assert told([10, 35], [14, 33], first, taken, 2)[6:] == [AHEAD + 1, UNKNOWN, UNKNOWN, 2]
    taken[:, :46] = True
    assert told([36, 46], [32, 48], first, taken)[6:9] == [3, UNKNOWN, UNKNOWN], "it begins far away"


def thrown_back(count: int = 2000) -> tuple[Tensor, Tensor]:
    """Moments in which a ball falls on a bar, along which it is thrown back to either side, or beside it."""
    generator = torch.Generator().manual_seed(1)
    column_N = torch.randint(20, 60, (count,), generator=generator)
    along_N = torch.randint(0, 16, (count,), generator=generator)
    beside_N = torch.rand(count, generator=generator) < 0.2
    moment_NF = torch.zeros(count, 10, dtype=torch.long)
    moment_NF[:, 0], moment_NF[:, 1], moment_NF[:, 2], moment_NF[:, 4] = 40, column_N, 4, 4
    moment_NF[:, 6] = torch.where(beside_N, AHEAD + 1, 3)
    moment_NF[:, 8] = torch.where(beside_N, UNKNOWN, along_N)
    move_N2 = torch.stack([torch.full_like(along_N, -4), (along_N // 4) * 2 - 3], 1)
    return moment_NF, move_N2.masked_fill(beside_N[:, None], HIDDEN)


def test_turns_are_told_from_the_numbers_that_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STEPS", 400)
    torch.manual_seed(0)
    net, (moment_NF, move_N2) = Turns(16), thrown_back()
    net.learn(moment_NF[:1500], move_N2[:1500], torch.zeros(1500, dtype=torch.bool))
    moves, seen = net.tell(moment_NF[1500:])
    assert (moves == move_N2[1500:]).all(1).float().mean() > 0.98
    assert torch.equal(seen, moves[:, 0] != HIDDEN)
    assert not any(weight.requires_grad for weight in net.parameters()), "the game's training leaves it alone"
    again = Turns(16)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.tell(moment_NF)[0], net.tell(moment_NF)[0])


def test_whole_numbers_are_told_in_single_precision_where_others_are_packed() -> None:
    model = nn.ModuleDict({"turns": Turns(16), "other": nn.Linear(4, 4)})
    pack(model)
    assert all(weight.dtype == torch.float32 for weight in model["turns"].parameters())


def screen(ball: list[int] | None, bar: bool) -> Tensor:
    frame = torch.full(SHAPE, GROUND, dtype=torch.uint8)
    frame[:4], frame[:, :2], frame[:, 78:] = WALL, WALL, WALL
    if bar:
        frame[54:58, 2:78] = WALL
    if ball:
        frame[ball[0] : ball[0] + 4, ball[1] : ball[1] + 2] = BALL
    return frame


@pytest.fixture(scope="module")
def game() -> tuple[Presence, Pieces]:
    """A ball between walls, thrown back by a bar below in half of the recordings, which lacks in others."""
    plays = []
    for start in range(24):
        bar = start % 2 == 0
        places = flight(20, 10 + 2 * (start % 20), 4, 2, 60, always(bar))
        none = [screen(None, bar)] * 5
        frames = torch.stack(none + [screen(place, bar) for place in places] + none)
        still = torch.zeros(len(frames), dtype=torch.long)
        plays.append(RecordedPlay(frames, still[1:], still, still[1:], begins=True))
    pieces = Pieces(1, SHAPE[0])
    pieces.measure(torch.cat([play.frames_THW for play in plays]))
    presence = Presence(2, 4, SHAPE, turns=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "STEPS", 600)
        torch.manual_seed(0)
        presence.measure(plays, 0, pieces, None)
    return presence, pieces


def shown(game: tuple[Presence, Pieces], drawn: Tensor, *places: list[int]) -> Tensor:
    """What is shown of a drawn frame after a ball was in these places, the newest first."""
    presence, pieces = game
    (newest, *older), bare = places, torch.full((1, *SHAPE), -5.0)
    memory = [0, *newest, -1, -1, 0, *[number for place in older for number in place]]
    turn = presence.decide(
        drawn[None], torch.tensor([0]), torch.tensor([memory]), torch.tensor([0]), torch.tensor([0.5]),
        lambda: bare, lambda open_BHW: open_BHW != GROUND, pieces,
    )  # fmt: skip
    return turn.frames_BHW[0]


def test_a_ball_that_is_drawn_beside_its_course_or_not_at_all_is_put_on_it(
    game: tuple[Presence, Pieces],
) -> None:
    before = [[28, 30], [24, 28], [20, 26]]
    for drawn in (screen([31, 35], False), screen(None, False), screen([32, 32], False)):
        assert torch.equal(shown(game, drawn, *before), screen([32, 32], False))


def test_a_ball_turns_as_recorded_by_what_is_there(game: tuple[Presence, Pieces]) -> None:
    before = [[BOTTOM, 40], [BOTTOM - 4, 38], [BOTTOM - 8, 36]]
    for bar, goes_on in ((True, [BOTTOM - 4, 42]), (False, [BOTTOM + 4, 42])):
        assert torch.equal(shown(game, screen([46, 48], bar), *before), screen(goes_on, bar))
