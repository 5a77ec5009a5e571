"""A small neural-game bundle on disk, with random weights: everything but skill."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from worlds import MAPPER, PALETTE, WORLD, small_playable

from rayatari.checkpoint import new_card, save_bundle
from rayatari.config.schema import Config
from rayatari.config.world import MapperConfig, WorldConfig
from rayatari.games.specs import SPECS
from rayatari.models.neural_game import KIND, START_FRAMES, GameModel


def write_game(
    folder: Path, game: str = "breakout", mapper: MapperConfig = MAPPER, world: WorldConfig = WORLD
) -> Path:
    """Write a bundle of a game that draws noise, deterministically."""
    facts = GameModel(SPECS[game].action_names[:4], PALETTE, (210, 160), 4, (0.0, 1.0, 4.0), 5)
    config = replace(Config(game=game), world=world, mapper=mapper)
    weights = {name: value.contiguous() for name, value in small_playable(mapper, world).state_dict().items()}
    starts = np.random.default_rng(0).choice(np.array(PALETTE, np.uint8), (2, 4, 210, 160))
    card = new_card(KIND, config, model=facts.to_json())
    save_bundle(folder, card, {**weights, START_FRAMES: torch.from_numpy(starts)})
    return folder
