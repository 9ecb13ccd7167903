"""The README's picture, from a finished run: every candidate by predicted latency and score, and what was measured at the end.

    python benchmarks/readme_figure.py runs/demo docs/images/demo.svg

Left: candidates that the supernet scored, with the budget. Right: the baseline and the winner after equal training, with
the measured latencies and their 95 % intervals. Prints the figures shown as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latlas.files.write import whole_file
from latlas.search.report.history import read_history

FOUND, OTHER, LIMIT = "#0072b2", "#7f7f7f", "#d55e00"  # told apart by the colour-blind (Okabe and Ito)


def main(run: Path, out: Path) -> None:
    """Draw the picture of the run in the folder `run` into the SVG file `out`, and print its figures."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    rows, _ = read_history(run / "history.parquet")
    scored = rows[(rows.phase == "search") & rows.quality.notna()]
    mpl.rcParams["svg.hashsalt"] = "latlas"  # the same run gives the same file
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(
        scored.latency_ms, 100 * scored.quality, s=14, color=OTHER, label=f"{len(scored)} candidates, predicted"
    )
    left.set_ylabel("score in the supernet, mIoU %")
    figures = {}
    for name, colour, marker in (("baseline", OTHER, "s"), ("winner", FOUND, "o")):
        network: dict[str, Any] = result["baseline"] if name == "baseline" else result
        ms, low, high, miou = (network[key] for key in ("latency_ms", "lower_ms", "upper_ms", "miou"))
        label = network["architecture"].rsplit("/", 1)[-1] if name == "baseline" else "searched"
        right.errorbar(ms, 100 * miou, xerr=[[ms - low], [high - ms]], fmt=marker, color=colour, label=label, capsize=3)
        figures[label] = {"latency_ms": ms, "lower_ms": low, "upper_ms": high, "miou": miou}
    right.set_ylabel("trained, mIoU %")
    right.margins(0.3)
    for axes in (left, right):
        _finish(axes, result["budget_ms"])
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out, overwrite=True) as draft:
        figure.savefig(draft, format="svg", metadata={"Date": None})
    print(json.dumps({"budget_ms": result["budget_ms"], "candidates": len(scored), **figures}, indent=1))


def _finish(axes: Axes, budget_ms: float) -> None:
    """The budget as a line, the latency's axis, and a quiet look."""
    axes.axvline(budget_ms, color=LIMIT, linestyle="--", linewidth=1, label=f"budget {budget_ms:.3g} ms")
    axes.set_xlabel("latency, ms")
    axes.locator_params(axis="x", nbins=5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
