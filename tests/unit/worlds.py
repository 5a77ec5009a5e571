"""Small real models for tests: full frames, few channels."""

from dataclasses import replace

import torch

from rayatari.config.world import MapperConfig, ModelConfig, WorldConfig
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.playable import PlayableWorld
from rayatari.models.windows import Lesson, Windows, lesson_at

PALETTE = (0, 6, 22, 38, 134)
SIZES = ModelConfig(
    channels=(8, 8, 8, 16), encoder_channels=(8, 8, 8, 8), codes=16, code_dim=4, mapper_channels=16
)
WORLD = WorldConfig(model=SIZES)
MOVING = replace(WORLD, model=replace(SIZES, moves=8))
FLOWING = replace(WORLD, model=replace(SIZES, moves=8, flow=True))
TELLING = replace(WORLD, model=replace(SIZES, things=2))
MAPPER = MapperConfig(unroll=2, unroll_from=0.5)


def small_world(**settings: object) -> LatentActionModel:
    torch.manual_seed(0)
    return LatentActionModel(replace(WORLD, **settings), PALETTE, (210, 160))


def small_playable(config: MapperConfig = MAPPER, world: WorldConfig = WORLD) -> PlayableWorld:
    torch.manual_seed(0)
    model = PlayableWorld(small_world(model=world.model), config, actions=4, rewards=3, lives=6)
    with torch.no_grad():  # an untrained decoder only copies: let it draw something of its own
        torch.nn.init.normal_(model.world.decoder.pixels.weight, std=0.5)
        model.world.decoder.copy.fill_(1.0)
        model.heads.done.bias.copy_(torch.tensor([50.0, 0.0]))  # the game goes on
        for layer in model.action.before or ():  # past actions are silent before training
            for parameter in layer.parameters():
                torch.nn.init.normal_(parameter, std=2.0)
        if (choice := model.world.decoder.choice) is not None:
            choice.offsets_M2.copy_(torch.randint(-16, 17, choice.offsets_M2.shape))
            choice.offsets_M2[0] = torch.tensor([0, 4])  # that of the moving square
            torch.nn.init.normal_(choice.scores.weight)
            choice.scores.bias[:] = 4 * torch.rand(choice.scores.bias.shape)
            choice.scores.bias[1 + len(PALETTE)] = 4.0  # some patches are painted
        for layer in (flow.came, flow.arrives) if (flow := model.world.decoder.flow) else ():
            for parameter in layer.parameters():
                torch.nn.init.normal_(parameter, std=2.0)
        for layer in (*model.mover.tables, model.mover.gone) if model.mover else ():
            torch.nn.init.normal_(layer.weight, std=0.05)
    return model


def moving_square(count: int, frames: int) -> torch.Tensor:
    """Classes (B, T, 224, 160): a square that moves right by 4 pixels a frame."""
    classes = torch.zeros(count, frames, 224, 160, dtype=torch.uint8)
    for b in range(count):
        for t in range(frames):
            left = 10 + 12 * b + 4 * t
            classes[b, t, 100:110, left : left + 8] = 3
    return classes


def flying_ball(count: int, frames: int) -> torch.Tensor:
    """Classes (B, T, 224, 160): a ball of 4x2 pixels that goes down by 6 and right by 5 a frame."""
    classes = torch.zeros(count, frames, 224, 160, dtype=torch.uint8)
    for t in range(frames):
        classes[:, t, 40 + 6 * t : 44 + 6 * t, 60 + 5 * t : 62 + 5 * t] = 1
    return classes


def windows(count: int, frames: int) -> Windows:
    zeros = torch.zeros(count, frames - 1, dtype=torch.long)
    lives = torch.zeros(count, frames, dtype=torch.long)
    left = torch.full((count,), frames - 4)
    return Windows(moving_square(count, frames), zeros, zeros, zeros, lives, zeros[:, :0], left)


def lesson(count: int, frames: torch.Tensor | None = None) -> Lesson:
    """The step to the last of five frames, classes (B, 5, H, W); moving squares if none are given."""
    given = windows(count, 5)
    if frames is not None:
        given = replace(given, frames_BTHW=frames)
    at = torch.full((count,), 3)
    return lesson_at(given, given.frames_BTHW[:, :4], at, torch.zeros(count, dtype=torch.bool))
