"""A game's one piece comes, hides and leaves as in recorded play, and brings what it brought there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worlds import WORLD, small_playable

from rayatari.config.load import load_config
from rayatari.errors import UserError
from rayatari.models.measured import RecordedPlay
from rayatari.models.neural_game import LooseGame
from rayatari.models.pieces import Pieces
from rayatari.models.presence import MEMORY, Presence, Turn
from rayatari.models.presence_counts import REST, places
from rayatari.models.sampling import sample_step
from rayatari.serve.session import Session
from rayatari.serve.snapshot import load_session, save_session

GROUND, WALL, BALL = 7, 1, 2
NOTHING, POINT = 0, 1
WAIT, LATE = 6, 2
"""Steps without a ball until the next one, and from the last sight of one to what it brings."""
SERVES = ((20, 8), (40, 8))
SHAPE = (64, 80)
UP = 0
UNKNOWN = [-1, -1, -1, -1, 0]


def screen(ball: tuple[int, int] | None = None) -> Tensor:
    """Classes (64, 80): walls above and on the left, and a ball of 2 by 4 pixels."""
    frame = torch.full(SHAPE, GROUND, dtype=torch.uint8)
    frame[:4], frame[:, :2] = WALL, WALL
    if ball:
        frame[ball[0] : ball[0] + 4, ball[1] : ball[1] + 2] = BALL
    return frame


def played(rallies: int = 12, lives: bool = False) -> Iterator[RecordedPlay]:
    """Balls fly to the right, hide for a frame about column 40, and leave; a point or a life follows."""
    for serve in range(2):
        frames, rewards, left = [], [], []
        for rally in range(rallies):
            row, column = SERVES[(rally + serve) % 2]
            flight = range(column, 78, 6)
            frames += [screen(None if 38 <= column < 44 else (row, column)) for column in flight]
            gone = len(frames)
            frames += [screen()] * WAIT
            rewards += [NOTHING] * (len(frames) - len(rewards))
            if not lives:
                rewards[gone - 1 + LATE] = POINT
            left += [rally] * (gone + LATE - len(left))
        life_T = rallies - torch.tensor(left + [rallies] * (len(frames) - len(left)))
        steps = torch.zeros(len(frames) - 1, dtype=torch.long)
        life_T = life_T if lives else torch.zeros_like(life_T)
        yield RecordedPlay(torch.stack(frames), torch.tensor(rewards[:-1]), life_T, steps)


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    found = Pieces(1, SHAPE[0])
    found.measure(torch.cat([play.frames_THW for play in played()]))
    return found


def known(pieces: Pieces, lives: bool = False) -> Presence:
    presence = Presence(2, 4, SHAPE)
    presence.measure(played(lives=lives), NOTHING, pieces, None)
    return presence


def decided(
    presence: Presence, pieces: Pieces, drawn: Tensor, memory: list[int], lot: float = 0.5,
    likely: tuple[int, int] = (0, 0), reward: int = NOTHING,
) -> Turn:  # fmt: skip
    evidence = torch.full(SHAPE, -5.0)
    evidence[likely[0] : likely[0] + 4, likely[1] : likely[1] + 2] = -1.0
    return presence.decide(
        drawn[None], torch.tensor([reward]), torch.tensor([memory]), torch.tensor([UP]),
        torch.tensor([lot]), lambda: evidence[None], pieces,
    )  # fmt: skip


def test_recorded_play_tells_when_where_and_what_for(pieces: Pieces) -> None:
    presence = known(pieces)
    chances = presence.comes_AV[UP]
    assert chances[WAIT] == 1 and not chances[4:WAIT].any()
    assert {tuple(place) for place in presence.entrances_E4[:2].tolist()} == {(*at, 4, 2) for at in SERVES}
    assert presence.leaves_hw.nonzero().tolist() == [[1, 4], [2, 4]]
    assert presence.hides_hw.nonzero().tolist() == [[1, 2], [2, 2]]
    assert presence.pays_hw[1, 4] == POINT and presence.pays_hw[1, 2] == -1
    assert presence.delays_2D[0].argmax() == LATE
    assert presence.facts_4.tolist() == [1, 6, 1, 0]
    assert not presence.tells_lives


def test_a_ball_comes_after_as_many_steps_as_in_recorded_play_and_not_before(pieces: Pieces) -> None:
    presence = known(pieces)
    early = decided(presence, pieces, screen(SERVES[0]), [WAIT - 1, *UNKNOWN])
    assert torch.equal(early.frames_BHW[0], screen())
    assert early.memory_BM.tolist() == [[WAIT, *UNKNOWN]]
    for lot, place in ((0.2, presence.entrances_E4[0]), (0.8, presence.entrances_E4[1])):
        due = decided(presence, pieces, screen((30, 30)), [WAIT, *UNKNOWN], lot)
        at = int(place[0]), int(place[1])
        assert torch.equal(due.frames_BHW[0], screen(at))
        assert due.memory_BM.tolist() == [[0, *at, -1, -1, 0]]


def test_without_lots_the_likeliest_course_is_taken(pieces: Pieces) -> None:
    due = decided(known(pieces), pieces, screen(), [WAIT, *UNKNOWN], torch.nan)
    assert (due.frames_BHW == BALL).any()


def test_a_ball_that_is_drawn_is_left_as_it_is(pieces: Pieces) -> None:
    seen = decided(known(pieces), pieces, screen((20, 26)), [0, 20, 20, -1, -1, 0], reward=POINT)
    assert torch.equal(seen.frames_BHW[0], screen((20, 26)))
    assert seen.memory_BM.tolist() == [[0, 20, 26, -1, -1, 0]]
    assert seen.rewards_B.tolist() == [NOTHING], "no point is given while the ball is there"


def test_a_ball_lost_where_none_hides_is_put_where_it_is_likeliest(pieces: Pieces) -> None:
    lost = decided(known(pieces), pieces, screen(), [0, 20, 20, -1, -1, 0], likely=(22, 25))
    assert torch.equal(lost.frames_BHW[0], screen((22, 25)))
    assert lost.memory_BM.tolist() == [[0, 22, 25, -1, -1, 0]]


def test_a_ball_does_not_jump(pieces: Pieces) -> None:
    jumped = decided(known(pieces), pieces, screen((50, 60)), [0, 20, 20, -1, -1, 0], likely=(22, 25))
    assert torch.equal(jumped.frames_BHW[0], screen((22, 25)))


def test_a_ball_hides_no_longer_than_in_recorded_play(pieces: Pieces) -> None:
    presence = known(pieces)
    hidden = decided(presence, pieces, screen(), [0, 20, 34, -1, -1, 0], likely=(20, 38))
    assert torch.equal(hidden.frames_BHW[0], screen())
    back = decided(presence, pieces, screen(), hidden.memory_BM[0].tolist(), likely=(20, 44))
    assert torch.equal(back.frames_BHW[0], screen((20, 44)))


@pytest.mark.parametrize(("late", "most", "hides"), [(5, 4, False), (4, 4, True), (5, -1, True)])
def test_a_ball_hides_no_more_often_than_in_recorded_play(
    pieces: Pieces, late: int, most: int, hides: bool
) -> None:
    presence = known(pieces)
    presence.of_late.fill_(most)
    turn = decided(presence, pieces, screen(), [0, 20, 34, -1, -1, late], likely=(20, 38))
    assert torch.equal(turn.frames_BHW[0], screen(None if hides else (20, 38)))
    assert turn.memory_BM[0, -1] == (late + REST if hides else late - 1)


def test_it_is_counted_how_much_balls_hide(pieces: Pieces) -> None:
    hidden = [5, 8, 16]  # seen for two steps, and for seven
    frames = torch.stack([screen(None if t in hidden else (20, 8 + 3 * t)) for t in range(20)])
    still = torch.zeros(len(frames), dtype=torch.long)
    presence = Presence(actions=2, history=4, shape=SHAPE)
    presence.measure([RecordedPlay(frames, still[1:], still, still[1:])], NOTHING, pieces, None)
    assert presence.of_late == REST - 2


def steps_after(presence: Presence, pieces: Pieces, memory: list[int], steps: int) -> list[Turn]:
    turns: list[Turn] = []
    for _ in range(steps):
        turns.append(decided(presence, pieces, screen(), memory))
        memory = turns[-1].memory_BM[0].tolist()
    return turns


def test_a_ball_that_leaves_brings_its_point_once_when_it_is_due(pieces: Pieces) -> None:
    turns = steps_after(known(pieces), pieces, [0, 20, 74, -1, -1, 0], WAIT)
    assert [turn.rewards_B.item() for turn in turns] == [POINT if t == LATE else NOTHING for t in range(WAIT)]
    assert not any(turn.loses_B.any() for turn in turns)


def test_a_ball_that_leaves_costs_one_life_and_the_next_comes_after_it(pieces: Pieces) -> None:
    presence = known(pieces, lives=True)
    assert presence.tells_lives
    turns = steps_after(presence, pieces, [0, 20, 74, -1, -1, 0], WAIT + 1)
    assert [turn.loses_B.item() for turn in turns] == [t == LATE for t in range(WAIT + 1)]
    assert (turns[-1].frames_BHW == BALL).any() and not (turns[-2].frames_BHW == BALL).any()
    pending = decided(presence, pieces, screen(), [WAIT, 20, 74, -1, 3, 0])
    assert not (pending.frames_BHW == BALL).any()


def test_what_is_remembered_of_frames_alone(pieces: Pieces) -> None:
    past = torch.stack([screen((20, 20)), screen((20, 26)), screen(), screen()])
    free = pieces.free(torch.stack([*past, *[screen()] * 4]))
    assert known(pieces).recall(places(free).unflatten(0, (2, 4))).tolist() == [
        [2, 20, 26, -1, -1, 0],
        [4, *UNKNOWN],
    ]
    came = torch.stack([screen(), *past[:2], screen()])
    assert known(pieces).recall(places(pieces.free(came))[None]).tolist() == [[1, 20, 26, -1, -1, 0]]


def test_saved_presence_is_the_one_counted_and_without_any_nothing_is_decided(pieces: Pieces) -> None:
    presence, again = known(pieces), Presence(2, 4, SHAPE)
    nothing = decided(again, pieces, screen((30, 30)), [WAIT, *UNKNOWN])
    assert torch.equal(nothing.frames_BHW[0], screen((30, 30)))
    again.load_state_dict(presence.state_dict())
    due = [decided(each, pieces, screen(), [WAIT, *UNKNOWN]).frames_BHW for each in (presence, again)]
    assert torch.equal(*due)


def test_games_of_a_batch_are_decided_each_for_itself(pieces: Pieces) -> None:
    presence, memories = known(pieces), [[WAIT, *UNKNOWN], [0, 20, 20, -1, -1, 0], [0, 20, 74, -1, -1, 0]]
    drawn = torch.stack([screen(), screen((20, 26)), screen()])
    together = presence.decide(
        drawn, torch.zeros(3, dtype=torch.long), torch.tensor(memories), torch.zeros(3, dtype=torch.long),
        torch.full((3,), 0.5), lambda: torch.zeros(3, *SHAPE), pieces,
    )  # fmt: skip
    for row, memory in enumerate(memories):
        alone = decided(presence, pieces, drawn[row], memory)
        assert torch.equal(alone.frames_BHW[0], together.frames_BHW[row])
        assert torch.equal(alone.memory_BM[0], together.memory_BM[row])


def test_a_game_remembers_from_step_to_step() -> None:
    sizes = replace(WORLD.model, pieces=1, presence=True)
    model = small_playable(world=replace(WORLD, model=sizes)).eval()
    assert model.pieces is not None and model.presence is not None
    frames = torch.full((40, 224, 160), 0, dtype=torch.uint8)
    for t in range(30):
        frames[t, 90 + t : 94 + t, 40 + 2 * t : 42 + 2 * t] = 1
    model.pieces.measure(frames)
    nothing = torch.zeros(50, dtype=torch.long)
    play = RecordedPlay(torch.cat([frames, frames[:10]]), nothing[1:], nothing, nothing[1:])
    model.presence.measure([play], NOTHING, model.pieces, None)
    past, actions = torch.zeros(1, 4, 224, 160, dtype=torch.uint8), torch.zeros(1, 1, dtype=torch.long)
    waited, step = 4, sample_step(model, past, actions)
    while waited < 10:
        assert not (step.frames_BHW == 1).any() and step.memory_BM[0, 0] == waited + 1
        waited += 1
        past = torch.cat([past[:, 1:], torch.zeros_like(step.frames_BHW)[:, None]], 1)
        step = sample_step(model, past, actions, memory_BM=step.memory_BM)
    assert step.memory_BM[0, 0] == 0, "it comes after the ten steps of recorded play, of which four are seen"


def test_a_snapshot_keeps_what_is_remembered() -> None:
    memory = torch.arange(MEMORY)
    loose = LooseGame(torch.zeros(4, 64, 80, dtype=torch.uint8), torch.Generator(), memory_M=memory)
    copy = load_session(save_session(Session("pong", 1, 0.0, loose=loose))).loose
    assert copy is not None and copy.memory_M is not None and torch.equal(copy.memory_M, memory)


def test_it_needs_one_piece_to_follow(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pieces=1"):
        load_config([], ["world.model.presence=true"])
