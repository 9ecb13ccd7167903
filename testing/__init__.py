"""What an operator, a space or a strategy must keep to, as suites for somebody's own pytest; Latlas' own pass the same ones.

A suite is a class with tests; a class of one's own says what is tested:

    from latlas.testing import OperatorSuite, SpaceSuite, StrategySuite

    class TestMyOperator(OperatorSuite):
        specs = (OpSpec("blur", 8, 8, 12, 10),)

    class TestMySpace(SpaceSuite):
        spaces = (MySpace(height=32, width=32),)

    class TestMyStrategy(StrategySuite):
        strategies = ("mine",)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latlas.testing.operators import OperatorSuite
    from latlas.testing.spaces import SpaceSuite
    from latlas.testing.strategies import StrategySuite

__all__ = ["OperatorSuite", "SpaceSuite", "StrategySuite"]


def __getattr__(name: str) -> Any:
    """The suite of that name, loaded when it is asked for: they need torch and OpenVINO."""
    if name == "OperatorSuite":
        from latlas.testing.operators import OperatorSuite

        return OperatorSuite
    if name == "SpaceSuite":
        from latlas.testing.spaces import SpaceSuite

        return SpaceSuite
    if name == "StrategySuite":
        from latlas.testing.strategies import StrategySuite

        return StrategySuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
