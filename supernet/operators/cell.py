"""The operators of a Dense Prediction Cell in torch (Chen et al. 2018, arXiv 1809.04184), built from their `OpSpec`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latlas.spaces.operators.cell import label_pair
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.modules import conv_block

DROPOUT = 0.1
"""The share of a cell's concatenated values that training drops."""


class Atrous(nn.Sequential):
    """3x3 depthwise convolution with one dilation rate for the height and one for the width, BN, ReLU, 1x1, BN, ReLU.

    The input is padded with zeros. If a rate is as large as the input along its axis, the outer taps of that axis read only
    zeros, and only the middle of the kernel has an effect.
    """

    def __init__(self, spec: OpSpec) -> None:
        rates, channels = label_pair(spec), spec.in_channels
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=rates, dilation=rates, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            *conv_block(channels, spec.out_channels),
        )


class Pyramid(nn.Module):
    """Mean over each cell of a grid, 1x1, BN, ReLU, bilinear enlargement to the input's height and width.

    Tracing and export use the spec's size. Training crops may have another size; the number of grid cells is the same.
    """

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        self.grid, self.size = label_pair(spec), (spec.height, spec.width)
        even = spec.height % self.grid[0] == 0 and spec.width % self.grid[1] == 0
        # Plain pooling gives the same means as adaptive pooling, and runtimes are fast at it.
        self.pool = (
            nn.AvgPool2d((spec.height // self.grid[0], spec.width // self.grid[1]))
            if even
            else nn.AdaptiveAvgPool2d(self.grid)
        )
        self.project = nn.Sequential(*conv_block(spec.in_channels, spec.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch's stub
        if traced or tuple(x.shape[2:]) == self.size:
            pooled, size = self.pool(x), self.size
        else:
            pooled, size = F.adaptive_avg_pool2d(x, self.grid), (x.shape[2], x.shape[3])
        return F.interpolate(self.project(pooled), size=size, mode="bilinear", align_corners=False)


class Concat(nn.Module):
    """Concatenates the channels of all inputs, in order. Training drops some of the values."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, *inputs: Tensor) -> Tensor:
        joined: Tensor = self.dropout(torch.cat(inputs, dim=1))
        return joined


BUILDERS: dict[str, Callable[[OpSpec], nn.Module]] = {
    "atrous": Atrous,
    "pyramid": Pyramid,
    "concat": lambda spec: Concat(),
}
