"""The ghost module in torch; loaded only when one is built."""

import torch
from torch import Tensor, nn

from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.modules import conv_block, depthwise


class Ghost(nn.Module):
    """A convolution, and a 3x3 depthwise convolution of its output; the module gives the channels of both."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        half = spec.out_channels // 2
        self.primary = nn.Sequential(*conv_block(spec.in_channels, half, spec.kernel_size, spec.stride))
        self.cheap = nn.Sequential(depthwise(half, 3), nn.BatchNorm2d(half), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.primary(x)
        return torch.cat([y, self.cheap(y)], dim=1)
