"""Adapts latencies of other devices to a new one with few measured networks, on public data.

    python benchmarks/transfer.py --nasbench201 nasbench201_help_devices.csv [--seeds 5] [--counts 5,10,20,50,100]

The file has a column `architecture` with strings of NAS-Bench-201 and columns `latency_ms_<device>`, as of H. Lee et al.,
*HELP: Hardware-adaptive efficient latency prediction for NAS via meta-learning* (2021), whose 10 samples reach a Spearman
correlation of 0.93 in the mean over their devices. Each device in turn is the target, the others are sources whose latencies
of all networks are known. Printed as JSON, as means over seeds (and sources, where there is one at a time), on all networks
that were not measured: the rank correlation, the median relative error, and how often intervals held.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from latlas.arrays import FloatArray
from latlas.latency.fitting.choose import falling_variance
from latlas.latency.predictor.regression import BayesianLinear, Group
from latlas.latency.predictor.transfer import UNKNOWN_ERROR, Columns, Transfer, relative
from latlas.spaces.nasbench201 import EDGES, OPERATORS, NasBench201

PREFIX = "latency_ms_"
POOL = 400
"""How many networks the choice of what to measure is made from."""
MISFIT_PRIOR = 0.05
"""The misfit that is expected before anything is measured."""
STARTS = {"constant": 0.2, "count": 0.1, "used": 0.1, "live": 0.1, "edge": 0.05}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nasbench201", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--counts", default="5,10,20,50,100")
    arguments = parser.parse_args()
    architectures, devices, latencies = read(arguments.nasbench201)
    features, groups = features_of(architectures)
    found: dict[str, Any] = {"networks": len(architectures), "seeds": arguments.seeds, "targets": devices}
    found["sources_as_they_are"] = as_they_are(devices, latencies)
    for count in map(int, arguments.counts.split(",")):
        runs = [
            Run(features, groups, latencies, target, count, seed)
            for target in range(len(devices))
            for seed in range(arguments.seeds)
        ]
        found[str(count)] = {
            f"{name}_{drawn}": summary([run.figures(name, drawn == "chosen") for run in runs], devices, arguments.seeds)
            for name in ("one_source", "all_sources", "scaled_one", "scaled_all", "from_nothing")
            for drawn in ("drawn", "chosen")
        }
    print(json.dumps(found, indent=1))


def read(path: Path) -> tuple[list[tuple[str, ...]], list[str], FloatArray]:
    """Operators of each network, names of devices, and milliseconds `(networks, devices)`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith(PREFIX)]
    space = NasBench201()
    operators = [space.read(row["architecture"]) for row in rows]
    latencies = np.array([[float(row[name]) for name in columns] for row in rows])
    return operators, [name.removeprefix(PREFIX) for name in columns], latencies


def features_of(networks: Sequence[Sequence[str]]) -> tuple[FloatArray, dict[str, Group]]:
    """How often each operator is there, is used by what comes after, and is fed by the input too; in all and an edge.

    Runtimes differ in what they leave out: PyTorch runs what is there, others only what is used, or only what is live.
    """
    codes = np.array([[OPERATORS.index(name) for name in network] for network in networks])
    there = codes != OPERATORS.index("none")
    fed, used = {0: np.ones(len(codes), dtype=bool)}, {3: np.ones(len(codes), dtype=bool)}
    for node in (1, 2, 3):
        fed[node] = np.any([there[:, e] & fed[a] for e, (a, b) in enumerate(EDGES) if b == node], axis=0)
    for node in (2, 1, 0):
        used[node] = np.any([there[:, e] & used[b] for e, (a, b) in enumerate(EDGES) if a == node], axis=0)
    is_used = np.stack([there[:, e] & used[b] for e, (_, b) in enumerate(EDGES)], axis=1)
    is_live = np.stack([is_used[:, e] & fed[a] for e, (a, _) in enumerate(EDGES)], axis=1)
    operators = [code for code, name in enumerate(OPERATORS) if name != "none"]

    def counts(mask: npt.NDArray[np.bool_]) -> FloatArray:
        return np.stack([((codes == code) & mask).sum(axis=1) / len(EDGES) for code in operators], axis=1)

    def edges(mask: npt.NDArray[np.bool_]) -> FloatArray:
        both = [(codes[:, e] == code) & mask[:, e] for e in range(len(EDGES)) for code in operators]
        return np.stack(both, axis=1) / len(EDGES)

    blocks = {
        "constant": np.ones((len(codes), 1)),
        "count": counts(there),
        "used": counts(is_used),
        "live": counts(is_live),
        "edge": np.hstack([edges(there), edges(is_used)]),
    }
    groups, first = {}, 0
    for name, block in blocks.items():
        groups[name] = Group(tuple(range(first, first + block.shape[1])), STARTS[name])
        first += block.shape[1]
    return np.hstack(list(blocks.values())), groups


class Run:
    """One target, one number of measured networks, one seed."""

    def __init__(
        self, features: FloatArray, groups: dict[str, Group], latencies: FloatArray, target: int, count: int, seed: int
    ) -> None:
        self.features, self.groups, self.latencies, self.target, self.count = features, groups, latencies, target, count
        self.others = [device for device in range(latencies.shape[1]) if device != target]
        rng = np.random.default_rng([seed, target, count])
        self.pool = rng.choice(len(features), max(POOL, count), replace=False)
        self.drawn = self.pool[:count]

    def figures(self, name: str, chosen: bool) -> dict[str, float]:
        """Mean figures of a method, over its sources where it takes one at a time."""
        each = [[device] for device in self.others] if name.endswith(("one_source", "_one")) else [self.others]
        rows = [self._one(name, chosen, sources) for sources in each]
        return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}

    def _one(self, name: str, chosen: bool, sources: list[int]) -> dict[str, float]:
        rows = self._chosen(sources) if chosen else self.drawn
        rest = np.setdiff1d(np.arange(len(self.features)), rows)
        truth, said = self.latencies[:, self.target], self.latencies[:, sources]
        if name.startswith("scaled"):
            scale = np.median(truth[rows, None] / said[rows], axis=0)
            return _accuracy((said[rest] * scale).mean(axis=1), truth[rest])
        if name == "from_nothing":
            groups = self.groups | {"constant": Group(self.groups["constant"].columns, 1.0, fixed=True)}
            scaled = self.features * float(np.median(truth[rows]))
            model = BayesianLinear(groups).fit(scaled[rows], truth[rows], np.full(len(rows), UNKNOWN_ERROR))
            return _accuracy(model.predict(scaled[rest]), truth[rest])
        transfer = Transfer(self.groups, "median").fit(said[rows], self.features[rows], truth[rows])
        predicted = transfer.predict(said[rest], self.features[rest])
        spread = transfer.spread(said[rest], self.features[rest])
        off = np.abs(truth[rest] / predicted - 1)
        margins = {level: transfer.margins(spread, level) for level in (0.9, 0.95)}
        held = {f"held_{100 * level:.0f}": float(np.mean(off <= margin)) for level, margin in margins.items()}
        return _accuracy(predicted, truth[rest]) | held | {"margin_95": float(np.median(margins[0.95]))}

    def _chosen(self, sources: list[int]) -> npt.NDArray[np.intp]:
        """The networks of the pool to measure, chosen by the sources' latencies."""
        said = self.latencies[self.pool][:, sources]
        columns = Columns(tuple((1 / np.median(said, axis=0)).tolist()), 1.0, tuple(self.groups.items()))
        matrix = relative(columns.matrix(said, self.features[self.pool]))
        spread = np.zeros(matrix.shape[1])
        for group in columns.prior()[0].values():
            spread[list(group.columns)] = group.start
        covariance = (matrix * spread) @ (matrix * spread).T
        return self.pool[falling_variance(covariance, covariance, MISFIT_PRIOR, self.count)]


def as_they_are(devices: Sequence[str], latencies: FloatArray) -> dict[str, Any]:
    """Rank correlation of each device with each other one, nothing measured."""
    ranks = np.asarray(spearmanr(latencies).statistic)
    own = [
        float(np.mean([ranks[target, source] for source in range(len(devices)) if source != target]))
        for target in range(len(devices))
    ]
    return {"spearman": float(np.mean(own)), "by_target": dict(zip(devices, own, strict=True))}


def summary(rows: Sequence[dict[str, float]], devices: Sequence[str], seeds: int) -> dict[str, Any]:
    """Means over all rows, and of the rank correlation by target with its standard deviation over seeds."""
    by_target = {
        device: {
            "spearman": float(np.mean([row["spearman"] for row in rows[k * seeds : (k + 1) * seeds]])),
            "sd": float(np.std([row["spearman"] for row in rows[k * seeds : (k + 1) * seeds]], ddof=1))
            if seeds > 1
            else 0.0,
        }
        for k, device in enumerate(devices)
    }
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} | {"by_target": by_target}


def _accuracy(predicted: FloatArray, measured: FloatArray) -> dict[str, float]:
    rank = float(spearmanr(predicted, measured).statistic) if np.ptp(predicted) > 0 else 0.0
    return {"spearman": rank, "median_error": float(np.median(np.abs(predicted / measured - 1)))}


if __name__ == "__main__":
    main()
