"""Agents' results: scores beside people's, the file that holds them, and the table that shows them."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from rayatari.agent.reference import REFERENCES, human_normalised
from rayatari.agent.settings import check_settings
from rayatari.config.load import load_config

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "rayatari" / "pretrained" / "agents"


def script(name):
    return runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))


def test_random_play_is_nothing_and_the_human_is_one():
    for game, reference in REFERENCES.items():
        assert human_normalised(game, reference.random) == 0
        assert human_normalised(game, reference.human) == pytest.approx(1)
    assert human_normalised("breakout", 401.2) == pytest.approx(13.27, abs=0.01)  # 1327 % in the paper
    assert human_normalised("pong", 18.9) == pytest.approx(1.32, abs=0.001)
    assert human_normalised("enduro", 301.8) == pytest.approx(0.97, abs=0.005)
    assert human_normalised("freeway", 30.0) is None


@pytest.mark.parametrize("game", sorted(REFERENCES))
def test_each_game_of_the_paper_has_a_config_that_can_be_trained(game):
    config = load_config([str(ROOT / "configs" / f"{game}.yaml")], ["agent.replay_capacity=50000"])
    assert config.game == game
    check_settings(config.agent)


def test_a_shipped_agent_is_evaluated_as_stated_and_stands_in_the_table(tmp_path, monkeypatch):
    words = ["evaluate_agents.py", str(SHIPPED / "pong"), "--episodes", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*words, "--protocols", "0:30", "0.25:45"])
    script("evaluate_agents")["main"]()
    result = json.loads((tmp_path / "pong.json").read_text())
    first, second = result["evaluations"]
    assert first["protocol"]["max_steps"] == 30 and first["protocol"]["frames"] == 2 * 30 * 4
    assert (second["protocol"]["sticky"], second["protocol"]["epsilon"]) == (0.25, 0.01)
    assert second["protocol"]["first_seed"] == 1_700_000
    assert len(second["scores"]) == second["episodes"] == 2
    assert first["human_normalised_mean"] == pytest.approx((first["mean"] + 20.7) / 30, abs=1e-4)
    table = script("update_readme")["agents_table"]([result])
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| pong")]
    assert len(rows) == 2 and "sticky 0.25" in rows[1][1]
    assert rows[0][2] == f"{first['mean']:.1f} ± {first['std']:.1f}"
