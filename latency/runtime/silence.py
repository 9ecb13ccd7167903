"""Loads OpenVINO without its telemetry.

With telemetry, loading OpenVINO fails if there is no home folder, and warns in six lines if that folder cannot be written. Each
conversion starts a process that reports over the network, and it would run during measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"
_REPORTS = ("send_event", "send_error", "send_stack_trace", "start_session", "end_session")


@contextmanager
def telemetry_hidden() -> Iterator[None]:
    """Hide the telemetry package from everything that is loaded in this block; OpenVINO and NNCF then use their own stand-in."""
    held = {key: module for key, module in sys.modules.items() if key.partition(".")[0] == _TELEMETRY}
    for key in held:
        del sys.modules[key]
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        sys.modules.update(held)


@contextmanager
def telemetry_muted() -> Iterator[None]:
    """Keep OpenVINO from reporting within this block, even if somebody loaded it with its telemetry before.

    Converting fifteen operators took 2.4 to 8.9 s with telemetry and 0.65 s without.
    """
    telemetry = getattr(sys.modules.get(_TELEMETRY), "Telemetry", None)
    held = {name: getattr(telemetry, name) for name in _REPORTS if hasattr(telemetry, name)}
    for name in held:
        setattr(telemetry, name, lambda *arguments, **options: None)
    try:
        yield
    finally:
        for name, method in held.items():
            setattr(telemetry, name, method)


with telemetry_hidden():
    import openvino as ov
    from openvino import opset13 as opset

__all__ = ["opset", "ov", "telemetry_hidden", "telemetry_muted"]
