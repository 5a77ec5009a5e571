"""Rigid bodies that slide along a line: found in recorded frames, and shown whole."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import WORLD, small_playable

from rayatari.models.bodies import Bodies
from rayatari.models.measured import RecordedPlay
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step

GROUND, WALL, INK, BALL = 0, 1, 2, 3


def screen(paddle: int, width: int = 12, wall: int = 4, ball: tuple[int, int] | None = None) -> Tensor:
    """Classes (64, 80): walls at both sides in front of a paddle, four rows high, and bricks above it."""
    frame = torch.full((64, 80), GROUND, dtype=torch.uint8)
    frame[8:14, 4:76] = INK
    frame[50:54, max(0, paddle) : paddle + width] = INK
    if ball:
        frame[ball[0] : ball[0] + 4, ball[1] : ball[1] + 2] = BALL
    frame[:, :wall] = frame[:, 80 - wall :] = WALL
    return frame


def played(*widths: int) -> Tensor:
    return torch.stack([screen(4 + 3 * t, width) for width in widths for t in range(20)])


def known(*widths: int) -> Bodies:
    return measured(played(*widths))


def before_a_wall_of_its_colour() -> Tensor:
    """Play in which the paddle comes to be hidden by the wall to its right, and cannot be told from it."""
    frames = torch.stack([screen(4 + 3 * t) for t in range(24)])
    frames[:, 50:54, 76:] = INK
    return frames


def measured(frames: Tensor) -> Bodies:
    """Bodies of what was played."""
    steps = torch.zeros(len(frames), dtype=torch.long)
    bodies = Bodies(4)
    bodies.measure(frames, [RecordedPlay(frames, steps[1:], steps, steps[1:])])
    return bodies


def mended(bodies: Bodies, frame: Tensor, before: Tensor | None = None) -> Tensor:
    return bodies.mend(frame[None], (frame if before is None else before)[None])[0]


def torn(frame: Tensor, *columns: int) -> Tensor:
    frame = frame.clone()
    frame[50:54, list(columns)] = GROUND
    return frame


def test_what_slides_is_found_and_what_rests_is_not() -> None:
    bodies = known(12)
    [lane] = bodies.lanes
    assert (lane.colour, lane.ground) == (INK, GROUND)
    assert (lane.rows, lane.columns) == (slice(50, 54), slice(4, 73))
    assert bodies.masks_KSS.sum((1, 2)).tolist() == [48, 0, 0, 0]


@pytest.mark.parametrize("paddle", [4, 23, 61])
def test_a_torn_body_is_shown_whole_where_most_of_it_was_drawn(paddle: int) -> None:
    whole = screen(paddle)
    drawn = torn(whole, paddle + 3, paddle + 7, paddle + 8)
    drawn[51, paddle - 2 if paddle > 4 else paddle + 14] = INK
    assert torch.equal(mended(known(12), drawn), whole)


def test_columns_slide_as_rows_do() -> None:
    bodies = measured(played(12).transpose(1, 2))
    assert torch.equal(mended(bodies, torn(screen(30), 35).T), screen(30).T)


@pytest.mark.parametrize(
    "frame",
    [
        screen(23),
        screen(-6),
        screen(23, ball=(51, 28)),
        torn(screen(23), *range(23, 32)),
        screen(23, width=8),
        torn(screen(23), *range(80)),
    ],
    ids=["whole", "half out of sight", "partly hidden", "a rest", "of another size", "none"],
)
def test_what_the_game_may_show_and_what_says_too_little_is_left_alone(frame: Tensor) -> None:
    assert torch.equal(mended(known(12, 8), frame), frame)


def test_a_body_is_whole_as_far_as_the_wall_whose_colour_it_has() -> None:
    frames = before_a_wall_of_its_colour()
    bodies = measured(frames)
    [lane] = bodies.lanes
    assert (lane.columns, lane.always) == (slice(4, 76), 12)
    for frame in frames[-4:]:
        assert torch.equal(mended(bodies, frame, before=frames[-5]), frame)


def test_of_two_sizes_the_one_is_shown_that_fits_better() -> None:
    bodies = known(12, 8)
    assert torch.equal(mended(bodies, torn(screen(30), 35)), screen(30))
    assert torch.equal(mended(bodies, torn(screen(30, width=8), 32)), screen(30, width=8))


def test_frames_of_a_batch_are_mended_each_for_itself() -> None:
    bodies = known(12)
    frames = torch.stack([screen(23), torn(screen(40), 44)])
    assert torch.equal(bodies.mend(frames, frames), torch.stack([screen(23), screen(40)]))


def test_one_that_is_always_there_stays_where_it_was_when_it_is_not_drawn() -> None:
    lost, ball = torn(screen(40), *range(4, 76)), (51, 25)
    assert torch.equal(mended(known(12), lost, before=screen(23)), screen(23))
    lost[50:54, 60] = INK
    assert torch.equal(mended(known(12), lost, before=screen(23)), screen(23))
    lost[51:55, 25:27] = BALL
    assert torch.equal(mended(known(12), lost, before=screen(23)), screen(23, ball=ball))


def test_one_that_may_be_missing_is_not_missed() -> None:
    lost = torn(screen(23), *range(4, 76))
    bodies = measured(torch.cat([played(12), lost[None]]))
    assert bodies.lanes
    assert torch.equal(mended(bodies, lost, before=screen(23)), lost)


def test_bodies_of_a_bundle_from_before_are_read() -> None:
    bodies, again = known(12), Bodies(4)
    facts = bodies.state_dict()
    del facts["always_K"]
    again.load_state_dict(facts)
    assert torch.equal(mended(again, torn(screen(30), 35)), screen(30))
    assert [lane.always for lane in again.lanes] == [0]


def test_saved_bodies_are_those_that_were_measured() -> None:
    bodies, again = known(12, 8), Bodies(4)
    again.load_state_dict(bodies.state_dict())
    drawn = torn(screen(30), 35)[None]
    assert torch.equal(again.mend(drawn, drawn), bodies.mend(drawn, drawn))
    assert torch.equal(Bodies(4).mend(drawn, drawn), drawn)


def with_bodies(count: int = 4) -> PlayableWorld:
    return small_playable(world=replace(WORLD, model=replace(WORLD.model, bodies=count))).eval()


def test_a_game_shows_its_bodies_whole() -> None:
    model = with_bodies()
    assert model.bodies is not None
    frames = torch.zeros(20, 224, 160, dtype=torch.uint8)
    for t in range(20):
        frames[t, 100:104, 10 + 3 * t : 22 + 3 * t] = 1
    model.bodies.measure(frames, [])
    past = frames[7:8, None].repeat(1, 4, 1, 1)
    past[..., 100:104, 35:37] = 0
    actions = torch.zeros(1, model.earlier + 1, dtype=torch.long)
    shown = sample_step(model, past, actions).frames_BHW
    bodies, model.bodies = model.bodies, None
    drawn = sample_step(model, past, actions).frames_BHW  # an untrained world nearly repeats what it sees
    assert torch.equal(shown, bodies.mend(drawn, past[:, -1]))
    assert (shown != drawn)[:, 100:104].any()
