"""Operators as data: `OpSpec`, the one table key, and what is known of each kind without torch.

Adding an operator is one `register_kind` here (shapes, multiply-adds, parameters, validity) and one
`latlas.supernet.operators.register_builder` (its torch module). A test holds the two registries equal.

Conventions. A shape is `(channels, height, width)`, batch left out. `macs` counts one multiply-add of a convolution or
matrix product as one; element-wise work, pooling, interpolation and batch normalisation (which folds into the
convolution) count none. `params` counts what `sum(p.numel() for p in module.parameters())` counts, so the two
parameters a channel of each batch normalisation are in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import prod

from latlas.latency.errors import UnknownOperatorError, UsageError
from latlas.latency.record import one_line

FOREIGN = "foreign"
MAX_LABEL = 200
Shape = tuple[int, int, int]
ACTIVATIONS = ("none", "relu", "hswish", "sigmoid", "softmax")


@dataclass(frozen=True, slots=True, order=True)
class OpSpec:
    """One operator at one place: its kind and every field that changes the compiled kernel.

    `height` and `width` are those of the first input. Fields a kind does not use keep their defaults, so that equal
    operators are equal keys. `hidden_channels` is the expanded width of `mbconv` and the branch width of `aspp`;
    `squeeze_channels` is the width inside squeeze-and-excite, 0 for none; `scale` the factor of upsampling. `label` is what
    no number says: what another project calls an operator that we cannot build, whose kind is `foreign`, or the two rates of
    an `atrous` and the grid of a `pyramid`, such as `6x21`; empty for all others.
    """

    kind: str
    in_channels: int
    out_channels: int
    height: int
    width: int
    stride: int = 1
    kernel_size: int = 1
    hidden_channels: int = 0
    squeeze_channels: int = 0
    dilation: int = 1
    scale: int = 1
    activation: str = "none"
    label: str = ""

    def __post_init__(self) -> None:
        known = kind_of(self.kind)
        if not isinstance(self.label, str) or self.label != one_line(self.label, MAX_LABEL):
            raise UsageError(f"{self.kind}: label is {one_line(repr(self.label), 80)}; it must be a short line of text")
        for name in ("in_channels", "out_channels", "height", "width", "stride", "kernel_size", "dilation", "scale"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise UsageError(f"{self.kind}: {name} is {value!r}; it must be a whole number of at least 1")
        for name in ("hidden_channels", "squeeze_channels"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise UsageError(f"{self.kind}: {name} is {value!r}; it must be a whole number of at least 0")
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"{self.kind}: activation is {self.activation!r}; known: {', '.join(ACTIVATIONS)}")
        if self.kernel_size % 2 == 0:
            raise UsageError(f"{self.kind}: kernel_size is {self.kernel_size}; it must be odd")
        problem = known.problem(self)
        if not problem and self.label and not known.labelled:
            having = ", ".join(sorted(kind.name for kind in _KINDS.values() if kind.labelled))
            problem = f"label is {self.label!r}; only {having} have one"
        if problem:
            raise UsageError(f"{self.kind} {self.in_channels}->{self.out_channels} stride {self.stride}: {problem}")

    @property
    def name(self) -> str:
        """The operator without its place, as people say it: `mbconv_k3`, `shuffle`."""
        return f"{self.kind}_k{self.kernel_size}" if kind_of(self.kind).has_kernel else self.kind

    def __str__(self) -> str:
        """One line for messages: `mbconv_k3 16->24 s2 at 128x128 (hidden 96, squeeze 24, relu)`."""
        name = f"{self.kind} {self.label}" if self.label else self.name
        extra = [
            f"{label} {value}"
            for label, value, default in (
                ("hidden", self.hidden_channels, 0),
                ("squeeze", self.squeeze_channels, 0),
                ("dilation", self.dilation, 1),
                ("scale", self.scale, 1),
            )
            if value != default
        ] + ([self.activation] if self.activation != "none" else [])
        stride = f" s{self.stride}" if self.stride != 1 else ""
        tail = f" ({', '.join(extra)})" if extra else ""
        return f"{name} {self.in_channels}->{self.out_channels}{stride} at {self.height}x{self.width}{tail}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes `(channels, height, width)` of its inputs, in order."""
        return kind_of(self.kind).input_shapes(self)

    @property
    def output_shape(self) -> Shape:
        """Shape `(channels, height, width)` of its output."""
        return (self.out_channels, *self.output_size)

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the output; padding keeps the size, so only stride and scale change it."""
        return (-(-self.height // self.stride) * self.scale, -(-self.width // self.stride) * self.scale)

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference at batch 1 (convention in the module's docstring)."""
        return kind_of(self.kind).macs(self)

    @property
    def params(self) -> int:
        """Parameters, batch normalisation's included."""
        return kind_of(self.kind).params(self)

    def to_dict(self) -> dict[str, int | str]:
        """Every field by name; `OpSpec.from_dict` reads it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, object]) -> OpSpec:
        """The spec of a record; raises `UsageError` for unknown or missing fields or impossible values."""
        unknown = sorted(set(record) - set(SPEC_FIELDS))
        missing = [name for name in ("kind", "in_channels", "out_channels", "height", "width") if name not in record]
        if unknown or missing:
            raise UsageError(f"operator record {record!r}: unknown fields {unknown}, missing fields {missing}")
        return cls(**record)  # type: ignore[arg-type]  # __post_init__ checks each value's type


SPEC_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(OpSpec))


def _one_input(spec: OpSpec) -> tuple[Shape, ...]:
    return ((spec.in_channels, spec.height, spec.width),)


def _no_problem(spec: OpSpec) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of one kind of operator without building it.

    `problem(spec)` is an empty string where the spec is possible, else why not. `gives_zeros` and `adds` are what a
    compiler knows of it: its output is zeros whatever it reads; it is the plain sum of its inputs. `labelled` kinds have a label.
    """

    name: str
    macs: Callable[[OpSpec], int]
    params: Callable[[OpSpec], int]
    has_kernel: bool = False
    input_shapes: Callable[[OpSpec], tuple[Shape, ...]] = _one_input
    problem: Callable[[OpSpec], str] = _no_problem
    gives_zeros: bool = False
    adds: bool = False
    labelled: bool = False


_KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Add a kind of operator; raises `UsageError` if the name is taken."""
    if kind.name in _KINDS:
        raise UsageError(f"operator kind {kind.name!r} is registered already")
    _KINDS[kind.name] = kind


def kind_of(name: str) -> Kind:
    """The registered kind of that name; raises `UnknownOperatorError`."""
    try:
        return _KINDS[name]
    except (KeyError, TypeError):
        raise UnknownOperatorError(f"unknown operator kind {name!r}; known: {', '.join(sorted(_KINDS))}") from None


def kinds() -> tuple[str, ...]:
    """Names of all registered kinds, sorted."""
    return tuple(sorted(_KINDS))


def make_divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least `divisor` and never below 0.9 of the value (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _pixels(spec: OpSpec) -> int:
    return spec.height * spec.width


def _output_pixels(spec: OpSpec) -> int:
    return prod(spec.output_size)


def _conv(in_channels: int, out_channels: int, kernel_size: int = 1, groups: int = 1) -> int:
    """Weights of one convolution without bias, which are also its multiply-adds for each output pixel."""
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
    return _one_input(spec)[0], spec.output_shape


def _head_macs(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels) * _pixels(spec)


def _head_params(spec: OpSpec) -> int:
    return _conv(spec.in_channels, spec.out_channels) + spec.out_channels


def _two_alike(spec: OpSpec) -> tuple[Shape, ...]:
    return _one_input(spec) * 2


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
    # Convolution, batch normalisation, activation: the stem and the lateral connections.
    Kind("conv", _conv_macs, _conv_params, has_kernel=True),
    # MobileNetV3's inverted bottleneck.
    Kind("mbconv", _mbconv_macs, _mbconv_params, has_kernel=True, problem=_mbconv_problem),
    # EfficientNet-Lite's: the image brought to -1..1 and a convolution; an inverted bottleneck with ReLU6, without squeeze.
    Kind("lite_stem", _conv_macs, _conv_params, has_kernel=True),
    Kind("lite_mbconv", _mbconv_macs, _mbconv_params, has_kernel=True, problem=_lite_mbconv_problem),
    # DARTS: [ReLU, depthwise, 1x1, BN] twice, and ReLU, dilated depthwise, 1x1, BN.
    Kind("sepconv", _sepconv_macs, _sepconv_params, has_kernel=True),
    Kind("dilconv", _dilconv_macs, _dilconv_params, has_kernel=True),
    # ShuffleNetV2's two units.
    Kind("shuffle", _shuffle_macs, _shuffle_params, problem=_shuffle_problem),
    Kind("skip", _zero, _zero, problem=_same_shape_problem),
    # Atrous spatial pyramid pooling: 1x1; 3x3 separable at dilation d, 2d, 3d; global mean; concat; 1x1.
    Kind("aspp", _aspp_macs, _aspp_params, problem=_aspp_problem),
    # First input, bilinearly enlarged by `scale`, plus the second.
    Kind("upsample_add", _zero, _zero, input_shapes=_two_inputs, problem=_same_shape_problem),
    # MobileNetV1's separable convolution: depthwise, BN, ReLU, 1x1, BN, ReLU.
    Kind("dwsep", _dilconv_macs, _dwsep_params, has_kernel=True),
    # 1x1 to the classes with a bias, then bilinear enlargement by `scale`; logits.
    Kind("head", _head_macs, _head_params),
    # Logits to probabilities: sigmoid for one class, softmax for more.
    Kind("probability", _zero, _zero, problem=_same_shape_problem),
    # NAS-Bench-201's, of supernet/nasbench201.py.
    Kind("relu_conv", _conv_macs, _conv_params, has_kernel=True),
    Kind("avg_pool", _zero, _zero, has_kernel=True, problem=_same_shape_problem),
    Kind("zeroize", _zero, _zero, problem=_same_shape_problem, gives_zeros=True),
    Kind("add", _zero, _zero, input_shapes=_two_alike, problem=_same_shape_problem, adds=True),
    Kind("basic_block", _basic_block_macs, _basic_block_params, problem=_basic_block_problem),
    Kind("classifier", _classifier_macs, _classifier_params, problem=_classifier_problem),
    # Another project's operator that we have no torch module of: imported tables have them.
    Kind(FOREIGN, _unknown, _unknown, problem=_foreign_problem, labelled=True),
):
    register_kind(_kind)

# At the end, as it imports from here: it registers the kinds of Dense Prediction Cells.
import latlas.latency.cell_ops  # noqa: E402, F401
