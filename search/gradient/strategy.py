"""A search strategy over a distribution: it suggests the distribution's architectures and can learn by REINFORCE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.derivation import best_of
from latlas.search.gradient.descent import adam, descend
from latlas.search.gradient.distribution import AdjacentWeights, Distribution, LayerWeights
from latlas.search.gradient.sampling import FeasibleSampler, Sampler
from latlas.search.gradient.trellis import BINS, Trellis
from latlas.search.strategies.strategy import Dropped, Evaluation, StrategyContext
from latlas.spaces.space import Architecture, SearchSpace

TEMPERATURES = (1.0, 2.0, 4.0)
"""If a distribution suggests only known architectures, it is made flatter by these temperatures, and at last uniform."""


class DistributionStrategy:
    """Suggests the most probable architectures within a budget, and draws from the distribution within the budget.

    About `best_share` of the suggestions are the most probable architectures (`derivation.py`); they come first. About
    `explore_share` are drawn uniformly. The others are drawn from the distribution (`sampling.py`), which is made flatter if it
    gives nothing new. Architectures that were evaluated, or dropped as outside, are skipped. All suggestions are within
    `budget_ms` by `terms`; without terms, any architecture may be suggested.

    With `learns`, an evaluated quality R moves the distribution by REINFORCE. The gradient is `(R - b) * d log p(a | V)`, with
    `log p(a | V) = log p(a) - log P(V)`, because only architectures within the budget are drawn (TabNAS, arXiv 2204.07615). The
    baseline b is the moving average of R. Adam takes a step after every `batch` evaluations. Evaluations are few, so its steps
    are larger than ProxylessNAS's 1e-3. A search evaluates an architecture only once, so it learns from draws without
    replacement. Without `learns`, it searches a distribution that was trained elsewhere.
    """

    def __init__(
        self,
        space: SearchSpace,
        rng: np.random.Generator,
        distribution: Distribution,
        *,
        terms: Additive | None = None,
        budget_ms: float | None = None,
        learns: bool = True,
        name: str = "reinforce",
        learning_rate: float = 0.2,
        batch: int = 4,
        baseline_decay: float = 0.9,
        best_share: float = 0.25,
        explore_share: float = 0.1,
        bins: int = BINS,
    ) -> None:
        sizes = tuple(len(options) for options in space.choices)
        if distribution.sizes != sizes or (terms is not None and terms.sizes != sizes):
            raise UsageError(f"distribution and terms must be of {space.text}, whose layers have {sizes} options")
        if (terms is None) != (budget_ms is None):
            raise UsageError("terms and budget_ms are given together, or neither")
        if best_share < 0 or explore_share < 0 or best_share + explore_share > 1:
            raise UsageError(
                f"best_share {best_share} and explore_share {explore_share} must be shares, at most 1 together"
            )
        if batch < 1 or not 0 <= baseline_decay < 1 or not learning_rate > 0:
            raise UsageError(
                f"batch {batch} must be at least 1, learning_rate {learning_rate} above 0, baseline_decay {baseline_decay} "
                "at least 0 and below 1"
            )
        self.space, self.rng, self.distribution, self.learns, self.name = space, rng, distribution, learns, name
        self.batch, self.baseline_decay, self.best_share = batch, baseline_decay, best_share
        self.explore_share = explore_share
        if terms is None or budget_ms is None:
            # Without terms every architecture costs nothing, so one bin is enough.
            terms, budget_ms, bins = Additive(0.0, [np.zeros(size) for size in sizes]), 0.0, 1
        self._sampler = FeasibleSampler(terms, budget_ms, bins)
        self._trellis = Trellis(terms, budget_ms, distribution.unary_pairwise_log()[1], bins)
        self._optimizer = adam(distribution.parameters, learning_rate)
        self.steps = 0
        self.baseline: float | None = None
        self.passed_over: set[tuple[int, ...]] = set()
        self._pending: list[tuple[tuple[int, ...], float]] = []

    def suggest(self, count: int) -> list[Architecture]:
        """The most probable architectures, then draws. It repeats known ones only if almost all within the budget are known."""
        kinds = self.rng.random(count)
        chosen: dict[tuple[int, ...], None] = {}
        if wanted := int((kinds < self.best_share).sum()):
            self._add(chosen, best_of(self._trellis, self.distribution, wanted, self.passed_over), wanted)
        uniform = int((kinds >= 1 - self.explore_share).sum())
        for temperature in TEMPERATURES:
            if (missing := count - uniform - len(chosen)) > 0:
                self._add(chosen, self._draw(temperature, 2 * missing + 4), missing)
        repeats: list[list[int]] = []
        if len(chosen) < count:
            rows = self._draw(np.inf, 2 * count + 4)
            self._add(chosen, rows, count - len(chosen))
            repeats = rows[: count - len(chosen)].tolist()
        return self.space.decode(np.array([*chosen, *repeats], dtype=np.int64).reshape(count, -1))

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Remember the evaluated architectures, and learn from them if `learns`. Baselines are ignored."""
        searched = [one for one in completed if not one.architecture.is_baseline]
        codes = self.space.encode([one.architecture for one in searched]).tolist()
        for row, one in zip(codes, searched, strict=True):
            self.passed_over.add(tuple(row))
            if self.learns:
                self._learn(tuple(row), one.quality)

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Remember not to suggest architectures again that the constraint or the floor would drop again."""
        outside = [one.architecture for one in dropped if one.excess_ms > 0 and not one.architecture.is_baseline]
        self.passed_over.update(map(tuple, self.space.encode(outside).tolist()))

    def _learn(self, row: tuple[int, ...], quality: float) -> None:
        baseline = quality if self.baseline is None else self.baseline
        self._pending.append((row, quality - baseline))
        self.baseline = self.baseline_decay * baseline + (1 - self.baseline_decay) * quality
        if len(self._pending) == self.batch:
            rows, advantages = (np.array(part) for part in zip(*self._pending, strict=True))
            self._pending.clear()
            descend(self._optimizer, reinforce_gradient(self.distribution, self._sampler, rows, advantages))
            self.steps += 1

    def _draw(self, temperature: float, count: int) -> Codes:
        return self._sampler.sample(self.distribution.tempered(temperature), count, self.rng)

    def _add(self, chosen: dict[tuple[int, ...], None], rows: Codes, most: int) -> None:
        """Add up to `most` new rows to `chosen`."""
        for row in map(tuple, rows.tolist()):
            if most > 0 and row not in chosen and row not in self.passed_over:
                chosen[row] = None
                most -= 1


def reinforce_gradient(
    distribution: Distribution, sampler: Sampler, codes: Codes, advantages: FloatArray
) -> list[FloatArray]:
    """The gradient of `-mean(advantages * log p(codes | V))`, in the shapes of the parameters.

    `codes` `(n, columns)` were drawn within the budget. `advantages` `(n,)` are their qualities minus a baseline. The sampler's
    gradient of `log P(V)` keeps it unbiased; without it, options that are often within the budget would gain whatever their
    quality.
    """
    drawn = distribution.log_prob_gradient(codes, advantages)
    feasible = sampler.log_feasible_gradient(distribution)
    total = float(advantages.sum())
    return [-(one - total * other) / len(codes) for one, other in zip(drawn, feasible, strict=True)]


def reinforce(
    name: str, space: SearchSpace, rng: np.random.Generator, context: StrategyContext
) -> DistributionStrategy:
    """The strategy `reinforce` or `reinforce-adjacent`. It learns a distribution that is almost uniform at first."""
    distribution = _weights(name).initial(tuple(len(options) for options in space.choices), rng)
    return _of_distribution(name, space, rng, distribution, context, learns=True)


def proxyless(
    name: str, space: SearchSpace, rng: np.random.Generator, context: StrategyContext
) -> DistributionStrategy:
    """The strategy `proxyless` or `proxyless-adjacent`. It searches the context's trained distribution."""
    kind, distribution = _weights(name), context.distribution
    if not isinstance(distribution, kind):
        given = "none" if distribution is None else type(distribution).__name__
        raise UsageError(f"strategy {name!r} searches trained {kind.__name__}, {given} was given; train them first")
    return _of_distribution(name, space, rng, distribution, context, learns=False)


def _weights(name: str) -> type[LayerWeights] | type[AdjacentWeights]:
    return AdjacentWeights if name.endswith("-adjacent") else LayerWeights


def _of_distribution(
    name: str,
    space: SearchSpace,
    rng: np.random.Generator,
    distribution: Distribution,
    context: StrategyContext,
    learns: bool,
) -> DistributionStrategy:
    terms, budget_ms = context.terms, context.budget_ms
    if terms is None or budget_ms is None:
        terms = budget_ms = None
    return DistributionStrategy(space, rng, distribution, terms=terms, budget_ms=budget_ms, learns=learns, name=name)
