"""Gradient search: trains a distribution under the budget, from which a strategy then draws candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.draws import Unrestricted
from latlas.search.gradient.sampling import FeasibleSampler, Sampler, Screen
from latlas.search.gradient.soft_latency import SoftLatency
from latlas.search.gradient.training import (
    ArchitectureStep,
    ArchitectureTrainConfig,
    ArchitectureTraining,
    Gates,
    train_architecture,
)
from latlas.search.gradient.weight_steps import WeightSteps
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Supernet

DISTRIBUTIONS: dict[str, type[LayerWeights] | type[AdjacentWeights]] = {
    "proxyless": LayerWeights,
    "proxyless-adjacent": AdjacentWeights,
}
"""The names of the strategies, and the kind of weights that each trains."""


def trained_distribution(
    strategy: str,
    supernet: Supernet,
    dataset: Dataset,
    config: ArchitectureTrainConfig,
    *,
    terms: Additive | None,
    budget_ms: float,
    screen: Screen | None = None,
    soft: SoftLatency | None = None,
    weight_steps: WeightSteps | None = None,
    on_step: Callable[[ArchitectureStep], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    recorded: Sequence[Gates] = (),
) -> ArchitectureTraining:
    """The trained distribution of a strategy in `DISTRIBUTIONS`. Training starts almost uniform and uses feasible networks only.

    With `terms` (in the milliseconds of `budget_ms`), architectures are drawn exactly from the feasible set and then screened.
    Without them, they are drawn freely and screened, which is rejection sampling. With a `soft` latency loss they are drawn
    freely and not screened; this is the usual method, for comparison. Other arguments and errors are the same as for
    `train_architecture`.

    Raises:
        UsageError: The strategy is unknown, or there are neither terms nor a screen.
    """
    if strategy not in DISTRIBUTIONS:
        raise UsageError(f"{strategy!r:.40} is no gradient search; known: {', '.join(DISTRIBUTIONS)}")
    if terms is None and screen is None:
        raise UsageError("neither terms of a latency nor a screen was given; nothing would keep the budget")
    rng = np.random.default_rng([config.seed, 1])
    distribution = DISTRIBUTIONS[strategy].initial(supernet.space.template().sizes, rng)
    sampler: Sampler = Unrestricted() if terms is None or soft is not None else FeasibleSampler(terms, budget_ms)
    return train_architecture(
        distribution,
        supernet,
        dataset,
        sampler,
        config,
        screen=None if soft is not None else screen,
        terms=terms,
        soft=soft,
        weight_steps=weight_steps,
        on_step=on_step,
        stop=stop,
        recorded=recorded,
    )
