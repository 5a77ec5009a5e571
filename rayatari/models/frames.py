"""From palette bytes to network inputs and back: the only place that normalises or pads pixels.

Shape suffixes used in all model code: B batch, T time, H W pixels (padded, see FrameCodec), h w cells
of a feature map, S pixels of a patch, P palette colours, C channels, N latent cells (h·w at the
bottleneck), K codes, D code dimension, A actions, M actions that are seen, the one to be played last.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.errors import UserError
from rayatari.models.hardware import compute_dtype, follows_data
from rayatari.models.streamed import embed_patches

_LONG_ROW = 32
"""Rows of pixels from which on comparing them all is faster on a CPU than setting ones singly."""
_ROWS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Numbers as long as a row of a patch: rows move faster than pixels."""


class FrameCodec:
    """Frames of one game as classes of its palette.

    ``palette``: ascending palette bytes, P of them. ``frame_shape``: height and width of a frame, which
    is padded on all sides, with copies of its border, to multiples of ``multiple``.
    """

    def __init__(self, palette: Sequence[int], frame_shape: tuple[int, int], multiple: int) -> None:
        self.palette = np.array(palette, np.uint8)
        self.frame_shape = frame_shape
        self._classes = np.full(256, 255, np.uint8)
        self._classes[self.palette] = np.arange(len(self.palette))
        extra = [-side % multiple for side in frame_shape]
        self.top, self.left = extra[0] // 2, extra[1] // 2
        self.bottom, self.right = extra[0] - self.top, extra[1] - self.left
        self.padded_shape = (frame_shape[0] + extra[0], frame_shape[1] + extra[1])

    @property
    def colors(self) -> int:
        """P, the number of classes."""
        return len(self.palette)

    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """Palette bytes (..., height, width) -> classes, uint8 (..., H, W).

        UserError when a frame holds a colour that is not in the palette.
        """
        classes = self._classes[frames]
        if classes.max(initial=0) == 255:
            unknown = sorted(set(np.unique(frames).tolist()) - set(self.palette.tolist()))
            raise UserError(
                f"frames hold palette bytes {unknown} that the model has not learned: "
                "they come from another game or palette"
            )
        edges = [(0, 0)] * (frames.ndim - 2) + [(self.top, self.bottom), (self.left, self.right)]
        return torch.from_numpy(np.pad(classes, edges, mode="edge"))

    def encode_on(self, frames: NDArray[np.uint8], device: torch.device) -> Tensor:
        """The same, computed on ``device``."""
        if device.type == "cpu":
            return self.encode(frames)
        padded = [
            torch.arange(-before, side + after, device=device).clamp(0, side - 1)
            for before, side, after in zip(
                (self.top, self.left), self.frame_shape, (self.bottom, self.right), strict=True
            )
        ]
        table = torch.from_numpy(self._classes).to(device)
        classes: Tensor = table[torch.from_numpy(frames).to(device).int()]
        if bool((classes == 255).any()):
            self.encode(frames)  # says which colours are unknown
        return classes[..., padded[0], :][..., padded[1]]

    def decode(self, classes_BHW: Tensor) -> NDArray[np.uint8]:
        """Classes (..., H, W) -> palette bytes, uint8 (..., height, width)."""
        return self.palette[self.crop(classes_BHW).numpy(force=True)]

    def crop(self, values_BHW: Tensor) -> Tensor:
        """Cut the padding off the last two dimensions."""
        height, width = self.frame_shape
        return values_BHW[..., self.top : self.top + height, self.left : self.left + width]


def to_patches(values_BTHW: Tensor, side: int) -> Tensor:
    """Squares of pixels side by side: (B, T, H, W) -> (B, h, w, T·S) with S = side² and h = H / side.

    All that touches single pixels works on patches: a matrix product there replaces the convolution and
    the pixel shuffle at full resolution.
    """
    B, T, H, W = values_BTHW.shape
    bytes_in_rows = values_BTHW.dtype == torch.uint8 and side in _ROWS and values_BTHW.is_contiguous()
    if bytes_in_rows and not torch.compiler.is_exporting():
        rows = values_BTHW.view(_ROWS[side]).reshape(B, T, H // side, side, W // side)
        return rows.permute(0, 2, 4, 1, 3).contiguous().view(torch.uint8).flatten(3)
    cells = values_BTHW.reshape(B, T, H // side, side, W // side, side)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3)


def from_patches(values_BhwS: Tensor, side: int) -> Tensor:
    """The inverse for one frame: (B, h, w, S) -> (B, H, W)."""
    cells = values_BhwS.unflatten(3, (side, side)).permute(0, 1, 3, 2, 4)
    return cells.flatten(3).flatten(1, 2)


def one_hot(classes: Tensor, colors: int) -> Tensor:
    """Classes (..., S) -> float (..., P, S) of zeros and ones, in the dtype that layers compute in.

    That is autocast's, where it is on. Colours come before pixels, since a softmax over a few colours
    that lie next to each other in memory is ten times slower than one over rows of pixels.
    """
    dtype = compute_dtype(classes.device.type)
    colors_P1 = torch.arange(colors, dtype=dtype, device=classes.device)[:, None]
    hot = torch.empty(*classes.shape[:-1], colors, classes.shape[-1], dtype=dtype, device=classes.device)
    if classes.shape[-1] < _LONG_ROW and follows_data(classes):
        rows, pixels = hot.view(-1, colors * classes.shape[-1]).zero_(), classes.shape[-1]
        first = torch.arange(len(rows))[:, None] * rows.shape[1] + torch.arange(pixels)
        rows.view(-1)[first + classes.reshape(-1, pixels).long() * pixels] = 1
        return hot
    # Compared in that dtype and not as bool: ten times faster on a CPU.
    return torch.eq(classes[..., None, :].to(dtype), colors_P1, out=hot)


class FramePatches(nn.Linear):
    """The first layer: a linear map of one-hot patches of X pixels, P colours."""

    def __init__(self, pixels: int, colors: int, channels: int) -> None:
        super().__init__(colors * pixels, channels)
        self.colors = colors

    def forward(self, patches_BhwX: Tensor) -> Tensor:
        """Features (B, h, w, C) of patches, classes uint8 (B, h, w, X)."""
        return patch_features(patches_BhwX, self.colors, self.weight, self.bias)


def patch_features(
    patches_BhwX: Tensor, colors: int, weight_CY: Tensor, bias_C: Tensor | None = None,
    before_BhwX: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A linear layer's answer (B, h, w, C) to one-hot patches, or to what they differ by from ``before``."""
    if follows_data(patches_BhwX):
        shape = patches_BhwX.shape[:3]
        before_MX = None if before_BhwX is None else before_BhwX.flatten(0, 2)
        return embed_patches(patches_BhwX.flatten(0, 2), weight_CY, bias_C, before_MX).unflatten(0, shape)
    hot_BhwPX = one_hot(patches_BhwX, colors)
    if before_BhwX is not None:
        hot_BhwPX = hot_BhwPX - one_hot(before_BhwX, colors)
    return F.linear(hot_BhwPX.flatten(3), weight_CY, bias_C)


def corrupt(frames_BTHW: Tensor, share: float, generator: torch.Generator, cell: int = 8) -> Tensor:
    """Damage about 3 % of the cells of a ``share`` of the samples with pixels from elsewhere in the frame.

    Trained on such a past, a model learns to restore what is wrong from what it saw before.
    """
    if not share:
        return frames_BTHW
    B, T, H, W = frames_BTHW.shape

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device)

    damaged = (random(B, T, H // cell, W // cell) < 0.03) & (random(B, 1, 1, 1) < share)
    damaged_BTHW = damaged.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    rows, columns = (
        ((random(1) * side).long() + torch.arange(side, device=generator.device)) % side for side in (H, W)
    )
    return torch.where(damaged_BTHW, frames_BTHW[:, :, rows][..., columns], frames_BTHW)
