"""The torch module of an operator that is timed, apart from torch: it is loaded when the first is built, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from latlas.spaces.operators.spec import OpSpec


def timing_operator(spec: OpSpec) -> nn.Module:
    """The operator as `latlas.supernet.operators.build.timing_operator` makes it."""
    from latlas.supernet.operators.build import timing_operator as build

    return build(spec)
