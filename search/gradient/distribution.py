"""Distributions over the architectures of a space, which a search trains.

One kind has a weight for each operator of a layer, the other for each pair of operators of neighbouring layers. Both work on
codes `(n, columns)` and are exact: log probabilities, their gradients, samples, marginals and entropy have closed forms. The
owner of the optimiser (`descent.py`) trains `parameters` in place.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.spaces.codes import check_codes

INITIAL_SD = 1e-3
"""Standard deviation of the initial weights (ProxylessNAS)."""

Pairwise = Mapping[tuple[int, int], FloatArray]


class Distribution(Protocol):
    """A distribution over codes, with trained parameters. The probabilities of all codes sum to one."""

    @property
    def parameters(self) -> list[FloatArray]:
        """The arrays that are trained in place, one per column."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of options of each column."""
        ...

    def unary_pairwise_log(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        """`log_prob` as a sum: terms `(options,)` for each column, and `(options, options)` for some pairs of columns."""
        ...

    def log_prob(self, codes: Codes) -> FloatArray:
        """Log probabilities `(n,)` of codes `(n, columns)`."""
        ...

    def log_prob_gradient(self, codes: Codes, weights: FloatArray | None = None) -> list[FloatArray]:
        """`sum_k weights[k] * d log_prob(codes[k]) / d parameters`. The weights are `(n,)`, or all 1 if None."""
        ...

    def count_gradient(self, unary: Sequence[FloatArray], pairwise: Pairwise) -> list[FloatArray]:
        """What `log_prob_gradient` gives, from counts of how often each option and each pair of options occurs in the codes.

        The pairs are those of `unary_pairwise_log`. Expected counts, whole or not, give the expected gradient.
        """
        ...

    def gate_gradient(self, row: Codes, gates: Sequence[FloatArray]) -> list[FloatArray]:
        """The gradient with respect to the parameters, from the gradient with respect to each column's gates `(options,)`.

        The codes `row` `(columns,)` were active. It is equation 4 of ProxylessNAS (arXiv 1812.00332), `p * (G - <p, G>)`, with
        the probabilities p that each column was drawn with.
        """
        ...

    def active(self, row: Codes) -> list[FloatArray]:
        """For each column of codes `(columns,)`, a view of the parameters `(options,)` that it was drawn with."""
        ...

    def sample(self, count: int, rng: np.random.Generator) -> Codes:
        """Codes `(count, columns)`, drawn independently."""
        ...

    def probabilities(self) -> list[FloatArray]:
        """The marginal probability of each option `(options,)` of each column."""
        ...

    def entropy(self) -> float:
        """The entropy in nats."""
        ...

    def tempered(self, temperature: float) -> Self:
        """A copy whose parameters are divided by a temperature. A temperature above 1 makes it flatter."""
        ...


@dataclass
class _Weights(abc.ABC):
    """The common part of both kinds of distribution."""

    parameters: list[FloatArray]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(one.shape[-1] for one in self.parameters)

    @abc.abstractmethod
    def unary_pairwise_log(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]: ...

    @abc.abstractmethod
    def count_gradient(self, unary: Sequence[FloatArray], pairwise: Pairwise) -> list[FloatArray]: ...

    def log_prob(self, codes: Codes) -> FloatArray:
        return Additive(0.0, *self.unary_pairwise_log()).values(check_codes(codes, self.sizes))

    def log_prob_gradient(self, codes: Codes, weights: FloatArray | None = None) -> list[FloatArray]:
        rows = check_codes(codes, self.sizes)
        each = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
        if each.shape != (len(rows),):
            raise UsageError(f"{len(rows)} codes have weights of shape {each.shape}; one each is needed")
        logs, tables = self.unary_pairwise_log()
        unary = [np.bincount(rows[:, column], each, len(log)).astype(float) for column, log in enumerate(logs)]
        pairwise = {pair: np.zeros_like(table) for pair, table in tables.items()}
        for (one, other), table in pairwise.items():
            np.add.at(table, (rows[:, one], rows[:, other]), each)
        return self.count_gradient(unary, pairwise)

    def tempered(self, temperature: float) -> Self:
        return type(self)([one / temperature for one in self.parameters])


@dataclass
class LayerWeights(_Weights):
    """Draws columns independently: `p(a) = product softmax(parameters[l])[a_l]`, as in ProxylessNAS and DARTS.

    `parameters[l]` is `(options,)`: one weight for each option of column l.
    """

    def __post_init__(self) -> None:
        _check(self.parameters, [1] * len(self.parameters))

    @classmethod
    def initial(cls, sizes: Sequence[int], rng: np.random.Generator, sd: float = INITIAL_SD) -> Self:
        """Normal weights round 0: next to uniform."""
        return cls([rng.normal(0.0, sd, size) for size in sizes])

    def unary_pairwise_log(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        return [log_softmax(one) for one in self.parameters], {}

    def count_gradient(self, unary: Sequence[FloatArray], pairwise: Pairwise) -> list[FloatArray]:
        return [count - count.sum() * p for count, p in zip(unary, self.probabilities(), strict=True)]

    def gate_gradient(self, row: Codes, gates: Sequence[FloatArray]) -> list[FloatArray]:
        return [p * (g - p @ g) for p, g in zip(self.probabilities(), gates, strict=True)]

    def active(self, row: Codes) -> list[FloatArray]:
        return [one[:] for one in self.parameters]

    def sample(self, count: int, rng: np.random.Generator) -> Codes:
        uniform = rng.random((count, len(self.parameters)))
        drawn = [_inverse(p[None], uniform[:, column]) for column, p in enumerate(self.probabilities())]
        return np.stack(drawn, axis=1)

    def probabilities(self) -> list[FloatArray]:
        return [np.exp(log_softmax(one)) for one in self.parameters]

    def entropy(self) -> float:
        return sum(float(_entropy(log_softmax(one))) for one in self.parameters)


@dataclass
class AdjacentWeights(_Weights):
    """Draws each column given the one before it: `p(a_l = j | a_(l-1) = i) = softmax(parameters[l][i])[j]`.

    `parameters[0]` is `(options,)`, and `parameters[l]` is `(options of l - 1, options of l)`. It is a Markov chain along the
    columns, so it can learn which neighbouring layers go well together.
    """

    def __post_init__(self) -> None:
        _check(self.parameters, [min(2, column + 1) for column in range(len(self.parameters))])
        for column, (one, next_one) in enumerate(zip(self.parameters[:-1], self.parameters[1:], strict=True)):
            if one.shape[-1] != next_one.shape[0]:
                raise UsageError(
                    f"column {column} has {one.shape[-1]} options, and column {column + 1} weights for {next_one.shape[0]}"
                )

    @classmethod
    def initial(cls, sizes: Sequence[int], rng: np.random.Generator, sd: float = INITIAL_SD) -> Self:
        """Normal weights round 0: next to uniform."""
        shapes = [tuple(sizes[max(0, column - 1) : column + 1]) for column in range(len(sizes))]
        return cls([rng.normal(0.0, sd, shape) for shape in shapes])

    def unary_pairwise_log(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        logs = [log_softmax(one) for one in self.parameters]
        unary = [logs[0], *(np.zeros(size) for size in self.sizes[1:])]
        return unary, {(column, column + 1): log for column, log in enumerate(logs[1:])}

    def count_gradient(self, unary: Sequence[FloatArray], pairwise: Pairwise) -> list[FloatArray]:
        counts = [unary[0], *(pairwise[column, column + 1] for column in range(len(self.parameters) - 1))]
        return [
            count - count.sum(axis=-1, keepdims=True) * np.exp(log_softmax(one))
            for count, one in zip(counts, self.parameters, strict=True)
        ]

    def gate_gradient(self, row: Codes, gates: Sequence[FloatArray]) -> list[FloatArray]:
        gradient = [np.zeros_like(one) for one in self.parameters]
        for into, one, g in zip(type(self)(gradient).active(row), self.active(row), gates, strict=True):
            p = np.exp(log_softmax(one))
            into[:] = p * (g - p @ g)
        return gradient

    def active(self, row: Codes) -> list[FloatArray]:
        later = zip(self.parameters[1:], row[:-1], strict=True)
        return [self.parameters[0][:], *(one[int(code)] for one, code in later)]

    def sample(self, count: int, rng: np.random.Generator) -> Codes:
        uniform = rng.random((count, len(self.parameters)))
        drawn = [_inverse(np.exp(log_softmax(self.parameters[0]))[None], uniform[:, 0])]
        for column, one in enumerate(self.parameters[1:], start=1):
            drawn.append(_inverse(np.exp(log_softmax(one))[drawn[-1]], uniform[:, column]))
        return np.stack(drawn, axis=1)

    def probabilities(self) -> list[FloatArray]:
        found = [np.exp(log_softmax(self.parameters[0]))]
        for one in self.parameters[1:]:
            found.append(found[-1] @ np.exp(log_softmax(one)))
        return found

    def entropy(self) -> float:
        first = float(_entropy(log_softmax(self.parameters[0])))
        later = zip(self.probabilities()[:-1], self.parameters[1:], strict=True)
        return first + sum(float(p @ _entropy(log_softmax(one))) for p, one in later)


def log_softmax(weights: FloatArray) -> FloatArray:
    """The log probabilities of weights, normalised along the last axis."""
    shifted = weights - weights.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _inverse(probabilities: FloatArray, uniform: FloatArray) -> Codes:
    """The options `(n,)` at which the cumulated probabilities `(n or 1, options)` pass `uniform` `(n,)`."""
    passed = np.cumsum(probabilities, axis=1)
    return np.asarray((uniform[:, None] * passed[:, -1:] >= passed).sum(axis=1))


def _entropy(logs: FloatArray) -> FloatArray:
    return np.asarray(-(np.exp(logs) * logs).sum(axis=-1))


def _check(parameters: Sequence[FloatArray], dimensions: Sequence[int]) -> None:
    if not parameters:
        raise UsageError("a distribution has no columns; it needs at least one")
    for column, (one, dimension) in enumerate(zip(parameters, dimensions, strict=True)):
        if one.ndim != dimension or not one.size or not np.isfinite(one).all():
            raise UsageError(
                f"the weights of column {column} are of shape {one.shape}; finite ones of {dimension} dimensions are needed"
            )
