"""The Gaussian linear model under every regression here: it learns the spreads of a prior, and the posterior.

`residual = shares @ b + noise`, with `b ~ N(0, prior)`. The prior is a sum of parts, each times the square of a spread. So is
the marginal covariance `(n, n)` of the samples. The spreads maximise the marginal likelihood times a wide prior (Rasmussen and
Williams, *Gaussian Processes for Machine Learning*, 2.3 and 5.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from latlas.arrays import FloatArray

MISFIT = "misfit"
"""The name of the spread that no part explains, which each sample has for itself."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the learning of a spread begins, and the least and the largest value that it may take."""

    spread: float
    least: float
    largest: float


def most_probable_spreads(
    parts: Mapping[str, FloatArray],
    fixed: FloatArray,
    residual: FloatArray,
    starts: Mapping[str, Start],
    log_sd: float,
) -> dict[str, float]:
    """The most probable spread of each part, and the `misfit`.

    Args:
        parts: by name, the marginal covariance `(n, n)` with a spread of 1.
        fixed: the part `(n, n)` that is known, errors of measurement included.
        residual: the samples `(n,)`.
        starts: the start of each part and of the `misfit`.
        log_sd: standard deviation of a spread's logarithm about its start. Without it, few samples may drive a spread to
            nothing.
    """
    from scipy.optimize import minimize  # takes a fifth of a second, which reading a predictor does not need

    names = [*parts, MISFIT]
    start = np.log([starts[name].spread for name in names])
    covariances = np.stack([*parts.values(), np.eye(len(residual))])

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        """Negative log marginal likelihood and its gradient (Rasmussen and Williams, 5.8 and 5.9)."""
        squares = np.exp(2 * logs)
        factor = cho_factor(fixed + np.tensordot(squares, covariances, axes=1), lower=True)
        inverse = cho_solve(factor, np.eye(len(residual)))
        solved = inverse @ residual
        away = (logs - start) / log_sd
        value = residual @ solved / 2 + np.log(np.diag(factor[0])).sum() + away @ away / 2
        outer = inverse - np.outer(solved, solved)
        gradient = np.array([s * np.vdot(outer, part) for s, part in zip(squares, covariances, strict=True)])
        return float(value), gradient + away / log_sd

    bounds = [(np.log(starts[name].least), np.log(starts[name].largest)) for name in names]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return dict(zip(names, np.exp(found.x).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the samples say of `b`: its mean `(features,)` and covariance `(features, features)`.

    `missed` `(n,)` is how far each sample's residual lies above the model that leaves the sample out. `left_out` `(n,)` is the
    variance that this model expects (Rasmussen and Williams, 5.4.2). Both are in closed form.
    """

    mean: FloatArray
    covariance: FloatArray
    missed: FloatArray
    left_out: FloatArray


def posterior(shares: FloatArray, residual: FloatArray, prior: FloatArray, marginal: FloatArray) -> Posterior:
    """The posterior of samples `shares` `(n, features)` and `residual` `(n,)`.

    `prior` is the covariance `(features, features)` of `b`, or its diagonal `(features,)`. `marginal` `(n, n)` is the
    covariance of the samples, noise included.
    """
    diagonal = prior.ndim == 1
    spread = shares * prior if diagonal else shares @ prior
    inverse = cho_solve(cho_factor(marginal, lower=True), np.eye(len(residual)))
    across = spread.T @ inverse
    covariance = (np.diag(prior) if diagonal else prior) - across @ spread
    precision = np.diag(inverse)
    return Posterior(across @ residual, covariance, inverse @ residual / precision, 1.0 / precision)
