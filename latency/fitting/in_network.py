"""In-network latency of a table's operators: measures designed subnets and estimates what each operator adds to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latlas.errors import UsageError
from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.fitting.design import designed
from latlas.latency.fitting.fit import Notify, Sample, collect_these, relative_sd
from latlas.latency.machine.environment import require_same
from latlas.latency.measuring.profile import BuildModule, Setting
from latlas.latency.measuring.stopwatch import StopRule
from latlas.latency.measuring.time_left import Progress
from latlas.latency.predictor.features import CostOf
from latlas.latency.predictor.in_network import (
    MIN_NETWORKS,
    InNetworkEstimate,
    boundary_ms,
    cost_in,
    estimate_in_network,
    has_boundary,
    with_in_network,
)
from latlas.latency.table.table import Table
from latlas.spaces.graph import Graph, live_nodes
from latlas.spaces.space import Architecture, SearchSpace


def in_network_subnets(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """`count` subnets to measure: the space's baselines, whose operators the table has too, and designed subnets.

    Raises `UsageError` if these are too few for an estimate.
    """
    baselines = [space.baseline(name) for name in space.baselines]
    if count < len(baselines) + MIN_NETWORKS:
        raise UsageError(
            f"{count} subnets are too few; at least {MIN_NETWORKS} beside the {len(baselines)} baselines are needed"
        )
    return [*baselines, *designed(space, count - len(baselines), seed)]


def add_in_network(
    table: Table,
    space: SearchSpace,
    subnets: int,
    setting: Setting,
    journal: Path,
    *,
    build_module: BuildModule,
    replaces: bool = False,
    on_note: Notify | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Table, dict[str, Any]]:
    """The table with in-network latencies, and figures on how well their sums fit the measured subnets.

    The table must be of this machine and of the setting's precision and threads (`EnvironmentMismatchError`), and have
    every operator of the subnets (`MissingEntryError`); both are checked before anything is measured. A killed run continues
    from its journal, which the caller deletes.
    """
    if table.manifest.origin != "measured":
        raise UsageError(f"table {table.name} is {table.manifest.origin}; only one measured here can be added to")
    architectures = in_network_subnets(space, subnets, setting.seed)
    for architecture in architectures:
        plain_sum(table.latency_ms, architecture.graph())
    what = f"add to table {table.name} what is measured here"
    with setting.bench() as bench:
        measuring_in = setting.environment(bench, 1.0)
    require_same(table.manifest.environment, measuring_in, what, but=("reference_id",))
    samples, environment = collect_these(
        architectures,
        {"space": space.text},
        setting,
        journal,
        build_module=build_module,
        replaces=replaces,
        on_note=on_note,
        on_progress=on_progress,
    )
    require_same(table.manifest.environment, environment, what, but=("reference_id",))
    found = estimate_of(samples, cost_in(table), setting.rule)
    session_ms = environment.session_reference_ms
    added = with_in_network(table, found, environment.reference_id or "", session_ms, setting.seed)
    return added, {
        "subnets": len(samples),
        "operators": len(found.specs),
        "factor": found.factor,
        "misfit": found.misfit,
        "mape": {**isolated_errors(table, samples), "in_network": found.error},
        "reference_ms": session_ms,
    }


def estimate_of(samples: Sequence[Sample], cost_of: CostOf, rule: StopRule | None = None) -> InNetworkEstimate:
    """The in-network latencies of measured subnets, each weighted by its interval (at the rule's confidence)."""
    graphs = [sample.architecture.graph() for sample in samples]
    errors = [relative_sd(sample, rule) for sample in samples]
    return estimate_in_network(graphs, [sample.latency_ms for sample in samples], errors, cost_of)


def isolated_errors(table: Table, samples: Sequence[Sample]) -> dict[str, float | None]:
    """MAPE of the plain sum of isolated latencies, and of boundary-corrected ones (None if a row lacks them)."""
    measured = np.array([sample.latency_ms for sample in samples])
    costs: dict[str, CostOf] = {"isolated": table.latency_ms}
    if has_boundary(table):
        costs["boundary"] = lambda spec: boundary_ms(table, spec)
    errors: dict[str, float | None] = {"isolated": None, "boundary": None}
    for name, cost_of in costs.items():
        sums = np.array([plain_sum(cost_of, sample.architecture.graph()) for sample in samples])
        errors[name] = accuracy(sums, measured)["mape"]
    return errors


def plain_sum(cost_of: CostOf, graph: Graph) -> float:
    """Milliseconds of a network's live operators, added up."""
    return sum(cost_of(graph[index].spec) for index in live_nodes(graph))
