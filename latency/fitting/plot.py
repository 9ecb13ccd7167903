"""Plots predicted against measured latency of a predictor's samples, as PNG, SVG or a self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.files.page import STYLE
from latlas.files.write import require_free, write_bytes
from latlas.latency.fitting.describe import described_lines, graphs_of
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.spaces.space import SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".html")
BANDS = (0.10, 0.05)
# Colours that the colour-blind can tell apart (M. Okabe, K. Ito, Color Universal Design, 2008), and the label of each role.
ROLES = (
    ("train", "#999999", "learnt from, when left out"),
    ("search", "#E69F00", "measured in a search"),
    ("test", "#0072B2", "tested on"),
)
CONFIDENCE = 0.95


def check_plot(path: Path, overwrite: bool) -> None:
    """Raises `UsageError` for another kind of file, and for an existing file unless it may be overwritten."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a plot is a file of {', '.join(SUFFIXES)}")
    require_free(path, overwrite)


def write_plot(path: Path, saved: SavedPredictor, space: SearchSpace | None, record: Mapping[str, Any]) -> None:
    """Write the plot; a page also gets the tables of `record`. Raises `UsageError` if there is nothing to plot."""
    check_plot(path, True)
    if not saved.samples:
        raise UsageError("the predictor has no samples to plot; fit it again")
    kind = path.suffix.lower()[1:]
    drawn = _drawn(figure_of(saved, space), "png" if kind == "png" else "svg")
    write_bytes(path, page_of(drawn, record).encode() if kind == "html" else drawn, overwrite=True)


def figure_of(saved: SavedPredictor, space: SearchSpace | None) -> Figure:
    """The figure: a point for each sample, bars for the prediction's 95 % interval, bands of 5 and 10 % about equality."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.add_subplot()
    measured = np.array([sample.latency_ms for sample in saved.samples])
    predicted = np.array([sample.predicted_ms for sample in saved.samples])
    roles = np.array([sample.role for sample in saved.samples])
    ends = np.array([min(measured.min(), predicted.min()) * 0.95, max(measured.max(), predicted.max()) * 1.05])
    for band in BANDS:
        label = f"within {100 * band:.0f} %"
        axes.fill_between(ends, ends * (1 - band), ends * (1 + band), color="#56B4E9", alpha=0.18, lw=0, label=label)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    margins = _margins(saved, space)
    for role, colour, name in ROLES:
        mine = roles == role
        if mine.any():
            axes.errorbar(
                measured[mine],
                predicted[mine],
                yerr=margins[mine] * predicted[mine],
                fmt="o",
                markersize=3.5,
                color=colour,
                ecolor=colour,
                elinewidth=0.6,
                alpha=0.8,
                label=f"{name} ({int(mine.sum())})",
            )
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_xlabel("measured, ms")
    axes.set_ylabel(f"predicted, ms (bars: {100 * CONFIDENCE:.0f} % interval)")
    axes.legend(fontsize=8)
    its = saved.environment
    axes.set_title(_plain(f"{saved.space_text}, {its.cpu_model}, {its.precision}, {its.threads} thread(s)"), fontsize=9)
    return figure


def page_of(svg: bytes, record: Mapping[str, Any]) -> str:
    """An HTML page with the plot and the record as text; everything from the record is escaped."""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    calibration = _rows(
        ("stated", "held", "95 % interval of that", "margin"),
        [
            (
                f"{100 * row['confidence']:.0f} %",
                f"{100 * row['held']:.1f} %",
                f"{100 * row['held_lower']:.0f} to {100 * row['held_upper']:.0f} %",
                f"{100 * row['margin']:.2f} %",
            )
            for row in record["calibration"] or ()
        ],
    )
    parts = _rows(
        ("operator or part", "share of a network", "mean ms", "times a network"),
        [
            (row["operator"], f"{100 * row['share']:.1f} %", f"{row['mean_ms']:.3f}", f"{row['per_network']:.1f}")
            for row in record["operators"] or ()
        ],
    )
    text = html.escape("\n".join(described_lines(record)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Latlas predictor</title><style>{STYLE}</style></head><body>
<h1>{html.escape(str(record["predictor"]))}</h1>
<img alt="predicted against measured latency" src="{source}">
<h2>How often intervals hold</h2>{calibration}
<h2>Where the milliseconds go</h2>{parts}
<h2>All of it</h2><pre>{text}</pre>
</body></html>
"""


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>Not known.</p>"
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _margins(saved: SavedPredictor, space: SearchSpace | None) -> FloatArray:
    """Half widths `(samples,)` of each sample's interval, relative to its prediction; 0 if it is not known.

    For a sample that was learnt from, this is the interval of its prediction when it was left out.
    """
    margins = np.zeros(len(saved.samples))
    tested = [index for index, sample in enumerate(saved.samples) if sample.role == "test"]
    trained_on = [index for index, sample in enumerate(saved.samples) if sample.role != "test"]
    spread = np.asarray(getattr(getattr(saved.predictor, "model_", None), "left_out_spread_", ()))
    if trained_on and len(spread) == len(trained_on):
        margins[trained_on] = saved.predictor.margins(spread, CONFIDENCE)
    if tested and space is not None:
        spreads = saved.predictor.predict_spread(graphs_of([saved.samples[index] for index in tested], space))[1]
        margins[tested] = saved.predictor.margins(spreads, CONFIDENCE)
    return margins


def _drawn(figure: Figure, kind: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    # The same predictor gives the same file: it has no date, and its ids do not change.
    with matplotlib.rc_context({"svg.hashsalt": "latlas"}):
        figure.savefig(buffer, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def _plain(text: str) -> str:
    """The text with dollars escaped, which would begin a formula in matplotlib."""
    return text.replace("$", r"\$")
