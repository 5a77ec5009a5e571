"""The plan of a recording: exact, the same each time, seeds unique and below those of evaluation."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayatari.config.load import load_config, validate
from rayatari.config.record import PlayerConfig, RecordConfig
from rayatari.config.schema import Config
from rayatari.dataset.plan import divide, make_plan, policy_name
from rayatari.errors import UserError
from rayatari.seeding import EVALUATION_SEED

MIX = (PlayerConfig("random", share=3.0), PlayerConfig("noop", share=1.0))


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_division_adds_up_and_is_off_by_less_than_one(total: int, shares: list[float]) -> None:
    parts = divide(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - total * share / sum(shares)) < 1 + 1e-6


@given(steps=st.integers(1, 50_000), heldout=st.floats(0, 0.9), shard_steps=st.integers(100, 20_000))
def test_a_plan_has_exactly_the_steps_and_shares_of_the_configuration(
    steps: int, heldout: float, shard_steps: int
) -> None:
    record = RecordConfig(steps=steps, heldout=heldout, shard_steps=shard_steps, players=MIX)
    plan = make_plan(Config(record=record), {})
    planned = Counter[str]()
    for unit in plan:
        assert 0 < unit.steps <= shard_steps
        planned[unit.split] += unit.steps
        planned[unit.policy] += unit.steps
    assert planned["train"] + planned["heldout"] == steps
    assert planned["heldout"] == round(steps * heldout)
    assert abs(planned["random"] - 0.75 * steps) <= 1
    assert [unit.index for unit in plan] == list(range(len(plan)))
    assert len({unit.file for unit in plan}) == len({unit.work for unit in plan}) == len(plan)


@given(seed=st.integers(0, 10**9))
def test_every_episode_has_a_seed_and_a_number_of_its_own(seed: int) -> None:
    record = RecordConfig(steps=2000, shard_steps=150, players=MIX)
    plan = make_plan(Config(record=record, seed=seed), {})
    seeds = [unit.episode_seed(number) for unit in plan for number in range(unit.steps)]
    episodes = [unit.episode(number) for unit in plan for number in range(unit.steps)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0 and max(seeds) < EVALUATION_SEED
    assert episodes == sorted(set(episodes))


def test_running_out_of_seeds_is_an_error_with_a_remedy() -> None:
    unit = make_plan(Config(record=RecordConfig(players=MIX)), {})[0]
    with pytest.raises(UserError, match="record fewer steps"):
        unit.episode_seed(EVALUATION_SEED)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"game": "pong"}, {"emulator": {"sticky": 0.25}}, {"record": {"steps": 200}},
     {"record": {"players": [{"player": "noop"}]}}, {"record": {"context": 3}}, {"record": {"heldout": 0.5}}],
)  # fmt: skip
def test_other_settings_are_other_work(change: dict[str, object]) -> None:
    plain = {"record": {"steps": 100, "players": [{"player": "random"}]}}
    other = {**plain, **change, "record": {**plain["record"], **change.get("record", {})}}
    works = [{unit.work for unit in make_plan(validate(values), {})} for values in (plain, other)]
    assert not works[0] & works[1]
    assert works[0].isdisjoint(unit.work for unit in make_plan(validate(plain), {"policy 0": "abc"}))


def test_a_policy_is_named_by_its_player_and_its_errors() -> None:
    assert policy_name(PlayerConfig("noop", share=0.3)) == "noop"
    entry = PlayerConfig("agent:weak", epsilon=0.1, hold=4, idle=0.01, idle_steps=20)
    assert policy_name(entry) == "agent:weak epsilon=0.1 hold=4 idle=0.01 idle_steps=20"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("players=[]", "at least one player"),
        ("players=[{player: random, share: 0}]", "share must be above 0"),
        ("players=[{player: random, epsilon: 2}]", "probabilities"),
        ("players=[{player: random, hold: 0}]", "at least 1"),
        ("players=[{player: random, epsilom: 1}]", "epsilom"),
        ("steps=0", "at least 1"),
        ("heldout=1", "from 0 to below 1"),
        ("context=-1", "from 0 to 256"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(overrides=[setting], section="record")


def test_the_default_mix_is_valid() -> None:
    plan = make_plan(replace(Config(), game="pong"), {})
    assert sum(unit.steps for unit in plan) == Config().record.steps
