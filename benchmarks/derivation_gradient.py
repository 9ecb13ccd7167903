"""The section `gradient` of benchmarks/derivation.py: bias and spread with and without correction, and the trained quality."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from benchmarks.derivation_basis import BATCH, KINDS, SHARES, budget_of, enumerated, quality_of, train, within_budget
from benchmarks.rejection import RejectionSampler
from latlas.arrays import Codes, FloatArray
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.sampling import FeasibleSampler, Sampler
from latlas.search.gradient.strategy import reinforce_gradient


class Uncorrected:
    """A sampler that does not know `P(V)`."""

    def __init__(self, sampler: Sampler) -> None:
        self.sample = sampler.sample

    def log_feasible(self, distribution: Distribution) -> float:
        return 0.0

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        return [np.zeros_like(one) for one in distribution.parameters]


def samplers_of(terms: Additive, budget_ms: float, rng: np.random.Generator) -> dict[str, Sampler]:
    exact = FeasibleSampler(terms, budget_ms)

    screen = partial(within_budget, terms, budget_ms)
    return {
        "none": Uncorrected(exact),
        "tabnas 128": RejectionSampler(screen, rng, estimate_draws=128),
        "tabnas 1024": RejectionSampler(screen, rng, estimate_draws=1024),
        "exact": exact,
    }


def flat(gradient: list[FloatArray]) -> FloatArray:
    return np.concatenate([one.ravel() for one in gradient])


def gradient(terms: Additive, seeds: int, steps: int, repeats: int) -> dict[str, Any]:
    """Bias and spread of the gradient, and the quality that training by it reaches."""
    codes, found = enumerated(terms.sizes), dict[str, Any]()
    for share in SHARES:
        budget_ms, rows = budget_of(terms, share), list[dict[str, Any]]()
        within = codes[terms.values(codes) <= budget_ms]
        for kind in KINDS:
            for seed in range(seeds):
                rng, good = np.random.default_rng(seed), quality_of(terms, seed).terms.values(within)
                distribution = KINDS[kind].initial(terms.sizes, rng, 1.0)
                p = np.exp(distribution.log_prob(within))
                p_given = p / p.sum()
                # Of the expected quality given the budget: E[(R - E[R]) d log p].
                truth = flat(distribution.log_prob_gradient(within, p_given * (good - p_given @ good)))
                for name, baseline in (("0", 0.0), ("mean of all", float(quality_mean(distribution, terms, seed))),
                                       ("mean of the feasible", float(p_given @ good))):  # fmt: skip
                    for method, sampler in samplers_of(terms, budget_ms, rng).items():
                        drawn = rng.choice(len(within), size=(repeats, BATCH), p=p_given)
                        many = np.array(
                            [
                                flat(reinforce_gradient(distribution, sampler, within[d], good[d] - baseline)) * -1
                                for d in drawn
                            ]
                        )
                        mean = exact_mean(distribution, sampler, within, p_given, good - baseline, method)
                        error = many.mean(axis=0) - truth if mean is None else mean - truth
                        spread = float(np.sqrt(many.var(axis=0).sum()))
                        rows.append(
                            {
                                "weights": kind, "baseline": name, "method": method,
                                "bias": float(np.linalg.norm(error) / np.linalg.norm(truth)),
                                "chance": 0.0 if mean is not None else spread / repeats**0.5 / float(np.linalg.norm(truth)),
                                "spread": spread / float(np.linalg.norm(truth)),
                            }
                        )  # fmt: skip
        medians = {}
        for key in dict.fromkeys((row["weights"], row["baseline"], row["method"]) for row in rows):
            mine = [row for row in rows if (row["weights"], row["baseline"], row["method"]) == key]
            medians[", ".join(key)] = {
                what: float(np.median([row[what] for row in mine])) for what in ("bias", "chance", "spread")
            }
        trained = {
            f"{kind}, {method}": trained_quality(KINDS[kind], terms, budget_ms, method, seeds, steps)
            for kind in KINDS
            for method in ("none", "tabnas 128", "exact")
        }
        found[str(share)] = {"budget_ms": budget_ms, "feasible": len(within), "relative": medians, "trained": trained}
        print(f"gradient at {budget_ms:.3f} ms", file=sys.stderr)
    return found


def quality_mean(distribution: Distribution, terms: Additive, seed: int) -> float:
    """The expected quality of all networks, feasible or not."""
    codes = enumerated(terms.sizes)
    return float(np.exp(distribution.log_prob(codes)) @ quality_of(terms, seed).terms.values(codes))


def exact_mean(
    distribution: Distribution, sampler: Sampler, within: Codes, p: FloatArray, advantages: FloatArray, method: str
) -> FloatArray | None:
    """The mean of the gradient over all draws; None if the sampler itself is random."""
    if method.startswith("tabnas"):
        return None
    return -len(within) * flat(reinforce_gradient(distribution, sampler, within, p * advantages))


def trained_quality(
    kind: Any, terms: Additive, budget_ms: float, method: str, seeds: int, steps: int
) -> dict[str, float]:
    """The expected quality given the budget after training, as a share of the way from uniform draws to the best."""
    codes = enumerated(terms.sizes)
    within, reached = codes[terms.values(codes) <= budget_ms], []
    for seed in range(seeds):
        rng, quality = np.random.default_rng([seed, 2]), quality_of(terms, seed)
        distribution = kind.initial(terms.sizes, rng)
        sampler = samplers_of(terms, budget_ms, rng)[method]
        exact = FeasibleSampler(terms, budget_ms)
        train(distribution, exact, sampler, quality.terms.values, steps, rng)
        good, p = quality.terms.values(within), np.exp(distribution.log_prob(within))
        reached.append(((p / p.sum()) @ good - good.mean()) / (good.max() - good.mean()))
    return {"mean": float(np.mean(reached)), "sd": float(np.std(reached, ddof=1)) if seeds > 1 else 0.0}
