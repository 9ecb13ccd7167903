"""Builds the torch module of an operator to be timed. Torch is loaded with the first operator, not with this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from latlas.spaces.operators.spec import OpSpec


def timing_operator(spec: OpSpec) -> nn.Module:
    """The operator that `latlas.supernet.operators.build.timing_operator` makes."""
    from latlas.supernet.operators.build import timing_operator as build

    return build(spec)
