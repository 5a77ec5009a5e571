"""Networks laid out for playing on a CPU: weights kept in bfloat16, in the order that its kernels read.

Under autocast every call casts its weights anew and the convolution then reorders them; for one game that is
more work than the arithmetic. Playing needs neither gradients nor single precision, so both are done once.
"""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.models.decoder import Decoder
from rayatari.models.foresight import Foresight
from rayatari.models.frames import FramePatches
from rayatari.models.hardware import fast_bf16

Model = TypeVar("Model", bound=nn.Module)
_reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # its stub lacks the shape


def pack(model: Model) -> Model:
    """Pack the layers of a model that will only be played, in place; on a CPU without bfloat16 it stays.

    The model gives the same frames, but for the rounding of bfloat16, which what foretells whole numbers is
    spared. It cannot be trained or saved any more.
    """
    if not (fast_bf16("cpu") and hasattr(torch.ops.mkldnn, "_convolution_pointwise")):
        return model
    exact = {part for module in model.modules() if isinstance(module, Foresight) for part in module.modules()}
    for module in [module for module in model.modules() if module not in exact]:
        if isinstance(module, Decoder):
            module.position.data = module.position.data.bfloat16()
        for name, layer in module.named_children():
            if isinstance(layer, FramePatches):
                setattr(module, name, PackedFramePatches(layer))
            elif isinstance(layer, nn.Conv2d):
                setattr(module, name, PackedConv2d(layer))
            elif isinstance(layer, nn.Linear):
                layer.to(torch.bfloat16)
    return model


class PackedConv2d(nn.Module):
    """A convolution whose weights oneDNN has laid out for itself."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = conv.weight.detach().bfloat16()
        self.bias = None if conv.bias is None else conv.bias.detach().bfloat16()
        self._how = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, h, w) to bfloat16 (B, C', h', w')."""
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        if not self.weight.is_mkldnn:  # packed for a shape: without one it can be a hundred times slower
            weight = self.weight.to_mkldnn()
            self.weight = _reorder(weight, *self._how, list(x.shape))
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self._how, "none", [], ""
        )
        return out


class PackedFramePatches(nn.Module):
    """The first layer as a sum of table rows, one a pixel, in place of a product with mostly zeros."""

    def __init__(self, layer: FramePatches) -> None:
        super().__init__()
        rows = layer.weight.detach().bfloat16().float().T.unflatten(0, (layer.colors, -1))
        self.rows_RC = rows.flatten(0, 1).contiguous()
        self.pixels = rows.shape[1]
        self.bias_C = layer.bias.detach().bfloat16().float()

    def forward(self, patches_BhwX: Tensor) -> Tensor:
        """Features, bfloat16 (B, h, w, C), of patches, classes uint8 (B, h, w, X)."""
        places_X = torch.arange(self.pixels, dtype=torch.int32)
        rows_MX = (patches_BhwX.int() * self.pixels + places_X).flatten(0, 2)
        summed_MC = F.embedding_bag(rows_MX, self.rows_RC, mode="sum") + self.bias_C
        return summed_MC.to(torch.bfloat16).unflatten(0, patches_BhwX.shape[:3])
