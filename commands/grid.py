"""Shows a table in the terminal as a coloured grid of operators by place."""

from __future__ import annotations

import io
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from latlas.commands.output import shown
from latlas.errors import UsageError
from latlas.spaces.operators.spec import FOREIGN

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from latlas.latency.table.row import Row
    from latlas.latency.table.table import Table
    from latlas.spaces.operators.spec import OpSpec
    from latlas.spaces.places import Place

VALUES: dict[str, tuple[str, str]] = {
    "isolated": ("latency_ms", "isolated latency, ms"),
    "boundary": ("boundary_ms", "latency less what converting at the borders takes, ms"),
    "in-network": ("in_network_ms", "latency added to a network, ms"),
    "ratio": ("ratio", "isolated latency over the reference's"),
}
"""The values that a cell may show: the row's field, and its meaning."""

# Once-for-All and its descendants write such keys: MBConv-input:56x56x24-output:56x56x24-expand:3-kernel:3-stride:1-idskip:1.
_PLACE_IN_LABEL = re.compile(r"-(?:input|output):\d+x\d+x\d+|-stride:\d+")
# Backgrounds from fast to slow, visible on white and on black, light enough for black text.
_FAST, _MIDDLE, _SLOW = (87, 187, 108), (250, 215, 100), (235, 110, 90)


def console_of() -> Console:
    """The console of standard output: no colours if it is no terminal or NO_COLOR is set; 80 columns if unknown."""
    from rich.console import Console

    real = Console()
    return Console(
        file=io.StringIO(),
        width=max(real.width, 40),
        force_terminal=real.is_terminal and not real.no_color,
        no_color=real.no_color,
        color_system="truecolor" if real.color_system == "truecolor" else "256" if real.color_system else None,
        legacy_windows=False,
    )


def grid_lines(table: Table, value: str, console: Console) -> list[str]:
    """The grid, in blocks as wide as the console, and below it the operators without a choice.

    Raises `UsageError` if `value` is none of `VALUES`, or if no row has it.
    """
    from rich.text import Text

    if value not in VALUES:
        raise UsageError(f"--value is {value!r}; known: {', '.join(VALUES)}")
    name, meaning = VALUES[value]
    if len(table) > table.count("failed") and all(getattr(row, name) is None for row in table):
        raise UsageError(f"table {table.name} has no {value} values; show another --value, isolated is in all of them")
    from latlas.spaces.places import choices

    columns = choices(row.spec for row in table)
    cells, beside = _cells(table, columns)
    lines: list[Text] = []
    marks = _marks()
    if columns:
        where = "" if console.color_system is None else ", green to red from the fastest to the slowest of a column"
        lines.append(Text(f"{meaning}{where}; ~ noisy, {marks['failed']} failed, {marks['missing']} not in the table"))
        for block in _blocks(list(columns), cells, name, console.width, marks):
            lines.append(Text())
            lines += block
    rest = [row for row in table if row.spec in beside or row.spec not in cells]
    if rest:
        lines += [Text(), Text("the only one at its place, or another variant of one above:" if columns else meaning)]
        lines += [Text(f"{_plain(row, name, marks):>10}  {row.spec}") for row in rest]
    return _rendered(lines, console)


def _cells(
    table: Table, columns: dict[Place, tuple[OpSpec, ...]]
) -> tuple[dict[OpSpec, tuple[str, Place, Row]], set[OpSpec]]:
    """The specs in the grid with label, place and row; and the specs whose cell shows another variant.

    If a place has an operator in two variants, for example of two expansions, the grid shows its more common variant.
    """
    variants = Counter(_variant(spec) for specs in columns.values() for spec in specs)
    rows = {row.spec: row for row in table}
    cells: dict[OpSpec, tuple[str, Place, Row]] = {}
    beside: set[OpSpec] = set()
    for place, specs in columns.items():
        best: dict[str, OpSpec] = {}
        for spec in sorted(specs, key=lambda spec: (-variants[_variant(spec)], spec)):
            if best.setdefault(_label(spec), spec) != spec:
                beside.add(spec)
        cells |= {spec: (label, place, rows[spec]) for label, spec in best.items()}
    return cells, beside


def _label(spec: OpSpec) -> str:
    """The label of a line in the grid; of another project's name only the part that the column does not say."""
    if spec.kind != FOREIGN:
        return f"{spec.name} {spec.label}".rstrip()
    return _PLACE_IN_LABEL.sub("", spec.label) or spec.label


def _variant(spec: OpSpec) -> tuple[object, ...]:
    return _label(spec), spec.hidden_channels / spec.in_channels, spec.squeeze_channels > 0, spec.dilation


def _blocks(
    places: Sequence[Place],
    cells: dict[OpSpec, tuple[str, Place, Row]],
    name: str,
    width: int,
    marks: dict[str, str],
) -> list[list[Text]]:
    """The lines of each block of columns that fits into the width."""
    from rich.text import Text

    by_place: dict[Place, dict[str, Row]] = {place: {} for place in places}
    for label, place, row in cells.values():
        by_place[place][label] = row
    labels = sorted({label for label, _, _ in cells.values()})
    margin = min(width // 2, max(map(len, labels)))
    heads = {place: _head(place) for place in places}
    decimals = {place: _decimals([_number(row, name) for row in by_place[place].values()]) for place in places}
    texts = {
        place: {label: _plain(row, name, marks, decimals[place]) for label, row in by_place[place].items()}
        for place in places
    }
    widths = {place: max(map(len, (*heads[place], *texts[place].values()))) + 1 for place in places}
    blocks: list[list[Place]] = [[]]
    for place in places:
        if blocks[-1] and margin + sum(widths[one] for one in blocks[-1]) + widths[place] > width:
            blocks.append([])
        blocks[-1].append(place)
    found = []
    for block in blocks:
        lines = []
        for part in (part for part in range(3) if any(heads[place][part] for place in block)):
            head = "".join(f"{heads[place][part]:>{widths[place]}}" for place in block)
            lines.append(Text((" " * margin + head).rstrip(), style="bold"))
        styles = {place: _colours([_number(row, name) for row in by_place[place].values()]) for place in block}
        for label in (label for label in labels if any(label in by_place[place] for place in block)):
            line = Text(_cut(label, margin).ljust(margin))
            for place in block:
                found_row = by_place[place].get(label)
                text = texts[place].get(label, marks["missing"])
                number = None if found_row is None else _number(found_row, name)
                line.append(" " * (widths[place] - len(text)))
                line.append(text, styles[place](number))
            lines.append(line)
        found.append(lines)
    return found


def _head(place: Place) -> tuple[str, str, str]:
    return (
        f"{place.height}x{place.width}",
        f"{place.in_channels}->{place.out_channels}",
        f"s{place.stride}" if place.stride != 1 else "",
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."


def _number(row: Row, name: str) -> float | None:
    value: float | None = getattr(row, name)
    return value


def _plain(row: Row, name: str, marks: dict[str, str], decimals: int | None = None) -> str:
    if row.status == "failed":
        return marks["failed"]
    value = _number(row, name)
    if value is None:
        return "-"
    digits = _decimals([value]) if decimals is None else decimals
    return ("~" if row.status == "noisy" else "") + f"{value:.{digits}f}"


def _decimals(values: Sequence[float | None]) -> int:
    """The number of decimals that shows three digits of the smallest value."""
    known = [value for value in values if value]
    return min(6, max(0, 2 - math.floor(math.log10(min(known))))) if known else 0


def _marks() -> dict[str, str]:
    known = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return {"failed": "×" if known else "x", "missing": "·" if known else "."}


def _colours(values: Sequence[float | None]) -> Callable[[float | None], str]:
    """The style of each value, by its position among the values of its column on a logarithmic scale."""
    known = [value for value in values if value is not None and value > 0]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)

    def style(value: float | None) -> str:
        if value is None or not known:
            return "dim"
        share = math.log(max(value, low) / low) / math.log(high / low) if high > low else 0.0
        one, other, part = (_FAST, _MIDDLE, 2 * share) if share < 0.5 else (_MIDDLE, _SLOW, 2 * share - 1)
        mixed = ",".join(str(round(a + (b - a) * part)) for a, b in zip(one, other, strict=True))
        return f"rgb(0,0,0) on rgb({mixed})"

    return style


def _rendered(lines: Sequence[Text], console: Console) -> list[str]:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n").split("\n")


def head_lines(table: Table) -> list[str]:
    """The origin of a table as lines for people, with the unknown fields."""
    from latlas.latency.table.merge import parts

    manifest, counts = table.manifest, {status: table.count(status) for status in ("ok", "noisy", "failed")}
    environment = manifest.environment
    reference = shown(environment.reference_ms, 1, 4)
    floor = shown(manifest.noise_floor, 100, 2)
    known = {name: "unknown" if value is None else value for name, value in environment.key().items()}
    lines = [
        f"{table.name}: {manifest.space}, {len(table)} operators "
        f"({counts['ok']} ok, {counts['noisy']} noisy, {counts['failed']} failed)",
        f"device     {environment.cpu_model} ({environment.device}), OpenVINO {environment.openvino_version}",
        f"setting    {known['precision']}, {known['threads']} thread(s), {known['streams']} stream(s), "
        f"batch {known['batch']}",
        f"reference  {environment.reference_id}, {reference} ms; noise floor {floor}{'' if floor == 'unknown' else ' %'}",
    ]
    origin = manifest.origin + (", not measured by Latlas" if manifest.origin == "imported" else "")
    lines.append(f"origin     {origin}; latlas {manifest.tool_version}, {manifest.created_at}")
    if environment.unknown:
        lines.append(f"unknown of its environment: {', '.join(environment.unknown)}")
    if len(parts(manifest)) > 1:
        lines += [f"{'merged of' if not number else '':<10} {part}" for number, part in enumerate(parts(manifest))]
    else:
        lines += [f"source     {manifest.source}"] if manifest.source else []
        lines += [f"command    {manifest.command}"] if manifest.command else []
    estimate = manifest.in_network
    if estimate is not None:
        lines.append(
            f"in network from {estimate.subnets} subnets against {estimate.reference_id} ({estimate.reference_ms:.4f} ms), "
            f"{estimate.fixed_ms:.4f} ms beside the operators, plain sum off by {100 * estimate.error:.2f} % on others"
        )
    return lines


def row_lines(table: Table) -> list[str]:
    """One line for each row, with its interval."""
    lines = []
    for row in table:
        if row.latency_ms is None:
            lines.append(f"{'failed':>10}  {row.spec}: {row.reason}")
            continue
        error = "" if row.ratio is None else f" +-{100 * row.relative_half_width:4.1f} %"
        span = (
            "no interval"
            if row.lower_ms is None or row.upper_ms is None
            else f"[{row.lower_ms:.4f}, {row.upper_ms:.4f}]"
        )
        more = [f"boundary {row.boundary_ms:.4f}"] if row.boundary_ms is not None else []
        if row.in_network_ms is not None:
            se = "" if row.in_network_se_ms is None else f" (se {row.in_network_se_ms:.4f})"
            more.append(f"in network {row.in_network_ms:.4f}{se}")
        tail = (" noisy" if row.status == "noisy" else "") + (f"  {', '.join(more)}" if more else "")
        lines.append(f"{row.latency_ms:7.4f} ms {span}{error}{tail}  {row.spec}")
    return lines
