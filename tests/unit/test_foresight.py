"""Where a piece goes and which tile goes is foretold from numbers, and it is drawn where it was foretold."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import TELLING, WORLD, small_playable

import rayatari.training.foresight as training
from rayatari.config.load import load_config
from rayatari.config.world import ForesightConfig
from rayatari.errors import UserError
from rayatari.models.bodies import Bodies
from rayatari.models.flights import Flights, Watcher
from rayatari.models.foresight import HIDDEN, PLACES, Foresight, slides, turned_at_body
from rayatari.models.measured import RecordedPlay
from rayatari.models.packed import pack
from rayatari.models.pieces import Pieces
from rayatari.models.playable import PlayableWorld
from rayatari.models.presence import MEMORY
from rayatari.models.sampling import sample_step
from rayatari.models.tiles import Tiles
from rayatari.training.foresight import Pupil, wrong_shares

GROUND, WALL, BALL, BRICK, PADDLE = 0, 1, 2, 3, 4
SHAPE = (64, 80)
COLUMNS = (16, 32, 48)
LIGHT = ForesightConfig(steps=500, batch=64, lr=5e-3)


def screen(ball: tuple[int, int] | None, bricks: tuple[int, ...] = (), paddle: int = 30) -> Tensor:
    """Classes (64, 80): a wall above and on the left, bricks below it, a ball of 4 by 2 and a paddle."""
    frame = torch.full(SHAPE, GROUND, dtype=torch.uint8)
    frame[:4], frame[:, :2] = WALL, WALL
    for column in bricks:
        frame[10:14, column : column + 8] = BRICK
    frame[60:62, paddle : paddle + 12] = PADDLE
    if ball:
        row, column = ball
        frame[row : row + 4, column : column + 2].masked_fill_(
            frame[row : row + 4, column : column + 2] == GROUND, BALL
        )
    return frame


def played(games: int = 3) -> Iterator[RecordedPlay]:
    """A ball goes up and down in one column after the other, off bricks, of which each goes as it is hit, off
    the wall, and off the paddle.
    """
    for game in range(games):
        bricks, frames = list(COLUMNS), []
        for flight in range(9):
            column = COLUMNS[(flight + game) % 3] + 2 * (flight % 3)
            above = 14 if COLUMNS[(flight + game) % 3] in bricks else 4
            for row in (*range(52, above, -4), above):
                frames.append(screen((row, column), tuple(bricks), column))
            bricks = [each for each in bricks if each != COLUMNS[(flight + game) % 3]]
            for row in range(above + 4, 53, 4):
                frames.append(screen((row, column), tuple(bricks), column))
        steps = torch.zeros(len(frames) - 1, dtype=torch.long)
        yield RecordedPlay(
            torch.stack(frames), steps, torch.zeros(len(frames)).long(), steps, True, game=game
        )


def in_parts(play: RecordedPlay, frames: int = 20, repeated: int = 5) -> Iterator[RecordedPlay]:
    for first in range(0, len(play.actions_T), frames):
        own = slice(max(0, first - repeated), first + frames + 1)
        steps = slice(own.start, own.stop - 1)
        yield RecordedPlay(
            play.frames_THW[own], play.rewards_T[steps], play.lives_T[own], play.actions_T[steps],
            first == 0, game=play.game, first=own.start, repeated=first - own.start,
        )  # fmt: skip


@pytest.fixture(scope="module")
def watcher() -> Watcher:
    frames = torch.cat([play.frames_THW for play in played()])
    pieces, bodies, tiles = Pieces(1, SHAPE[0]), Bodies(2), Tiles(4, SHAPE[1])
    tiles.facts_N5[:3] = torch.tensor([[10, 14, column, column + 8, BRICK] for column in COLUMNS])
    tiles._read()
    pieces.measure(tiles.lift(frames))
    bodies.masks_KSS[0, :2, :12] = 1
    bodies.facts_K6[0] = torch.tensor([PADDLE, GROUND, 60, 62, 2, 80])
    bodies._read()
    found = Watcher(Foresight(32, 2, 4, SHAPE), pieces, bodies, tiles, 4)
    found.learn_screen(frames)
    return found


@pytest.fixture(scope="module")
def flights(watcher: Watcher) -> Flights:
    return watcher.watch(part for play in played() for part in in_parts(play))


def test_a_piece_is_seen_beside_a_wall_and_where_a_paddle_hides_half_of_it(watcher: Watcher) -> None:
    places = [(30, 40), (4, 40), (58, 34), None]
    frames = torch.stack([screen(place) for place in places])
    found = watcher.foresight.spot(frames, watcher.pieces)
    assert found.tolist() == [[-1, -1] if place is None else [*place] for place in places]
    two = torch.maximum(screen((30, 40)), screen((40, 10)))
    assert watcher.foresight.spot(two[None], watcher.pieces).tolist() == [[-1, -1]]


def test_where_a_body_begins_along_its_lane_and_how_long_it_is(watcher: Watcher) -> None:
    frames = torch.stack([screen(None, paddle=30), screen(None, paddle=68)])
    frames[1, 60:62] = GROUND
    assert slides(frames, watcher.lanes).tolist() == [[[30, 12, 1], [-1, 0, 0]], [[-1, 0, 1], [-1, 0, 0]]]


@pytest.mark.parametrize(
    ("rows", "hit"),
    [((44, 50, 46), True), ((44, 50, 54), False), ((10, 6, 10), False), ((50, 46, 42), False)],
    ids=["off the paddle", "on its way down", "off the wall above", "on its way up"],
)
def test_a_hit_is_a_turn_away_from_a_body(watcher: Watcher, rows: tuple[int, ...], hit: bool) -> None:
    before = torch.full((1, PLACES, 2), -1)
    before[0, :2] = torch.tensor([[rows[1], 20], [rows[0], 20]])
    assert turned_at_body(torch.tensor([[rows[2], 20]]), before, watcher.lanes).tolist() == [hit]


def test_play_cut_into_overlapping_parts_tells_the_same(watcher: Watcher, flights: Flights) -> None:
    whole = watcher.watch(played())
    for name, value in whole.to_tensors().items():
        assert torch.equal(value, flights.to_tensors()[name]), name
    assert (whole.goes_N < 4).sum() == 9, "three bricks in each of three games"
    assert len(whole.moves_N2) == sum(len(play.actions_T) for play in played()), "games are not joined"


def test_how_a_ball_turns_and_which_brick_goes_is_learned(watcher: Watcher, flights: Flights) -> None:
    pupil = Pupil(watcher.foresight, flights, LIGHT, 0)
    before = wrong_shares(watcher.foresight, flights)
    assert before["turns"] > 0.3
    for _ in range(LIGHT.steps):
        pupil.foresight.requires_grad_(True)
        pupil._train_step()
    after = wrong_shares(watcher.foresight, flights)
    assert after["steps"] < 0.05 and after["tiles"] < 0.1
    watcher.foresight.requires_grad_(False)


def test_a_training_broken_off_goes_on_to_the_same_weights(
    watcher: Watcher, flights: Flights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SNAPSHOTS", 10)
    config, blank = replace(LIGHT, steps=30), watcher.foresight.state_dict()
    blank = {name: value.clone() for name, value in blank.items()}

    def pupil() -> Pupil:
        foresight = Foresight(32, 2, 4, SHAPE)
        foresight.load_state_dict(blank)
        return Pupil(foresight, flights, config, 1)

    through, broken, again = pupil(), pupil(), pupil()
    through.learn(tmp_path / "through")
    steps = iter(range(14))

    def stop_at_14() -> float:
        next(steps, None) is None and (_ for _ in ()).throw(KeyboardInterrupt)
        return Pupil._train_step(broken)

    broken._train_step = stop_at_14  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        broken.learn(tmp_path / "broken")
    again.learn(tmp_path / "broken")
    assert again.step == 30
    for ours, theirs in zip(through.foresight.parameters(), again.foresight.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def foreseeing(move: tuple[int, int], things: int = 0) -> PlayableWorld:
    """A game whose ball always goes on by this, by its foresight."""
    base = TELLING if things else WORLD
    model = small_playable(
        world=replace(base, model=replace(base.model, pieces=1, presence=True, foresight=8))
    ).eval()
    assert model.pieces is not None and model.presence is not None and model.foresight is not None
    frames = torch.zeros(40, 224, 160, dtype=torch.uint8)
    for t in range(30):
        frames[t, 90 + t : 94 + t, 40 + 2 * t : 42 + 2 * t] = 1
    model.pieces.measure(frames)
    nothing = torch.zeros(50, dtype=torch.long)
    play = RecordedPlay(torch.cat([frames, frames[:10]]), nothing[1:], nothing, nothing[1:])
    model.presence.measure([play], 0, model.pieces, None)
    model.foresight.open_HW.fill_(True)
    model.foresight.rows_H.fill_(True)
    model.foresight.columns_W.fill_(True)
    model.foresight.sizes_H2.copy_(torch.tensor([4, 2]))
    model.foresight.known.fill_(2)
    model.foresight.moves_K2[:2] = torch.tensor([move, (1, 0)])
    model.foresight.choice.bias[0] = 100.0
    return model


def past_with_ball() -> Tensor:
    past = torch.zeros(1, 4, 224, 160, dtype=torch.uint8)
    for t in range(4):
        past[0, t, 90 + 2 * t : 94 + 2 * t, 40:42] = 1
    return past


@pytest.mark.parametrize("things", [0, 1])
def test_the_ball_is_drawn_where_it_was_foretold_and_nowhere_else(things: int) -> None:
    model, past, actions = foreseeing((2, 5), things), past_with_ball(), torch.zeros(1, 1, dtype=torch.long)
    memory = model.recall(past)
    assert memory[0, : MEMORY + 5].tolist() == [0, 96, 40, -1, -1, 0, -1, 96, 40, 94, 40]
    for step in range(1, 4):
        foretold = model.foretell(past, actions, memory, None)
        assert foretold is not None and foretold.place_B4.tolist() == [[96 + 2 * step, 40 + 5 * step, 4, 2]]
        if things:
            seen = model.look(past, actions, foretold).last_BhwS
            assert seen.shape[1:3] == (56, 40)
        drawn = sample_step(model, past, actions, memory_BM=memory)
        shown = (drawn.frames_BHW[0] == 1).nonzero()
        assert shown.amin(0).tolist() == [96 + 2 * step, 40 + 5 * step] and len(shown) == 8
        memory = drawn.memory_BM
        past = torch.cat([past[:, 1:], drawn.frames_BHW[:, None]], 1)
    assert memory[0, MEMORY + 1 : MEMORY + 5].tolist() == [102, 55, 100, 50]


def test_a_ball_hides_only_where_balls_did() -> None:
    model, past, actions = foreseeing((HIDDEN, HIDDEN)), past_with_ball(), torch.zeros(1, 1, dtype=torch.long)
    assert model.presence is not None
    model.presence.hides_hw.zero_()
    model.presence.leaves_hw.zero_()
    assert (sample_step(model, past, actions).frames_BHW == 1).sum() == 8
    model.presence.hides_hw.fill_(True)
    model.presence.facts_4[0] = 1
    step = sample_step(model, past, actions)
    assert not (step.frames_BHW == 1).any()
    assert step.memory_BM[0, :3].tolist() == [1, 96, 40]


def test_what_foretells_numbers_keeps_full_precision() -> None:
    model = pack(foreseeing((2, 5)))
    assert model.foresight is not None
    assert {parameter.dtype for parameter in model.foresight.parameters()} == {torch.float32}


def test_it_needs_presence() -> None:
    with pytest.raises(UserError, match="presence=true"):
        load_config([], ["world.model.foresight=8"])
