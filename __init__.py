"""Latlas: a latency atlas for neural architecture search on CPUs.

The names below are all that a user needs; each is what the command of that name calls. They are loaded when they are first
asked for (PEP 562), so `import latlas` is quick and loads neither numpy, torch nor openvino:

    import latlas

    space = latlas.space("portrait:resolution=192x256")
    table = latlas.profile(space, "table.parquet", precision="f32", threads=1)
    predictor = latlas.fit_predictor(space, table, subnets=150, out="predictor")
    predictor.predict(["portrait/mobilenetv3_large"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from latlas import errors

if TYPE_CHECKING:
    from latlas.api.data import load_data
    from latlas.api.fit import fit_predictor
    from latlas.api.fit_samples import fit_sample_predictor
    from latlas.api.measure import measure
    from latlas.api.predictor import load_predictor, load_sample_predictor, predict
    from latlas.api.profile import profile
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
    "space",
    "train_supernet",
]

_MODULES = {
    "LatencyConstraint": "latlas.search.constraint.constraint",
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
"""Where each name stands. A name of this list must not be that of a room: importing the room would take its place."""


def __getattr__(name: str) -> object:
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
