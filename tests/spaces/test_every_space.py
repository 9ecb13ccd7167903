"""The suite that every space passes, over small ones of each; a space of Latlas' own is added here."""

from dataclasses import replace

from latlas.spaces.dpc import DpcSpace
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.text import SPACES, parse_space
from latlas.testing import SpaceSuite

TINY = PortraitSpace(
    height=32,
    width=32,
    stem_channels=8,
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 2),
    decoder_channels=8,
    aspp_channels=8,
    skip=True,
)
CELL = DpcSpace(
    height=64,
    width=96,
    backbone="m3-s5-d3-d5-sh",
    branches=3,
    filters=8,
    rates=(1, 6),
    grids=(2,),
    stem_channels=8,
    widths=(8, 8, 8, 12),
    depths=(1, 1, 1, 2),
    decoder_channels=8,
)


class TestChains(SpaceSuite):
    spaces = (TINY, replace(TINY, narrow_ratio=3))


class TestCells(SpaceSuite):
    spaces = (CELL,)
    templated = False


class TestChainsWithCells(SpaceSuite):
    spaces = (parse_space(TINY.text + ",narrow_ratio=2,cell=2"),)
    templated = False
    limited = False  # tests/latency/limits/test_cells.py knows them by hand


class TestNasBench(SpaceSuite):
    spaces = (NasBench201(height=8, width=16, cells=1, channels=4),)
    trained = False
    limited = False  # a predictor of it is no sum, so that all 15,625 networks would be predicted


class TestLargeSpaces(SpaceSuite):
    """Of which no supernet is made here."""

    spaces = (PortraitSpace(), NasBench201())
    trained = False
    limited = False


def test_every_space_is_under_test():
    classes = (TestChains, TestCells, TestNasBench)
    assert {space.name for one in classes for space in one.spaces} == set(SPACES.own())
