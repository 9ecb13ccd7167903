"""Latlas: a latency atlas for neural architecture search on CPUs.

The names below are all that a user needs; each is what the command of that name calls. They are loaded when they are first
asked for (PEP 562), so `import latlas` is quick and loads neither numpy, torch nor openvino:

    import latlas

    predictor = latlas.load_predictor("predictor")
    predictor.predict(["portrait/mobilenetv3_large"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from latlas import errors

if TYPE_CHECKING:
    from latlas.api.predictor import load_predictor, load_sample_predictor, predict
    from latlas.api.spaces import architecture, space
    from latlas.api.tables import load_table
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
    "load_predictor",
    "load_sample_predictor",
    "load_table",
    "predict",
    "register_operator",
    "register_space",
    "register_strategy",
    "space",
]

_MODULES = {
    "LatencyConstraint": "latlas.search.constraint.constraint",
    "architecture": "latlas.api.spaces",
    "load_predictor": "latlas.api.predictor",
    "load_sample_predictor": "latlas.api.predictor",
    "load_table": "latlas.api.tables",
    "predict": "latlas.api.predictor",
    "register_operator": "latlas.spaces.operators.spec",
    "register_space": "latlas.spaces.text",
    "register_strategy": "latlas.search.strategies.names",
    "space": "latlas.api.spaces",
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
