"""``rayatari evaluate`` from a bundle on disk to the report, with a real network that knows nothing yet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds import MAPPER, WORLD

from rayatari.checkpoint import new_card, read_card, save_bundle
from rayatari.cli import main
from rayatari.config.schema import Config
from rayatari.evaluate.interface import CodedGame
from rayatari.games.catalog import get_game
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel, NeuralGame
from rayatari.models.playable import PlayableWorld

SPEC = get_game("breakout")
SMALL = [
    "players=[{player: random}, {player: follow, epsilon: 0.1}]", "episodes=2", "episode_steps=40", "pairs=6",
    "horizons=[1, 5, 20]", "starts=4", "long_starts=2", "closed_games=1", "closed_steps=10", "batch=4",
    "code_steps=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    facts = GameModel(SPEC.action_names, SPEC.palette, (210, 160), 4, (0.0, 1.0, 4.0, 7.0), 5)
    world = LatentActionModel(WORLD, SPEC.palette, facts.frame_shape)
    model = PlayableWorld(
        world, MAPPER, len(facts.action_names), len(facts.reward_values), facts.max_lives + 1
    )
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    folder = tmp_path_factory.mktemp("bundle")
    card = new_card(KIND, replace(Config(), world=WORLD, mapper=MAPPER), model=facts.to_json())
    save_bundle(folder, card, {**weights, START_FRAMES: torch.zeros(1, 4, 210, 160, dtype=torch.uint8)})
    return folder


def test_the_neural_game_has_all_that_the_evaluation_asks_of_it(bundle: Path):
    assert isinstance(NeuralGame.load(bundle), CodedGame)


def test_the_command_measures_a_bundle_and_writes_the_report_and_the_card(
    bundle: Path, tmp_path: Path, capsys
):
    words = [f"runs={tmp_path}", f"evaluate.weights={bundle}", *SMALL]
    assert main(["evaluate", *words]) == 0
    folder = tmp_path / "breakout" / "evaluation"
    assert str(folder / "report.html") in capsys.readouterr().out
    results = json.loads((folder / "report.json").read_text())
    assert set(results["one_step"]["pixels"]) == {"neural", "copy_last_frame", "true_codes", "common_codes"}
    assert results["one_step"]["mapper"]["cells"]["n"] == 6 * 35
    assert results["closed_loop"]["neural"]["steps"]["n"] == 2
    assert results["speed"]["frames_per_second"] > 0
    assert "inside.html" in (folder / "report.html").read_text()
    assert "by event" in (folder / "inside.html").read_text()
    assert read_card(folder, "evaluation", "").inputs == {"neural_game": str(bundle)}
    assert main(["evaluate", *words]) == 0
    assert "finished" in capsys.readouterr().out


def test_all_blocks_run_on_a_bundle_and_are_on_the_page(bundle: Path, tmp_path: Path, capsys):
    words = [
        f"runs={tmp_path}", f"evaluate.weights={bundle}", *SMALL, "common_starts=1", f"ancestor={bundle}",
        "marathon={games: 2, steps: 12, player: {player: random}}",
        "turing={starts: 4, steps: 16, train_steps: 2, batch: 2, channels: 4}",
        "inside={backend: local, device: cpu, steps: 16, learning_starts: 8, envs: 2, groups: 1, "
        "batch_size: 2, replay_capacity: 64, hidden: 8, channels: [4, 4, 4], report_every: 8, "
        "evaluation_episodes: 2, evaluation_steps: 5, threads: 1}",
    ]  # fmt: skip
    assert main(["evaluate", *words]) == 0
    assert "targets:" in capsys.readouterr().out
    folder = tmp_path / "breakout" / "evaluation"
    results = json.loads((folder / "report.json").read_text())
    assert results["one_step"]["pixels"]["ancestor"] == results["one_step"]["pixels"]["neural"]
    assert set(results["open_loop"]["objects"]) == {"neural", "copy_last_frame", "common_codes", "ancestor"}
    assert results["marathon"]["real"]["steps"] == 24 and results["marathon"]["neural"]["sane"]["n"] == 2
    assert results["turing"]["accuracy"]["n"] == 8 and results["inside"]["agent"]["n"] == 2
    page = (folder / "report.html").read_text()
    for heading in ("Aims", "Long games", "Real or neural?", "Learned inside", "ancestor&#x27;s design"):
        assert heading in page, heading


def test_learning_inside_needs_the_local_backend(bundle: Path, tmp_path: Path, capsys):
    words = [f"runs={tmp_path}", f"evaluate.weights={bundle}", *SMALL, "inside={backend: ray, steps: 5}"]
    assert main(["evaluate", *words]) == 2
    assert "inside.backend=local" in capsys.readouterr().err


def test_another_frame_skip_than_the_one_learned_is_refused(bundle: Path, tmp_path: Path, capsys):
    words = [f"runs={tmp_path}", f"evaluate.weights={bundle}", "emulator.frame_skip=2", *SMALL]
    assert main(["evaluate", *words]) == 2
    assert "emulator.frame_skip=4" in capsys.readouterr().err


def test_damaged_weights_are_named(bundle: Path, tmp_path: Path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "card.json").write_bytes((bundle / "card.json").read_bytes())
    (broken / "weights.safetensors").write_bytes((bundle / "weights.safetensors").read_bytes()[:1000])
    assert main(["evaluate", f"runs={tmp_path}", f"evaluate.weights={broken}"]) == 2
    assert "damaged" in capsys.readouterr().err
