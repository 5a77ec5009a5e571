"""Perceptual loss in the features of the trained DQN: what matters to a player matters to the loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.games.agent_view import VIEW_SIZE, area_weights
from rayatari.games.palette import GREY
from rayatari.models.frames import FrameCodec, from_patches

VIEWS = 4
"""Views that the features take, the newest last."""


class Perception(nn.Module):
    """Mean squared difference of features between the predicted and the real next frame.

    ``features`` maps views scaled to 0..1, float (B, 4, 84, 84), to features (B, F); its weights get no
    gradient. The predicted frame enters as the expected grey of its palette logits, so that the loss is
    differentiable (Johnson et al., 2016, with the player's own eyes in place of VGG's).
    """

    def __init__(self, features: nn.Module, codec: FrameCodec) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.codec = codec
        height, width = codec.frame_shape
        self.grey_P: Tensor
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("grey_P", torch.from_numpy(GREY[codec.palette]).float() / 255)
        self.register_buffer("rows", _area_matrix(height))
        self.register_buffer("columns", _area_matrix(width).T.contiguous())

    def forward(self, past_BTHW: Tensor, logits_BhwPS: Tensor, next_BHW: Tensor) -> Tensor:
        """Compare the prediction with the real next frame, both after the same past."""
        assert past_BTHW.shape[1] >= VIEWS - 1, "the features need three past frames"
        before = self._views(self.grey_P[past_BTHW[:, 1 - VIEWS :].long()])
        expected_BhwS = torch.einsum("bhwps,p->bhws", logits_BhwPS.float().softmax(-2), self.grey_P)
        expected_BHW = from_patches(expected_BhwS, math.isqrt(logits_BhwPS.shape[-1]))
        predicted = torch.cat([before, self._views(expected_BHW[:, None])], 1)
        real = torch.cat([before, self._views(self.grey_P[next_BHW.long()][:, None])], 1)
        return F.mse_loss(self.features(predicted), self.features(real))

    def _views(self, grey_BTHW: Tensor) -> Tensor:
        view: Tensor = self.rows @ self.codec.crop(grey_BTHW) @ self.columns
        return view


def _area_matrix(size: int) -> Tensor:
    """The agent's resizing along one side as a matrix, (84, size)."""
    pixels, shares = area_weights(size)
    matrix = torch.zeros(VIEW_SIZE, size)
    for pixel, share in zip(pixels, shares, strict=True):
        matrix[torch.arange(VIEW_SIZE), torch.from_numpy(pixel)] += torch.from_numpy(share)
    return matrix
