"""A teacher: what it says, which games it plays, and that the agent comes to do as it does."""

import numpy as np
import pytest
import torch

from rayatari.agent import train
from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.objective import Advice, Objective
from rayatari.agent.parts import exploration, network_config
from rayatari.agent.players import make_player
from rayatari.agent.rollout import LAST, NO_ADVICE
from rayatari.agent.teacher import TeacherRule
from rayatari.agent.vector_game import VectorGame
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.agent_view import agent_view
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator

SPEC = get_game("breakout")
QUIET = EmulatorConfig(noop_max=0)
KINDS = {"none": 1, "c51": 11, "qr": 6, "iqn": 5}


def random_play(teacher, steps=200, count=4):
    game = VectorGame(SPEC, QUIET, count, life_loss_ends=True, threads=1, teacher=teacher)
    rng = np.random.default_rng(3)
    game.reset(5)
    return game.play(lambda views: rng.integers(4, size=count), steps)


def test_advice_is_what_the_player_would_do_on_the_same_frames():
    rollout = random_play(TeacherRule("follow", share=0.0), count=2)
    for lane in range(2):
        emulator, player = Emulator(SPEC, QUIET), make_player("follow", SPEC)
        frame = emulator.reset(0)
        player.reset(6 + lane)
        for t in range(200):
            if rollout.outcomes[t, lane] == LAST:
                break
            assert np.abs(rollout.views[t, lane].astype(int) - agent_view(frame)).max() <= 1
            assert rollout.advice[t, lane] == 1 << player.act(frame)
            frame = emulator.step(int(rollout.actions[t, lane])).frame
        assert t > 60


def test_with_a_teacher_the_agent_sees_and_does_the_same_as_without():
    plain, taught = random_play(None), random_play(TeacherRule("follow", share=0.0))
    assert plain.advice is None
    assert np.abs(plain.views.astype(int) - taught.views.astype(int)).max() <= 1
    for name in ("ages", "actions", "rewards", "outcomes"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(taught, name))
    assert plain.episodes == taught.episodes != ()


def test_the_teacher_plays_its_share_which_no_score_counts():
    rollout = random_play(TeacherRule("intercept", share=0.25), steps=400)
    played = rollout.outcomes != LAST
    advised = (rollout.advice >> rollout.actions & 1).astype(bool)
    as_advised = [advised[:, lane][played[:, lane]].mean() for lane in range(4)]
    assert as_advised[3] == 1 and max(as_advised[:3]) < 0.9
    assert rollout.episodes
    assert max(episode.score for episode in rollout.episodes) < rollout.rewards[:, 3].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_advice_pulls_the_teachers_action_up_in_every_kind_of_network(kind):
    torch.manual_seed(0)
    config = QNetworkConfig(
        3, (4, 4, 4), 16, distribution=kind, atoms=KINDS[kind], value_min=-2.0, value_max=2.0
    )
    network, target = QNetwork(config), QNetwork(config).requires_grad_(False)
    views = torch.randint(0, 256, (4, 4, 84, 84), dtype=torch.uint8)
    advice = torch.tensor([1, 2, 4, NO_ADVICE], dtype=torch.int32)
    objective = Objective(config, advice=Advice(weight=50.0, margin=0.5))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    zeros, ones = torch.zeros(4), torch.ones(4)
    for _ in range(60):
        said = objective.look(network, target, views, views)
        learned = objective.loss(said, network.support, zeros, zeros, zeros, ones, advice)
        optimizer.zero_grad()
        learned.loss.backward()
        optimizer.step()
    assert network(views).argmax(1).tolist()[:3] == [0, 1, 2]


def test_an_agent_comes_to_do_as_its_teacher_does():
    agent = AgentConfig(
        backend="local", device="cpu", teacher="follow", teacher_share=0.5, teacher_weight=5.0, lr=1e-3,
        n_step=3, learning_starts=200, train_every=1, batch_size=32, channels=(8, 8, 8), hidden=64, envs=4,
        groups=2, replay_capacity=2000, report_every=1200, precision="fp32", threads=1, emulator_threads=1,
    )  # fmt: skip
    algorithm = LocalDQN(Config(agent=agent), SPEC, network_config(agent, SPEC), exploration(agent))
    algorithm.iterate(0.0)
    with torch.no_grad():
        batch = algorithm.replay.gather(torch.arange(3, 280))
        does = algorithm.learner.network(batch.views).argmax(1)
    as_advised = (batch.advice >> does & 1).float()
    buttons = [1 << SPEC.action_names.index(name) for name in ("NOOP", "LEFT", "RIGHT")]
    right = [float(as_advised[batch.advice == button].mean()) for button in buttons]
    assert np.mean(right) > 0.42, right  # who always presses the same has a third


def test_a_teacher_that_cannot_play_the_game_is_refused():
    with pytest.raises(UserError, match="intercept"):
        VectorGame(get_game("pong"), QUIET, 2, life_loss_ends=False, teacher=TeacherRule("intercept", 0.5))


def test_that_is_found_out_before_anything_starts(tmp_path):
    agent = AgentConfig(teacher="intercept")
    with pytest.raises(UserError, match=r"agent\.teacher.*pong"):
        train.run(Config(game="pong", runs=str(tmp_path), agent=agent))
    with pytest.raises(UserError, match=r"agent\.teacher.*nobody"):
        train.run(Config(runs=str(tmp_path), agent=AgentConfig(teacher="nobody")))
    assert not list(tmp_path.iterdir())
