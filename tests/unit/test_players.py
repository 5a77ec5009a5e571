"""Players: what they press, what errors they make, and that a seed decides all of it."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.players import ErringPlayer, NoopPlayer, Player, agent_folder, locate_agent, make_player
from rayatari.agent.policy import (
    KIND,
    Policy,
    PolicyModel,
    half_precision,
    load_policy,
    model_record,
    save_policy,
)
from rayatari.agent.teacher import Adviser
from rayatari.checkpoint import new_card
from rayatari.config.record import PlayerConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.interface import Frame
from rayatari.paths import shipped_agent

BREAKOUT = get_game("breakout")
BLANK = np.zeros((210, 160), np.uint8)


def erring(**errors: float) -> ErringPlayer:
    return ErringPlayer(NoopPlayer(0), PlayerConfig("noop", **errors), BREAKOUT, "it")


def actions(player: Player, seed: int, count: int = 4000) -> list[int]:
    player.reset(seed)
    return [player.act(BLANK) for _ in range(count)]


def runs(presses: list[int]) -> list[int]:
    """Lengths of the runs of equal values."""
    borders = np.flatnonzero(np.diff(presses)) + 1
    return np.diff([0, *borders, len(presses)]).tolist()


def score(player: Player, seed: int, steps: int = 400) -> float:
    game = Emulator(BREAKOUT, EmulatorConfig())
    frame, points = game.reset(seed), 0.0
    player.reset(seed)
    for _ in range(steps):
        step = game.step(player.act(frame))
        frame, points = step.frame, points + step.reward
        if step.terminated:
            break
    return points


def test_following_the_ball_beats_random_play_by_far() -> None:
    follow = sum(score(make_player("follow", BREAKOUT), seed) for seed in range(3))
    random = sum(score(make_player("random", BREAKOUT), seed) for seed in range(3))
    assert follow >= 20
    assert follow > 3 * random


def test_intercepting_the_ball_beats_following_it() -> None:
    intercept = [score(make_player("intercept", BREAKOUT), seed, 2000) for seed in range(2)]
    follow = [score(make_player("follow", BREAKOUT), seed, 2000) for seed in range(2)]
    assert sum(intercept) > 5 * sum(follow)
    assert min(intercept) > 200


def test_what_does_as_well_as_intercepting_keeps_the_ball_in_play() -> None:
    player = make_player("intercept", BREAKOUT)
    assert isinstance(player, Adviser)
    random, free = np.random.default_rng(0), []

    class AnyAdvised:
        name = "any"

        def reset(self, seed: int) -> None:
            player.reset(seed)

        def act(self, frame: Frame) -> int:
            action, as_good = player.advise(frame)
            assert action in as_good
            free.append(len(as_good) > 2)  # FIRE does nothing while the ball flies
            return int(random.choice(sorted(as_good)))

    assert score(AnyAdvised(), 1, 1500) > 100
    assert 0.3 < np.mean(free) < 0.9


def test_intercepting_allows_for_presses_that_others_forced():
    forced = PlayerConfig("intercept", epsilon=0.05, hold=2)
    player = ErringPlayer(make_player("intercept", BREAKOUT), forced, BREAKOUT, "it")
    assert score(player, 1, 1500) > 60


def test_following_serves_when_no_ball_is_seen() -> None:
    fire = BREAKOUT.action_names.index("FIRE")
    assert fire in actions(make_player("follow", BREAKOUT), 0, 5)


@pytest.mark.parametrize("text", ["random", "noop", "follow"])
def test_a_seed_decides_what_a_player_does(text: str) -> None:
    errors = PlayerConfig(text, epsilon=0.2, hold=3, idle=0.05)
    one, other = (ErringPlayer(make_player(text, BREAKOUT), errors, BREAKOUT, text) for _ in range(2))
    first = actions(one, 7)
    assert actions(one, 8) != first
    assert actions(one, 7) == actions(other, 7) == first


def test_random_play_presses_every_button_equally_often() -> None:
    counts = np.bincount(actions(make_player("random", BREAKOUT), 0), minlength=4)
    assert counts.min() > 900


def test_without_errors_the_player_is_left_alone() -> None:
    assert set(actions(erring(), 0)) == {0}


def test_epsilon_is_the_share_of_random_actions() -> None:
    presses = actions(erring(epsilon=0.4), 0)
    assert np.mean(np.array(presses) > 0) == pytest.approx(0.4 * 3 / 4, abs=0.03)


def test_random_actions_are_held_for_up_to_the_longest_time() -> None:
    presses = actions(erring(epsilon=0.02, hold=9), 0)
    pressed = [
        n for n, start in zip(runs(presses), np.cumsum([0, *runs(presses)]), strict=False) if presses[start]
    ]
    assert max(pressed) >= 8
    assert np.mean(pressed) == pytest.approx(5, abs=0.8)


def test_idle_phases_press_nothing_for_up_to_their_longest_time() -> None:
    errors = PlayerConfig("random", idle=0.02, idle_steps=30)
    player = ErringPlayer(make_player("random", BREAKOUT), errors, BREAKOUT, "it")
    presses = np.array(actions(player, 0))
    quiet = runs((presses == 0).tolist())
    assert 20 <= max(quiet) <= 60
    assert np.mean(presses == 0) > 0.35


def test_every_player_can_be_sent_to_another_process() -> None:
    for text in ("random", "noop", "follow"):
        player = ErringPlayer(make_player(text, BREAKOUT), PlayerConfig(text, epsilon=0.3), BREAKOUT, text)
        there = pickle.loads(pickle.dumps(player))
        assert there.name == text
        assert actions(there, 3, 50) == actions(player, 3, 50)


@pytest.mark.parametrize(
    ("text", "game", "message"),
    [
        ("follow", "pong", "'follow' cannot see a ball in pong"),
        ("folow", "breakout", "unknown player 'folow': choose random, noop, follow"),
        ("policy:", "breakout", "unknown player 'policy:'"),
        ("policy:nowhere", "breakout", "nowhere"),
    ],
)
def test_players_that_cannot_be_made_are_refused(text: str, game: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_player(text, get_game(game))


def test_other_players_than_agents_need_no_agent() -> None:
    for text in ("random", "noop", "follow", "policy:somewhere"):
        assert locate_agent(text, Path("nowhere")) == text
    with pytest.raises(UserError, match="run 'rayatari train-agent' first, name the run with name=NAME"):
        locate_agent("agent", Path("nowhere"))


def test_until_a_run_has_an_agent_the_packages_plays_and_a_weaker_one_too(tmp_path: Path) -> None:
    config = Config(runs=str(tmp_path))
    folder = agent_folder(config)
    assert folder == shipped_agent("breakout")
    best, weak = (load_policy(Path(locate_agent(text, folder)[7:])) for text in ("agent", "agent:weak"))
    assert best.action_names == weak.action_names == BREAKOUT.action_names
    own = tmp_path / "breakout/agent"
    shutil.copytree(folder, own)
    assert agent_folder(config) == own
    assert agent_folder(replace(config, game="freeway")) == tmp_path / "freeway/agent"


def test_agents_of_different_strength_are_found_by_their_scores(tmp_path: Path) -> None:
    network = QNetworkConfig(4, (4, 8, 8), 16)
    for folder, step, mean in (("policies/step-10", 10, 7.0), ("policies/step-20", 20, 1.0),
                               ("policies/step-30", 30, 30.0), (".", 30, 30.0)):  # fmt: skip
        model = PolicyModel(network, BREAKOUT.action_names, frame_skip=4, step=step)
        policy = Policy(model, half_precision(QNetwork(network).state_dict()))
        card = new_card(KIND, Config(), model=model_record(model), metrics={"mean": mean})
        save_policy(tmp_path / folder, policy, card)
    found = {
        text: locate_agent(text, tmp_path)
        for text in ("agent", "agent:weak", "agent:middle", "agent:step-30")
    }
    kept = tmp_path / "policies"
    assert found == {
        "agent": f"policy:{tmp_path}",
        "agent:weak": f"policy:{kept / 'step-20'}",
        "agent:middle": f"policy:{kept / 'step-10'}",
        "agent:step-30": f"policy:{kept / 'step-30'}",
    }
    with pytest.raises(
        UserError, match="unknown player 'agent:best': choose agent:weak, agent:middle, agent:step"
    ):
        locate_agent("agent:best", tmp_path)
    player = pickle.loads(pickle.dumps(make_player(found["agent"], BREAKOUT)))
    assert 0 <= actions(player, 0, 2)[0] < 4
    with pytest.raises(UserError, match="was trained on another game than pong"):
        make_player(found["agent"], get_game("pong"))
