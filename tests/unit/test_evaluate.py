"""The evaluation of games whose faithfulness is known beforehand: what it must find, it finds."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluate_games import BalllessGame, FrozenGame, GhostlyGame, PerfectGame, RestlessPlayer

from rayatari.config.load import load_config, validate
from rayatari.config.runtime import EmulatorConfig
from rayatari.errors import UserError
from rayatari.evaluate import run as evaluate_run
from rayatari.evaluate.baselines import cross_fitted_codes, most_common_codes
from rayatari.evaluate.closed_loop import game_scores, play_closed_loop, real_play
from rayatari.evaluate.objects import divergence, object_scores
from rayatari.evaluate.one_step import mapper_scores, measure_one_step
from rayatari.evaluate.open_loop import pixel_curves, play_open_loop
from rayatari.evaluate.rules import rule_scores
from rayatari.evaluate.summary import open_loop_plays, verdict
from rayatari.evaluate.traces import Start, Trace, choose_starts, contexts, play_traces
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.readers import get_reader

SPEC = get_game("breakout")
READER = get_reader("breakout")
SHARES = {"first": 1.0, "second": 1.0}


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    players = [RestlessPlayer(name) for name in SHARES]
    return play_traces(Emulator(SPEC, EmulatorConfig()), players, episodes=2, max_steps=110, reader=READER)


def rollouts_of(game, traces, horizon=40):
    starts = choose_starts(traces, SHARES, count=8, horizon=horizon, history=game.history)
    return play_open_loop(game, starts, horizon, READER)


def test_traces_play_seeds_that_recordings_never_use(traces):
    assert [trace.seed for trace in traces] == [1_000_000, 1_000_001, 1_000_002, 1_000_003]
    assert [trace.player for trace in traces] == ["first", "first", "second", "second"]
    for trace in traces:
        assert trace.frames.shape == (len(trace) + 1, 210, 160)
        assert len(trace.lives) == len(trace.readings) == len(trace) + 1


def test_starts_lie_all_over_the_episodes_and_have_their_history_and_horizon(traces):
    starts = choose_starts(traces, SHARES, count=40, horizon=15, history=4)
    assert len({(start.trace.seed, start.step) for start in starts}) == 40
    assert min(start.step for start in starts) >= 3
    assert min(start.remaining for start in starts) >= 15
    for trace in traces:
        steps = [start.step for start in starts if start.trace is trace]
        assert min(steps) < len(trace) / 4 and max(steps) > len(trace) / 2
    again = choose_starts(traces, SHARES, count=40, horizon=15, history=4)
    assert [(s.trace.seed, s.step) for s in again] == [(s.trace.seed, s.step) for s in starts]


def test_starts_are_divided_by_the_players_shares(traces):
    starts = choose_starts(traces, {"first": 3.0, "second": 1.0}, count=8, horizon=1, history=4)
    assert [start.trace.player for start in starts].count("first") == 6


def test_too_few_places_to_start_from_name_the_remedy(traces):
    with pytest.raises(UserError, match=r"evaluate\.episodes"):
        choose_starts(traces, SHARES, count=10_000, horizon=1, history=4)


def test_a_context_ends_with_the_frame_before_the_action(traces):
    start = Start(traces[0], 20)
    assert np.array_equal(contexts([start], 4)[0], traces[0].frames[17:21])


def test_a_perfect_game_makes_no_error_in_one_step(traces):
    game = PerfectGame(SPEC, traces)
    found = measure_one_step(game, choose_starts(traces, SHARES, 30, 1, game.history), batch=16)
    neural, copied = found.pixels["neural"], found.pixels["copy_last_frame"]
    assert (neural.changed_pixel_error.value, neural.wrong_pixels.value) == (0, 0)
    assert neural.psnr_db.value is None and neural.ssim.value == pytest.approx(1)
    assert copied.changed_pixel_error.value == 1 and copied.ssim.value < 1
    assert found.pixels["true_codes"].wrong_pixels.value == 0
    assert found.pixels["common_codes"].changed_pixel_error.value > 0.5
    assert found.mapper is not None and found.mapper.cells.value == found.mapper.frames.value == 1
    assert found.mapper.lift.value == pytest.approx(1 - found.mapper.cells_common.value)


def test_a_frozen_game_equals_copy_last_frame(traces):
    game = FrozenGame(SPEC)
    starts = choose_starts(traces, SHARES, 30, 1, game.history)
    found = measure_one_step(game, starts, batch=16)
    assert found.pixels["neural"] == found.pixels["copy_last_frame"]
    assert found.pixels["neural"].changed_pixel_error.value == 1
    assert found.mapper is None
    curves = pixel_curves(rollouts_of(game, traces))
    assert curves.neural == curves.copy_last_frame
    assert not verdict(found, curves).beats_copy_last_frame


def test_batches_do_not_change_what_is_measured(traces):
    game = PerfectGame(SPEC, traces)
    starts = choose_starts(traces, SHARES, 10, 1, game.history)
    assert measure_one_step(game, starts, batch=3) == measure_one_step(game, starts, batch=10)


def test_a_perfect_game_keeps_every_object_in_open_loop(traces):
    rollouts = rollouts_of(PerfectGame(SPEC, traces), traces)
    assert all(rollout.wrong.sum() == 0 for rollout in rollouts)
    found = object_scores(rollouts, 40)
    assert (found["ball_recall"].value, found["ball_ghosts"].value) == (1, 0)
    assert found["paddle_recall"].value == 1 and found["paddle_error_px"].value == 0
    assert divergence(rollouts)["ball"].value is None


def test_a_perfect_game_beats_copy_last_frame(traces):
    game = PerfectGame(SPEC, traces)
    one_step = measure_one_step(game, choose_starts(traces, SHARES, 10, 1, game.history), batch=16)
    found = verdict(one_step, pixel_curves(rollouts_of(game, traces)))
    assert found.beats_copy_last_frame and found.unbeaten_steps == 40


def test_a_game_without_its_ball_has_no_recall(traces):
    rollouts = rollouts_of(BalllessGame(SPEC, traces), traces)
    found = object_scores(rollouts, 40)
    assert found["ball_recall"].value == 0 and found["ball_recall"].n > 0
    assert found["ball_error_px"].value is None and found["ball_error_px"].n > 0
    assert found["paddle_recall"].value == 1
    assert divergence(rollouts)["ball"].value == 1


def test_a_game_with_a_second_ball_has_ghosts(traces):
    rollouts = rollouts_of(GhostlyGame(SPEC, traces), traces)
    found = object_scores(rollouts, 40)
    assert found["ball_recall"].value == 1 and found["ball_ghosts"].value > 0.3
    whole = rule_scores("breakout", open_loop_plays(rollouts)["neural"], SPEC.action_names)["ball_whole"]
    assert (
        whole.value
        < rule_scores("breakout", open_loop_plays(rollouts)["real"], SPEC.action_names)["ball_whole"].value
    )


def test_steps_after_the_end_of_the_real_episode_are_left_out(traces):
    trace = traces[0]
    late = Start(trace, len(trace) - 3)
    rollouts = play_open_loop(PerfectGame(SPEC, traces), [Start(trace, 20), late], 10, READER)
    assert [rollout.steps for rollout in rollouts] == [10, 3]
    assert [point.n for point in pixel_curves(rollouts).neural] == [2] * 3 + [1] * 7


def test_real_play_obeys_the_rules_as_the_reader_sees_them(traces):
    plays = [real_play(Start(trace, 0), len(trace)) for trace in traces]
    found = rule_scores("breakout", plays, SPEC.action_names)
    for rule in ("points_match_bricks", "reward_matches_screen", "bricks_stay_gone", "score_and_lives_legal"):
        assert found[rule].value == 1 and found[rule].n > 0, rule
    assert found["lives_fall_with_ball"].value == 1 and found["lives_fall_with_ball"].n > 4
    assert found["paddle_obeys"].value > 0.99 and found["paddle_obeys"].n > 100


def test_a_perfect_game_in_closed_loop_replays_the_real_one(traces):
    class Replayer(RestlessPlayer):
        def __init__(self, trace: Trace) -> None:
            self.name, self._actions = trace.player, iter(trace.actions[11:])

        def act(self, frame: np.ndarray) -> int:
            return int(next(self._actions))

    openings = [Start(trace, 11) for trace in traces[:2]]
    players = [Replayer(trace) for trace in traces[:2]]
    neural = play_closed_loop(PerfectGame(SPEC, traces), players, openings, 60, READER, keep=[0])
    real = [real_play(opening, 60) for opening in openings]
    assert [play.actions for play in neural] == [play.actions for play in real]
    assert [play.rewards for play in neural] == [play.rewards for play in real]
    assert np.array_equal(np.stack(neural[0].frames), np.stack(real[0].frames))
    assert not neural[1].frames
    assert game_scores(neural) == game_scores(real)


def test_a_game_that_is_over_plays_no_further(traces):
    class Ending(FrozenGame):
        def step(self, actions):
            result = super().step(actions)
            result.terminated[0] = True
            return result

    openings = [Start(trace, 11) for trace in traces[:2]]
    players = [RestlessPlayer("first"), RestlessPlayer("second")]
    plays = play_closed_loop(Ending(SPEC), players, openings, 7)
    assert [(len(play.actions), play.terminated) for play in plays] == [(1, True), (7, False)]


def test_the_common_codes_of_a_half_come_from_the_other_half():
    codes = np.array([[1, 5], [1, 5], [2, 6], [2, 6], [3, 6]])
    half = np.array([0, 0, 1, 1, 1])
    assert most_common_codes(codes).tolist() == [1, 6]
    assert cross_fitted_codes(codes, half).tolist() == [[2, 6], [2, 6], [1, 5], [1, 5], [1, 5]]


def test_mapper_accuracy_is_told_by_cell_by_frame_and_by_action():
    true = np.array([[1, 1], [2, 2], [3, 3]])
    sampled = np.array([[1, 1], [2, 0], [0, 0]])
    common = np.array([[1, 0], [0, 0], [0, 0]])
    found = mapper_scores(true, sampled, common, np.array([0, 0, 1]), ("NOOP", "FIRE", "LEFT"))
    assert (found.cells.value, found.frames.value) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert found.lift.value == pytest.approx(2 / 6)
    assert found.by_action["NOOP"].value == 3 / 4 and found.by_action["FIRE"].value == 0
    assert "LEFT" not in found.by_action


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["evaluate.horizons=[5, 1]"], "ascending"),
        (["evaluate.horizons=[]"], "ascending"),
        (["evaluate.episode_steps=100"], "episode_steps"),
        (
            ["evaluate.episodes=1", "evaluate.closed_games=1", "evaluate.players=[{player: random}]"],
            "2 held-out",
        ),
        (["evaluate.closed_games=99"], "closed_games"),
        (["evaluate.temperature=-1"], "temperature"),
        (["evaluate.pairs=0"], "at least 1"),
        (["evaluate.marathon={games: 1, steps: 0}"], "marathon"),
        (["evaluate.turing={starts: 5, steps: 8}"], "turing"),
        (["evaluate.common_starts=-1"], "common_starts"),
    ],
)
def test_impossible_settings_are_named(settings, said):
    with pytest.raises(UserError, match=said):
        load_config(overrides=settings)


def test_missing_weights_name_the_command_that_makes_them(tmp_path: Path):
    with pytest.raises(UserError, match="rayatari pipeline"):
        evaluate_run.run(validate({"runs": str(tmp_path)}))


def test_weights_of_another_game_are_refused(tmp_path: Path):
    bundle = tmp_path / "pong"
    bundle.mkdir()
    (bundle / "card.json").write_text(json.dumps({"kind": "neural-game", "game": "pong", "config": {}}))
    with pytest.raises(UserError, match="game=pong"):
        evaluate_run.run(validate({"runs": str(tmp_path), "evaluate": {"weights": str(bundle)}}))


def test_a_finished_evaluation_is_pointed_at_and_one_of_other_weights_refused(tmp_path: Path, capsys):
    folder = tmp_path / "breakout" / "evaluation"
    folder.mkdir(parents=True)
    inputs = {"neural_game": str(tmp_path / "breakout" / "mapper")}
    card = {"kind": "evaluation", "game": "breakout", "config": {}, "inputs": inputs}
    (folder / "card.json").write_text(json.dumps(card))
    evaluate_run.run(validate({"runs": str(tmp_path)}))
    assert "finished" in capsys.readouterr().out
    with pytest.raises(UserError, match="name=NAME"):
        evaluate_run.run(validate({"runs": str(tmp_path), "evaluate": {"weights": "elsewhere"}}))
