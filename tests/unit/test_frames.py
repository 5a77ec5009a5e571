"""Palette bytes to network inputs and back, exactly, in one place."""

import numpy as np
import pytest
import torch

from rayatari.errors import UserError
from rayatari.models.frames import FrameCodec, corrupt, one_hot

PALETTE = (0, 6, 22, 38, 134)


def random_frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).choice(np.array(PALETTE, np.uint8), shape)


@pytest.mark.parametrize("frame_shape", [(210, 160), (84, 84), (32, 32)])
def test_frames_survive_encoding_and_decoding(frame_shape: tuple[int, int]) -> None:
    codec = FrameCodec(PALETTE, frame_shape, 32)
    frames = random_frames(2, 3, *frame_shape)
    classes = codec.encode(frames)
    assert classes.shape == (2, 3, *codec.padded_shape)
    assert all(side % 32 == 0 for side in codec.padded_shape)
    np.testing.assert_array_equal(codec.decode(classes), frames)


def test_a_colour_that_was_not_learned_is_refused() -> None:
    codec = FrameCodec(PALETTE, (210, 160), 32)
    with pytest.raises(UserError, match=r"\[8\]"):
        codec.encode(np.full((1, 210, 160), 8, np.uint8))


def test_one_hot_puts_the_colours_of_a_frame_side_by_side_oldest_frame_first() -> None:
    classes = torch.randint(0, 5, (2, 3, 8, 8), dtype=torch.uint8)
    hot = one_hot(classes, 5)
    assert hot.shape == (2, 15, 8, 8)
    torch.testing.assert_close(hot.unflatten(1, (3, 5)).argmax(2).to(torch.uint8), classes)
    assert (hot.unflatten(1, (3, 5)).sum(2) == 1).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert one_hot(classes, 5).dtype == torch.bfloat16


def test_damage_hits_the_given_share_of_samples_and_few_pixels() -> None:
    frames = torch.randint(0, 5, (400, 2, 32, 32), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    changed = corrupt(frames, 0.5, generator) != frames
    assert 0.2 < changed.flatten(1).any(1).float().mean() < 0.5  # 32 cells, 3 % each, half of the samples
    assert changed.float().mean() < 0.03
    assert torch.equal(corrupt(frames, 0.0, generator), frames)
