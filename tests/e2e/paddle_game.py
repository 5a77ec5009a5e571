"""A neural game that is learned in seconds: the paddle of Breakout stands where the action says."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rayatari.checkpoint import new_card, save_bundle
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.config.world import MapperConfig, ModelConfig, WorldConfig
from rayatari.games.emulator import Emulator
from rayatari.games.specs import SPECS
from rayatari.memory import keep_freed_memory
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel
from rayatari.models.playable import PlayableWorld
from rayatari.models.windows import Windows, lesson_at

SPEC = SPECS["breakout"]
PLACES = {"NOOP": 72, "FIRE": 72, "RIGHT": 128, "LEFT": 16}
"""Column of the paddle's left end, by the action just played."""
PADDLE, WIDTH, RED = slice(189, 193), 16, 0x46
CONFIG = Config(
    game="breakout",
    world=WorldConfig(
        model=ModelConfig(
            channels=(8, 8, 8, 16), encoder_channels=(8, 8, 8, 8), codes=16, code_dim=4, mapper_channels=16
        )
    ),
    mapper=MapperConfig(unroll=2),
)
STEPS, BATCH = 180, 6


def screens() -> NDArray[np.uint8]:
    """The picture after each action, palette bytes (A, 210, 160)."""
    empty = Emulator(SPEC, EmulatorConfig()).reset(0)
    empty[PADDLE, 8:152] = 0
    pictures = np.repeat(empty[None], len(SPEC.action_names), 0)
    for picture, name in zip(pictures, SPEC.action_names, strict=True):
        picture[PADDLE, PLACES[name] : PLACES[name] + WIDTH] = RED
    return pictures


def write_paddle_game(folder: Path) -> Path:
    """Train the game (some ten seconds on one core) and write its bundle."""
    keep_freed_memory()
    torch.manual_seed(0)
    facts = GameModel(SPEC.action_names, SPEC.palette, (210, 160), 4, (0.0, 1.0), 5)
    world = LatentActionModel(CONFIG.world, facts.palette, facts.frame_shape)
    model = PlayableWorld(world, CONFIG.mapper, len(facts.action_names), 2, facts.max_lives + 1)
    torch.nn.init.normal_(model.action.weight)
    pictures = screens()
    _learn(model, world.codec.encode(pictures))
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    starts = torch.from_numpy(np.repeat(pictures[:1, None], 4, 1))
    save_bundle(folder, new_card(KIND, CONFIG, model=facts.to_json()), {**weights, START_FRAMES: starts})
    return folder


def _learn(model: PlayableWorld, pictures_AHW: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    history = model.world.history
    changing_HW = (pictures_AHW != pictures_AHW[0]).any(0)
    red = int(pictures_AHW[2][pictures_AHW[2] != pictures_AHW[0]].max())
    for _ in range(STEPS):
        shown_BT = torch.randint(len(pictures_AHW), (BATCH, history + 1), generator=generator)
        frames_BTHW = pictures_AHW[shown_BT]
        nothing_BT = torch.zeros(BATCH, history, dtype=torch.long)
        lives_BT = torch.full((BATCH, history + 1), 5)
        none_BM, one_B = nothing_BT[:, :0], torch.ones(BATCH, dtype=torch.long)
        windows = Windows(frames_BTHW, shown_BT[:, 1:], nothing_BT, nothing_BT, lives_BT, none_BM, one_B)
        past_BTHW = _spoil(frames_BTHW[:, :history], changing_HW, red, generator)
        own_B = torch.zeros(BATCH, dtype=torch.bool)
        lesson = lesson_at(windows, past_BTHW, torch.full((BATCH,), history - 1), own_B)
        with torch.autocast("cpu", torch.bfloat16):
            loss, _, _ = model(lesson, 1.0, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()


def _spoil(
    past_BTHW: torch.Tensor, changing_HW: torch.Tensor, red: int, generator: torch.Generator
) -> torch.Tensor:
    """Dots of black and red where the paddle can be: the game learns to heed the action, not the past."""
    share_B = torch.rand(len(past_BTHW), 1, 1, 1, generator=generator)
    hit = (torch.rand(past_BTHW.shape, generator=generator) < share_B) & changing_HW
    dots = (torch.rand(past_BTHW.shape, generator=generator) < 0.5).to(past_BTHW.dtype) * red
    return torch.where(hit, dots, past_BTHW)
