"""The games that the agent learns from, against the emulator played by hand with the same actions."""

import numpy as np
import pytest

from rayatari.agent.rewards import POINTS, RewardRule, reward_rule
from rayatari.agent.rollout import CONTINUES, LAST, TERMINATED, TRUNCATED
from rayatari.agent.vector_game import VectorGame
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.agent_view import agent_view
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator

QUIET = EmulatorConfig(noop_max=0)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (AgentConfig(), [1, 0, -1, 0]),
        (AgentConfig(clip_rewards=False), [4, 0, -2, 0]),
        (AgentConfig(living_penalty=0.01, life_penalty=0.5), [0.99, -0.01, -1.51, -0.51]),
        (AgentConfig(clip_rewards=False, life_penalty=1.0), [4, 0, -3, -1]),
    ],
)
def test_rewards_are_clipped_before_penalties_are_taken(agent, expected):
    points, lost = np.array([4.0, 0.0, -2.0, 0.0]), np.array([False, False, True, True])
    rewards = reward_rule(agent)(points, lost)
    assert rewards.dtype == np.float32
    np.testing.assert_allclose(rewards, expected, rtol=1e-6)


def test_penalties_are_taken_from_what_is_learned_and_not_from_the_score():
    spec = get_game("breakout")
    rule = RewardRule(clip=True, living_penalty=0.25, life_penalty=2.0)
    rollouts = []
    for rewards in (POINTS, rule):
        vector = VectorGame(spec, QUIET, 2, life_loss_ends=True, threads=1, rewards=rewards)
        vector.reset(7)
        rollouts.append(vector.play(Script(2, 4), 400))
    plain, shaped = rollouts
    played = plain.outcomes != LAST
    lost = plain.outcomes == TERMINATED  # with life_loss_ends every lost life is one
    assert lost.sum() >= 5
    expected = np.where(played, np.sign(plain.rewards) - 0.25 - 2.0 * lost, 0.0)
    np.testing.assert_allclose(shaped.rewards, expected, atol=1e-6)
    assert shaped.episodes == plain.episodes
    assert any(episode.score > 0 for episode in plain.episodes)


class Script:
    """Plays random actions, mostly moving, and remembers what it was shown and what it did."""

    def __init__(self, count, actions, seed=0):
        self.rng = np.random.default_rng(seed)
        self.count, self.actions = count, actions
        self.stacks, self.played = [], []

    def __call__(self, stacks):
        self.stacks.append(stacks.copy())
        self.played.append(self.rng.integers(self.actions, size=self.count))
        return self.played[-1]


def play(game, count, emulator, steps, *, life_loss_ends=False, seed=7):
    spec = get_game(game)
    vector = VectorGame(spec, emulator, count, life_loss_ends=life_loss_ends, threads=2)
    vector.reset(seed)
    script = Script(count, len(spec.action_names))
    rollout = vector.play(script, steps)
    return spec, script, rollout


@pytest.mark.parametrize(("game", "steps"), [("breakout", 450), ("space_invaders", 900)])
def test_frames_actions_and_rewards_stay_aligned_with_the_emulator(game, steps):
    spec, _, rollout = play(game, 2, QUIET, steps)
    scored = 0
    for lane in range(2):
        emulator = Emulator(spec, QUIET)
        frame, ended = emulator.reset(0), False
        for t in range(steps):
            if ended:
                assert rollout.outcomes[t, lane] == LAST
                assert rollout.actions[t, lane] == rollout.rewards[t, lane] == 0
                frame, ended = emulator.reset(0), False
                continue
            assert np.abs(rollout.views[t, lane].astype(int) - agent_view(frame)).max() <= 1, (lane, t)
            step = emulator.step(int(rollout.actions[t, lane]))
            assert step.reward == rollout.rewards[t, lane]
            assert rollout.outcomes[t, lane] == (TERMINATED if step.terminated else CONTINUES)
            frame, ended = step.frame, step.terminated
            scored += step.reward
        assert (rollout.outcomes[:, lane] == LAST).any()
    assert scored > 0


def test_a_lane_is_a_chain_of_episodes_with_one_last_frame_each():
    _, script, rollout = play("breakout", 4, EmulatorConfig(max_steps=60), 300)
    assert (rollout.outcomes == TRUNCATED).any()
    for lane in range(4):
        age = 0
        for t in range(300):
            assert rollout.ages[t, lane] == min(age, 255)
            after = rollout.outcomes[t - 1, lane] if t else LAST
            assert (rollout.outcomes[t, lane] == LAST) == (age > 0 and after in (TERMINATED, TRUNCATED))
            if rollout.outcomes[t, lane] != LAST:
                assert rollout.actions[t, lane] == script.played[t][lane]
            age = 0 if rollout.outcomes[t, lane] == LAST else age + 1


def test_the_agent_is_shown_the_stack_that_replay_makes_of_the_single_frames():
    _, script, rollout = play("breakout", 2, EmulatorConfig(max_steps=50), 160)
    for t in range(160):
        for lane in range(2):
            for back in range(4):
                shown = script.stacks[t][lane, 3 - back]
                within = rollout.ages[t, lane] >= back
                np.testing.assert_array_equal(shown, rollout.views[t - back, lane] if within else 0)


def test_losing_a_life_can_end_the_episode_for_the_learner_only():
    _, _, plain = play("breakout", 2, QUIET, 400)
    _, _, ending = play("breakout", 2, QUIET, 400, life_loss_ends=True)
    np.testing.assert_array_equal(plain.views, ending.views)
    np.testing.assert_array_equal(plain.ages, ending.ages)
    lost = (ending.outcomes == TERMINATED) & (plain.outcomes == CONTINUES)
    games_over = (plain.outcomes == TERMINATED).sum()
    assert games_over >= 2
    assert lost.sum() >= 4 * games_over


def test_episode_scores_are_the_points_of_their_steps():
    _, _, rollout = play("breakout", 3, EmulatorConfig(max_steps=150), 500)
    totals, lengths = [], []
    for lane in range(3):
        ends = np.flatnonzero(rollout.outcomes[:, lane] == LAST)
        for start, end in zip([0, *(ends + 1)], ends, strict=False):
            totals.append(rollout.rewards[start:end, lane].sum())
            lengths.append(end - start)
    pending = len(rollout.episodes) - len(totals)
    assert 0 <= pending <= 3
    reported = [(episode.score, episode.length) for episode in rollout.episodes]
    assert all(pair in reported for pair in zip(totals, lengths, strict=True))


def test_the_seed_decides_the_games():
    _, _, first = play("breakout", 2, EmulatorConfig(), 60, seed=11)
    _, _, again = play("breakout", 2, EmulatorConfig(), 60, seed=11)
    _, _, other = play("breakout", 2, EmulatorConfig(), 60, seed=12)
    np.testing.assert_array_equal(first.views, again.views)
    assert (first.views != other.views).any()
