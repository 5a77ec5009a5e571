"""A model packed for playing draws what the model draws."""

import pytest
import torch
from worlds import moving_square, small_playable

from rayatari.models.decoder import PaintedDrawing
from rayatari.models.frames import from_patches
from rayatari.models.hardware import fast_bf16
from rayatari.models.neural_game import NeuralGame
from rayatari.models.packed import PackedConv2d, pack
from rayatari.models.sampling import sample_step
from rayatari.models.streamed import likeliest
from rayatari.paths import SHIPPED, shipped_games

needs_bf16 = pytest.mark.skipif(not fast_bf16("cpu"), reason="this CPU has no bfloat16 units")


def test_the_likeliest_colour_is_the_argmax_and_the_first_of_equals() -> None:
    logits = torch.randint(-3, 3, (9, 5000)).float()
    assert torch.equal(likeliest(logits), logits.argmax(0).to(torch.uint8))


def test_a_frame_is_drawn_as_its_logits_say() -> None:
    model, past = small_playable().world.eval(), moving_square(2, 4)
    sight = model.decoder.look(past)
    drawing = model.decoder.draw(sight, sight.past_BChw)
    assert isinstance(drawing, PaintedDrawing)
    best = drawing.logits().argmax(3).to(torch.uint8)
    assert torch.equal(drawing.frame(), from_patches(best, model.decoder.patch))
    assert (drawing.frame() != past[:, -1]).float().mean() > 0.05, "it has to draw something"


@needs_bf16
@torch.inference_mode()
def test_a_packed_model_draws_the_same_but_for_rounding() -> None:
    past, actions = moving_square(3, 4), torch.tensor([[0], [1], [3]])
    with torch.autocast("cpu", torch.bfloat16):
        plain = sample_step(small_playable().eval(), past, actions)
        packed = sample_step(pack(small_playable().eval()), past, actions)
    assert (plain.frames_BHW != past[:, -1]).float().mean() > 0.05, "it has to draw something"
    assert (plain.frames_BHW != packed.frames_BHW).float().mean() < 0.01
    assert torch.equal(plain.lives_B, packed.lives_B)


@needs_bf16
def test_games_on_a_cpu_are_packed() -> None:
    model = NeuralGame.load(SHIPPED / shipped_games()[0]).model
    assert any(isinstance(layer, PackedConv2d) for layer in model.modules())
    assert not any(isinstance(layer, torch.nn.Conv2d) for layer in model.modules())


def test_a_cpu_without_bfloat16_plays_the_model_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayatari.models.packed.fast_bf16", lambda device: False)
    model = small_playable()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = pack(model).state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
