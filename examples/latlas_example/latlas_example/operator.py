"""The ghost module (Han et al. 2020): a convolution makes half of the output, a cheap one makes the rest from that half."""

from math import prod

from latlas.spaces.operators.spec import Kind, OpSpec


def _weights(spec: OpSpec) -> int:
    half = spec.out_channels // 2
    return spec.in_channels * half * spec.kernel_size**2 + half * 9  # also multiply-adds for each output pixel


GHOST = Kind(
    "ghost",
    macs=lambda spec: _weights(spec) * prod(spec.output_size),
    params=lambda spec: _weights(spec) + 2 * spec.out_channels,  # batch normalisation has two for each channel
    problem=lambda spec: "needs an even number of out_channels" if spec.out_channels % 2 else "",
    has_kernel=True,
    builder="latlas_example.ghost:Ghost",
)
