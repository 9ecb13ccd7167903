"""The kinds of operators of a Dense Prediction Cell (Chen et al. 2018, arXiv 1809.04184): shapes, multiply-adds, parameters.

`atrous` and `pyramid` have two sizes, along height and width, which their label states as `6x21`: the rates of a 3x3
convolution, or the grid of a pooling. The package imports this file, so these kinds are known with the others.
"""

from __future__ import annotations

import re
from math import prod

from latlas.errors import UsageError
from latlas.spaces.operators.spec import Kind, OpSpec, Shape, register_operator

MAX_INPUTS = 64
_PAIR = re.compile(r"([1-9]\d{0,2})x([1-9]\d{0,2})")


def pair_label(along_height: int, along_width: int) -> str:
    """The label of a pair of sizes, `6x21`."""
    return f"{along_height}x{along_width}"


def label_pair(spec: OpSpec) -> tuple[int, int]:
    """Rates or grid of an `atrous` or a `pyramid`, along the height and along the width.

    Raises `UsageError` if its label is no pair.
    """
    match = _PAIR.fullmatch(spec.label)
    if match is None:
        raise UsageError(f"{spec.kind}: label is {spec.label!r:.80}; it must be two whole numbers such as 6x21")
    return int(match[1]), int(match[2])


def _atrous_macs(spec: OpSpec) -> int:
    # Taps that lie in the padding count like all others.
    weights = spec.in_channels * spec.kernel_size**2 + spec.in_channels * spec.out_channels
    return weights * prod(spec.output_size)


def _atrous_params(spec: OpSpec) -> int:
    depthwise = spec.in_channels * (spec.kernel_size**2 + 2)
    return depthwise + spec.out_channels * (spec.in_channels + 2)


def _atrous_problem(spec: OpSpec) -> str:
    if _PAIR.fullmatch(spec.label) is None:
        return f"label is {spec.label!r:.80}; the rates along height and width are needed, such as 6x21"
    return "" if spec.stride == 1 and spec.dilation == 1 else "needs stride 1, and its rates in the label"


def _pyramid_macs(spec: OpSpec) -> int:
    return spec.in_channels * spec.out_channels * prod(label_pair(spec))


def _pyramid_params(spec: OpSpec) -> int:
    return spec.out_channels * (spec.in_channels + 2)


def _pyramid_problem(spec: OpSpec) -> str:
    match = _PAIR.fullmatch(spec.label)
    if match is None:
        return f"label is {spec.label!r:.80}; the grid along height and width is needed, such as 2x4"
    if int(match[1]) > spec.height or int(match[2]) > spec.width:
        return f"a grid of {spec.label} is finer than {spec.height}x{spec.width}"
    return "" if spec.stride == 1 else "needs stride 1"


def _concat_inputs(spec: OpSpec) -> tuple[Shape, ...]:
    one = (spec.in_channels, spec.height, spec.width)
    return (one,) * (spec.out_channels // spec.in_channels)


def _concat_problem(spec: OpSpec) -> str:
    inputs, rest = divmod(spec.out_channels, spec.in_channels)
    if rest or not 1 <= inputs <= MAX_INPUTS or spec.stride != 1:
        return f"its output must be 1 to {MAX_INPUTS} times in_channels, and its stride 1"
    return ""


def _none(spec: OpSpec) -> int:
    return 0


for _kind in (
    # 3x3 depthwise at the label's rates, BN, ReLU, 1x1, BN, ReLU.
    Kind("atrous", _atrous_macs, _atrous_params, has_kernel=True, problem=_atrous_problem, labelled=True),
    # Mean over each cell of the label's grid, 1x1, BN, ReLU, bilinear enlargement to the input's size.
    Kind("pyramid", _pyramid_macs, _pyramid_params, problem=_pyramid_problem, labelled=True),
    # All inputs have the same shape and are concatenated by channels. In training a tenth of the values is dropped.
    Kind("concat", _none, _none, input_shapes=_concat_inputs, problem=_concat_problem, fixed=True),
):
    register_operator(_kind)
