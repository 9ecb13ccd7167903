"""A Dense Prediction Cell as an SVG picture: its tree of branches, the concatenation and the output.

Each branch has its own row and stands further right than its input, so no line crosses a box or another line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from latlas.spaces.cell import FEATURE, POINT, Branch, CellPlace, canonical, scaled_rate, source_of

BOX_WIDTH, BOX_HEIGHT, LINE, INDENT, MARGIN = 168, 30, 44, 44, 16
_COLOURS = {"conv": "#dfe7f5", "atrous": "#fbe3c8", "pyramid": "#d5edd9"}
_INK, _FAINT, _PLAIN = "#1c2733", "#8a97a5", "#eef1f4"


@dataclass(frozen=True, slots=True)
class Box:
    """A box of a picture, in pixels from its upper left corner."""

    left: int
    top: int
    width: int
    height: int
    text: str
    colour: str

    @property
    def middle(self) -> int:
        """The height of its middle."""
        return self.top + self.height // 2

    @property
    def right(self) -> int:
        """Its right side."""
        return self.left + self.width


def operator_text(name: str, output_stride: int) -> str:
    """An operator's text in the picture, with its rates at this output stride."""
    kind, _, pair = name.partition("_")
    if name == POINT:
        return "1x1"
    if kind == "pyramid":
        return f"pooled to {pair}"
    rates = "x".join(str(scaled_rate(int(one), output_stride)) for one in pair.split("x"))
    return f"3x3, rates {rates}"


def cell_boxes(branches: Sequence[Branch], output_stride: int = 16) -> tuple[Box, list[Box], Box]:
    """The boxes of the feature, of the branches, and of the concatenation."""
    feature = Box(MARGIN, MARGIN, 56, BOX_HEIGHT, FEATURE, _PLAIN)
    depths: list[int] = []
    boxes: list[Box] = []
    for index, branch in enumerate(branches):
        source = source_of(branch)
        depths.append(1 if source is None else depths[source] + 1)
        left, top = MARGIN + INDENT * depths[-1], MARGIN + LINE * (index + 1)
        text = f"b{index}  {operator_text(branch[1], output_stride)}"
        boxes.append(Box(left, top, BOX_WIDTH, BOX_HEIGHT, text, _COLOURS[branch[1].partition("_")[0]]))
    left = max(box.right for box in boxes) + INDENT
    top = boxes[0].top
    return feature, boxes, Box(left, top, 74, boxes[-1].top + BOX_HEIGHT - top, "concat", _PLAIN)


def cell_svg(branches: Sequence[Branch], place: CellPlace | None = None) -> str:
    """An SVG picture of a cell. Its branches are in canonical order, so equal cells look alike; `place` adds sizes.

    Example:
        >>> from latlas.spaces.cell import NAMED
        >>> cell_svg(NAMED["dpc_cityscapes"]).count("<rect")
        8
    """
    drawn = canonical(branches)
    feature, boxes, joined = cell_boxes(drawn, place.output_stride if place else 16)
    output = Box(joined.right + INDENT, joined.middle - BOX_HEIGHT // 2, 56, BOX_HEIGHT, "1x1", _COLOURS["conv"])
    parts = []
    for branch, box in zip(drawn, boxes, strict=True):
        source = source_of(branch)
        fed = feature if source is None else boxes[source]
        down = fed.left + INDENT // 2
        parts.append(_path(f"M{down} {fed.top + fed.height} V{box.middle} H{box.left}", _INK, arrow=True))
        parts.append(_path(f"M{box.right} {box.middle} H{joined.left}", _FAINT))
    parts.append(_path(f"M{joined.right} {joined.middle} H{output.left}", _INK, arrow=True))
    parts += [_drawn(box) for box in (feature, *boxes, joined, output)]
    if place is not None:
        size = f"{place.height}x{place.width}"
        parts.append(_text(feature.right + 10, feature.middle, f"{place.in_channels} channels at {size}", "start"))
        below = output.top + output.height + 14
        parts.append(_text((output.left + output.right) // 2, below, f"{place.out_channels}", "middle"))
    width, height = output.right + MARGIN, joined.top + joined.height + MARGIN
    arrow = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{_INK}"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="13"><title>Dense Prediction Cell</title>'
        f"{arrow}{''.join(parts)}</svg>\n"
    )


def _path(course: str, colour: str, arrow: bool = False) -> str:
    tip = ' marker-end="url(#tip)"' if arrow else ""
    return f'<path d="{course}" fill="none" stroke="{colour}" stroke-width="1.3"{tip}/>'


def _drawn(box: Box) -> str:
    place = f'x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}"'
    rect = f'<rect {place} rx="5" fill="{box.colour}" stroke="{_INK}" stroke-width="1"/>'
    return rect + _text(box.left + box.width // 2, box.middle, box.text, "middle")


def _text(x: int, y: int, text: str, anchor: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" dominant-baseline="central" fill="{_INK}">{escape(text)}</text>'
    )
