"""Writes the report of a search: one HTML file with the comparison, plots of the candidates, and example pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from latlas.files.page import STYLE
from latlas.files.write import write_text
from latlas.latency.limits.limits import share_text
from latlas.search.report.headline import all_fit_text, headline, what_settles
from latlas.search.report.history import read_history
from latlas.spaces.cell_drawing import cell_svg
from latlas.spaces.text import parse_architecture
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.data.mask_values import VOID
from latlas.supernet.networks.network import Subnet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 8


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


COMPARED: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("latency_ms", "latency, ms (measured)", "{:.3f}".format),
    ("lower_ms", "interval from, ms", "{:.3f}".format),
    ("upper_ms", "interval to, ms", "{:.3f}".format),
    ("miou", "mIoU, %", _percent),
    ("person_iou", "person IoU, %", _percent),
    ("boundary_f", "boundary F, %", _percent),
    ("params", "parameters", "{:,}".format),
    ("macs", "multiply-adds", "{:,}".format),
    ("train_steps", "own training steps", "{:,}".format),
)


def comparison_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows `(label, searched, baseline, rivals...)` of the comparison as text, for the report and the command line.

    The first row has the names.
    """
    others = [result["baseline"], *result["rivals"]]
    names = ("", "searched", *map(_name, others))
    return [names, *((label, *(show(one[key]) for one in (result, *others))) for key, label, show in COMPARED)]


def write_report(
    path: Path, result: Mapping[str, Any], history: Path, validation: Dataset, networks: Sequence[Subnet]
) -> None:
    """Write the report from the result, the history's file, and the trained networks: winner, baseline and rivals."""
    frame, _ = read_history(history)
    scored = frame[(frame["phase"] == "search") & frame["quality"].notna()]
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(one)}</td>' for one in row)}</tr>" for row in comparison_rows(result)
    )
    constraint = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in result["constraint"].items())
    environment = result["environment"]
    within, learnt = share_text(result.get("feasible")), accuracy_text(result.get("accuracy_predictor"))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Latlas search</title><style>{STYLE}</style></head><body>
<h1>{html.escape(headline(result))}</h1>
{"".join(f"<p>{html.escape(line)}.</p>" for line in [*what_settles(result), all_fit_text(result)] if line)}
{f"<p>Predicted to be within it: {html.escape(within)}.</p>" if within else ""}
<p><code>{html.escape(result["architecture"])}</code></p>
<table>{rows}</table>
<p>{html.escape(environment["cpu_model"])}, OpenVINO {html.escape(environment["openvino_version"])},
{environment["precision"]}, {environment["threads"]} thread(s). {result["evaluated"]} candidates were evaluated,
{result["filtered"]} dropped by the constraint ({constraint}),
{result["unused"]} skipped because they leave too much of the budget unused.</p>
{f"<p>{html.escape(learnt)}</p>" if learnt else ""}
<h2>Compared</h2><img alt="mIoU, trained, against measured latency" src="{_comparison_plot(result)}">
{_cell(result["architecture"])}<h2>Finalists</h2>
<table><tr><th></th><th>latency, ms</th><th>{result["scored_by"]} mIoU, %</th><th>steps trained</th><th>mIoU then, %</th></tr>
{_finalist_rows(result["finalists"])}</table>
{_front_table(result)}
<h2>Candidates</h2><img alt="mIoU as scored against latency" src="{_plot(scored, result)}">
<h2>Progress</h2><img alt="best mIoU as scored over evaluations" src="{_progress_plot(scored, result)}">
<h2>Examples</h2><p>Image, mask, searched, baseline{", rivals" if result["rivals"] else ""}.</p>
<img alt="examples" src="{_data_url(_examples(validation, networks))}">
</body></html>
"""
    write_text(path, page, overwrite=True)


def _cell(text: str) -> str:
    """A heading and a drawing of the architecture's cell; empty if it has none."""
    architecture = parse_architecture(text)
    found = architecture.space.cell_of(architecture.operators)
    return "" if found is None else f"<h2>Cell</h2>{cell_svg(*found)}"


def _finalist_rows(finalists: Sequence[Mapping[str, Any]]) -> str:
    return "".join(
        f"<tr><td><code>{html.escape(one['architecture'])}</code></td><td>{one['latency_ms']:.3f}</td>"
        f"<td>{_percent(one['supernet_miou'])}</td><td>{one['trial_steps']:,}</td>"
        f"<td>{_percent(one['trial_miou'])}</td></tr>"
        for one in finalists
    )


def _front_table(result: Mapping[str, Any]) -> str:
    """The measured front as a table; empty if the search looked for none."""
    if not result["front"]:
        return ""
    rows = "".join(
        f"<tr><td><code>{html.escape(one['architecture'])}</code></td><td>{one['latency_ms']:.3f}</td>"
        f"<td>{one['lower_ms']:.3f} to {one['upper_ms']:.3f}</td><td>{_percent(one['supernet_miou'])}</td></tr>"
        for one in result["front"]
    )
    return f"""<h2>Front</h2>
<p>Networks that no other network beats in both quality and latency, measured. Their area below the budget is
{100 * result["front_hypervolume"]:.2f} ms &times; % mIoU.</p>
<table><tr><th></th><th>latency, ms</th><th>interval</th><th>{result["scored_by"]} mIoU, %</th></tr>
{rows}</table>"""


def _plot(scored: pd.DataFrame, result: Mapping[str, Any]) -> str:
    """A plot of quality against latency, with the budget. Measured and predicted latencies have different markers."""
    figure, axes = _axes()
    for measured, marker in ((False, "o"), (True, "s")):
        some = scored[scored["measured"] == measured]
        label = f"{'measured' if measured else 'predicted'} latency ({len(some)})"
        axes.scatter(some["latency_ms"], 100 * some["quality"], s=14, alpha=0.6, marker=marker, label=label)
    if front := result["front"]:
        places = [[one["latency_ms"] for one in front], [100 * one["supernet_miou"] for one in front]]
        axes.step(*places, where="post", linewidth=1.2, label=f"front, measured ({len(front)})")
    axes.scatter(result["latency_ms"], 100 * result["supernet_miou"], s=90, marker="*", label="winner, as exported")
    axes.axvline(result["budget_ms"], color="black", linestyle="--", linewidth=1, label="budget")
    baseline = result["baseline"]
    axes.axvline(baseline["latency_ms"], color="tab:red", linestyle=":", linewidth=1, label=_name(baseline))
    axes.set_xlabel("latency, ms")
    axes.set_ylabel(f"{result['scored_by']} mIoU, %")
    axes.legend()
    return _png(figure)


def _comparison_plot(result: Mapping[str, Any]) -> str:
    """A plot of the trained networks (winner, baseline, rivals): quality against measured latency with its interval."""
    figure, axes = _axes()
    networks = [("searched", result), *((_name(one), one) for one in (result["baseline"], *result["rivals"]))]
    for label, one in networks:
        below, above = one["latency_ms"] - one["lower_ms"], one["upper_ms"] - one["latency_ms"]
        error = [[below], [above]]
        axes.errorbar(one["latency_ms"], 100 * one["miou"], xerr=error, marker="o", capsize=4, label=label)
    axes.axvline(result["budget_ms"], color="black", linestyle="--", linewidth=1, label="budget")
    axes.set_xlabel("latency, ms (measured)")
    axes.set_ylabel("mIoU, %, trained")
    axes.legend()
    return _png(figure)


def _name(network: Mapping[str, Any]) -> str:
    return str(network["architecture"]).rsplit("/", 1)[-1]


def _progress_plot(scored: pd.DataFrame, result: Mapping[str, Any]) -> str:
    """A plot of each candidate's quality, and of the best so far, over the evaluations."""
    figure, axes = _axes()
    order = np.arange(1, len(scored) + 1)
    axes.scatter(order, 100 * scored["quality"], s=10, alpha=0.5, label="candidates")
    axes.step(order, 100 * scored["quality"].cummax(), where="post", color="black", linewidth=1.2, label="best so far")
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"{result['scored_by']} mIoU, %")
    axes.legend()
    return _png(figure)


def _axes() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _data_url(buffer.getvalue())


def _examples(validation: Dataset, networks: Sequence[Subnet]) -> bytes:
    """A PNG with rows of image, true mask, and each network's mask over the image."""
    count = min(EXAMPLES, len(validation.images))
    chosen = np.linspace(0, len(validation.images) - 1, count).astype(int)
    images = validation.images[chosen].float() / 255
    truths = validation.masks[chosen]
    masks = [torch.where(truths == VOID, 0.5, truths.float())]  # void is grey
    with torch.inference_mode():
        masks += [network.eval()(images)[:, 0] for network in networks]
    rows = []
    for index in range(count):
        image = images[index].permute(1, 2, 0).numpy()
        truth = np.repeat(masks[0][index].numpy()[..., None], 3, axis=2)
        rows.append(np.hstack([image, truth, *(_over(image, mask[index].numpy()) for mask in masks[1:])]))
    buffer = io.BytesIO()
    Image.fromarray((np.vstack(rows) * 255).round().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _over(image: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    green = np.array([0.1, 0.75, 0.35], dtype=np.float32)
    share = mask[..., None]
    return (image * share + (0.25 * image + 0.75 * green) * (1 - share)).astype(np.float32)


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def accuracy_text(record: Mapping[str, Any] | None) -> str:
    """A sentence about the `accuracy_predictor` of a result; empty for None."""
    if record is None:
        return ""
    if not record["rounds"]:
        return f"Quality was not predicted: {record['drawn']} networks were too few, or the time was over."
    rho = record["spearman"]
    figure = "unknown" if rho["value"] is None else f"{rho['value']:.2f}"
    if rho["lower"] is not None:
        figure += f" [{rho['lower']:.2f}, {rho['upper']:.2f}]"
    return (
        f"Quality was learnt from {record['samples']} scored networks ({record['kind']}; Spearman {figure} on networks left "
        f"out), and predicted for {record['asked']:,}; {record['chosen']} of the candidates were chosen by it."
    )
