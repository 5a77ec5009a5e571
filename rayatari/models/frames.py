"""From palette bytes to network inputs and back: the only place that normalises or pads pixels.

Shape suffixes used in all model code: B batch, T time, H W pixels (padded, see FrameCodec), h w cells
of a feature map, P palette colours, C channels, N latent cells (h·w at the bottleneck), K codes,
D code dimension, A actions.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayatari.errors import UserError


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

    def decode(self, classes_BHW: Tensor) -> NDArray[np.uint8]:
        """Classes (..., H, W) -> palette bytes, uint8 (..., height, width)."""
        return self.palette[self.crop(classes_BHW).numpy(force=True)]

    def crop(self, values_BHW: Tensor) -> Tensor:
        """Cut the padding off the last two dimensions."""
        height, width = self.frame_shape
        return values_BHW[..., self.top : self.top + height, self.left : self.left + width]


def one_hot(classes_BTHW: Tensor, colors: int) -> Tensor:
    """Classes of T frames -> float (B, T·P, H, W) of zeros and ones in channels-last memory order.

    It has the dtype that convolutions compute in: autocast's, where that is on.
    """
    device = classes_BTHW.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    palette = torch.arange(colors, dtype=torch.uint8, device=classes_BTHW.device)
    hot_BHWTP = classes_BTHW.permute(0, 2, 3, 1)[..., None] == palette
    return hot_BHWTP.flatten(3).to(dtype).permute(0, 3, 1, 2)


def corrupt(frames_BTHW: Tensor, share: float, generator: torch.Generator, cell: int = 8) -> Tensor:
    """Damage about 3 % of the cells of a ``share`` of the samples with pixels from elsewhere in the frame.

    Trained on such a past, a model learns to restore what is wrong from what it saw before.
    """
    B, T, H, W = frames_BTHW.shape

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(frames_BTHW.device)

    damaged = (random(B, T, H // cell, W // cell) < 0.03) & (random(B, 1, 1, 1) < share)
    damaged_BTHW = damaged.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    shifts = [int(random(1).item() * side) for side in (H, W)]
    return torch.where(damaged_BTHW, frames_BTHW.roll(shifts, (2, 3)), frames_BTHW)
