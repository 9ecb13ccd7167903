"""The package passes the suites that Latlas' own operators, spaces and strategies pass."""

import latlas_example  # noqa: F401  (registers what is under test)
from latlas_example.space import RibbonSpace

from latlas.spaces.operators.spec import OpSpec
from latlas.testing import OperatorSuite, SpaceSuite, StrategySuite

SMALL = RibbonSpace(height=32, width=32, widths=(8, 8, 12))


class TestGhost(OperatorSuite):
    specs = (
        OpSpec("ghost", 8, 12, 12, 10, kernel_size=3),
        OpSpec("ghost", 6, 8, 12, 10, stride=2, kernel_size=5),
    )


class TestRibbon(SpaceSuite):
    spaces = (SMALL, RibbonSpace(height=64, width=96, widths=(8, 8)))


class TestHill(StrategySuite):
    strategies = ("hill",)
    imports = ("latlas_example",)


class TestHillInRibbon(StrategySuite):
    strategies = ("hill",)
    imports = ("latlas_example",)
    settings = {"ribbon": (RibbonSpace(height=32, width=32, widths=(8,) * 6).text, False)}  # noqa: RUF012


def test_a_ghost_module_by_hand():
    # 4 -> 3 of 6 at 3x3, then 3 more by a 3x3 depthwise, at 5x5 of 10x10; two parameters of each of six channels.
    spec = OpSpec("ghost", 4, 6, 10, 10, stride=2, kernel_size=3)
    assert spec.macs == (4 * 3 * 9 + 3 * 9) * 25
    assert spec.params == 4 * 3 * 9 + 3 * 9 + 12
