"""Small pieces that stand free: measured in recorded frames, shown whole, and no more than the game has."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import WORLD, small_playable

from rayatari.models.pieces import Pieces
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step

GROUND, WALL, UPPER, LOWER = 7, 1, 2, 3
SEAM = 30
"""The row from which on a ball has another colour."""


def screen(*balls: tuple[int, int]) -> Tensor:
    """Classes (64, 80): a frame of walls, a brick, and balls of 2 by 4 pixels."""
    frame = torch.full((64, 80), GROUND, dtype=torch.uint8)
    frame[:4], frame[:, :4], frame[:, -4:] = WALL, WALL, WALL
    frame[10:16, 20:28] = WALL
    for top, left in balls:
        frame[top : top + 4, left : left + 2] = UPPER
        frame[max(top, SEAM) : max(top + 4, SEAM), left : left + 2] = LOWER
    return frame


def played() -> Tensor:
    return torch.stack([screen((18 + t, 10 + 2 * t % 56)) for t in range(40)] + [screen()] * 10)


def known(most: int = 1) -> Pieces:
    pieces = Pieces(most, 64)
    pieces.measure(played())
    return pieces


def mended(drawn: Tensor, before: Tensor, most: int = 1) -> Tensor:
    return known(most).mend(drawn[None], before[None])[0]


def painted(frame: Tensor, colour: int, *pixels: tuple[int, int]) -> Tensor:
    frame = frame.clone()
    for row, column in pixels:
        frame[row, column] = colour
    return frame


def test_sizes_places_and_colours_are_measured() -> None:
    pieces = known()
    [size] = pieces.sizes
    assert size[:2] == (4, 2) and size[2] < 18 and size[3] > 57
    assert int(pieces.ground) == GROUND
    assert pieces.colours_H[20] == UPPER and pieces.colours_H[40] == LOWER


@pytest.mark.parametrize(
    "frame",
    [screen((20, 30)), screen((28, 30)), screen(), screen((16, 22)), screen((40, 4))],
    ids=["free", "of two colours", "none", "at a brick", "at a wall"],
)
def test_what_the_game_shows_is_left_alone(frame: Tensor) -> None:
    assert torch.equal(mended(frame, screen((22, 32))), frame)


def test_frames_that_need_no_mending_are_told_from_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = screen((20, 30))
    crumb, off_colour = painted(whole, UPPER, (50, 60)), painted(whole, LOWER, (20, 30))
    torn, two = painted(whole, GROUND, (20, 30)), screen((20, 30), (50, 60))
    drawn = torch.stack([whole, screen(), crumb, off_colour, torn, two])
    before = screen((18, 28)).expand_as(drawn)
    alone = torch.cat([known().mend(drawn[i : i + 1], before[i : i + 1]) for i in range(len(drawn))])
    monkeypatch.setattr("rayatari.models.pieces.follows_data", lambda _: False)
    assert torch.equal(alone, known().mend(drawn, before))
    assert not torch.equal(alone[3:5], drawn[3:5])


def test_crumbs_go() -> None:
    drawn = painted(screen((20, 30)), UPPER, (50, 60), (22, 34), (23, 34))
    assert torch.equal(mended(drawn, screen((18, 28))), screen((20, 30)))
    assert torch.equal(mended(painted(screen(), UPPER, (50, 60)), screen()), screen())


@pytest.mark.parametrize("top", [20, 28])
def test_what_lacks_a_part_is_shown_whole_in_the_colours_of_its_rows(top: int) -> None:
    drawn = painted(screen((top, 30)), GROUND, (top, 30), (top + 3, 31), (top + 2, 30))
    assert torch.equal(mended(drawn, screen((top - 2, 28))), screen((top, 30)))


def test_of_two_the_one_near_to_where_it_was_stays_unless_there_may_be_two() -> None:
    drawn = screen((20, 30), (24, 50))
    for before, shown in ((22, 52), (24, 50)), ((18, 28), (20, 30)):
        assert torch.equal(mended(drawn, screen(before)), screen(shown))
        assert torch.equal(mended(drawn, screen(before), most=2), drawn)


def test_the_more_complete_of_two_stays() -> None:
    drawn = painted(screen((20, 30), (40, 50)), GROUND, (20, 30), (20, 31), (21, 30))
    assert torch.equal(mended(drawn, screen()), screen((40, 50)))


def test_games_of_a_batch_are_mended_each_for_itself_and_saved_pieces_are_those_measured() -> None:
    pieces, again = known(), Pieces(1, 64)
    again.load_state_dict(pieces.state_dict())
    drawn = torch.stack([screen((20, 30)), painted(screen((40, 50)), GROUND, (41, 50)), screen()])
    before = torch.stack([screen((18, 28)), screen(), screen((20, 30))])
    for found in (pieces, again):
        assert torch.equal(found.mend(drawn, before), torch.stack([drawn[0], screen((40, 50)), drawn[2]]))
    assert torch.equal(Pieces(1, 64).mend(drawn, before), drawn)


def with_pieces() -> PlayableWorld:
    return small_playable(world=replace(WORLD, model=replace(WORLD.model, pieces=1))).eval()


def test_a_game_shows_its_pieces_whole() -> None:
    model = with_pieces()
    assert model.pieces is not None
    frames = torch.zeros(20, 224, 160, dtype=torch.uint8)
    for t in range(20):
        frames[t, 90 + 2 * t : 94 + 2 * t, 40 + 3 * t : 42 + 3 * t] = 1
    model.pieces.measure(frames)
    past = frames[7:8, None].repeat(1, 4, 1, 1)
    past[..., 105, 61] = 0
    actions = torch.zeros(1, model.earlier + 1, dtype=torch.long)
    shown = sample_step(model, past, actions).frames_BHW
    pieces, model.pieces = model.pieces, None
    drawn = sample_step(model, past, actions).frames_BHW  # an untrained world nearly repeats what it sees
    assert torch.equal(shown, pieces.mend(drawn, past[:, -1]))
    assert (shown != drawn).any()
