"""Latency as a soft term of the loss. This is the usual method, for comparison with the hard constraint.

The expected latency of a distribution over architectures (ProxylessNAS, arXiv 1812.00332, equation 5) is exact if latency is a
sum of terms of single columns and of pairs. Two losses use it, relative to a reference latency. Neither keeps a budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import Distribution
from latlas.search.strategies.names import LATENCY_LOSSES


@dataclass(frozen=True)
class SoftLatency:
    """A loss L combined with the expected latency E of a sample: `L + s (E / ref - 1)` (sum) or `L (E / ref)^s` (product).

    `reference_ms` is ref and `strength` is s. In the sum, s has the unit of the loss; in the product it is an exponent, as in
    MnasNet (arXiv 1807.11626).
    """

    terms: Additive
    reference_ms: float
    strength: float
    form: str = "sum"

    def __post_init__(self) -> None:
        if self.form not in LATENCY_LOSSES:
            raise UsageError(f"form is {self.form!r:.40}; known: {', '.join(LATENCY_LOSSES)}")
        if not (math.isfinite(self.reference_ms) and self.reference_ms > 0):
            raise UsageError(f"reference_ms is {self.reference_ms}; it must be above 0")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise UsageError(f"strength is {self.strength}; it must be at least 0")

    def apply(
        self, distribution: Distribution, loss: float, gradient: Sequence[FloatArray]
    ) -> tuple[float, list[FloatArray]]:
        """The combined loss and its gradient with respect to the parameters, from `loss` and its `gradient`.

        Raises `UsageError` for the product if the expected latency is not above 0.
        """
        expected_ms, slope = expected_latency(distribution, self.terms)
        ratio = expected_ms / self.reference_ms
        if self.form == "sum":
            total, by_loss, by_ratio = loss + self.strength * (ratio - 1), 1.0, self.strength
        elif ratio > 0:
            by_loss = ratio**self.strength
            total, by_ratio = loss * by_loss, loss * self.strength * ratio ** (self.strength - 1)
        else:
            raise UsageError(f"the expected latency is {expected_ms} ms; a product needs one above 0, take the sum")
        scale = by_ratio / self.reference_ms
        return total, [by_loss * one + scale * of_ms for one, of_ms in zip(gradient, slope, strict=True)]


def expected_latency(distribution: Distribution, terms: Additive) -> tuple[float, list[FloatArray]]:
    """The expected milliseconds of a distribution, and their gradient with respect to its parameters.

    A column with one weight per option is independent of the others. A column with a weight for each of its options and each
    option of the column before depends on that column. The terms may have pairs of any columns.

    Raises:
        UsageError: The terms and the distribution have different columns.
    """
    if tuple(terms.sizes) != tuple(distribution.sizes):
        raise UsageError(
            f"the terms are of columns with {terms.sizes} options, the distribution of {distribution.sizes}"
        )
    parameters = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in distribution.parameters]
    given = [one.log_softmax(-1).exp() for one in parameters]
    marginals: list[Tensor] = []
    for column, p in enumerate(given):
        marginals.append(p if p.ndim == 1 else marginals[column - 1] @ p)
    total = torch.tensor(terms.constant, dtype=torch.float64)
    for marginal, unary in zip(marginals, terms.unary, strict=True):
        total = total + marginal @ torch.as_tensor(unary, dtype=torch.float64)
    for (one, other), table in terms.pairwise.items():
        first, last = sorted((one, other))
        costs = torch.as_tensor(table if first == one else table.T, dtype=torch.float64)
        joint = torch.diag(marginals[first])
        for p in given[first + 1 : last + 1]:
            joint = joint @ (p if p.ndim == 2 else p.expand(joint.shape[1], -1))
        total = total + (joint * costs).sum()
    total.backward()
    return total.item(), [torch.zeros_like(p).numpy() if p.grad is None else p.grad.numpy() for p in parameters]
