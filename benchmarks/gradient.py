"""Gradient strategies of benchmarks/strategies.py: distributions trained under the hard budget, or with a soft latency loss."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.constraint import Known
from benchmarks.derivation_basis import per_layer_argmax
from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.latency.limits.limits import additive
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.proxyless import trained_distribution
from latlas.search.gradient.soft_latency import SoftLatency
from latlas.search.gradient.training import ArchitectureTrainConfig
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Supernet

SOFT = "+soft"


@dataclass(frozen=True)
class Gradient:
    """How distributions are trained: with fixed weights, on images that no score uses, and for how long."""

    supernet: Supernet
    images: Dataset
    steps: int
    learning_rate: float
    batch_size: int
    soft_strength: float

    def config(self, seed: int) -> ArchitectureTrainConfig:
        """The training of a seed."""
        return ArchitectureTrainConfig(
            steps=self.steps, learning_rate=self.learning_rate, batch_size=self.batch_size, seed=seed, device="cpu"
        )


def required_terms(name: str, known: Known) -> Additive:
    """The predictor as a sum, which gradient methods need."""
    terms = additive(known.predictor, known.space)
    if terms is None:
        raise UsageError(f"{name} needs a predictor that is a sum over layers and pairs of them; this one is none")
    return terms


def trained(name: str, terms: Additive, budget_ms: float, seed: int, of: Gradient) -> Distribution:
    """The distribution of a strategy of `DISTRIBUTIONS`, trained on what is within the budget by the terms."""
    return trained_distribution(
        name, of.supernet, of.images, of.config(seed), terms=terms, budget_ms=budget_ms
    ).distribution


def soft_winner(name: str, terms: Additive, budget_ms: float, seed: int, of: Gradient) -> Architecture:
    """What the usual way gives: trained on anything with an expected-latency loss, then each layer's most probable operator."""
    distribution = trained_distribution(
        name, of.supernet, of.images, of.config(seed), terms=terms, budget_ms=budget_ms,
        soft=SoftLatency(terms, budget_ms, of.soft_strength),
    ).distribution  # fmt: skip
    return of.supernet.space.decode(per_layer_argmax(distribution)[None])[0]
