"""Builds an operator's torch module from its `OpSpec`, for training and for the stopwatch."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from latlas.errors import UnknownOperatorError, UsageError
from latlas.registry import owner_of, resolve
from latlas.spaces.operators.spec import OpSpec, kind_of
from latlas.supernet.operators import cell, lite, modules

_BUILDERS: dict[str, Callable[[OpSpec], nn.Module]] = {**modules.BUILDERS, **cell.BUILDERS, **lite.BUILDERS}
"""The builders of Latlas' own kinds. A kind of another package names its builder itself."""


def build_operator(spec: OpSpec) -> nn.Module:
    """The operator's module, freshly initialised from torch's global generator.

    Raises `UnknownOperatorError` for a kind without a builder, and `UsageError` if another package's builder cannot be
    loaded or fails.
    """
    builder = _BUILDERS.get(spec.kind)
    if builder is None:
        given = kind_of(spec.kind).builder
        if given is None:
            raise UnknownOperatorError(
                f"operator kind {spec.kind!r} has no torch builder; known: {', '.join(sorted(_BUILDERS))}; "
                "give its Kind a builder"
            )
        return _of_another(spec, resolve(given, f"the builder of operator kind {spec.kind!r}"))
    return builder(spec)


def _of_another(spec: OpSpec, builder: Callable[[OpSpec], nn.Module]) -> nn.Module:
    """The module that another package's builder makes. If the builder fails, the `UsageError` names the package."""
    try:
        module = builder(spec)
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{owner_of(builder)} cannot build {spec}: {cause[:300]}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"{owner_of(builder)} built {type(module).__name__} for {spec}; it must be a torch module")
    return module


def built_kinds() -> tuple[str, ...]:
    """Latlas' own kinds that have a builder, sorted."""
    return tuple(sorted(_BUILDERS))


def timing_operator(spec: OpSpec) -> nn.Module:
    """The operator to be timed: in evaluation mode, with seeded weights that keep activations at unit scale.

    The weights depend on the spec alone. Activations of unit scale avoid denormal numbers, which would slow a timing down.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(str(spec).encode()))
        module = build_operator(spec)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(cast(Tensor, part.running_mean), -0.1, 0.1)
                nn.init.uniform_(part.bias, -0.1, 0.1)
    return module.eval()
