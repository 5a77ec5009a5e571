"""Small things that fly: found by their motion, carried on as a whole, and where they go learned."""

import pytest
import torch
from torch import Tensor, nn

from rayatari.models import motion
from rayatari.models import mover as mover_module
from rayatari.models.motion import number_of, way_of
from rayatari.models.mover import Mover, Outlook
from rayatari.models.things import (
    GONE,
    UNCLEAR,
    Arrival,
    Things,
    carry_on,
    find_things,
    keep_flying,
    true_arrival,
    turning,
)

GROUND, WALL, BALL, BAND = 0, 1, 2, 3


def screen(*blocks: tuple[int, int, int, int, int]) -> Tensor:
    """A frame, classes (1, 96, 96), of blocks (row, column, height, width, class) on the ground."""
    frame = torch.full((1, 96, 96), GROUND, dtype=torch.uint8)
    for row, column, height, width, colour in blocks:
        frame[:, row : row + height, column : column + width] = colour
    return frame


def ball_at(row: int, column: int, colour: int = BALL) -> tuple[int, int, int, int, int]:
    return row, column, 4, 2, colour


def film(*frames: Tensor) -> Tensor:
    """A past of at least three frames, the first repeated if there are fewer."""
    return torch.stack([frames[0]] * (3 - len(frames)) + list(frames), 1)


def move(down: int, right: int) -> int:
    return int(number_of(torch.tensor([down, right])))


def rigid(found: Things, *ways: int) -> Arrival:
    """Things of one past as they are, after these moves."""
    moves = torch.tensor([ways])
    places = found.places_BGX2 + way_of(moves)[:, :, None]
    return Arrival(moves, places, found.held_BGX, found.colours_BGX)


def test_a_ball_is_found_with_all_of_its_pixels_and_the_way_it_came() -> None:
    past = film(*(screen((0, 0, 96, 4, WALL), ball_at(20 + 5 * t, 60 - 3 * t)) for t in range(3)))
    found = find_things(past, 2)
    assert found.there.tolist() == [[True, False]]
    assert found.held_BGX.sum(-1).tolist() == [[8, 0]]
    assert found.corners[0, 0].tolist() == [30, 54]
    assert found.moves_BG22[0, 0].tolist() == [[5, -3], [5, -3]]
    assert found.colours_BGX[found.held_BGX].unique().tolist() == [BALL]
    assert found.covered_BGX[found.held_BGX].unique().tolist() == [GROUND]


@pytest.mark.parametrize("way", [(5, -3), (-5, -3), (5, 3), (2, 3), (-13, 8)])
def test_carried_by_its_true_move_a_ball_is_the_next_frame(way: tuple[int, int]) -> None:
    past = film(*(screen(ball_at(40 + 5 * t, 60 - 3 * t)) for t in range(3)))
    following = screen(ball_at(50 + way[0], 54 + way[1]))
    found = find_things(past, 2)
    truth = true_arrival(found, past, following)
    assert truth.moves_BG.tolist() == [[move(*way), UNCLEAR]]
    assert torch.equal(carry_on(past[:, -1], found, truth).frame_BHW, following)


@pytest.mark.parametrize(
    ("following", "turns"),
    [(ball_at(55, 51), False), (ball_at(54, 52), False), (ball_at(45, 51), True), (None, True)],
)
def test_a_ball_turns_where_it_goes_elsewhere_by_more_than_a_pixel_or_vanishes(
    following: tuple[int, int, int, int, int] | None, turns: bool
) -> None:
    past = film(*(screen(ball_at(40 + 5 * t, 60 - 3 * t)) for t in range(3)))
    found = find_things(past, 2)
    truth = true_arrival(found, past, screen(following) if following else screen())
    assert turning(found, truth.moves_BG).tolist() == [[turns, False]]


def test_what_a_ball_covers_comes_back_when_it_leaves() -> None:
    bricks = (48, 0, 6, 96, BAND)
    past = film(screen(bricks, ball_at(41, 40)), screen(bricks, ball_at(45, 43)))
    following = screen(bricks, ball_at(49, 46))
    found = find_things(past, 1)
    carried = carry_on(past[:, -1], found, rigid(found, move(4, 3))).frame_BHW
    assert torch.equal(carried, following)


def test_a_ball_that_takes_the_colour_of_where_it_is_is_still_one() -> None:
    """Breakout's ball has the colour of the bricks in whose rows it flies."""
    past = film(screen(ball_at(30, 40)), screen(ball_at(36, 44, BAND)))
    following = screen(ball_at(42, 48))
    found = find_things(past, 1)
    assert found.moves_BG22[0, 0, 0].tolist() == [6, 4]
    assert true_arrival(found, past, following).moves_BG.tolist() == [[move(6, 4)]]


def test_a_ball_that_comes_out_of_its_own_colour_is_found_whole() -> None:
    bricks = (30, 0, 6, 96, BALL)
    past = film(screen(bricks, ball_at(34, 40)), screen(bricks, ball_at(40, 44)))
    found = find_things(past, 1)
    assert found.held_BGX.sum().item() == 8, "only four of its pixels could be seen before"
    assert found.corners[0, 0].tolist() == [40, 44]


def test_of_more_things_than_may_fly_those_stay_that_are_known_longest() -> None:
    old, new = ((20 + 4 * t, 30 + 3 * t) for t in range(3)), (70, 60)
    past = film(*(screen(ball_at(*place)) for place in old))
    past[:, 1] = screen(ball_at(24, 33), ball_at(64, 55))
    past[:, 2] = screen(ball_at(28, 36), ball_at(*new))
    found = find_things(past, 3)
    assert {tuple(corner) for corner in found.corners[0, :2].tolist()} == {(28, 36), new}
    moves = number_of(found.moves_BG22[:, :, 0])
    kept = keep_flying(found, moves, 1)
    assert torch.equal(keep_flying(found, moves, 2)[found.there], moves[found.there])
    assert torch.equal(
        carry_on(past[:, -1], found, rigid(found, *kept[0])).frame_BHW, screen(ball_at(32, 39))
    )
    gone_first = torch.where(found.corners[..., 0] == 28, GONE, moves)
    assert torch.equal(keep_flying(found, gone_first, 1)[found.there], gone_first[found.there])


def test_two_things_go_their_own_ways_and_a_paddle_is_none() -> None:
    past = film(
        *(
            screen(ball_at(20 + 4 * t, 30 + 3 * t), ball_at(60 - 4 * t, 80), (88, 20 + 5 * t, 4, 16, WALL))
            for t in range(3)
        )
    )
    following = screen(ball_at(32, 39), ball_at(48, 80), (88, 30, 4, 16, WALL))
    found = find_things(past, 3)
    corners, ways = found.corners[0].tolist(), found.moves_BG22[0, :, 0].tolist()
    places = {tuple(corner): tuple(way) for corner, way in zip(corners, ways, strict=True)}
    assert places[28, 36] == (4, 3) and places[52, 80] == (-4, 0)
    assert found.held_BGX.sum(-1).max() <= motion.LARGEST
    truth = true_arrival(found, past, following)
    assert torch.equal(carry_on(past[:, -1], found, truth).frame_BHW, following)


def test_a_ball_that_is_not_drawn_for_one_frame_comes_back_where_it_is() -> None:
    """As where it hits a wall."""
    wall = (0, 0, 96, 4, WALL)
    past = film(screen(wall, ball_at(50, 20)), screen(wall, ball_at(44, 12)), screen(wall))
    following = screen(wall, ball_at(32, 8))
    found = find_things(past, 2)
    assert found.there.tolist() == [[True, False]] and found.hidden_BG.tolist() == [[True, False]]
    assert found.corners[0, 0].tolist() == [44, 12]
    assert found.moves_BG22[0, 0].tolist() == [[-6, -8], [0, 0]]
    truth = true_arrival(found, past, following)
    assert truth.moves_BG.tolist() == [[move(-12, -4), UNCLEAR]]
    assert torch.equal(carry_on(past[:, -1], found, truth).frame_BHW, following)
    assert true_arrival(found, past, screen(wall)).moves_BG.tolist() == [[GONE, UNCLEAR]]
    assert torch.equal(carry_on(past[:, -1], found, rigid(found, GONE, GONE)).frame_BHW, screen(wall))


def test_a_ball_that_is_seen_is_not_hidden_too() -> None:
    """Neither where it bounced in the last step nor where another one vanished."""
    past = film(screen(ball_at(40, 40)), screen(ball_at(46, 44)), screen(ball_at(42, 48)))
    found = find_things(past, 2)
    assert found.there.tolist() == [[True, False]] and not found.hidden_BG.any()
    past = film(
        *(screen(ball_at(20, 30 + 3 * t), ball_at(60, 40 + 5 * t)) for t in range(2)), screen(ball_at(20, 36))
    )
    found = find_things(past, 2)
    assert found.hidden_BG.tolist() == [[False, True]]
    assert found.corners[0].tolist() == [[20, 36], [60, 45]]


def test_the_ends_of_a_paddle_that_is_pushed_are_no_thing() -> None:
    past = film(*(screen((88, 20 + 3 * t, 4, 16, WALL)) for t in range(3)))
    assert not find_things(past, 3).there.any()


def test_a_thing_that_is_lost_leaves_the_ground() -> None:
    past, empty = film(screen(ball_at(80, 40)), screen(ball_at(85, 44))), screen()
    found = find_things(past, 1)
    assert true_arrival(found, past, empty).moves_BG.tolist() == [[GONE]]
    assert torch.equal(carry_on(past[:, -1], found, rigid(found, GONE)).frame_BHW, empty)


def test_a_thing_that_rests_and_one_of_which_nothing_is_known_stay() -> None:
    past = film(screen(ball_at(30, 40)), screen(ball_at(35, 44)))
    found = find_things(past, 1)
    assert true_arrival(found, past, past[:, -1]).moves_BG.tolist() == [[move(0, 0)]]
    for still in (move(0, 0), UNCLEAR):
        assert torch.equal(carry_on(past[:, -1], found, rigid(found, still)).frame_BHW, past[:, -1])


def test_a_thing_flies_out_of_the_picture() -> None:
    past = film(screen(ball_at(84, 90)), screen(ball_at(88, 92)))
    found = find_things(past, 1)
    carried = carry_on(past[:, -1], found, rigid(found, move(6, 3))).frame_BHW
    assert torch.equal(carried, screen(ball_at(94, 95)))


def test_nothing_is_found_where_nothing_moves() -> None:
    past = film(screen(ball_at(30, 40)), screen(ball_at(30, 40)))
    found = find_things(past, 2)
    assert not found.there.any()
    assert torch.equal(carry_on(past[:, -1], found, rigid(found, 0, 0)).frame_BHW, past[:, -1])


def random_films() -> Tensor:
    """Frames (4, 3, 96, 96) in which blocks of many sizes move, turn up and vanish."""
    generator = torch.Generator().manual_seed(3)

    def random(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    films = []
    for _ in range(4):
        blocks = [[random(0, 90), random(0, 90), random(1, 9), random(1, 9), random(1, 4)] for _ in range(8)]
        frames = []
        for _ in range(3):
            frames.append(screen(*((row, column, high, wide, c) for row, column, high, wide, c in blocks)))
            for block in blocks:
                block[0], block[1] = (block[0] + random(-5, 6)) % 90, (block[1] + random(-5, 6)) % 90
        films.append(film(*frames))
    return torch.cat(films)


def test_things_are_found_alike_in_static_and_in_free_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    past, mover = random_films(), mover_that_differs()
    actions = torch.tensor([[0], [1], [2], [3]])

    def all_of_it() -> tuple[Tensor, Tensor, Tensor]:
        found = find_things(past, 3)
        outlook = mover(past, found, actions)
        frame = carry_on(past[:, -1], found, mover.arrive(past[:, -1], found, outlook)).frame_BHW
        return found.moves_BG22, outlook.scores_BGK.masked_fill(~found.there[..., None], 0), frame

    free = all_of_it()
    for module in (motion, mover_module):
        monkeypatch.setattr(module, "follows_data", lambda values: False)
    static = all_of_it()
    assert torch.equal(free[0], static[0]) and torch.equal(free[2], static[2])
    torch.testing.assert_close(free[1], static[1], atol=1e-5, rtol=1e-4)
    assert (free[2] != past[:, -1]).any(), "something was carried on"


def test_a_game_does_not_depend_on_those_it_shares_a_batch_with() -> None:
    past = random_films()
    together = find_things(past, 3)
    for row in range(len(past)):
        alone = find_things(past[row : row + 1], 3)
        assert torch.equal(alone.moves_BG22[0], together.moves_BG22[row])
        assert torch.equal(alone.held_BGX[0].sum(-1), together.held_BGX[row].sum(-1))


def mover_that_differs() -> Mover:
    """An untrained mover whose scores are not all alike."""
    torch.manual_seed(0)
    mover = Mover(4, 96, 4, 0)
    for layer in (*mover.tables, mover.gone, mover.mask):
        nn.init.normal_(layer.weight, std=0.05)
    return mover


def test_an_untrained_mover_has_all_things_go_on() -> None:
    past, mover = random_films(), Mover(4, 96, 4, 0)
    found = find_things(past, 2)
    outlook = mover(past, found, torch.zeros(4, 1, dtype=torch.long))
    assert torch.equal(outlook.likeliest[found.there], number_of(found.moves_BG22[:, :, 0])[found.there])


def test_an_untrained_mover_leaves_things_as_they_are() -> None:
    past, mover = film(*(screen(ball_at(20 + 5 * t, 60 - 3 * t)) for t in range(3))), Mover(4, 96, 4, 0)
    found = find_things(past, 2)
    arrival = mover.arrive(past[:, -1], found, mover(past, found, torch.zeros(1, 1, dtype=torch.long)))
    assert torch.equal(carry_on(past[:, -1], found, arrival).frame_BHW, screen(ball_at(35, 51)))


def test_a_thing_is_gone_only_if_that_is_likelier_than_all_of_its_moves_together() -> None:
    shares = torch.full((2, 1, motion.MOVES + 1), 1e-6)
    shares[0, 0, [3, 40, 77, GONE]] = torch.tensor([0.2, 0.25, 0.15, 0.4])
    shares[1, 0, [3, 40, GONE]] = torch.tensor([0.2, 0.2, 0.6])
    assert Outlook(shares.log(), torch.zeros(2, 1, 1)).likeliest.tolist() == [[40], [GONE]]


def test_a_mover_learns_to_go_on_and_to_bounce() -> None:
    """From balls at a few speeds, with a wall to their right, to other speeds and places."""
    generator = torch.Generator().manual_seed(0)

    def batch(speeds: tuple[int, ...], size: int) -> tuple[Tensor, Tensor]:
        pasts, nexts = [], []
        for _ in range(size):
            down = int(torch.randint(-6, 7, (), generator=generator))
            speed = speeds[int(torch.randint(len(speeds), (), generator=generator))]
            row, column = 40 + down, int(torch.randint(20, 80, (), generator=generator))
            places = [column]
            way = speed
            for _ in range(3):
                if places[-1] + way > 86:
                    way = -way
                places.append(places[-1] + way)
            frames = [screen((0, 90, 96, 6, WALL), ball_at(row + 5 * t, x)) for t, x in enumerate(places)]
            pasts.append(film(*frames[:3]))
            nexts.append(frames[3])
        return torch.cat(pasts), torch.cat(nexts)

    torch.manual_seed(0)
    mover = Mover(4, 96, 4, 0)
    optimizer = torch.optim.Adam(mover.parameters(), lr=2e-3)

    def look(speeds: tuple[int, ...], size: int) -> tuple[Tensor, Tensor]:
        past, following = batch(speeds, size)
        found = find_things(past, 1)
        outlook = mover(past, found, torch.zeros(size, 1, dtype=torch.long))
        truth = true_arrival(found, past, following)
        clear = truth.moves_BG != UNCLEAR
        right = (outlook.likeliest == truth.moves_BG)[clear].float().mean()
        return mover.loss(outlook, found, truth, past[:, -1], following), right

    for _ in range(40):
        optimizer.zero_grad()
        look((3, 7), 8)[0].backward()
        optimizer.step()
    with torch.no_grad():
        assert look((3, 7), 64)[1] > 0.9
        assert look((4, 6), 64)[1] > 0.6, "what is learned of going on holds for all speeds"


def test_a_mover_learns_the_colours_of_the_rows_that_things_fly_through() -> None:
    past, still = film(screen(ball_at(30, 40)), screen(ball_at(36, 44))), torch.zeros(1, 1, dtype=torch.long)
    found, mover = find_things(past, 1), Mover(4, 96, 4, 0)
    cases = [((6, 4), screen(ball_at(42, 48, BAND))), ((16, 0), screen(ball_at(52, 44)))]

    def drawn(way: tuple[int, int]) -> Tensor:
        outlook = mover(past, found, still)
        arrival = mover.arrive(past[:, -1], found, outlook, torch.tensor([[move(*way)]]))
        return carry_on(past[:, -1], found, arrival).frame_BHW

    assert torch.equal(drawn((6, 4)), screen(ball_at(42, 48))), "untrained it keeps its own"
    optimizer = torch.optim.Adam([mover.shades_HP, mover.own_PP], lr=0.02)
    for _ in range(10):
        optimizer.zero_grad()
        for _, following in cases:
            truth = true_arrival(found, past, following)
            mover.loss(mover(past, found, still), found, truth, past[:, -1], following).backward()
        optimizer.step()
    assert all(torch.equal(drawn(way), following) for way, following in cases)


def test_a_mover_learns_that_half_hidden_things_come_out_whole_and_go_behind_others() -> None:
    """A bar of another colour hides half of the ball in the fourth frame, and nothing in the fifth."""
    bar, mover = (53, 0, 4, 96, BAND), Mover(4, 96, 4, 0)
    frames = [screen(ball_at(row, 40), bar) for row in (33, 39, 45, 51, 57)]
    still = torch.zeros(1, 1, dtype=torch.long)

    def told(t: int) -> tuple[Tensor, Tensor]:
        """What the mover makes of frame ``t``, told the true move, and its loss."""
        past = film(*frames[t - 2 : t + 1])
        found = find_things(past, 1)
        truth = true_arrival(found, past, frames[t + 1])
        outlook = mover(past, found, still)
        arrival = mover.arrive(past[:, -1], found, outlook, truth.moves_BG)
        drawn = carry_on(past[:, -1], found, arrival).frame_BHW
        return drawn, mover.loss(outlook, found, truth, past[:, -1], frames[t + 1])

    optimizer = torch.optim.Adam(mover.parameters(), lr=2e-3)
    for _ in range(60):
        for t in (2, 3):
            optimizer.zero_grad()
            told(t)[1].backward()
            optimizer.step()
    for t in (2, 3):
        assert torch.equal(told(t)[0], frames[t + 1])
