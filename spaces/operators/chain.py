"""The kinds of operators in chains and in the fixed parts around them: shapes, multiply-adds, parameters, validity.

The kinds of Dense Prediction Cells are in `cell.py`. The package imports both files, so all kinds are known.
"""

from __future__ import annotations

from math import prod

from latlas.errors import UsageError
from latlas.spaces.operators.spec import FOREIGN, Kind, OpSpec, Shape, one_input, register_operator


def _pixels(spec: OpSpec) -> int:
    return spec.height * spec.width


def _output_pixels(spec: OpSpec) -> int:
    return prod(spec.output_size)


def _conv(in_channels: int, out_channels: int, kernel_size: int = 1, groups: int = 1) -> int:
    """The weights of one convolution without bias; their number is also its multiply-adds for each output pixel."""
    return in_channels // groups * out_channels * kernel_size**2


def _depthwise(channels: int, kernel_size: int) -> int:
    return _conv(channels, channels, kernel_size, groups=channels)


def _conv_params(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels, spec.kernel_size) + 2 * spec.out_channels


def _conv_macs(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels, spec.kernel_size) * _output_pixels(spec)


def _mbconv_macs(spec: OpSpec) -> int:
    hidden, squeeze = spec.hidden_channels, spec.squeeze_channels
    expand = _conv(spec.in_channels, hidden) * _pixels(spec) if hidden != spec.in_channels else 0
    after = _depthwise(hidden, spec.kernel_size) + _conv(hidden, spec.out_channels)
    return expand + after * _output_pixels(spec) + 2 * hidden * squeeze


def _mbconv_params(spec: OpSpec) -> int:
    hidden, squeeze = spec.hidden_channels, spec.squeeze_channels
    expand = _conv(spec.in_channels, hidden) + 2 * hidden if hidden != spec.in_channels else 0
    depthwise = _depthwise(hidden, spec.kernel_size) + 2 * hidden
    gate = 2 * hidden * squeeze + squeeze + hidden if squeeze else 0
    return expand + depthwise + gate + _conv(hidden, spec.out_channels) + 2 * spec.out_channels


def _mbconv_problem(spec: OpSpec) -> str:
    return "" if spec.hidden_channels else "hidden_channels must be at least 1"


def _lite_mbconv_problem(spec: OpSpec) -> str:
    return "it has no squeeze_channels" if spec.squeeze_channels else _mbconv_problem(spec)


def _sepconv_macs(spec: OpSpec) -> int:
    per_pixel = 2 * _depthwise(spec.in_channels, spec.kernel_size) + _conv(spec.in_channels, spec.in_channels)
    return (per_pixel + _conv(spec.in_channels, spec.out_channels)) * _output_pixels(spec)


def _sepconv_params(spec: OpSpec) -> int:
    channels = spec.in_channels
    first = _depthwise(channels, spec.kernel_size) + _conv(channels, channels) + 2 * channels
    second = _depthwise(channels, spec.kernel_size) + _conv(channels, spec.out_channels) + 2 * spec.out_channels
    return first + second


def _dilconv_macs(spec: OpSpec) -> int:
    per_pixel = _depthwise(spec.in_channels, spec.kernel_size) + _conv(spec.in_channels, spec.out_channels)
    return per_pixel * _output_pixels(spec)


def _dilconv_params(spec: OpSpec) -> int:
    weights = _depthwise(spec.in_channels, spec.kernel_size) + _conv(spec.in_channels, spec.out_channels)
    return weights + 2 * spec.out_channels


def _dwsep_params(spec: OpSpec) -> int:
    return _dilconv_params(spec) + 2 * spec.in_channels


def _shuffle_splits(spec: OpSpec) -> bool:
    return spec.stride == 1 and spec.in_channels == spec.out_channels


def _shuffle_macs(spec: OpSpec) -> int:
    half = spec.out_channels // 2
    if _shuffle_splits(spec):
        return (2 * _conv(half, half) + _depthwise(half, 3)) * _output_pixels(spec)
    projection = _depthwise(spec.in_channels, 3) + _conv(spec.in_channels, half)
    main = _depthwise(half, 3) + _conv(half, half)
    return _conv(spec.in_channels, half) * _pixels(spec) + (projection + main) * _output_pixels(spec)


def _shuffle_params(spec: OpSpec) -> int:
    half = spec.out_channels // 2
    if _shuffle_splits(spec):
        return 2 * _conv(half, half) + _depthwise(half, 3) + 6 * half
    projection = _depthwise(spec.in_channels, 3) + 2 * spec.in_channels + _conv(spec.in_channels, half) + 2 * half
    main = _conv(spec.in_channels, half) + 2 * half + _depthwise(half, 3) + 2 * half + _conv(half, half) + 2 * half
    return projection + main


def _shuffle_problem(spec: OpSpec) -> str:
    if _shuffle_splits(spec) and spec.in_channels % 4:
        return f"in_channels is {spec.in_channels}; a splitting shuffle needs a multiple of 4"
    return f"out_channels is {spec.out_channels}; shuffle needs an even number" if spec.out_channels % 2 else ""


def _same_shape_problem(spec: OpSpec) -> str:
    return "" if spec.stride == 1 and spec.in_channels == spec.out_channels else "needs stride 1 and in == out"


def _aspp_macs(spec: OpSpec) -> int:
    hidden = spec.hidden_channels
    atrous = 3 * (_depthwise(spec.in_channels, 3) + _conv(spec.in_channels, hidden))
    per_pixel = _conv(spec.in_channels, hidden) + atrous + _conv(5 * hidden, spec.out_channels)
    return per_pixel * _pixels(spec) + _conv(spec.in_channels, hidden)


def _aspp_params(spec: OpSpec) -> int:
    hidden = spec.hidden_channels
    point = _conv(spec.in_channels, hidden) + 2 * hidden
    atrous = 3 * (_depthwise(spec.in_channels, 3) + 2 * spec.in_channels + point)
    pooled = _conv(spec.in_channels, hidden) + hidden
    return point + atrous + pooled + _conv(5 * hidden, spec.out_channels) + 2 * spec.out_channels


def _aspp_problem(spec: OpSpec) -> str:
    return "" if spec.hidden_channels and spec.stride == 1 else "needs hidden_channels of at least 1 and stride 1"


def _two_inputs(spec: OpSpec) -> tuple[Shape, ...]:
    return one_input(spec)[0], spec.output_shape


def _head_macs(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels) * _pixels(spec)


def _head_params(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels) + spec.out_channels


def _two_alike(spec: OpSpec) -> tuple[Shape, ...]:
    return one_input(spec) * 2


def _basic_block_macs(spec: OpSpec) -> int:
    c_in, c_out = spec.in_channels, spec.out_channels
    return (_conv(c_in, c_out, 3) + _conv(c_out, c_out, 3) + _conv(c_in, c_out)) * _output_pixels(spec)


def _basic_block_params(spec: OpSpec) -> int:
    c_in, c_out = spec.in_channels, spec.out_channels
    return _conv(c_in, c_out, 3) + _conv(c_out, c_out, 3) + _conv(c_in, c_out) + 4 * c_out


def _basic_block_problem(spec: OpSpec) -> str:
    even = spec.stride == 2 and spec.height % 2 == 0 and spec.width % 2 == 0
    return "" if even else f"needs stride 2 and an even size, not {spec.height}x{spec.width}"


def _classifier_macs(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels)


def _classifier_params(spec: OpSpec) -> int:
    return 2 * spec.in_channels + _conv(spec.in_channels, spec.out_channels) + spec.out_channels


def _classifier_problem(spec: OpSpec) -> str:
    return "" if spec.output_size == (1, 1) else "its stride must span height and width: it averages over all pixels"


def _zero(spec: OpSpec) -> int:
    return 0


def _unknown(spec: OpSpec) -> int:
    raise UsageError(f"{spec} is another project's operator: its multiply-adds and parameters are not known")


def _foreign_problem(spec: OpSpec) -> str:
    return "" if spec.label else "needs a label, what its project calls it"


for _kind in (
    # Convolution, batch normalisation, activation; used by the stem and the lateral connections.
    Kind("conv", _conv_macs, _conv_params, has_kernel=True, fixed=True),
    # MobileNetV3's inverted bottleneck.
    Kind("mbconv", _mbconv_macs, _mbconv_params, has_kernel=True, problem=_mbconv_problem, dilates=True),
    # From EfficientNet-Lite: a stem that scales the image to -1..1; an inverted bottleneck with ReLU6, without squeeze.
    Kind("lite_stem", _conv_macs, _conv_params, has_kernel=True),
    Kind("lite_mbconv", _mbconv_macs, _mbconv_params, has_kernel=True, problem=_lite_mbconv_problem, dilates=True),
    # DARTS: [ReLU, depthwise, 1x1, BN] twice, and ReLU, dilated depthwise, 1x1, BN.
    Kind("sepconv", _sepconv_macs, _sepconv_params, has_kernel=True),
    Kind("dilconv", _dilconv_macs, _dilconv_params, has_kernel=True, dilates=True),
    # ShuffleNetV2's two units.
    Kind("shuffle", _shuffle_macs, _shuffle_params, problem=_shuffle_problem),
    Kind("skip", _zero, _zero, problem=_same_shape_problem),
    # Atrous spatial pyramid pooling: 1x1; 3x3 separable at dilation d, 2d, 3d; global mean; concat; 1x1.
    Kind("aspp", _aspp_macs, _aspp_params, problem=_aspp_problem, fixed=True),
    # First input, bilinearly enlarged by `scale`, plus the second.
    Kind("upsample_add", _zero, _zero, input_shapes=_two_inputs, problem=_same_shape_problem, fixed=True),
    # MobileNetV1's separable convolution: depthwise, BN, ReLU, 1x1, BN, ReLU.
    Kind("dwsep", _dilconv_macs, _dwsep_params, has_kernel=True, fixed=True),
    # 1x1 to the classes with a bias, then bilinear enlargement by `scale`; logits.
    Kind("head", _head_macs, _head_params, fixed=True),
    # Logits to probabilities: sigmoid for one class, softmax for more.
    Kind("probability", _zero, _zero, problem=_same_shape_problem, fixed=True),
    # From NAS-Bench-201; see spaces/nasbench201.py.
    Kind("relu_conv", _conv_macs, _conv_params, has_kernel=True),
    Kind("avg_pool", _zero, _zero, has_kernel=True, problem=_same_shape_problem),
    Kind("zeroize", _zero, _zero, problem=_same_shape_problem, gives_zeros=True),
    Kind("add", _zero, _zero, input_shapes=_two_alike, problem=_same_shape_problem, adds=True),
    Kind("basic_block", _basic_block_macs, _basic_block_params, problem=_basic_block_problem),
    Kind("classifier", _classifier_macs, _classifier_params, problem=_classifier_problem),
    # Another project's operator in an imported table; there is no torch module for it.
    Kind(FOREIGN, _unknown, _unknown, problem=_foreign_problem, labelled=True),
):
    register_operator(_kind)
