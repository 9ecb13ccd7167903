import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from latlas.spaces.cell import NAMED, canonical, source_of
from latlas.spaces.cell_drawing import MARGIN, cell_boxes, cell_svg, operator_text
from latlas.spaces.dpc import DpcSpace

SPACE = DpcSpace()
CELLS = [
    *NAMED.values(),
    *(SPACE.branches_of(one.operators) for one in SPACE.sample(12, np.random.default_rng(0))),
    (("F", "conv_1x1"),),
]
NAMESPACE = "{http://www.w3.org/2000/svg}"


def lines_of(svg):
    """Each line as points; of `M x y V y H x` parts."""
    found = []
    for path in ElementTree.fromstring(svg).findall(f"{NAMESPACE}path"):
        points: list[tuple[int, int]] = []
        for letter, numbers in re.findall(r"([MVH])([\d ]+)", path.attrib["d"]):
            values = [int(number) for number in numbers.split()]
            last = points[-1] if points else (0, 0)
            points.append(
                (values[0], values[1])
                if letter == "M"
                else {"V": (last[0], values[0]), "H": (values[0], last[1])}[letter]
            )
        found.append(points)
    return found


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell_is_drawn_whole_and_nothing_covers_anything(cell):
    drawn = canonical(cell)
    svg = cell_svg(cell, SPACE.cell)
    feature, boxes, joined = cell_boxes(drawn)
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.findall(f"{NAMESPACE}text")]
    assert texts[: len(drawn) + 3] == ["F", *(box.text for box in boxes), "concat", "1x1"]
    assert texts[len(drawn) + 3] == "160 channels at 16x16"
    lines = lines_of(svg)
    assert len(lines) == 2 * len(drawn) + 1
    for branch, box, fed, out in zip(drawn, boxes, lines[0::2], lines[1::2], strict=False):
        source = source_of(branch)
        above = feature if source is None else boxes[source]
        # From below what it reads to its left side, and from its right side to the concatenation.
        assert above.left < fed[0][0] < above.right and fed[0][1] == above.top + above.height
        assert fed[-1] == (box.left, box.middle)
        assert out == [(box.right, box.middle), (joined.left, box.middle)]
        assert joined.top <= box.middle <= joined.top + joined.height
    everything = [feature, *boxes, joined]
    for one, other in combinations(everything, 2):
        apart = one.right < other.left or other.right < one.left
        assert apart or one.top + one.height < other.top or other.top + other.height < one.top
    for points in lines:
        for (x1, y1), (x2, y2) in pairwise(points):
            for box in everything:
                inside = min(x1, x2) < box.right and max(x1, x2) > box.left
                inside &= min(y1, y2) < box.top + box.height and max(y1, y2) > box.top
                assert not inside
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(
        box.left >= MARGIN and box.right <= width - MARGIN and box.top + box.height <= height for box in everything
    )


def test_equal_cells_are_drawn_alike():
    one = (("F", "atrous_6x1"), ("b0", "pyramid_2x2"), ("F", "conv_1x1"))
    other = (("F", "conv_1x1"), ("F", "atrous_6x1"), ("b1", "pyramid_2x2"))
    assert cell_svg(one) == cell_svg(other)


def test_rates_are_those_of_the_output_stride():
    assert operator_text("atrous_6x21", 16) == "3x3, rates 6x21"
    assert operator_text("atrous_6x21", 32) == "3x3, rates 3x11"
    assert operator_text("pyramid_2x4", 16) == "pooled to 2x4"
    assert operator_text("conv_1x1", 16) == "1x1"
