"""A made-up machine: true latencies that are known, and readings of them with the stopwatch's errors.

It serves to try a search loop, a strategy or a budget without a stopwatch. The tests of the constraint's promise and
`benchmarks/constraint.py --dry` run on it. None of its numbers is a measurement.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from latlas.latency.measuring.interval import Interval
from latlas.latency.measuring.stopwatch import CAMPAIGN_SD, PASS_SD, Pass, StopRule, combine
from latlas.latency.predictor.features import edge_name, unit_cost
from latlas.search.constraint.constraint import HasGraph
from latlas.spaces.graph import INPUT, Graph, live_nodes
from latlas.spaces.operators.spec import OpSpec


class SimulatedMachine:
    """True latencies of networks: a cost an operator and a cost an edge, none of which a table has.

    An operator costs `in_network` of `cost_of` times a lognormal factor of its name and one of its own (`spread` each);
    edges add a normal effect each, by the operators that meet, of `pair` times the mean operator's cost.

    Example:
        >>> from latlas.spaces.portrait import PortraitSpace
        >>> machine, architecture = SimulatedMachine(seed=1), PortraitSpace().cover()[0]
        >>> reading = machine.session(seed=2).measure([architecture], passes=12)[0]
        >>> abs(reading.latency_ms / machine.latency_ms(architecture.graph()) - 1) < 0.05
        True
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        cost_of: Callable[[OpSpec], float] = unit_cost,
        in_network: float = 0.6,
        spread: float = 0.15,
        pair: float = 0.1,
    ) -> None:
        self.seed = seed
        self._pair = pair
        self._drawn: dict[str, float] = {}

        @cache
        def cost(spec: OpSpec) -> float:
            off = self._normal(spec.name) + self._normal(str(spec))
            return float(in_network * cost_of(spec) * np.exp(spread * off))

        self._cost = cost

    def latency_ms(self, graph: Graph) -> float:
        """The true milliseconds of a network."""
        live = live_nodes(graph)
        costs = [self._cost(graph[index].spec) for index in live]
        edges = sum(
            self._normal(edge_name(graph[source].spec, graph[index].spec))
            for index in live
            for source in graph[index].inputs
            if source != INPUT
        )
        return float(sum(costs) * (1 + self._pair * edges / len(live)))

    def session(
        self,
        seed: int | Sequence[int],
        *,
        pass_sd: float = PASS_SD,
        campaign_sd: float = CAMPAIGN_SD,
        session_sd: float = 0.004,
    ) -> SimulatedSession:
        """A timing process on this machine, with these errors; see `SimulatedSession`."""
        return SimulatedSession(self, seed, pass_sd=pass_sd, campaign_sd=campaign_sd, session_sd=session_sd)

    def _normal(self, name: str) -> float:
        found = self._drawn.get(name)
        if found is None:
            found = self._drawn[name] = float(np.random.default_rng([self.seed, zlib.crc32(name.encode())]).normal())
        return found


class SimulatedSession:
    """Readings of one timing process: passes differ by `pass_sd`, campaigns by `campaign_sd`, sessions by `session_sd`.

    All relative. A campaign's error is each network's own, a session's is common to all its networks.
    """

    def __init__(
        self,
        machine: SimulatedMachine,
        seed: int | Sequence[int],
        *,
        pass_sd: float = PASS_SD,
        campaign_sd: float = CAMPAIGN_SD,
        session_sd: float = 0.004,
        rule: StopRule | None = None,
    ) -> None:
        self.machine = machine
        self.rule = rule or StopRule()
        self.measured = 0
        self._rng = np.random.default_rng(seed)
        self._pass_sd, self._campaign_sd = pass_sd, campaign_sd
        self.scale = float(np.exp(session_sd * self._rng.normal()))

    def measure(self, architectures: Sequence[HasGraph], passes: int = 6) -> list[Interval | None]:
        """One campaign: a reading of each architecture, with `passes` passes."""
        found: list[Interval | None] = []
        for one in architectures:
            self.measured += 1
            true_ms = self.machine.latency_ms(one.graph()) * self.scale * (1 + self._campaign_sd * self._rng.normal())
            ratios = np.maximum(true_ms * (1 + self._pass_sd * self._rng.normal(size=passes)), 1e-6)
            reading = combine([Pass((1.0,), (float(ratio),)) for ratio in ratios], self.rule)
            found.append(Interval(reading.ratio, reading.lower, reading.upper))
        return found
