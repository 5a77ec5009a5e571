"""The neural game in ONNX draws the same frames as in PyTorch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from game_bundle import write_game
from worlds import FLOWING, MAPPER, TELLING, flying_ball, moving_square

from rayatari.config.runtime import EmulatorConfig
from rayatari.config.world import WorldConfig
from rayatari.errors import UserError
from rayatari.games.emulator import Emulator
from rayatari.games.specs import SPECS
from rayatari.models.onnx_export import METADATA, export_onnx, load_step
from rayatari.paths import SHIPPED

ort = pytest.importorskip("onnxruntime")
STEPS = 60


def session(path: Path) -> "ort.InferenceSession":
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def roll_out(folder: Path, path: Path, past: torch.Tensor, actions_SB: np.ndarray) -> int:
    """Play both for some steps, each on what PyTorch drew; returns the steps in which a pixel moved."""
    step, about = load_step(folder)
    runtime, moved = session(path), 0
    earlier = torch.full((len(past), about["action_history"]), len(about["action_names"]))
    memory = {"memory": np.full((len(past), about["memory"]), -1)} if about["memory"] else {}
    for actions in actions_SB:
        given = torch.cat([earlier, torch.from_numpy(actions)[:, None]], 1)
        with torch.no_grad():
            expected = [value.numpy() for value in step(past, given, *map(torch.from_numpy, memory.values()))]
        found = runtime.run(None, {"past": past.numpy(), "actions": given.numpy(), **memory})
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        moved += bool((expected[0] != past[:, -1].numpy()).any())
        past = torch.cat([past[:, 1:], torch.from_numpy(expected[0])[:, None]], 1)
        earlier, memory = given[:, 1:], dict.fromkeys(memory, expected[-1])
    return moved


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("game", ["breakout", "pong"])
def test_a_shipped_game_draws_the_same_frames_in_onnx_from_a_real_start(game: str, tmp_path: Path) -> None:
    about = export_onnx(SHIPPED / game, tmp_path / "game.onnx")
    assert about["game"] == game
    emulator = Emulator(SPECS[game], EmulatorConfig())
    frames = [emulator.reset(1_000_007)]
    for number in range(40):
        frames.append(emulator.step(1 if number % 10 == 0 else 2 + number // 5 % 2).frame)
    step, _ = load_step(SHIPPED / game)
    past = step.model.world.codec.encode(np.stack([frames[-4:], frames[-14:-10]]))
    actions = np.random.default_rng(0).integers(len(about["action_names"]), size=(STEPS // 4, 2)).repeat(4, 0)
    assert roll_out(SHIPPED / game, tmp_path / "game.onnx", past, actions) > STEPS // 2
    assert roll_out(SHIPPED / game, tmp_path / "game.onnx", past[:1], actions[:8, :1]) == 8


@pytest.mark.slow
@pytest.mark.parametrize("world", [FLOWING, TELLING], ids=["moves", "things"])
def test_what_moves_is_the_same_in_onnx(tmp_path: Path, world: WorldConfig) -> None:
    folder = write_game(tmp_path / "bundle", world=world)
    export_onnx(folder, tmp_path / "game.onnx")
    past = torch.maximum(moving_square(2, 4), flying_ball(2, 4))
    actions = np.random.default_rng(0).integers(4, size=(6, 2))
    assert roll_out(folder, tmp_path / "game.onnx", past, actions) == 6


@pytest.mark.slow
def test_past_actions_and_any_batch_go_in_and_the_file_explains_itself(tmp_path: Path) -> None:
    folder = write_game(tmp_path / "bundle", mapper=replace(MAPPER, action_history=3))
    path = tmp_path / "deep" / "game.onnx"
    export_onnx(folder, path)
    past = torch.randint(0, 5, (3, 4, 224, 160), dtype=torch.uint8)
    roll_out(folder, path, past, np.random.default_rng(0).integers(4, size=(6, 3)))
    about = json.loads(session(path).get_modelmeta().custom_metadata_map[METADATA])
    assert about["palette"] == [0, 6, 22, 38, 134] and about["action_history"] == 3
    assert about["frame_shape"] == [210, 160] and (about["top"], about["left"]) == (7, 0)


def test_a_folder_without_a_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        export_onnx(tmp_path, tmp_path / "game.onnx")
