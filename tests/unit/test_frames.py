"""Palette bytes to network inputs and back, exactly, in one place."""

import numpy as np
import pytest
import torch

from rayatari.errors import UserError
from rayatari.models.frames import FrameCodec, corrupt, from_patches, one_hot, to_patches

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


def test_patches_hold_a_square_of_each_frame_oldest_frame_first_and_come_back() -> None:
    frames = torch.randint(0, 5, (2, 3, 8, 12), dtype=torch.uint8)
    patches = to_patches(frames, 4)
    assert patches.shape == (2, 2, 3, 3 * 16)
    assert torch.equal(patches[1, 1, 2, 16:32].view(4, 4), frames[1, 1, 4:8, 8:12])
    assert torch.equal(from_patches(patches[..., -16:], 4), frames[:, -1])


def test_one_hot_puts_colours_before_pixels() -> None:
    classes = torch.randint(0, 5, (2, 3, 16), dtype=torch.uint8)
    hot = one_hot(classes, 5)
    assert hot.shape == (2, 3, 5, 16) and (hot.sum(2) == 1).all()
    assert torch.equal(hot.argmax(2).to(torch.uint8), classes)
    with torch.autocast("cpu", torch.bfloat16):
        assert one_hot(classes, 5).dtype == torch.bfloat16


def test_damage_hits_the_given_share_of_samples_and_few_pixels() -> None:
    frames = torch.randint(0, 5, (400, 2, 32, 32), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    changed = corrupt(frames, 0.5, generator) != frames
    assert 0.2 < changed.flatten(1).any(1).float().mean() < 0.5  # 32 cells, 3 % each, half of the samples
    assert changed.float().mean() < 0.03
    assert torch.equal(corrupt(frames, 0.0, generator), frames)
