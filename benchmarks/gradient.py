"""Gradient strategies of benchmarks/strategies.py: distributions trained under the hard budget, or with a soft latency loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latlas.search.architecture_training import ArchitectureTrainConfig, train_architecture
from latlas.search.derivation import per_layer_argmax
from latlas.search.distribution import AdjacentWeights, Distribution, LayerWeights
from latlas.search.distribution_strategy import DistributionStrategy
from latlas.search.feasible import Additive
from latlas.search.feasible_draws import Unrestricted
from latlas.search.proxyless import DISTRIBUTIONS, trained_distribution
from latlas.search.soft_latency import SoftLatency
from latlas.supernet.data import Dataset
from latlas.supernet.network import Supernet
from latlas.supernet.space import Architecture

SOFT = "+soft"
REINFORCE: dict[str, type[LayerWeights] | type[AdjacentWeights]] = {
    "reinforce": LayerWeights,
    "reinforce-adjacent": AdjacentWeights,
}
GRADIENT = (*DISTRIBUTIONS, *REINFORCE)
"""Names that `gradient_strategy` takes; `soft_winner` takes those of `DISTRIBUTIONS`."""


@dataclass(frozen=True)
class Gradient:
    """What distributions are trained with: weights that stay as they are, images that nothing is scored on, and for how long."""

    supernet: Supernet
    images: Dataset
    steps: int
    batch_size: int
    soft_strength: float

    def config(self, seed: int) -> ArchitectureTrainConfig:
        """The training of a seed."""
        return ArchitectureTrainConfig(steps=self.steps, batch_size=self.batch_size, seed=seed, device="cpu")


def gradient_strategy(
    name: str, terms: Additive, budget_ms: float, seed: int, of: Gradient
) -> DistributionStrategy:  # fmt: skip
    """A strategy over a distribution, trained first where it is one of gates; everything within the budget by the terms."""
    space, rng = of.supernet.space, np.random.default_rng(seed)
    if name in REINFORCE:
        distribution: Distribution = REINFORCE[name].initial([len(options) for options in space.choices], rng)
    else:
        distribution = trained_distribution(
            name, of.supernet, of.images, of.config(seed), terms=terms, budget_ms=budget_ms
        ).distribution
    return DistributionStrategy(
        space, rng, distribution, terms=terms, budget_ms=budget_ms, learns=name in REINFORCE, name=name
    )


def soft_winner(name: str, terms: Additive, budget_ms: float, seed: int, of: Gradient) -> Architecture:
    """What the usual way gives: trained on anything with an expected-latency loss, then each layer's most probable operator."""
    space, rng = of.supernet.space, np.random.default_rng([seed, 1])
    distribution = DISTRIBUTIONS[name].initial([len(options) for options in space.choices], rng)
    soft = SoftLatency(terms, budget_ms, of.soft_strength)
    train_architecture(
        distribution, of.supernet, of.images, Unrestricted(), of.config(seed), terms=terms, soft=soft
    )  # fmt: skip
    return space.decode(per_layer_argmax(distribution)[None])[0]
