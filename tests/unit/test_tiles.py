"""Tiles, such as bricks: found in recorded play, there as a whole or not at all."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import WORLD, small_playable

from rayatari.models.measured import RecordedPlay
from rayatari.models.sampling import sample_step
from rayatari.models.tiles import Tiles

GROUND, WALL, UPPER, LOWER, LAMP = 0, 1, 2, 3, 4
BRICKS = [(row, column) for row in range(2) for column in range(5)]
NOTHING, LITTLE, MUCH = 0, 1, 2
PAYS = MUCH, LITTLE
"""The reward of a brick, by row."""
HEIGHT, WIDTH = 4, 8
TOP, LEFT = 10, 20


def box(brick: tuple[int, int]) -> tuple[slice, slice]:
    row, column = brick
    top, left = TOP + HEIGHT * row, LEFT + WIDTH * column
    return slice(top, top + HEIGHT), slice(left, left + WIDTH)


def screen(*gone: tuple[int, int], ball: tuple[int, int] | None = None, lamp: bool = False) -> Tensor:
    """Classes (64, 80): two rows of five bricks without those that have gone, a ball, and a lamp above."""
    frame = torch.full((64, 80), GROUND, dtype=torch.uint8)
    frame[:4] = WALL
    for brick in BRICKS:
        if brick not in gone:
            frame[box(brick)] = UPPER if brick[0] == 0 else LOWER
    if ball:
        frame[ball[0] : ball[0] + 4, ball[1] : ball[1] + 2] = UPPER
    if lamp:
        frame[30:36, 70:76] = LAMP
    return frame


def played() -> Iterator[RecordedPlay]:
    """Four games, in each of which the bricks go in an order of its own, and then a new wall comes."""
    for seed in range(4):
        order = torch.randperm(len(BRICKS), generator=torch.Generator().manual_seed(seed)).tolist()
        frames, rewards = [], []
        for t in range(6 * len(BRICKS)):
            gone = [BRICKS[k] for k in order[: t // 5]] if t < 5 * len(BRICKS) else []
            ball = (8 + t % 40, 4 + (7 * t) % 70) if seed == 0 else None
            frames.append(screen(*gone, ball=ball, lamp=t // 4 % 2 == 0))
            goes = t % 5 == 4 and t < 5 * len(BRICKS) - 1
            rewards.append(PAYS[BRICKS[order[t // 5]][0]] if goes else NOTHING)
        steps = torch.zeros(len(frames), dtype=torch.long)
        yield RecordedPlay(torch.stack(frames), torch.tensor(rewards[:-1]), steps, steps[1:])


def known() -> Tiles:
    tiles = Tiles(16, 80)
    tiles.measure(torch.cat([play.frames_THW for play in played()]), played(), NOTHING)
    return tiles


def mended(drawn: Tensor, before: Tensor) -> Tensor:
    tiles = known()
    there = tiles.standing(drawn[None], before[None]).there_BN
    return tiles.put(tiles.lift(drawn[None]), there)[0]


def test_bricks_are_found_and_what_comes_as_often_as_it_goes_is_not() -> None:
    facts = known().facts_N5[: len(BRICKS) + 1].tolist()
    expected = {
        (rows.start, rows.stop, columns.start, columns.stop, LOWER if brick[0] else UPPER)
        for brick in BRICKS
        for rows, columns in [box(brick)]
    }
    assert {tuple(each) for each in facts if each[1]} == expected


@pytest.mark.parametrize(
    ("drawn", "before"),
    [
        (screen(), screen()),
        (screen((0, 1), ball=(10, 30)), screen((0, 1))),
        (screen((0, 1), (1, 3)), screen((0, 1))),
        (screen(), screen(*BRICKS)),
    ],
    ids=["whole", "a ball where one was", "one goes", "a new wall"],
)
def test_what_the_game_shows_is_left_alone(drawn: Tensor, before: Tensor) -> None:
    assert torch.equal(mended(drawn, before), drawn)


@pytest.mark.parametrize(("left", "gone"), [(5, False), (3, True)], ids=["the most", "less than half"])
def test_what_is_drawn_of_a_brick_decides_whether_it_is_there(left: int, gone: bool) -> None:
    drawn, (rows, columns) = screen(), box((1, 2))
    drawn[rows, columns.start + left : columns.stop] = GROUND
    assert torch.equal(mended(drawn, screen()), screen((1, 2)) if gone else screen())


def test_a_brick_that_has_gone_does_not_come_back_alone() -> None:
    assert torch.equal(mended(screen(), screen((1, 2), (0, 0))), screen((1, 2), (0, 0)))


def test_bricks_go_one_at_a_time_that_of_which_least_is_left() -> None:
    drawn, (rows, columns) = screen((1, 2)), box((0, 4))
    drawn[rows, columns.start + 3 : columns.stop] = GROUND
    assert torch.equal(mended(drawn, screen()), screen((1, 2)))


@pytest.mark.parametrize(
    ("drawn", "reward"), [(screen((1, 2)), LITTLE), (screen((0, 2)), MUCH), (screen(), NOTHING)]
)
def test_a_brick_that_goes_brings_its_reward_and_nothing_else_does(drawn: Tensor, reward: int) -> None:
    tiles = known()
    standing = tiles.standing(drawn[None], screen()[None])
    for head in (NOTHING, LITTLE, MUCH):
        assert tiles.rewards(standing, torch.tensor([head])).tolist() == [reward]


def test_rewards_that_come_without_bricks_are_left_to_the_network() -> None:
    plays = [replace(play, rewards_T=torch.full_like(play.rewards_T, LITTLE)) for play in played()]
    tiles = Tiles(16, 80)
    tiles.measure(torch.cat([play.frames_THW for play in plays]), plays, NOTHING)
    standing = tiles.standing(screen((1, 2))[None], screen()[None])
    assert tiles.rewards(standing, torch.tensor([MUCH])).tolist() == [MUCH]


def test_games_of_a_batch_are_told_apart_and_saved_tiles_are_those_measured() -> None:
    tiles, again = known(), Tiles(16, 80)
    again.load_state_dict(tiles.state_dict())
    drawn, before = torch.stack([screen(), screen((0, 3))]), torch.stack([screen((0, 1)), screen()])
    for found in (tiles, again):
        shown = found.put(found.lift(drawn), found.standing(drawn, before).there_BN)
        assert torch.equal(shown, torch.stack([screen((0, 1)), screen((0, 3))]))
    nothing = Tiles(16, 80)
    assert torch.equal(nothing.put(nothing.lift(drawn), nothing.standing(drawn, before).there_BN), drawn)


def test_a_ball_beside_a_brick_is_a_piece_like_any_other() -> None:
    model = small_playable(world=replace(WORLD, model=replace(WORLD.model, tiles=16, pieces=1))).eval()
    assert model.tiles is not None and model.pieces is not None
    plays = [on_the_games_screen(play) for play in played()]
    model.tiles.measure(torch.cat([play.frames_THW for play in plays]), plays, NOTHING)
    model.pieces.measure(torch.cat([play.frames_THW for play in plays]))
    (whole,) = padded(screen((0, 1), (1, 1), ball=(16, 34))[None])
    torn, (before,) = whole.clone(), padded(screen((0, 1), (1, 1), ball=(20, 34))[None])
    torn[17, 34] = GROUND  # the ball lacks a pixel, and touches the brick to its right
    nothing, memory = torch.zeros(1, dtype=torch.long), model.recall(before[None, None])
    stripped = model.strip(torn[None], before[None])
    shown, _ = model.dress(*stripped, before[None], nothing, nothing, memory)
    assert torch.equal(shown[0], whole)
    pieces, model.tiles = model.pieces, None
    assert torch.equal(pieces.mend(torn[None], before[None])[0], torn)


def test_a_game_shows_its_bricks_whole() -> None:
    model = small_playable(world=replace(WORLD, model=replace(WORLD.model, tiles=16))).eval()
    assert model.tiles is not None
    plays = [on_the_games_screen(play) for play in played()]
    model.tiles.measure(torch.cat([play.frames_THW for play in plays]), plays, NOTHING)
    past = padded(screen((0, 1))[None]).repeat(1, 4, 1, 1).view(1, 4, 224, 160)
    rows, columns = box((1, 2))
    past[..., rows, columns.start : columns.start + 2] = GROUND
    shown = sample_step(model, past, torch.zeros(1, model.earlier + 1, dtype=torch.long)).frames_BHW
    for brick in BRICKS:
        assert len(shown[0][box(brick)].unique()) == 1 or brick == (0, 1)


def padded(frames: Tensor) -> Tensor:
    """The same in the corner of frames of the size that worlds have."""
    return torch.nn.functional.pad(frames, (0, 80, 0, 160))


def on_the_games_screen(play: RecordedPlay) -> RecordedPlay:
    return replace(play, frames_THW=padded(play.frames_THW))
