"""The baseline of the ancestor's design: blind decoder, mapper trained apart."""

from dataclasses import replace

import torch
from worlds import MAPPER, PALETTE, SIZES, WORLD, lesson

from rayatari.config.load import load_config
from rayatari.models.decoder import PaintedDrawing
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step

BLIND = replace(WORLD, model=replace(SIZES, decoder="blind"))


def playable(world_config, through) -> PlayableWorld:
    torch.manual_seed(0)
    world = LatentActionModel(world_config, PALETTE, (210, 160))
    with torch.no_grad():
        torch.nn.init.normal_(world.decoder.pixels.weight, std=0.5)
    return PlayableWorld(world, replace(MAPPER, through=through), actions=4, rewards=3, lives=6)


def reached(config) -> float:
    """Share of the present's pixels that the drawn logits depend on, whatever the codes."""
    torch.manual_seed(0)
    model = LatentActionModel(config, PALETTE, (210, 160))
    torch.nn.init.normal_(model.decoder.pixels.weight)
    codes = torch.zeros(1, model.cells, dtype=torch.long)
    past = torch.zeros(1, model.history, 224, 160, dtype=torch.uint8)

    def drawn(frames: torch.Tensor) -> torch.Tensor:
        sight = model.decoder.look(frames)
        entered = model.decoder.enter_codes(model.quantizer.vectors(codes))
        drawing = model.decoder.draw(sight, model.decoder.mix(sight, entered))
        assert isinstance(drawing, PaintedDrawing)
        return drawing.logits()

    with torch.no_grad():
        before, hits, tries = drawn(past), 0, 0
        for row in range(3, 224, 32):
            for column in range(1, 160, 16):
                changed = past.clone()
                changed[:, -1, row, column] = 3
                hits += not torch.equal(drawn(changed), before)
                tries += 1
    return hits / tries


def test_the_blind_decoder_sees_few_pixels_of_the_present_and_the_unet_all() -> None:
    assert reached(BLIND) < 0.2
    assert reached(WORLD) == 1


def test_the_mapper_trained_apart_moves_neither_decoder_nor_encoder() -> None:
    model = playable(BLIND, "codes")
    loss, logs, _ = model(lesson(2), 0.0, torch.Generator().manual_seed(0))
    loss.backward()
    world = dict(model.world.named_parameters())
    moved = {name for name, parameter in world.items() if parameter.grad is not None}
    assert moved and all(
        name.startswith(("decoder.patches", "decoder.down", "decoder.position")) for name in moved
    )
    assert model.mapper.scores.weight.grad is not None and torch.isfinite(logs["loss"])


def test_through_the_decoder_the_frame_teaches_the_mapper_and_through_the_codes_it_does_not() -> None:
    found = {}
    for through in ("decoder", "codes"):
        model = playable(WORLD, through)
        model.world.config = replace(
            WORLD, losses=replace(WORLD.losses, code=0.0, reward=0.0, done=0.0, lives=0.0)
        )
        loss, _, _ = model(lesson(2), 0.0, torch.Generator().manual_seed(0))
        loss.backward()
        gradient = model.mapper.scores.weight.grad
        found[through] = gradient is not None and bool(gradient.abs().sum() > 0)
    assert found == {"decoder": True, "codes": False}


def test_the_ancestor_can_be_played() -> None:
    model = playable(BLIND, "codes").eval()
    past = torch.zeros(2, model.world.history, 224, 160, dtype=torch.uint8)
    with torch.inference_mode():
        step = sample_step(model, past, torch.zeros(2, 1, dtype=torch.long))
    assert step.frames_BHW.shape == (2, 224, 160)


def test_its_config_is_one_of_ours() -> None:
    config = load_config(["configs/breakout.yaml", "configs/ancestor.yaml"])
    assert (config.world.model.decoder, config.mapper.through) == ("blind", "codes")
