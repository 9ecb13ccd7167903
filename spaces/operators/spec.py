"""Operators as data: `OpSpec`, the only key of a table, and `Kind`, the properties of a kind that need no torch.

A kind of operator is one `register_operator(Kind(...))`. It says the shapes, multiply-adds, parameters and validity, and where
the torch module is built. Latlas' own kinds are in `chain.py` and `cell.py`; `supernet/operators/` builds them.

Conventions. A shape is `(channels, height, width)`, without batch. `macs` counts one multiply-add of a convolution or matrix
product as one. Element-wise work, pooling, interpolation and batch normalisation (which folds into the convolution) count
nothing. `params` equals `sum(p.numel() for p in module.parameters())`, so it includes the two parameters that batch
normalisation has for each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from latlas.errors import UnknownOperatorError, UsageError
from latlas.files.records import one_line
from latlas.registry import Registry

if TYPE_CHECKING:
    from torch import nn

FOREIGN = "foreign"
MAX_LABEL = 200
Shape = tuple[int, int, int]
ACTIVATIONS = ("none", "relu", "hswish", "sigmoid", "softmax")


@dataclass(frozen=True, slots=True, order=True)
class OpSpec:
    """One operator at one place: its kind and every field that changes the compiled kernel.

    `height` and `width` are the size of the first input. A field that a kind does not use keeps its default, so equal operators
    are equal keys. `hidden_channels` are the expanded channels of `mbconv` and the branch channels of `aspp`.
    `squeeze_channels` are the channels inside squeeze-and-excite, 0 for none. `scale` is the factor of upsampling. `label` is
    a text that no number can say: another project's name for an operator that we cannot build (kind `foreign`), the two rates
    of an `atrous`, or the grid of a `pyramid`, such as `6x21`. It is empty for all other kinds.
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
            having = ", ".join(sorted(name for name, kind in KINDS.loaded().items() if kind.labelled))
            problem = f"label is {self.label!r}; only {having} have one"
        if problem:
            raise UsageError(f"{self.kind} {self.in_channels}->{self.out_channels} stride {self.stride}: {problem}")

    @property
    def name(self) -> str:
        """The operator's short name, without its place: `mbconv_k3`, `shuffle`."""
        return f"{self.kind}_k{self.kernel_size}" if kind_of(self.kind).has_kernel else self.kind

    def __str__(self) -> str:
        """The operator in one line, for messages: `mbconv_k3 16->24 s2 at 128x128 (hidden 96, squeeze 24, relu)`."""
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

    def to_record(self) -> dict[str, int | str]:
        """Every field by name; `OpSpec.from_record` reads it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> OpSpec:
        """The spec of a record; raises `UsageError` for unknown or missing fields or impossible values."""
        unknown = sorted(set(record) - set(SPEC_FIELDS))
        missing = [name for name in ("kind", "in_channels", "out_channels", "height", "width") if name not in record]
        if unknown or missing:
            raise UsageError(f"operator record {record!r}: unknown fields {unknown}, missing fields {missing}")
        return cls(**record)  # type: ignore[arg-type]  # __post_init__ checks each value's type


SPEC_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(OpSpec))


def one_input(spec: OpSpec) -> tuple[Shape, ...]:
    """The shape of the only input."""
    return ((spec.in_channels, spec.height, spec.width),)


def _no_problem(spec: OpSpec) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of operator: the properties that are known without building one.

    `macs(spec)` and `params(spec)` count by the conventions of this file. `problem(spec)` says why a spec is impossible; it is
    empty for a possible one. `has_kernel`: the name contains the kernel's size. `labelled`: it has a label. `gives_zeros`: a
    compiler knows that its output is zero for any input. `adds`: a compiler knows that it is the plain sum of its inputs.
    `fixed`: it is in a network whatever is searched. `dilates`: dilation keeps its view of the image if a stride before it is
    taken away.

    `builder(spec)` makes the torch module. It may be a text, `my_package.torch_part:Blur`; then torch is loaded only when a
    module is built. Latlas' own kinds have none, as `supernet/operators/` builds them.
    """

    name: str
    macs: Callable[[OpSpec], int]
    params: Callable[[OpSpec], int]
    has_kernel: bool = False
    input_shapes: Callable[[OpSpec], tuple[Shape, ...]] = one_input
    problem: Callable[[OpSpec], str] = _no_problem
    gives_zeros: bool = False
    adds: bool = False
    labelled: bool = False
    fixed: bool = False
    dilates: bool = False
    builder: str | Callable[[OpSpec], nn.Module] | None = None


def _read_kind(name: str, value: object) -> Kind:
    if not isinstance(value, Kind) or value.name != name:
        raise UsageError(f"it is {value!r:.80}; it must be a Kind whose name is {name!r}")
    return value


KINDS: Registry[Kind] = Registry(
    "operator kind",
    "latlas.operators",
    read=_read_kind,
    definition=lambda kind: kind.macs,
    error=UnknownOperatorError,
)


def register_operator(kind: Kind) -> None:
    """Register a kind of operator by its name. An `OpSpec` of this kind can then be made, measured and predicted.

    Raises:
        UsageError: The name is taken; the message names both owners.

    Example:
        >>> import latlas
        >>> from latlas.spaces.operators.spec import Kind, OpSpec
        >>> def macs(spec):
        ...     return 9 * spec.in_channels * spec.output_size[0] * spec.output_size[1]
        >>> blur = Kind("blur", macs=macs, params=lambda spec: 0, builder="my_package.torch_part:Blur")
        >>> latlas.register_operator(blur)
        >>> OpSpec("blur", 16, 16, 32, 32, stride=2).macs
        36864
    """
    KINDS.add(kind.name, kind)


def kind_of(name: str) -> Kind:
    """The kind with this name; raises `UnknownOperatorError`."""
    return KINDS.get(name)


def kinds() -> tuple[str, ...]:
    """Names of all known kinds, sorted."""
    return KINDS.names()


def make_divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least `divisor` and never below 0.9 of the value (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
