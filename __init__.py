"""Latlas: a latency atlas for neural architecture search on CPUs.

These names are all that a user needs. The command of the same name calls the same function. A name is loaded when it is first
used (PEP 562), so `import latlas` is quick and loads neither numpy, torch nor openvino:

    import latlas

    space = latlas.space("portrait:resolution=192x256")
    table = latlas.profile(space, "table.parquet", precision="f32", threads=1)
    predictor = latlas.fit_predictor(space, table, subnets=150, out="predictor")
    predictor.predict(["portrait/mobilenetv3_large"])

Command line and library share their error messages. A message names an option as on the command line: `--relative-error` is the
keyword `relative_error`, `--force` is `force=True`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latlas import errors

if TYPE_CHECKING:
    from inspect import Signature

    from latlas.api.adapt import adapt_predictor
    from latlas.api.data import load_data
    from latlas.api.fit import fit_predictor
    from latlas.api.fit_samples import fit_sample_predictor
    from latlas.api.measure import measure
    from latlas.api.predictor import load_predictor, load_sample_predictor, predict
    from latlas.api.profile import profile
    from latlas.api.search import search
    from latlas.api.spaces import architecture, space
    from latlas.api.supernet import load_supernet, train_supernet
    from latlas.api.tables import load_table
    from latlas.latency.formats.table_format import register_format
    from latlas.search.constraint.constraint import LatencyConstraint
    from latlas.search.strategies.names import register_strategy
    from latlas.spaces.operators.spec import register_operator
    from latlas.spaces.text import register_space

    __version__: str

__all__ = [
    "LatencyConstraint",
    "__version__",
    "adapt_predictor",
    "architecture",
    "errors",
    "fit_predictor",
    "fit_sample_predictor",
    "load_data",
    "load_predictor",
    "load_sample_predictor",
    "load_supernet",
    "load_table",
    "measure",
    "predict",
    "profile",
    "register_format",
    "register_operator",
    "register_space",
    "register_strategy",
    "search",
    "space",
    "train_supernet",
]

_MODULES = {
    "LatencyConstraint": "latlas.search.constraint.constraint",
    "adapt_predictor": "latlas.api.adapt",
    "architecture": "latlas.api.spaces",
    "fit_predictor": "latlas.api.fit",
    "fit_sample_predictor": "latlas.api.fit_samples",
    "load_data": "latlas.api.data",
    "load_predictor": "latlas.api.predictor",
    "load_sample_predictor": "latlas.api.predictor",
    "load_supernet": "latlas.api.supernet",
    "load_table": "latlas.api.tables",
    "measure": "latlas.api.measure",
    "predict": "latlas.api.predictor",
    "profile": "latlas.api.profile",
    "register_format": "latlas.latency.formats.table_format",
    "register_operator": "latlas.spaces.operators.spec",
    "register_space": "latlas.spaces.text",
    "register_strategy": "latlas.search.strategies.names",
    "space": "latlas.api.spaces",
    "train_supernet": "latlas.api.supernet",
}
"""The module of each name. `search` is also the name of a subpackage; see `_FrontDoor`."""


class _SearchRoom(ModuleType):
    """The package `latlas.search`. It can also be called, and then runs the function `latlas.api.search.search`."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return import_module("latlas.api.search").search(*given, **named)

    @property
    def __signature__(self) -> Signature:
        from inspect import signature

        return signature(import_module("latlas.api.search").search)


class _FrontDoor(ModuleType):
    """The package `latlas`. It makes `latlas.search` callable.

    Python sets `latlas.search` to the subpackage as soon as anything in it is imported. The subpackage then gets a class that
    can be called, so `latlas.search` is the same object whatever was imported before.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "search" and type(value) is ModuleType:
            value.__class__ = _SearchRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> object:
    if name == "search":
        return import_module("latlas.search")
    if name == "__version__":
        from latlas.latency.machine.environment import latlas_version

        value: object = latlas_version()
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'latlas' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
