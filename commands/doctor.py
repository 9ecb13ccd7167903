"""`doctor`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from latlas.commands import options
from latlas.commands.output import bar_of, print_marked

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    precision: options.PrecisionOption = "f32",
    threads: options.ThreadsOption = 1,
    relative_error: options.ErrorOption = 0.01,
    space: options.SpaceOption = "portrait",
    rounds: Annotated[int, typer.Option(help="Passes of each A/A run.", min=4, max=1000)] = 36,
    quick: Annotated[bool, typer.Option("--quick", help="Look at the machine's state only, without A/A runs.")] = False,
    json: options.JsonOption = False,
) -> None:
    """Say whether this machine can measure now, what disturbs it and what to do, and how long measuring will take.

    Both references are measured against themselves. The exit code is 1 if the verdict is "not now".
    """
    from latlas.latency.doctor.doctor import diagnose

    setting = options.setting_of(precision, threads, relative_error, any_threads=True)
    with bar_of("measuring the references against themselves") as bar:
        record = diagnose(
            setting,
            passes=rounds,
            operators=len(options.space_of(space, "").specs()),
            quick=quick,
            on_progress=lambda p: bar(p.done, p.total, p.label, p.eta_seconds),
        )
    print_marked(record, json, lambda: lines_of(record))
    if record["verdict"] == "not now":
        raise typer.Exit(1)


def lines_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The record as lines, each with a style: one for each check, the advice beneath it, the verdict last."""
    lines = []
    for check in record["checks"]:
        if check["status"] == "unknown":
            continue
        lines.append((f"{check['status']:<8}{check['seen']}", STYLES[check["status"]]))
        if check["status"] != "ok":
            lines += [(f"        {text}", "") for text in (check["meaning"], check["advice"]) if text]
    if record["unknown"]:
        lines.append((f"not known here: {', '.join(name.replace('_', ' ') for name in record['unknown'])}", "dim"))
    counts = {status: sum(c["status"] == status for c in record["checks"]) for status in STYLES}
    told = ", ".join(f"{counts[s]} {s}{'s' * (counts[s] > 1)}" for s in ("problem", "warning") if counts[s])
    shortened = "" if record["runs"] else " (state only, nothing was measured)"
    style = STYLES["problem" if counts["problem"] else "warning" if counts["warning"] else "ok"]
    lines.append((f"verdict: {record['verdict']}{': ' + told if told else ''}{shortened}", style))
    return lines
