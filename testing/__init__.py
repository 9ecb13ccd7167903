"""Test suites for your own operators, spaces and strategies, to run with pytest. Latlas' own ones pass the same suites.

A suite is a class of tests. Derive from it and say what is tested:

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
    """The suite with this name, loaded on first use, as the suites need torch and OpenVINO."""
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
