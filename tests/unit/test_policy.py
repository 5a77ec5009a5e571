import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from rayatari.agent.evaluation import evaluate_policy, write_gif
from rayatari.agent.league import League, Member, most_redundant
from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.policy import (
    KIND,
    Policy,
    PolicyModel,
    PolicyPlayer,
    half_precision,
    load_policy,
    model_record,
    save_policy,
)
from rayatari.agent.view_stack import ViewStack, interleave
from rayatari.checkpoint import new_card
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.agent_view import agent_view
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.palette import to_rgb

SPEC = get_game("breakout")
MODEL = PolicyModel(QNetworkConfig(4, (4, 8, 8), 16), SPEC.action_names, frame_skip=4, step=1234)


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return Policy(MODEL, half_precision(QNetwork(MODEL.network).state_dict()))


@pytest.fixture
def bundle(policy, tmp_path):
    save(tmp_path / "policy", policy)
    return tmp_path / "policy"


def save(folder, policy, **metrics):
    save_policy(folder, policy, new_card(KIND, Config(), model=model_record(policy.model), metrics=metrics))


def some_views(count):
    return np.random.default_rng(0).integers(0, 256, (count, 4, 84, 84), np.uint8)


def test_a_bundle_holds_all_that_the_policy_needs(policy, bundle):
    loaded = load_policy(bundle)
    assert loaded.model == policy.model
    assert loaded.action_names == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert loaded.name == "dqn-1234"
    np.testing.assert_array_equal(loaded.q_values(some_views(3)), policy.q_values(some_views(3)))
    assert {file.name for file in bundle.iterdir()} == {"card.json", "weights.safetensors"}


def test_values_of_a_view_do_not_depend_on_the_rest_of_the_batch(policy):
    views = some_views(6)
    together = policy.q_values(views)
    alone = np.concatenate([policy.q_values(view[None]) for view in views])
    assert together.dtype == np.float32
    assert together.shape == (6, 4)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_player_sees_the_last_four_views_and_black_before_the_first(policy):
    seen = []

    class Watching(Policy):
        def q_values(self, views):
            seen.append(views[0].copy())
            return super().q_values(views)

    player = PolicyPlayer(Watching(policy.model, policy.weights))
    emulator = Emulator(SPEC, EmulatorConfig())
    for seed in (1, 2):
        player.reset(seed)
        frames = [emulator.reset(seed)]
        for _ in range(7):
            action = player.act(frames[-1])
            expected = [agent_view(frame) for frame in frames[-4:]]
            black = [np.zeros((84, 84), np.uint8)] * (4 - len(expected))
            np.testing.assert_array_equal(seen[-1], np.stack([*black, *expected]))
            assert action == policy.q_values(seen[-1][None])[0].argmax()
            frames.append(emulator.step(1).frame)


def test_view_stacks_start_anew_one_by_one():
    stack = ViewStack(2)
    ones = np.ones((2, 84, 84), np.uint8)
    for value in (1, 2, 3):
        stack.push(ones * value, np.array([value == 1, value == 1]))
    views = stack.push(ones * 4, np.array([False, True]))
    assert views[0, :, 0, 0].tolist() == [1, 2, 3, 4]
    assert views[1, :, 0, 0].tolist() == [0, 0, 0, 4]


def test_views_lie_in_memory_as_convolutions_read_them():
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 256, (3, 4, 84, 84), dtype=np.uint8)
    side_by_side, stack = interleave(plain), ViewStack(3)
    for k in range(4):
        stack.push(plain[:, k], np.full(3, k == 0))
    sent = pickle.loads(pickle.dumps(stack))  # which may lay out the memory anew
    for views in (side_by_side, stack.views):
        np.testing.assert_array_equal(views, plain)
        assert torch.from_numpy(views).is_contiguous(memory_format=torch.channels_last)
    newest = rng.integers(0, 256, (3, 84, 84), dtype=np.uint8)
    for each in (stack, sent):
        views = each.push(newest, np.array([False, True, False]))
        np.testing.assert_array_equal(views[::2], np.concatenate([plain[::2, 1:], newest[::2, None]], 1))
        assert not views[1, :3].any() and (views[1, 3] == newest[1]).all()


def test_evaluation_equals_the_player_alone_in_the_emulator(policy):
    emulator_config = EmulatorConfig(max_steps=120)
    evaluation = evaluate_policy(policy, SPEC, emulator_config, episodes=3, epsilon=0.0, first_seed=1_000_000)
    for episode in evaluation.episodes:
        emulator, player = Emulator(SPEC, emulator_config), PolicyPlayer(policy)
        frame, score, actions, over = emulator.reset(episode.seed), 0.0, [], False
        player.reset(episode.seed)
        while not over:
            actions.append(player.act(frame))
            step = emulator.step(actions[-1])
            frame, score, over = step.frame, score + step.reward, step.terminated or step.truncated
        assert tuple(actions) == episode.actions
        assert score == episode.score
    assert [episode.seed for episode in evaluation.episodes] == [1_000_000, 1_000_001, 1_000_002]


def test_evaluation_counts_points_and_names_its_protocol(policy):
    ended = []
    evaluation = evaluate_policy(
        policy,
        SPEC,
        EmulatorConfig(sticky=0.25),
        episodes=4,
        epsilon=1.0,
        first_seed=1_000_000,
        ended=ended.append,
    )
    summary = evaluation.summary()
    assert sum(ended) == summary["episodes"] == 4
    assert summary["mean"] == pytest.approx(np.mean(evaluation.scores), abs=1e-3)
    assert summary["median"] == np.median(evaluation.scores)
    assert summary["std"] == pytest.approx(np.std(evaluation.scores), abs=1e-3)
    assert evaluation.best.score == max(evaluation.scores) > 0
    assert summary["protocol"]["sticky"] == 0.25
    assert summary["protocol"]["epsilon"] == 1.0
    assert json.loads(json.dumps(summary)) == summary


def test_the_gif_shows_the_episode_as_it_was_played(policy, tmp_path):
    config = EmulatorConfig(sticky=0.25)
    evaluation = evaluate_policy(policy, SPEC, config, episodes=1, epsilon=1.0, first_seed=1_000_000)
    write_gif(tmp_path / "new" / "best.gif", evaluation.best, SPEC, config, steps=20)
    emulator = Emulator(SPEC, config)
    frames = [emulator.reset(evaluation.best.seed)]
    frames += [emulator.step(action).frame for action in evaluation.best.actions[:20]]
    with Image.open(tmp_path / "new" / "best.gif") as gif:
        shown, elapsed = [], 0
        for index in range(gif.n_frames):
            gif.seek(index)
            shown.append(np.asarray(gif.convert("RGB")))
            elapsed += gif.info["duration"]
    assert elapsed == pytest.approx(21 * 1000 * 4 / 60, rel=0.1)
    np.testing.assert_array_equal(shown[0], to_rgb(frames[0]))
    np.testing.assert_array_equal(shown[-1], to_rgb(frames[-1]))


def test_the_league_keeps_policies_that_spread_over_the_scores(policy, tmp_path):
    league = League(tmp_path, size=3)
    for step, score in ((10, 1.0), (20, 1.5), (30, 6.0), (40, 20.0), (50, 19.0)):
        save(league.path(step), Policy(replace(MODEL, step=step), policy.weights), mean=score)
        league.prune()
    assert [(member.step, member.score) for member in league.members()] == [(10, 1.0), (30, 6.0), (40, 20.0)]
    assert league.best().step == 40


def test_neither_the_best_nor_the_worst_policy_is_dropped():
    members = [Member(None, step, score) for step, score in ((1, 5.0), (2, 1.0), (3, 9.0), (4, 8.5))]
    assert most_redundant(members).score in (5.0, 8.5)
    assert most_redundant(members[:2]).score == 1.0


def damage_weights(bundle):
    path = bundle / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_network(bundle):
    edit_card(bundle, lambda card: card["model"]["network"].update(hidden=8))


def no_model(bundle):
    edit_card(bundle, lambda card: card.update(model={}))


def other_kind(bundle):
    edit_card(bundle, lambda card: card.update(kind="neural-game"))


def broken_card(bundle):
    (bundle / "card.json").write_text("{")


def no_card(bundle):
    (bundle / "card.json").unlink()


def no_weights(bundle):
    (bundle / "weights.safetensors").unlink()


def edit_card(bundle, change):
    card = json.loads((bundle / "card.json").read_text())
    change(card)
    (bundle / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "damage", [damage_weights, other_network, no_model, other_kind, broken_card, no_card, no_weights]
)
def test_a_damaged_bundle_is_a_users_error_that_names_it(bundle, damage):
    damage(bundle)
    with pytest.raises(UserError, match=str(bundle)) as caught:
        load_policy(bundle)
    assert "train-agent" in str(caught.value)


def test_the_record_of_a_model_survives_json(policy, bundle):
    assert json.loads((bundle / "card.json").read_text())["model"] == json.loads(json.dumps(asdict(MODEL)))
