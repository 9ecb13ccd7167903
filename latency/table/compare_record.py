"""What is known of two compared tables, as a record that JSON takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from latlas.latency.table.compare import Change, Comparison, Ranks, differences

if TYPE_CHECKING:
    from latlas.latency.table.table import Table


def comparison_record(before: Table, after: Table, found: Comparison, ranked: Sequence[Ranks] | None) -> dict[str, Any]:
    """The result of `compare` and, unless None, of `ranks`: what differs, the counts, each change, and what was not compared."""
    record: dict[str, Any] = {
        "before": before.name,
        "after": after.name,
        "differing": {name: list(values) for name, values in differences(before, after).items()},
        "compared_by": "ratio" if found.by_ratio else "latency_ms",
        "confidence": found.confidence,
        "threshold": found.threshold,
        "compared": len(found.pairs),
        "changed": len(found.changed),
        "slower": len(found.slower),
        "faster": len(found.faster),
        "by_chance": found.by_chance,
        "geometric_mean": found.geometric_mean,
        "changes": [_change_record(change) for change in found.changed],
        "no_interval": [_change_record(change) for change in found.no_interval],
        "only_before": [str(spec) for spec in found.only_before],
        "only_after": [str(spec) for spec in found.only_after],
        "failed": [str(spec) for spec in found.failed],
    }
    if ranked is not None:
        record["ranks"] = [
            {
                "place": str(one.place),
                "operators": one.operators,
                "best_before": str(one.best_before),
                "best_after": str(one.best_after),
                "reversals": [
                    {
                        "faster_before": str(pair.first),
                        "faster_after": str(pair.second),
                        "before_ratio": pair.before_ratio,
                        "after_ratio": pair.after_ratio,
                    }
                    for pair in one.reversals
                ],
            }
            for one in ranked
        ]
    return record


def _change_record(change: Change) -> dict[str, Any]:
    return {
        "operator": str(change.spec),
        "ratio": change.ratio,
        "lower": change.lower,
        "upper": change.upper,
        "before_ms": change.before.latency_ms,
        "after_ms": change.after.latency_ms,
        "spec": change.spec.to_record(),
    }
