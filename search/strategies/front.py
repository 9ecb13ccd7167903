"""Search for quality and latency together: one search finds the whole Pareto front up to the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.search.strategies.loop import Candidate, History
from latlas.search.strategies.strategy import Evaluation
from latlas.search.strategies.variation import crossover, mutant, unknown
from latlas.spaces.sampling import draw
from latlas.spaces.space import Architecture, SearchSpace


def front(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which of the points `(n, 2)` are dominated by no other point, `(n,)`. Equal points are all on the front or all off it."""
    rows = _points(points)
    if not len(rows):
        return np.zeros(0, dtype=np.bool_)
    order = np.lexsort((-rows[:, 1], rows[:, 0]))  # faster first, of equally fast the better
    kept, best = np.zeros(len(rows), dtype=np.bool_), -np.inf
    last: FloatArray | None = None
    for index in order:
        if rows[index, 1] > best or (last is not None and np.array_equal(rows[index], last)):
            kept[index], best, last = True, rows[index, 1], rows[index]
    return kept


def ranks(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The rank of each point, `(n,)`: how many fronts must be removed before it is on the front (NSGA-II's sorting)."""
    rows = _points(points)
    found, left, rank = np.full(len(rows), -1, dtype=np.int64), np.arange(len(rows)), 0
    while len(left):
        on_front = front(rows[left])
        found[left[on_front]] = rank
        left, rank = left[~on_front], rank + 1
    return found


def crowding(points: npt.ArrayLike) -> FloatArray:
    """NSGA-II's crowding distance of the points of one front, `(n,)`; infinite at the ends.

    For each axis it takes the distance between a point's neighbours as a share of the front's extent, and adds both axes (Deb
    et al. 2002).
    """
    rows = _points(points)
    distance = np.zeros(len(rows))
    for axis in range(2):
        order = np.argsort(rows[:, axis], kind="stable")
        values = rows[order, axis]
        extent = values[-1] - values[0] if len(rows) else 0.0
        distance[order[:1]] = distance[order[-1:]] = np.inf
        if extent > 0:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / extent
    return distance


def hypervolume(points: npt.ArrayLike, reference_ms: float, reference_quality: float = 0.0) -> float:
    """The area that the points dominate up to the reference, in milliseconds times quality.

    Points slower than `reference_ms` or worse than `reference_quality` add nothing.
    """
    if not (np.isfinite(reference_ms) and np.isfinite(reference_quality)):
        raise UsageError(f"the reference is {reference_ms} ms at quality {reference_quality}; both must be finite")
    rows = _points(points)
    rows = rows[(rows[:, 0] < reference_ms) & (rows[:, 1] > reference_quality)]
    rows = np.unique(rows[front(rows)], axis=0)  # faster first, and so worse first
    ends = np.append(rows[1:, 0], reference_ms)
    return float(((ends - rows[:, 0]) * (rows[:, 1] - reference_quality)).sum())


def _points(points: npt.ArrayLike) -> FloatArray:
    rows = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if np.isnan(rows).any():
        raise UsageError("a point has no number as latency or quality; all of a front need both")
    return rows


@dataclass
class FrontEvolution:
    """NSGA-II (Deb et al. 2002) over quality and latency. It prefers non-dominated networks in sparse regions as parents.

    It starts with `population` random architectures. Later, parents win binary tournaments among the best `population` seen:
    the lower rank wins, and of equal ranks the less crowded. Every child is a crossover, in which each gene then changes with
    probability `mutation_rate`. `stage_share` of crossovers and mutations work on whole stages. No child was evaluated before.
    """

    space: SearchSpace
    rng: np.random.Generator
    population: int = 16
    mutation_rate: float = 0.1
    stage_share: float = 0.33
    name: str = "front-evolution"
    _survivors: dict[Architecture, tuple[float, float]] = field(default_factory=dict)
    _order: dict[Architecture, tuple[int, float]] = field(default_factory=dict)
    _known: set[Architecture] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.population < 2 or not 0 < self.mutation_rate <= 1 or not 0 <= self.stage_share <= 1:
            raise UsageError(
                f"population is {self.population}, mutation_rate {self.mutation_rate}, stage_share {self.stage_share}; "
                "at least 2, and shares up to 1; only the last may be 0"
            )

    def suggest(self, count: int) -> list[Architecture]:
        """Random draws until the first population is evaluated (one in four is a mutant of a known network), then children."""
        survivors = list(self._survivors)

        def first() -> Architecture:
            if survivors and self.rng.random() < 0.25:
                return self._mutant(self._winner(survivors))
            return draw(self.space, self.rng)

        def child() -> Architecture:
            both = [self._winner(survivors) for _ in range(2)]
            one = crossover(self.space, both[0], both[1], self.rng, self.stage_share)
            return self._mutant(one)

        make = child if len(survivors) >= self.population else first
        return unknown(make, lambda: draw(self.space, self.rng), count, self._known)

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Keep the best `population` seen, by rank and crowding. Raises `UsageError` for an evaluation without latency."""
        for one in completed:
            if not math.isfinite(one.latency_ms):
                raise UsageError(f"{one.architecture} has no latency; {self.name} needs it with every evaluation")
            if one.architecture.is_baseline:  # has no children
                continue
            self._known.add(one.architecture)
            self._survivors[one.architecture] = (one.latency_ms, one.quality)
            self._order = ordered(self._survivors)
            kept = sorted(self._order, key=lambda a: (self._order[a][0], -self._order[a][1], str(a)))[: self.population]
            self._survivors = {a: self._survivors[a] for a in kept}

    def _winner(self, survivors: Sequence[Architecture]) -> Architecture:
        pair = [survivors[int(self.rng.integers(len(survivors)))] for _ in range(2)]
        return min(pair, key=lambda one: (self._order[one][0], -self._order[one][1]))

    def _mutant(self, parent: Architecture) -> Architecture:
        return mutant(self.space, parent, self.rng, self.mutation_rate, self.stage_share)


def ordered(points: dict[Architecture, tuple[float, float]]) -> dict[Architecture, tuple[int, float]]:
    """For each architecture, its rank by `(latency_ms, quality)` and its crowding distance within that rank."""
    names, rows = list(points), np.array(list(points.values()), dtype=np.float64).reshape(-1, 2)
    rank, distance = ranks(rows), np.zeros(len(rows))
    for level in range(int(rank.max(initial=-1)) + 1):
        distance[rank == level] = crowding(rows[rank == level])
    return {name: (int(r), float(d)) for name, r, d in zip(names, rank, distance, strict=True)}


def front_of(history: History) -> list[Candidate]:
    """The candidates that no other candidate dominates, by the latency of their verdicts, the fastest first.

    A network that was not measured has its predicted latency; measure it before you rely on it.
    """
    candidates = history.candidates
    kept = front([(one.verdict.latency_ms, one.quality) for one in candidates])
    found = [one for one, on_front in zip(candidates, kept, strict=True) if on_front]
    return sorted(found, key=lambda one: (one.verdict.latency_ms, str(one.architecture)))


def covered(history: History, reference_ms: float, reference_quality: float = 0.0) -> float:
    """The hypervolume of a history's candidates, in milliseconds times quality."""
    points = [(one.verdict.latency_ms, one.quality) for one in history.candidates]
    return hypervolume(points, reference_ms, reference_quality)


def front_evolution(space: SearchSpace, rng: np.random.Generator, evaluations: int) -> FrontEvolution:
    """The strategy `front-evolution`. Its population is a twentieth of the evaluations, but 8 at least and 100 at most."""
    return FrontEvolution(space, rng, population=max(8, min(100, evaluations // 20)))
