"""In-network latency: what each operator adds to a network's latency, estimated from measured networks.

A network's latency is modelled as the plain sum of its live operators' in-network latencies. Each is `cost x factor`. The
cost is the operator's latency by itself (boundary-corrected if the table has that). The prior of a factor has five parts.
One is common to all operators and wide. One takes off what an isolated operator spends on its borders, in proportion to the
elements that it reads and writes. One belongs to the kind (`mbconv_k3`), one to a set of operators that always occur
together, and one to the operator alone. This is a Bayesian linear model in relative error: each network is divided by its
latency. The spreads of the kinds and of single operators, and the part that no sum explains (`misfit`), maximise the marginal
likelihood times a wide prior (Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2.3, 5.4.1). The estimate is
the posterior mean, held at 0 or more, and its standard error is the posterior's standard deviation. This error is widened if
the estimate misses left-out networks by more than expected.

The prior decides what the networks cannot tell apart. The operators of a layer always have the same borders, so only the
prior separates what they all save there from what the operators of all networks (stem, decoder, head) save. Operators of all
networks split their sum in proportion to their costs less their borders. Standard errors say how uncertain that is;
differences between operators of one layer are far better known. A network's start-up cannot be separated from the operators
that all networks have, so it is part of their latency, and `fixed_ms` is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import MissingEntryError, UsageError
from latlas.latency.predictor.features import CostOf, moved
from latlas.latency.predictor.marginal import MISFIT, Start, most_probable_spreads, posterior
from latlas.latency.table.manifest import InNetwork
from latlas.latency.table.table import Table
from latlas.spaces.graph import Node, distinct_specs, live_nodes
from latlas.spaces.operators.spec import OpSpec

MIN_NETWORKS = 10
COMMON_SD, TOGETHER_SD = 1.0, 0.2
"""Prior standard deviations of two factors: common to all operators (about 1), and of operators that always occur together."""
BORDER_NS, BORDER_SD, BORDER_SHARE = 0.5, 2.0, 0.35
"""The cost of borders: nanoseconds for each element; the prior's standard deviation as a multiple of that (its mean is 0, and 2
was seen with isolated costs); and the largest share of an operator's cost that its borders may have."""
BORDER_FLOOR = 0.05
"""The least boundary-corrected cost, as a share of the isolated cost."""
START = {"kind": 0.1, "own": 0.1, MISFIT: 0.01}
"""The expected standard deviations; learning begins from these."""
START_SD = 1.0
"""Prior standard deviation of their logarithms about `START`."""
LEARNT_RANGE = (1e-3, 2.0)


@dataclass(frozen=True, eq=False)
class InNetworkEstimate:
    """In-network latencies of operators, `latency_ms` `(n,)` with their posterior `covariance` `(n, n)` in ms^2.

    `factor` is the common ratio of in-network to isolated cost, and `spreads` are the learnt standard deviations. `left_out`
    `(networks,)` is the relative error of the sum on each network when the estimate does not use it. `misfit` is the relative
    standard deviation that no sum explains.
    """

    specs: tuple[OpSpec, ...]
    latency_ms: FloatArray
    covariance: FloatArray
    factor: float
    spreads: dict[str, float]
    left_out: FloatArray
    fixed_ms: float = 0.0
    _column: dict[OpSpec, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_column", {spec: index for index, spec in enumerate(self.specs)})

    @property
    def se_ms(self) -> FloatArray:
        """Standard error of each operator's latency, `(n,)`."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def misfit(self) -> float:
        """The relative standard deviation that no sum explains."""
        return self.spreads[MISFIT]

    @property
    def error(self) -> float:
        """Mean absolute relative error of the sum on networks, each left out of the estimate in turn."""
        return float(np.mean(np.abs(self.left_out)))

    def counts(self, graphs: Sequence[Sequence[Node]]) -> FloatArray:
        """How often each operator is live in each network, `(len(graphs), n)`; `MissingEntryError` for another operator."""
        return _counts(graphs, self._column)

    def sums(self, graphs: Sequence[Sequence[Node]]) -> FloatArray:
        """Milliseconds of each network, `(len(graphs),)`: the plain sum."""
        return self.counts(graphs) @ self.latency_ms + self.fixed_ms

    def sums_se(self, graphs: Sequence[Sequence[Node]]) -> FloatArray:
        """Standard deviation in milliseconds of each network's latency about its sum, `(len(graphs),)`, misfit included."""
        counts, sums = self.counts(graphs), self.sums(graphs)
        return np.sqrt(np.einsum("ij,jk,ik->i", counts, self.covariance, counts) + (self.misfit * sums) ** 2)


def estimate_in_network(
    graphs: Sequence[Sequence[Node]],
    latencies_ms: Sequence[float],
    relative_sds: Sequence[float],
    cost_of: CostOf,
) -> InNetworkEstimate:
    """The in-network latency of every operator that is live in one of these networks.

    Args:
        graphs: the networks.
        latencies_ms: the measured latency of each.
        relative_sds: relative standard deviation of another reading of each.
        cost_of: an operator's latency by itself, in milliseconds of any session.

    Raises:
        UsageError: too few networks, or numbers that are not positive and finite.
        MissingEntryError: `cost_of` has no latency of an operator.
    """
    latencies, errors = np.asarray(latencies_ms, dtype=float), np.asarray(relative_sds, dtype=float)
    if not MIN_NETWORKS <= len(graphs) == len(latencies) == len(errors):
        raise UsageError(
            f"{len(graphs)} networks, {len(latencies)} latencies and {len(errors)} errors; "
            f"as many of each, and at least {MIN_NETWORKS}"
        )
    if not np.all(np.isfinite(latencies) & (latencies > 0) & np.isfinite(errors) & (errors >= 0)):
        raise UsageError("a latency is not positive and finite, or an error not finite and at least 0")
    specs = tuple(sorted(distinct_specs([[graph[i] for i in live_nodes(graph)] for graph in graphs])))
    costs = np.array([cost_of(spec) for spec in specs])
    counts = _counts(graphs, {spec: index for index, spec in enumerate(specs)})
    model = _Model(counts * costs / latencies[:, None], errors, _prior_parts(specs, costs, counts))
    factors = model.factors()
    left_out, excess = model.left_out()
    return InNetworkEstimate(
        specs=specs,
        latency_ms=factors * costs,
        covariance=model.posterior.covariance * np.outer(costs, costs) * max(1.0, excess),
        factor=float(factors @ costs / costs.sum()),
        spreads=model.spreads,
        left_out=left_out,
    )


def with_in_network(table: Table, found: InNetworkEstimate, reference_id: str, reference_ms: float, seed: int) -> Table:
    """The table with the estimates in its rows and their origin in its manifest; rows without an estimate lose an old one."""
    value = dict(zip(found.specs, zip(found.latency_ms, found.se_ms, strict=True), strict=True))
    rows = []
    for row in table:
        estimate = value.get(row.spec) if row.status != "failed" else None
        latency_ms, se_ms = (None, None) if estimate is None else (float(estimate[0]), float(estimate[1]))
        rows.append(replace(row, in_network_ms=latency_ms, in_network_se_ms=se_ms))
    of = InNetwork(
        subnets=len(found.left_out),
        reference_id=reference_id,
        reference_ms=reference_ms,
        fixed_ms=found.fixed_ms,
        error=found.error,
        seed=seed,
    )
    return Table(tuple(rows), replace(table.manifest, in_network=of), table.path)


def cost_in(table: Table) -> CostOf:
    """An operator's latency by itself: boundary-corrected if every row that did not fail has that, else isolated."""
    if not has_boundary(table):
        return table.latency_ms
    # A cost corrected to nothing would stay nothing in the network too.
    return lambda spec: max(boundary_ms(table, spec), BORDER_FLOOR * table.latency_ms(spec))


def has_boundary(table: Table) -> bool:
    """Whether every row that did not fail has a boundary-corrected latency."""
    return all(row.boundary_ms is not None for row in table if row.status != "failed")


def boundary_ms(table: Table, spec: OpSpec) -> float:
    """The boundary-corrected latency of an operator; raises `MissingEntryError` if the table has none."""
    found = table[spec].boundary_ms
    if found is None:
        raise MissingEntryError(f"table {table.name} has no boundary-corrected latency of {spec}")
    return found


def in_network_sum(table: Table, graph: Sequence[Node]) -> float:
    """The plain sum over a network's live operators, at `in_network.reference_ms` of the table's manifest.

    Raises `MissingEntryError` if the table lacks the in-network latency of an operator.
    """
    total = 0.0 if table.manifest.in_network is None else table.manifest.in_network.fixed_ms
    for index in live_nodes(graph):
        spec = graph[index].spec
        latency_ms = table[spec].in_network_ms
        if latency_ms is None:
            raise MissingEntryError(
                f"table {table.name} has no in-network latency of {spec}; add it with `latlas tables in-network`"
            )
        total += latency_ms
    return total


def _counts(graphs: Sequence[Sequence[Node]], column: dict[OpSpec, int]) -> FloatArray:
    counts = np.zeros((len(graphs), len(column)))
    for row, graph in enumerate(graphs):
        for index in live_nodes(graph):
            spec = graph[index].spec
            if spec not in column:
                raise MissingEntryError(f"there is no in-network latency of {spec}; no measured network had it")
            counts[row, column[spec]] += 1
    return counts


def _prior_parts(specs: Sequence[OpSpec], costs: FloatArray, counts: FloatArray) -> dict[str, FloatArray]:
    """The parts of the factors' prior covariance `(n, n)`: `base`, and `kind` and `own` for a spread of 1."""
    kinds = np.unique([spec.name for spec in specs], return_inverse=True)[1]
    # If two columns differ only by a factor, their operators only occur together.
    together = np.unique(counts / counts.max(axis=0), axis=1, return_inverse=True)[1].reshape(-1)
    alias = (together[:, None] == together) * (np.bincount(together)[together] > 1)[:, None]
    elements = np.array([moved(spec) for spec in specs])
    borders = np.minimum(elements * BORDER_NS * 1e-6 / costs, BORDER_SHARE)
    return {
        "base": COMMON_SD**2 + BORDER_SD**2 * np.outer(borders, borders) + TOGETHER_SD**2 * alias,
        "kind": (kinds[:, None] == kinds).astype(float),
        "own": np.eye(len(specs)),
    }


class _Model:
    """1 = shares @ factors + noise: each network over its latency; factors ~ N(1, prior)."""

    def __init__(self, shares: FloatArray, errors: FloatArray, parts: dict[str, FloatArray]) -> None:
        self.shares, self.errors, self.parts = shares, errors, parts
        self.residual = 1.0 - shares.sum(axis=1)
        seen = {name: shares @ part @ shares.T for name, part in parts.items()}
        free_parts = {name: part for name, part in seen.items() if name != "base"}
        starts = {name: Start(spread, *LEARNT_RANGE) for name, spread in START.items()}
        self.spreads = most_probable_spreads(
            free_parts, seen["base"] + np.diag(errors**2), self.residual, starts, START_SD
        )
        self.prior = _joined(parts, self.spreads)
        self.noise = np.sqrt(errors**2 + self.spreads[MISFIT] ** 2)
        marginal = _joined(seen, self.spreads) + np.diag(self.noise**2)
        self.posterior = posterior(shares, self.residual, self.prior, marginal)

    def factors(self) -> FloatArray:
        """The most probable factors that are all at least 0; the posterior mean if it has no negative one."""
        mean = 1.0 + self.posterior.mean
        if mean.min() >= 0:
            return mean
        from scipy.optimize import nnls

        root = np.linalg.inv(np.linalg.cholesky(self.prior))
        matrix = np.concatenate([self.shares / self.noise[:, None], root])
        target = np.concatenate([1 / self.noise, root.sum(axis=1)])
        return nnls(matrix, target)[0]

    def left_out(self) -> tuple[FloatArray, float]:
        """Relative error of the sum on each left-out network, and the mean square of these errors over the expected one."""
        missed = self.posterior.missed
        return -missed, float(np.mean(missed**2 / self.posterior.left_out))


def _joined(parts: dict[str, FloatArray], spreads: dict[str, float]) -> FloatArray:
    return parts["base"] + sum(spreads[name] ** 2 * part for name, part in parts.items() if name != "base")
