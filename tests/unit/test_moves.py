"""Frames drawn by moving patches: the displacements found, what is drawn, and what it costs to be wrong."""

import pytest
import torch
from torch import Tensor, nn
from worlds import FLOWING, MOVING, PALETTE, lesson, moving_square, small_playable, small_world

from rayatari.config.load import load_config
from rayatari.config.world import WorldConfig
from rayatari.errors import UserError
from rayatari.models import moves
from rayatari.models.frames import to_patches
from rayatari.models.losses import changed_error, pixel_error
from rayatari.models.moves import Flow, MoveChoice, MovedDrawing, frequent_moves, match
from rayatari.models.packed import pack
from rayatari.models.sampling import sample_step
from rayatari.training.stage import check_world

COLORS = len(PALETTE)
PAINT = 1 + COLORS
OFFSETS = torch.tensor([[0, 4], [0, -4], [3, -2], [-16, 24]])
BALL = torch.tensor([[3, 4], [4, 3]], dtype=torch.uint8)


def ball_at(row: int, column: int) -> Tensor:
    """A frame, classes (1, 224, 160), with a ball of 2x2 pixels of two colours."""
    frame = torch.zeros(1, 224, 160, dtype=torch.uint8)
    frame[:, row : row + 2, column : column + 2] = BALL
    return frame


def drawing(last: Tensor, scores_BhwK: Tensor) -> MovedDrawing:
    choice = MoveChoice(8, COLORS, 4, len(OFFSETS))
    choice.offsets_M2.copy_(OFFSETS)
    torch.manual_seed(0)
    painter = nn.Linear(8, COLORS * 16)
    features = torch.randn(*scores_BhwK.shape[:3], 8)
    return MovedDrawing(
        scores_BhwK, features, to_patches(last[:, None], 4), choice, painter, torch.tensor(6.0)
    )


def scores(chosen: dict[tuple[int, int], int]) -> Tensor:
    """Scores (1, 56, 40, K) by which every patch stays, but for those that choose otherwise."""
    scores_BhwK = torch.zeros(1, 56, 40, PAINT + 1 + len(OFFSETS))
    scores_BhwK[..., 0] = 5.0
    for (row, column), choice in chosen.items():
        scores_BhwK[0, row, column] = 0.0
        scores_BhwK[0, row, column, choice] = 5.0
    return scores_BhwK


def test_a_patch_matches_the_moves_that_lead_to_it() -> None:
    last, following = ball_at(101, 82), ball_at(104, 80)
    found = match(to_patches(last[:, None], 4), to_patches(following[:, None], 4), OFFSETS)
    found = found.view(56, 40, len(OFFSETS))
    assert found[26, 20].tolist() == [False, False, True, False]
    assert found[0, 0].all(), "ground comes from ground, also from beyond the edge"
    rows = torch.tensor([26 * 40 + 20, 0])
    some = match(to_patches(last[:, None], 4), to_patches(following[:, None], 4), OFFSETS, rows)
    assert torch.equal(some, torch.stack([found[26, 20], found[0, 0]]))


def test_a_ball_is_carried_whole_and_leaves_one_colour_behind() -> None:
    """From one patch into the corners of four others."""
    last, following = ball_at(100, 80), ball_at(103, 78)
    into = dict.fromkeys([(25, 19), (26, 19)], PAINT + 1 + 2) | {(25, 20): 1}
    assert torch.equal(drawing(last, scores(into)).frame(), following)


def test_frames_are_drawn_and_judged_alike_in_static_and_in_free_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    last, following = ball_at(101, 82), ball_at(104, 80)
    made = drawing(last, torch.randn(1, 56, 40, PAINT + 1 + len(OFFSETS)))
    weights = 1 + torch.rand(1, 56, 40, 16)
    free = made.frame(), made.loss(to_patches(following[:, None], 4), weights)
    monkeypatch.setattr(moves, "_rows", lambda chosen: None)
    assert torch.equal(made.frame(), free[0]) and len(free[0].unique()) > 2
    torch.testing.assert_close(made.loss(to_patches(following[:, None], 4), weights), free[1])


@torch.no_grad()
def test_the_loss_is_what_the_right_choices_are_worth() -> None:
    last, following = ball_at(100, 80), ball_at(103, 78)
    made = drawing(last, torch.zeros(1, 56, 40, PAINT + 1 + len(OFFSETS)))
    flat = torch.log(torch.tensor(float(PAINT + 1 + len(OFFSETS))))
    weights = torch.zeros(1, 56, 40, 16)
    weights[0, 25, 20, 3] = 2.0  # where the ball leaves the ground behind: one choice of all
    assert float(made.loss(to_patches(following[:, None], 4), weights)) == pytest.approx(
        float(flat), rel=1e-5
    )
    weights[:] = 0
    weights[0, 25, 19, 0] = 1.0  # where it comes: by the move, or painted, which is far less likely
    painted = made._paint(None).detach()[25 * 40 + 19].log_softmax(0)
    right = to_patches(following[:, None], 4)[0, 25, 19].long()
    by_paint = painted.gather(0, right[None])[0].sum() - moves.PAINT_COST
    expected = flat - torch.logsumexp(torch.stack([torch.zeros(()), by_paint]), 0)
    assert float(made.loss(to_patches(following[:, None], 4), weights)) == pytest.approx(
        float(expected), rel=1e-5
    )
    told = drawing(last, scores({(25, 19): PAINT + 3, (26, 19): PAINT + 3, (25, 20): 1}) * 4)
    assert told.loss(to_patches(following[:, None], 4), torch.ones(1, 56, 40, 16)) < 1e-6


def test_frequent_displacements_are_found_with_their_mirror_images() -> None:
    path = [ball_at(60 + 3 * t, 20 + 5 * t) for t in range(12)]
    squares = moving_square(1, 13)[0]
    present = torch.cat([*path[:-1], squares[:-1]])
    following = torch.cat([*path[1:], squares[1:]])
    found = [tuple(move) for move in frequent_moves(present, following, 4, 6).tolist()]
    assert set(found[:2]) == {(0, 4), (0, -4)}
    assert set(found[2:]) == {(3, 5), (3, -5), (-3, 5), (-3, -5)}
    still = frequent_moves(present[:1], present[:1], 4, 3)
    assert still.tolist() == [[0, 0]] * 3


def past_of_three(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Patches (1, 56, 40, 3, 16) of three frames."""
    return to_patches(torch.stack([first, second, third], 1), 4).unflatten(3, (3, 16))


def told_moves() -> Flow:
    """Features that name the move: one channel for each, by ten in the earlier of two steps."""
    flow = Flow(2, len(OFFSETS), len(OFFSETS))
    for layer, size in zip(flow.came, (10.0, 1.0), strict=True):
        layer.weight.data = size * torch.eye(len(OFFSETS))
    return flow


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
def test_the_flow_names_the_move_where_the_ball_came_to_and_where_it_goes(
    static: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if static:
        monkeypatch.setattr(moves, "_rows", lambda chosen: None)
    path = past_of_three(ball_at(101, 80), ball_at(101, 84), ball_at(104, 82))
    features, arriving = told_moves()(path, OFFSETS)
    expected = torch.zeros(1, 56, 40, len(OFFSETS))
    expected[0, 25, 21, 0] = 10.0  # to 101, 84 by the first move
    expected[0, 26, 20, 2] = 1.0  # to 104, 82 by the third
    assert torch.equal(features, expected)
    assert arriving.nonzero().tolist() == [[0, row, 20, 2] for row in (26, 27)]  # at 107, 80


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
def test_what_moves_out_of_the_picture_arrives_nowhere(static: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if static:
        monkeypatch.setattr(moves, "_rows", lambda chosen: None)
    path = past_of_three(ball_at(100, 150), ball_at(100, 152), ball_at(100, 156))
    _, arriving = told_moves()(path, OFFSETS)
    assert not arriving.any()


@torch.no_grad()
def test_moves_that_explain_a_patch_alike_share_the_flow() -> None:
    twice = torch.tensor([[0, 4], [0, -4], [3, -2], [0, 4]])
    path = past_of_three(ball_at(101, 81), ball_at(101, 81), ball_at(101, 85))
    features, _ = told_moves()(path, twice)
    assert features[0, 25, 21].tolist() == [0.5, 0.0, 0.0, 0.5]


@torch.no_grad()
def test_what_moved_moves_on_more_likely() -> None:
    model = small_world(model=FLOWING.model)
    flow, choice = model.decoder.flow, model.decoder.choice
    assert flow is not None and choice is not None
    choice.offsets_M2[0] = torch.tensor([0, 4])
    sight = model.decoder.look(moving_square(1, 4))
    assert sight.arriving_BhwM is not None
    drawing = model.decoder.draw(sight, sight.past_BChw)
    assert isinstance(drawing, MovedDrawing)
    raised = drawing.scores_BhwK[..., -len(choice.offsets_M2) :] > 3
    assert torch.equal(raised, sight.arriving_BhwM) and raised.any()


def test_an_untrained_decoder_repeats_the_last_frame() -> None:
    model, frames = small_world(model=MOVING.model).eval(), moving_square(2, 5)
    codes = model.true_codes(frames[:, 3], frames[:, 4])
    assert torch.equal(model.predict(frames[:, :4], codes), frames[:, 3])
    assert torch.equal(model.predict(frames[:, :4], None), frames[:, 3])


def test_training_teaches_motion_to_the_pixel() -> None:
    model, frames = small_world(model=MOVING.model), moving_square(8, 5)
    assert model.decoder.choice is not None
    model.decoder.choice.offsets_M2.copy_(frequent_moves(frames[:, 3], frames[:, 4], 4, 8))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 60)
        loss, _, _ = model(lesson(8, frames), step / 60, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = model.eval().predict(frames[:, :4], model.true_codes(frames[:, 3], frames[:, 4]))
    assert changed_error(drawn, frames[:, 3], frames[:, 4]) < 0.1
    assert pixel_error(drawn, frames[:, 4]) < 1e-3


@pytest.mark.parametrize("world", [MOVING, FLOWING])
def test_a_packed_game_draws_the_same_but_for_rounding(world: WorldConfig) -> None:
    past, actions = moving_square(3, 4), torch.tensor([[0], [1], [3]])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        plain = sample_step(small_playable(world=world).eval(), past, actions)
        packed = sample_step(pack(small_playable(world=world).eval()), past, actions)
    drawn = (plain.frames_BHW != past[:, -1]).sum()
    assert drawn > 200, "it has to draw something"
    assert (plain.frames_BHW != packed.frames_BHW).sum() < drawn / 3


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("world.model.moves=-1", "world.model.moves"),
        ("world.losses.perceptual=0.5", "world.losses.perceptual"),
        ("world.model.decoder=blind", "world.model.decoder"),
    ],
)
def test_settings_that_contradict_moves_are_named(setting: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        check_world(load_config([], ["world.model.moves=16", setting]).world)


def test_flow_needs_moves_to_tell_of() -> None:
    with pytest.raises(UserError, match=r"world\.model\.moves"):
        check_world(load_config([], ["world.model.flow=true"]).world)
