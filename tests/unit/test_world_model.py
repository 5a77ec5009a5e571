"""The latent-action model: what it starts from, what its losses count, and that it learns."""

import pytest
import torch
import torch.nn.functional as F
from worlds import PALETTE, WORLD, lesson, moving_square, small_world

from rayatari.config.world import LossWeights
from rayatari.models.frames import one_hot, to_patches
from rayatari.models.losses import (
    changed_error,
    palette_loss,
    pixel_error,
    pixel_weights,
    rare_color_weights,
    relative_error,
)

GOLDEN_LOSSES = [0.26541, 0.22888, 0.22734]


def test_an_untrained_decoder_repeats_the_last_frame() -> None:
    model, frames = small_world().eval(), moving_square(2, 5)
    codes = model.true_codes(frames[:, 3], frames[:, 4])
    assert torch.equal(model.predict(frames[:, :4], codes), frames[:, 3])
    assert torch.equal(model.predict(frames[:, :4], None), frames[:, 3])


def test_every_pixel_of_the_past_can_reach_the_prediction() -> None:
    """The ancestor's decoder was blind to 96 % of its input; a ball there was lost."""
    model = small_world()
    torch.nn.init.normal_(model.decoder.pixels.weight)
    hot = one_hot(to_patches(moving_square(1, 4), 4), 5).requires_grad_(True)
    features = F.linear(hot.flatten(3), model.decoder.patches.weight).permute(0, 3, 1, 2)
    model.decoder.pixels(model.decoder.down_blocks[0](features).permute(0, 2, 3, 1)).sum().backward()
    assert hot.grad is not None
    assert (hot.grad.abs().sum(3) > 0).all()


def test_where_nothing_happens_all_cells_have_one_code() -> None:
    model, frames = small_world().eval(), moving_square(3, 5)
    assert len(model.true_codes(frames[:, 3], frames[:, 3]).unique()) == 1
    assert model.true_codes(frames[:, 3], frames[:, 4]).shape == (3, 35)


def test_losses_count_what_changes() -> None:
    frames = moving_square(1, 2)
    present, following = (to_patches(frames[:, t : t + 1], 4) for t in (0, 1))
    weights = pixel_weights(present, following, motion=20)
    assert weights.max() == 21 and (weights == 21).sum() == (present != following).sum() == 80
    copied = one_hot(present, 5) * 6
    assert palette_loss(copied, following, weights) > 10 * palette_loss(copied, following, weights * 0 + 1)
    assert changed_error(present, present, following) == 1
    assert changed_error(following, present, following) == 0
    assert pixel_error(present, following) == pytest.approx(80 / (224 * 160))
    assert relative_error(present, present, following) == 1


def test_rare_colours_weigh_more() -> None:
    weights = rare_color_weights(moving_square(1, 1), 5, exponent=0.5)
    assert weights[3] > 5 * weights[0]


def test_golden_losses() -> None:
    """Guards refactorings: the same seed gives the same losses."""
    model, generator = small_world(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    seen = []
    for _ in range(3):
        loss, logs, _ = model(lesson(4), 0.5, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert seen == pytest.approx(GOLDEN_LOSSES, rel=1e-3)
    assert not any(torch.isinf(value) for value in logs.values())


def test_training_teaches_motion_and_codes_are_used() -> None:
    """From six frames that jump left or right at random: the past can't tell which, the codes can."""
    model = small_world(losses=LossWeights(motion=5, motion_final=5))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    frames = moving_square(8, 5)
    frames[:4] = frames[:4].flip(1)
    frames[:4, :4] = frames[4:, :4]
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 300)
        with torch.autocast("cpu", torch.bfloat16):
            loss, _, _ = model(lesson(8, frames), step / 300, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    present, following = frames[:, 3], frames[:, 4]
    told = model.predict(frames[:, :4], model.true_codes(present, following))
    untold = model.predict(frames[:, :4], None)
    assert changed_error(told, present, following) < 0.2
    assert pixel_error(told, following) < 0.7 * pixel_error(untold, following)


def test_the_palette_and_sizes_make_the_grid() -> None:
    model = small_world()
    assert (model.grid, model.cells, model.codec.colors) == ((7, 5), 35, len(PALETTE))
    assert model.history == WORLD.model.history
