"""The ghost module (Han et al. 2020): half of the output by a convolution, the other half by a cheap one of that half."""

from math import prod

from latlas.spaces.operators.spec import Kind, OpSpec


def _weights(spec: OpSpec) -> int:
    half = spec.out_channels // 2
    return spec.in_channels * half * spec.kernel_size**2 + half * 9  # also multiply-adds for each output pixel


GHOST = Kind(
    "ghost",
    macs=lambda spec: _weights(spec) * prod(spec.output_size),
    params=lambda spec: _weights(spec) + 2 * spec.out_channels,  # two of each channel's batch normalisation
    problem=lambda spec: "needs an even number of out_channels" if spec.out_channels % 2 else "",
    has_kernel=True,
    builder="latlas_example.ghost:Ghost",
)
