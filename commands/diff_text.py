"""Writes the record of two compared tables as lines for people, or as Markdown for a pull request."""

from __future__ import annotations

from typing import Any

MAX_LISTED = 20


def diff_lines(record: dict[str, Any]) -> list[str]:
    """The comparison as lines for people."""
    lines = [f"before {record['before']}", f"after  {record['after']}", *_head(record)]
    if record["changes"]:
        lines += ["", "  ratio  [interval]         before ms   after ms  operator"]
        lines += [
            f"{one['ratio']:7.3f}  [{one['lower']:.3f}, {one['upper']:.3f}]".ljust(26)
            + f"{one['before_ms']:10.4f} {one['after_ms']:10.4f}  {one['operator']}"
            for one in record["changes"]
        ]
    for title, texts in _left_out(record):
        lines += ["", f"{title}:", *(f"  {text}" for text in texts)]
    if "ranks" in record:
        lines += ["", *_rank_lines(record)]
    return lines


def diff_markdown(record: dict[str, Any]) -> str:
    """The comparison as Markdown; texts from tables are made safe."""
    lines = [f"### {_safe(record['before'])} and {_safe(record['after'])}", ""]
    lines += [f"- {_safe(line)}" for line in _head(record)]
    if record["changes"]:
        lines += ["", "| ratio | interval | before, ms | after, ms | operator |", "| --: | --- | --: | --: | --- |"]
        lines += [
            f"| {one['ratio']:.3f} | {one['lower']:.3f} to {one['upper']:.3f} | {one['before_ms']:.4f} "
            f"| {one['after_ms']:.4f} | {_safe(one['operator'])} |"
            for one in record["changes"]
        ]
    for title, texts in _left_out(record):
        lines += ["", f"<details><summary>{_safe(title)}</summary>", "", *(f"- {_safe(text)}" for text in texts)]
        lines += ["", "</details>"]
    if "ranks" in record:
        moved = [one for one in record["ranks"] if one["reversals"] or one["best_before"] != one["best_after"]]
        lines += ["", f"{_rank_summary(record)}", ""]
        if moved:
            lines += [
                "| place | fastest before | fastest after | pairs that change rank |",
                "| --- | --- | --- | --: |",
            ]
        lines += [
            f"| {_safe(one['place'])} | {_safe(one['best_before'])} | {_safe(one['best_after'])} | {len(one['reversals'])} |"
            for one in moved
        ]
    return "\n".join(lines)


def _head(record: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {_value(one)} -> {_value(other)}" for name, (one, other) in record["differing"].items()]
    by = "ratio to the reference" if record["compared_by"] == "ratio" else "milliseconds"
    if record["compared_by"] != "ratio":
        by += ", into which the machine's speed of each session goes"
    lines.append(f"compared by {by}; intervals of {100 * record['confidence']:.4g} %")
    least = f" and by {record['threshold']:g} times or more" if record["threshold"] > 1 else ""
    lines.append(
        f"{record['changed']} of {record['compared']} operators changed beyond both intervals{least}: "
        f"{record['slower']} slower, {record['faster']} faster; by chance about {record['by_chance']:.1g} would, "
        "if the intervals hold"
    )
    everything = record["compared"] + len(record["no_interval"])
    if record["geometric_mean"] is not None:
        lines.append(f"geometric mean of all {everything} ratios: {record['geometric_mean']:.3f}")
    return lines


def _left_out(record: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The operators that were not compared: titles with counts, and a list under each."""
    unjudged = [
        f"{one['ratio']:.3f}  {one['before_ms']:.4f} -> {one['after_ms']:.4f} ms  {one['operator']}"
        for one in sorted(record["no_interval"], key=lambda one: -abs(one["ratio"] - 1))
    ]
    found = []
    for title, texts in (
        ("without an interval, so that no change is beyond it", unjudged),
        ("in the first only", record["only_before"]),
        ("in the second only", record["only_after"]),
        ("failed in one or both", record["failed"]),
    ):
        if texts:
            more = [f"and {len(texts) - MAX_LISTED} more; --json lists all"] if len(texts) > MAX_LISTED else []
            found.append((f"{title} ({len(texts)})", [*texts[:MAX_LISTED], *more]))
    return found


def _rank_summary(record: dict[str, Any]) -> str:
    ranked = record["ranks"]
    other = sum(one["best_before"] != one["best_after"] for one in ranked)
    pairs = sum(len(one["reversals"]) for one in ranked)
    return (
        f"places where another operator is the fastest: {other} of {len(ranked)}; "
        f"pairs that change rank beyond both intervals: {pairs}"
    )


def _rank_lines(record: dict[str, Any]) -> list[str]:
    lines = [_rank_summary(record)]
    for one in record["ranks"]:
        lines.append(f"  {one['place']}: {one['best_before'].split()[0]} -> {one['best_after'].split()[0]}")
        lines += [
            f"    {pair['faster_before']} was {pair['before_ratio']:.2f} times as fast as {pair['faster_after']}, "
            f"which now is {pair['after_ratio']:.2f} times as fast"
            for pair in one["reversals"]
        ]
    return lines


def _value(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _safe(text: Any) -> str:
    """The text, changed so that Markdown shows it as plain text: no column, link or HTML."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\")
    for character in "|`*_[]":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped
