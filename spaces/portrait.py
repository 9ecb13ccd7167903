"""The `portrait` space after DeepLabv3+, and MobileNetV3 as a baseline in the same macro.

    image -> stem S2 -> searchable chain S4, S8, S16, S32 -> ASPP -> decoder that adds encoder features -> head

Each decoder step enlarges by two, adds a 1x1 of the encoder's feature at that stride, and refines with a separable
convolution; the head classifies at S4 and enlarges by four.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from latlas.choices import did_you_mean
from latlas.errors import UsageError
from latlas.spaces.graph import Graph, Node, check_graph
from latlas.spaces.macro import append_decoder, encoder_features, encoder_nodes, portrait_stem
from latlas.spaces.operators.spec import OpSpec, make_divisible
from latlas.spaces.settings import sizes_that_work
from latlas.spaces.space import SearchSpace

SPACE_OPERATORS = ("mbconv_k3", "mbconv_k5", "dilconv_k3", "dilconv_k5", "sepconv_k3", "sepconv_k5", "shuffle")
NARROW_OPERATORS = ("narrow_k3", "narrow_k5")

# kernel, expanded channels, out channels, squeeze-and-excite, activation, stride (Howard et al. 2019, tables 1 and 2).
_Block = tuple[int, int, int, bool, str, int]
MOBILENETV3: dict[str, tuple[_Block, ...]] = {
    "mobilenetv3_large": (
        (3, 16, 16, False, "relu", 1),
        (3, 64, 24, False, "relu", 2),
        (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2),
        (5, 120, 40, True, "relu", 1),
        (5, 120, 40, True, "relu", 1),
        (3, 240, 80, False, "hswish", 2),
        (3, 200, 80, False, "hswish", 1),
        (3, 184, 80, False, "hswish", 1),
        (3, 184, 80, False, "hswish", 1),
        (3, 480, 112, True, "hswish", 1),
        (3, 672, 112, True, "hswish", 1),
        (5, 672, 160, True, "hswish", 2),
        (5, 960, 160, True, "hswish", 1),
        (5, 960, 160, True, "hswish", 1),
    ),
    "mobilenetv3_small": (
        (3, 16, 16, True, "relu", 2),
        (3, 72, 24, False, "relu", 2),
        (3, 88, 24, False, "relu", 1),
        (5, 96, 40, True, "hswish", 2),
        (5, 240, 40, True, "hswish", 1),
        (5, 240, 40, True, "hswish", 1),
        (5, 120, 48, True, "hswish", 1),
        (5, 144, 48, True, "hswish", 1),
        (5, 288, 96, True, "hswish", 2),
        (5, 576, 96, True, "hswish", 1),
        (5, 576, 96, True, "hswish", 1),
    ),
}
_LARGEST, _LARGEST_RATIO = 8192, 64
_BASELINE = re.compile(r"(mobilenetv3_large|mobilenetv3_small)(?:_x(\d(?:\.\d{1,3})?))?")


@dataclass(frozen=True)
class PortraitMacro(SearchSpace):
    """The common base of the spaces named `portrait`: stem, chain, decoder and head, and MobileNetV3 as a baseline.

    `widths` are the channels of the stages S4, S8, S16 and S32, and `depths` their numbers of searchable layers. `skip` adds the
    identity to layers that keep their shape. `narrow_ratio` adds `narrow_k3` and `narrow_k5`: the block `mbconv` with this
    expansion instead of `expand_ratio`. `num_classes` of 1 means person or not, with a sigmoid.
    """

    name: ClassVar[str] = "portrait"
    widened_by: ClassVar[tuple[str, ...]] = (
        "height",
        "width",
        "widths",
        "depths",
        "expand_ratio",
        "aspp_channels",
        "decoder_channels",
    )
    short_names: ClassVar[dict[str, str]] = {
        "mbconv_k3": "m3",
        "mbconv_k5": "m5",
        "dilconv_k3": "d3",
        "dilconv_k5": "d5",
        "sepconv_k3": "s3",
        "sepconv_k5": "s5",
        "shuffle": "sh",
        "skip": "id",
        "narrow_k3": "n3",
        "narrow_k5": "n5",
    }

    height: int = 256
    width: int = 256
    stem_channels: int = 16
    widths: tuple[int, ...] = (24, 40, 80, 160)
    depths: tuple[int, ...] = (2, 4, 4, 4)
    expand_ratio: int = 6
    skip: bool = False
    aspp_channels: int = 64
    aspp_dilation: int = 2
    decoder_channels: int = 32
    num_classes: int = 1
    narrow_ratio: int = 0

    def _check(self, operators: tuple[str, ...]) -> None:
        """Raises `UsageError` for impossible sizes, and for operators that a layer cannot have."""
        for field in ("height", "width"):
            value = getattr(self, field)
            if value > _LARGEST:
                raise UsageError(f"{field} is {value}; at most {_LARGEST} is a network for a CPU")
            if value < 32 or value % 32:
                raise UsageError(
                    f"{field} is {value}; portrait needs a multiple of 32, for five halvings; "
                    f"{sizes_that_work(self.height, self.width, 32)}"
                )
        if len(self.widths) != 4 or len(self.depths) != 4:
            raise UsageError(f"widths {self.widths} and depths {self.depths} must each have four values, S4 to S32")
        for field in ("stem_channels", "expand_ratio", "aspp_channels", "aspp_dilation", "decoder_channels"):
            if not 1 <= getattr(self, field) <= _LARGEST:
                raise UsageError(
                    f"{field} is {getattr(self, field)}; it must be at least 1, and none is above {_LARGEST}"
                )
        if max(*self.depths, *self.widths, self.num_classes, self.narrow_ratio) > _LARGEST:
            raise UsageError(f"a size of the space is above {_LARGEST}; that is no network for a CPU")
        for field in ("expand_ratio", "narrow_ratio"):
            if getattr(self, field) > _LARGEST_RATIO:
                raise UsageError(f"{field} is {getattr(self, field)}; it must be at most {_LARGEST_RATIO}")
        if max(self.depths) > 64:
            raise UsageError(f"depths are {self.depths}; at most 64 layers a stage")
        if min(self.depths) < 1 or self.num_classes < 1:
            raise UsageError(f"depths {self.depths} and num_classes {self.num_classes} must be at least 1")
        if self.narrow_ratio < 0 or self.narrow_ratio == self.expand_ratio:
            raise UsageError(
                f"narrow_ratio is {self.narrow_ratio}; it must be 0 for none, or another than expand_ratio"
            )
        unknown = [name for name in operators if name not in SPACE_OPERATORS]
        if unknown or not operators or len(set(operators)) < len(operators):
            raise UsageError(
                f"operators are {'.'.join(operators)[:200] or 'none'}; give each once, of {'.'.join(SPACE_OPERATORS)}"
                + (did_you_mean(unknown[0][:80], SPACE_OPERATORS) if unknown else "")
            )
        if any(width < 4 or width % 4 for width in self.widths):
            raise UsageError(f"widths are {self.widths}; shuffle needs multiples of 4")

    def _chain_choices(self, operators: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """The operators of each layer of the chain, out of these."""
        first = (*operators, *NARROW_OPERATORS) if self.narrow_ratio else operators
        keeps = (*first, "skip") if self.skip else first
        return tuple(keeps if layer else first for depth in self.depths for layer in range(depth))

    @property
    def baselines(self) -> tuple[str, ...]:
        return tuple(MOBILENETV3)

    def is_baseline(self, name: str) -> bool:
        return _BASELINE.fullmatch(name) is not None

    def encoder(self, operators: tuple[str, ...]) -> tuple[int, list[OpSpec]]:
        """The stem's channels and the blocks of a searchable architecture or a baseline."""
        if len(operators) == 1 and self.is_baseline(operators[0]):
            return self._mobilenetv3(operators[0])
        return self.stem_channels, self._chain(operators)

    def _chain(self, operators: tuple[str, ...]) -> list[OpSpec]:
        specs: list[OpSpec] = []
        channels, stride_total = self.stem_channels, 2
        names = iter(operators)
        for out_channels, depth in zip(self.widths, self.depths, strict=True):
            for layer in range(depth):
                stride = 2 if layer == 0 else 1
                size = self.height // stride_total, self.width // stride_total
                place = (channels, out_channels, *size, stride)
                channels, stride_total = out_channels, stride_total * stride
                specs.append(self._operator(next(names), place, "hswish" if stride_total >= 16 else "relu"))
        return specs

    def _operator(self, name: str, place: tuple[int, int, int, int, int], activation: str) -> OpSpec:
        """The spec of an operator at `(in_channels, out_channels, height, width, stride)`."""
        kind, _, kernel = name.partition("_k")
        kernel_size = int(kernel or 1)
        if kind in ("mbconv", "narrow"):
            hidden = place[0] * (self.expand_ratio if kind == "mbconv" else self.narrow_ratio)
            squeeze = make_divisible(hidden / 4)
            return OpSpec(
                "mbconv",
                *place,
                kernel_size,
                hidden_channels=hidden,
                squeeze_channels=squeeze,
                activation=activation,
            )
        return OpSpec(kind, *place, kernel_size, dilation=2 if kind == "dilconv" else 1)

    def _mobilenetv3(self, name: str) -> tuple[int, list[OpSpec]]:
        match = _BASELINE.fullmatch(name)
        assert match is not None
        multiplier = float(match[2] or 1)
        if multiplier == 0:
            raise UsageError(f"{name}: a width multiplier must be above 0")
        specs: list[OpSpec] = []
        stem = channels = make_divisible(16 * multiplier)
        stride_total = 2
        for kernel, expanded, out, squeeze, activation, stride in MOBILENETV3[match[1]]:
            hidden, out_channels = make_divisible(expanded * multiplier), make_divisible(out * multiplier)
            spec = OpSpec(
                "mbconv",
                channels,
                out_channels,
                self.height // stride_total,
                self.width // stride_total,
                stride,
                kernel,
                hidden_channels=hidden,
                squeeze_channels=make_divisible(hidden / 4) if squeeze else 0,
                activation=activation,
            )
            specs.append(spec)
            channels, stride_total = out_channels, stride_total * stride
        return stem, specs

    def _encoded(self, operators: tuple[str, ...]) -> list[Node]:
        """The nodes of stem and chain, of a searchable architecture or a baseline."""
        stem_channels, blocks = self.encoder(operators)
        return encoder_nodes(portrait_stem(self.height, self.width, stem_channels), blocks)

    def _with_aspp(self, nodes: list[Node]) -> Graph:
        """The whole network: these encoder nodes, ASPP, decoder and head."""
        encoder = encoder_features(nodes, self.height)
        aspp = OpSpec(
            "aspp",
            nodes[-1].spec.out_channels,
            self.decoder_channels,
            *nodes[-1].spec.output_size,
            hidden_channels=self.aspp_channels,
            dilation=self.aspp_dilation,
        )
        nodes.append(Node(aspp, (len(nodes) - 1,)))
        return self._decoded(nodes, encoder)

    def _decoded(self, nodes: list[Node], encoder: dict[int, int]) -> Graph:
        """The whole network: these nodes, decoder and head."""
        append_decoder(nodes, encoder, self.height, self.decoder_channels, self.num_classes)
        graph = tuple(nodes)
        check_graph(graph)
        return graph


@dataclass(frozen=True)
class PortraitSpace(PortraitMacro):
    """The space of 14 layers with seven operators each, by default; every size is a field.

    `operators` leaves only some of the seven. With `cell` in its text the space is a `PortraitCellSpace`.
    """

    variants: ClassVar[dict[str, str]] = {"cell": "latlas.spaces.portrait_cell:PortraitCellSpace"}

    operators: tuple[str, ...] = SPACE_OPERATORS

    def __post_init__(self) -> None:
        self._check(self.operators)

    @property
    def stages(self) -> tuple[int, ...]:
        return self.depths

    @cached_property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        return self._chain_choices(self.operators)

    def graph(self, operators: tuple[str, ...]) -> Graph:
        return self._with_aspp(self._encoded(operators))
