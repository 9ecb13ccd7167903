"""EfficientNet-Lite's operators in torch (Tan and Le 2019; the Lite variants of TensorFlow's model garden), from their `OpSpec`.

They match the published weights: ReLU6, no squeeze-and-excite, batch normalisation with epsilon 0.001, and TensorFlow's
SAME padding. On an even size with stride 2, SAME pads one column less at the left than at the right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latlas.spaces.operators.spec import OpSpec

EPSILON, MOMENTUM = 1e-3, 0.01
"""Settings of batch normalisation. TensorFlow's momentum 0.99 is torch's 0.01."""
INPUT_MEAN, INPUT_SCALE = 127.0 / 255.0, 255.0 / 128.0
"""Images in 0..1 become (255 x - 127) / 128, as when the weights were trained."""


def same_padding(size: int, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME padding: how many zeros go before and after, to get `ceil(size / stride)` outputs."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel_size - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class SameConv(nn.Conv2d):
    """A convolution without bias, with TensorFlow's SAME padding.

    Tracing and export use the spec's size (`height`, `width`); training crops may have another size.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, size: tuple[int, int], stride: int = 1,
        dilation: int = 1, groups: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias=False)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch's stub
        height, width = self.size if traced else (x.shape[2], x.shape[3])
        top, bottom = same_padding(height, self.kernel_size[0], self.stride[0], self.dilation[0])
        left, right = same_padding(width, self.kernel_size[1], self.stride[1], self.dilation[1])
        if (top, left) == (bottom, right):
            return F.conv2d(x, self.weight, None, self.stride, (top, left), self.dilation, self.groups)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, None, self.stride, 0, self.dilation, self.groups)


def _block(convolution: SameConv, relu6: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(convolution.out_channels, EPSILON, MOMENTUM)]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if relu6 else []))


class LiteStem(nn.Module):
    """Maps an image from 0..1 to about -1..1; then 3x3 convolution, BN, ReLU6."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        size = (spec.height, spec.width)
        self.layers = _block(SameConv(spec.in_channels, spec.out_channels, spec.kernel_size, size, spec.stride))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers((x - INPUT_MEAN) * INPUT_SCALE))


class LiteMBConv(nn.Module):
    """1x1 expansion (absent if it would not widen), BN, ReLU6; depthwise, BN, ReLU6; 1x1, BN."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        hidden, size = spec.hidden_channels, (spec.height, spec.width)
        self.expand = (
            nn.Identity() if hidden == spec.in_channels else _block(SameConv(spec.in_channels, hidden, 1, size))
        )
        self.depthwise = _block(
            SameConv(hidden, hidden, spec.kernel_size, size, spec.stride, spec.dilation, groups=hidden)
        )
        self.project = _block(SameConv(hidden, spec.out_channels, 1, spec.output_size), relu6=False)
        self.residual = spec.stride == 1 and spec.in_channels == spec.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = cast(Tensor, self.project(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


BUILDERS: dict[str, Callable[[OpSpec], nn.Module]] = {"lite_stem": LiteStem, "lite_mbconv": LiteMBConv}
