"""Compares designed subnets with random ones in a simulation: nothing is measured, the truth is made up.

    python benchmarks/design.py --table TABLE.parquet [--truths 10]

An operator takes 0.55 of its isolated latency in the network, times a lognormal factor of its kind and one of its own
(0.15 each). Pairs of operators in a row add effects that sum to 1 or 2 % of the latency (standard deviation), a
cache makes large networks slower than their sum (2 % a factor of e), a measurement errs by 1 %. Prints JSON, means over the
truths: the error of the estimated sum on unseen subnets, how often its interval and the operators' hold the truth, the
largest standard error of a sum, and how many estimates failed because an operator was in no subnet.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.errors import MissingEntryError
from latlas.latency.fitting.in_network import in_network_subnets
from latlas.latency.predictor.features import edge_name
from latlas.latency.predictor.in_network import estimate_in_network
from latlas.latency.table.table import Table
from latlas.spaces.graph import INPUT, Graph, live_nodes
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_space

NOISE, CACHE, SHARE, SPREAD = 0.01, 0.02, 0.55, 0.15
COUNTS, INTERACTIONS, UNSEEN = (25, 50, 100), (0.0, 0.01, 0.02), 200


class Truth:
    """Made-up in-network latencies, and the latency of a network of them."""

    def __init__(self, table: Table, rng: np.random.Generator, interaction: float) -> None:
        kinds: dict[str, float] = {}
        self.cost_ms: dict[OpSpec, float] = {}
        for row in table:
            if row.latency_ms is not None:
                off = kinds.setdefault(row.spec.name, rng.normal()) + rng.normal()
                self.cost_ms[row.spec] = SHARE * row.latency_ms * np.exp(SPREAD * off)
        self._rng, self._interaction, self._pairs = rng, interaction, dict[str, float]()

    def latency_ms(self, graph: Graph) -> float:
        live = live_nodes(graph)
        pairs = [
            edge_name(graph[source].spec, graph[i].spec) for i in live for source in graph[i].inputs if source != INPUT
        ]
        off = sum(self._pairs.setdefault(pair, self._rng.normal()) for pair in pairs) / np.sqrt(len(pairs))
        total = sum(self.cost_ms[graph[i].spec] for i in live) * (1 + self._interaction * off)
        return float(total * (1 + CACHE * np.log(total / 4)))


def trial(
    table: Table, space: SearchSpace, subnets: Sequence[Architecture], interaction: float, seed: int
) -> list[float] | None:
    """MAPE on unseen uniform and spread subnets, coverage of both, of operators, largest standard error of a sum."""
    rng = np.random.default_rng([seed, 1])
    truth = Truth(table, rng, interaction)
    graphs = [one.graph() for one in subnets]
    measured = [truth.latency_ms(graph) * (1 + NOISE * rng.normal()) for graph in graphs]
    found = estimate_in_network(graphs, measured, [NOISE] * len(graphs), table.latency_ms)
    errors, covered, widest = [], [], 0.0
    for unseen in (space.sample(UNSEEN, rng), draw_different(space, UNSEEN, rng)):
        others = [one.graph() for one in unseen]
        true = np.array([truth.latency_ms(graph) for graph in others])
        try:
            sums, se = found.sums(others), found.sums_se(others)
        except MissingEntryError:
            return None
        errors.append(float(np.mean(np.abs(sums / true - 1))))
        covered.append(float(np.mean(np.abs(sums - true) <= 1.96 * se)))
        widest = max(widest, float((se / sums).max()))
    costs = np.array([truth.cost_ms[spec] for spec in found.specs])
    return [*errors, *covered, float(np.mean(np.abs(found.latency_ms - costs) <= 1.96 * found.se_ms)), widest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--truths", type=int, default=10)
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    space = parse_space(table.manifest.space)
    baselines = [space.baseline(name) for name in space.baselines]
    ways: dict[str, Callable[[int, int], list[Architecture]]] = {
        "designed": lambda count, seed: in_network_subnets(space, count, seed),
        "uniform": lambda count, seed: [
            *baselines,
            *space.sample(count - len(baselines), np.random.default_rng([seed, 2])),
        ],
        "spread": lambda count, seed: draw_different(space, count, np.random.default_rng([seed, 3])),
    }
    names = ("mape_uniform", "mape_spread", "coverage_uniform", "coverage_spread", "coverage_operators", "largest_se")
    result: list[dict[str, Any]] = []
    for interaction in INTERACTIONS:
        for count in COUNTS:
            for way, subnets in ways.items():
                done = [trial(table, space, subnets(count, k), interaction, k) for k in range(arguments.truths)]
                whole = [one for one in done if one is not None]
                means = np.mean(whole, axis=0).tolist() if whole else [None] * len(names)
                record = {"interaction": interaction, "subnets": count, "way": way, "failed": len(done) - len(whole)}
                result.append({**record, **dict(zip(names, means, strict=True))})
    print(json.dumps({"simulated": True, "truths": arguments.truths, "trials": result}, indent=1))


if __name__ == "__main__":
    main()
