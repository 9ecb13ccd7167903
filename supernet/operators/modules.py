"""Every operator kind in torch, built from its `OpSpec`.

Shapes are `(N, C, H, W)`. Padding keeps the size, so only stride and scale change it. Definitions: MobileNetV3 (Howard
et al. 2019), DARTS (Liu et al. 2019), ShuffleNetV2 (Ma et al. 2018), DeepLabv3+ (Chen et al. 2018), NAS-Bench-201 (Dong
and Yang 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latlas.spaces.operators.spec import OpSpec


def activation(name: str) -> nn.Module:
    """The activation of that name in `latlas.spaces.operators.spec.ACTIVATIONS`."""
    match name:
        case "none":
            return nn.Identity()
        case "relu":
            return nn.ReLU(inplace=True)
        case "hswish":
            return nn.Hardswish(inplace=True)
        case "sigmoid":
            return nn.Sigmoid()
        case _:
            return nn.Softmax(dim=1)


def conv(in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A same-padded convolution without bias."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)


def depthwise(channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A same-padded depthwise convolution without bias."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, stride, padding, dilation, groups=channels, bias=False)


def conv_block(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, act: str = "relu"
) -> list[nn.Module]:
    """Convolution, batch normalisation, activation."""
    return [conv(in_channels, out_channels, kernel_size, stride), nn.BatchNorm2d(out_channels), activation(act)]


class SqueezeExcite(nn.Module):
    """Global mean, 1x1, ReLU, 1x1, hard-sigmoid, multiply."""

    def __init__(self, channels: int, squeeze_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze_channels, 1)
        self.expand = nn.Conv2d(squeeze_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.expand(gate))


class MBConv(nn.Module):
    """MobileNetV3's inverted bottleneck. There is no expansion if it would not widen."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        hidden = spec.hidden_channels
        layers = conv_block(spec.in_channels, hidden, act=spec.activation) if hidden != spec.in_channels else []
        layers += [depthwise(hidden, spec.kernel_size, spec.stride, spec.dilation), nn.BatchNorm2d(hidden)]
        layers += [activation(spec.activation)]
        if spec.squeeze_channels:
            layers.append(SqueezeExcite(hidden, spec.squeeze_channels))
        self.layers = nn.Sequential(*layers, *conv_block(hidden, spec.out_channels, act="none"))
        self.residual = spec.stride == 1 and spec.in_channels == spec.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = cast(Tensor, self.layers(x))
        return x + y if self.residual else y


class SepConv(nn.Sequential):
    """DARTS' separable convolution: [ReLU, depthwise, 1x1, BN] twice, the first with the stride."""

    def __init__(self, spec: OpSpec) -> None:
        c_in, c_out, kernel = spec.in_channels, spec.out_channels, spec.kernel_size
        super().__init__(
            nn.ReLU(),
            depthwise(c_in, kernel, spec.stride),
            conv(c_in, c_in),
            nn.BatchNorm2d(c_in),
            nn.ReLU(inplace=True),
            depthwise(c_in, kernel),
            conv(c_in, c_out),
            nn.BatchNorm2d(c_out),
        )


class DilConv(nn.Sequential):
    """DARTS' dilated convolution: ReLU, dilated depthwise, 1x1, BN."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__(
            nn.ReLU(),
            depthwise(spec.in_channels, spec.kernel_size, spec.stride, spec.dilation),
            conv(spec.in_channels, spec.out_channels),
            nn.BatchNorm2d(spec.out_channels),
        )


class DwSep(nn.Sequential):
    """MobileNetV1's separable convolution: depthwise, BN, ReLU, 1x1, BN, ReLU."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__(
            depthwise(spec.in_channels, spec.kernel_size, spec.stride, spec.dilation),
            nn.BatchNorm2d(spec.in_channels),
            nn.ReLU(inplace=True),
            *conv_block(spec.in_channels, spec.out_channels),
        )


class Shuffle(nn.Module):
    """ShuffleNetV2's unit. It splits the channels if it keeps the shape; else it has a projection beside the main branch."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        self.splits = spec.stride == 1 and spec.in_channels == spec.out_channels
        half = spec.out_channels // 2
        c_in = half if self.splits else spec.in_channels
        self.main = nn.Sequential(
            *conv_block(c_in, half),
            depthwise(half, 3, spec.stride),
            nn.BatchNorm2d(half),
            *conv_block(half, half),
        )
        self.projection = (
            nn.Identity()
            if self.splits
            else nn.Sequential(depthwise(c_in, 3, spec.stride), nn.BatchNorm2d(c_in), *conv_block(c_in, half))
        )
        self.channels = half

    def forward(self, x: Tensor) -> Tensor:
        bypass, worked = (x[:, : self.channels], x[:, self.channels :]) if self.splits else (x, x)
        return F.channel_shuffle(torch.cat((self.projection(bypass), self.main(worked)), dim=1), 2)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: separable branches with dilation d, 2d and 3d, a 1x1 branch and a global mean."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        c_in, hidden = spec.in_channels, spec.hidden_channels
        self.point = nn.Sequential(*conv_block(c_in, hidden))
        self.atrous = nn.ModuleList(
            nn.Sequential(
                depthwise(c_in, 3, dilation=spec.dilation * times),
                nn.BatchNorm2d(c_in),
                nn.ReLU(inplace=True),
                *conv_block(c_in, hidden),
            )
            for times in (1, 2, 3)
        )
        # No batch normalisation here: one value per channel and image gives poor statistics.
        self.pooled = nn.Conv2d(c_in, hidden, 1)
        self.project = nn.Sequential(*conv_block(5 * hidden, spec.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = F.relu(self.pooled(x.mean(dim=(2, 3), keepdim=True)))
        branches = [self.point(x), *(branch(x) for branch in self.atrous), mean.expand(-1, -1, *x.shape[2:])]
        return cast(Tensor, self.project(torch.cat(branches, dim=1)))


class UpsampleAdd(nn.Module):
    """The first input, bilinearly enlarged, plus the second: a decoder that adds encoder features."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        self.scale = spec.scale

    def forward(self, x: Tensor, encoder: Tensor) -> Tensor:
        return enlarge(x, self.scale) + encoder


class Zeroize(nn.Module):
    """Zeros of the input's shape. A compiler folds them into a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Add(nn.Module):
    """The sum of two inputs."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class BasicBlock(nn.Module):
    """NAS-Bench-201's reduction: [ReLU, 3x3, BN] twice, the first with stride 2, plus a shortcut of 2x2 mean and 1x1."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        c_in, c_out = spec.in_channels, spec.out_channels
        self.main = nn.Sequential(_relu_conv(c_in, c_out, 3, spec.stride), _relu_conv(c_out, c_out, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), conv(c_in, c_out))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.shortcut(x) + self.main(x))


class Classifier(nn.Module):
    """BN, ReLU, mean over all pixels, linear: logits `(N, classes, 1, 1)`."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(spec.in_channels)
        self.linear = nn.Linear(spec.in_channels, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(F.relu(self.norm(x)).mean(dim=(2, 3)))
        return cast(Tensor, logits[:, :, None, None])


class Head(nn.Module):
    """1x1 convolution to the classes, then bilinear enlargement. The output are logits."""

    def __init__(self, spec: OpSpec) -> None:
        super().__init__()
        self.classify = nn.Conv2d(spec.in_channels, spec.out_channels, 1)
        self.scale = spec.scale

    def forward(self, x: Tensor) -> Tensor:
        return enlarge(self.classify(x), self.scale)


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Bilinear enlargement of `(N, C, H, W)` by a whole factor, pixel centres aligned at half."""
    return F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False) if scale > 1 else x


def _conv(spec: OpSpec) -> nn.Module:
    return nn.Sequential(
        conv(spec.in_channels, spec.out_channels, spec.kernel_size, spec.stride, spec.dilation),
        nn.BatchNorm2d(spec.out_channels),
        activation(spec.activation),
    )


def _relu_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    # Not in place, because several operators of a cell read the same tensor.
    return nn.Sequential(nn.ReLU(), conv(in_channels, out_channels, kernel_size, stride), nn.BatchNorm2d(out_channels))


BUILDERS: dict[str, Callable[[OpSpec], nn.Module]] = {
    "conv": _conv,
    "mbconv": MBConv,
    "sepconv": SepConv,
    "dilconv": DilConv,
    "dwsep": DwSep,
    "shuffle": Shuffle,
    "skip": lambda spec: nn.Identity(),
    "aspp": ASPP,
    "upsample_add": UpsampleAdd,
    "head": Head,
    "relu_conv": lambda spec: _relu_conv(spec.in_channels, spec.out_channels, spec.kernel_size, spec.stride),
    "avg_pool": lambda spec: nn.AvgPool2d(spec.kernel_size, 1, spec.kernel_size // 2, count_include_pad=False),
    "zeroize": lambda spec: Zeroize(),
    "add": lambda spec: Add(),
    "basic_block": BasicBlock,
    "classifier": Classifier,
    "probability": lambda spec: activation("sigmoid" if spec.out_channels == 1 else "softmax"),
}
