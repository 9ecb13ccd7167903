"""The kernel of the Gaussian process, and its most likely weights given the samples.

    k(x, z) = 1 + sum_g v_g <x_g, z_g> / d_g + a s(sum_g w_g |x_g - z_g|^2 / d_g)

over groups g of d_g standardised features; s is exp(-r) or Matern 5/2. The weights v, w, the scale a and the noise maximise the
marginal likelihood under wide log-normal priors (Rasmussen and Williams 2006, chapter 5.4). The noise of a sample grows with its
distance from what the others predict, as in the expectation step for a Student t noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from latlas.arrays import FloatArray, IntArray

SHAPES = ("smooth", "rough")
"""exp(-r) and Matern 5/2; both are tried."""
FREEDOM = 4.0
"""Degrees of freedom of the noise's Student t distribution."""
JITTER = 1e-8
_STEPS = 60
_LOG_BOUND = 14.0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The kernel's weights, on standardised logarithms: `linear` and `smooth` `(groups,)`, `scale` and `noise`; and whether
    samples may be doubted."""

    shape: str
    doubting: bool
    linear: FloatArray
    smooth: FloatArray
    scale: float
    noise: float


def most_likely(x: FloatArray, t: FloatArray, own: FloatArray, group: IntArray, shape: str) -> list[Weights]:
    """The weights with the largest marginal likelihood, once without doubting any sample and once with doubts.

    `x` `(n, features)` and `t` `(n,)` are standardised; `own` `(n,)` are the variances of the samples' own errors.
    """
    from scipy.optimize import minimize

    groups = int(group.max()) + 1
    centre = np.concatenate([np.full(2 * groups, -3.0), [-1.0, -5.0]])
    start = np.concatenate([np.full(2 * groups, np.log(0.3 / groups)), [np.log(0.3), np.log(0.01)]])
    bounds = [(-_LOG_BOUND, 6.0)] * (2 * groups) + [(-8.0, 5.0), (-_LOG_BOUND, 1.0)]
    doubts = np.ones_like(t)
    found: list[Weights] = []
    for steps in (_STEPS, _STEPS // 2, _STEPS // 2):
        problem = Problem(x, t, own, doubts, group, shape, centre)
        start = minimize(problem, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
        found.append(_weights_of(start, groups, shape, doubting=bool(found)))
        doubts = problem.doubts_at(start)
    return [found[0], found[-1]]


def kernel_of(x: FloatArray, z: FloatArray, weights: Weights, group: IntArray) -> FloatArray:
    """The kernel `(n, m)` between standardised features `(n, features)` and `(m, features)`."""
    linear = (x * weights.linear[group]) @ z.T
    return 1 + linear + weights.scale * _shape_of(_distance(x, z, weights.smooth[group]), weights.shape)[0]


def _distance(x: FloatArray, z: FloatArray, smooth: FloatArray) -> FloatArray:
    root = np.sqrt(smooth)
    a, b = x * root, z * root
    squared: FloatArray = a @ b.T
    squared *= -2
    squared += (a * a).sum(axis=1)[:, None]
    squared += (b * b).sum(axis=1)
    return np.maximum(squared, 0, out=squared)


def _shape_of(r: FloatArray, shape: str) -> tuple[FloatArray, FloatArray]:
    """The values of s(r) and its derivative."""
    if shape == "smooth":
        value: FloatArray = np.exp(-r)
        return value, -value
    root = np.sqrt(5 * r)
    decay = np.exp(-root)
    return (1 + root + root * root / 3) * decay, -5 / 6 * (1 + root) * decay


def doubts_of(residual: FloatArray, variance: FloatArray) -> FloatArray:
    """How many times the noise each sample gets, by its distance from what the others predict."""
    return (FREEDOM + residual**2 / variance) / (FREEDOM + 1)


def _weights_of(theta: FloatArray, groups: int, shape: str, doubting: bool = False) -> Weights:
    value = np.exp(theta)
    return Weights(shape, doubting, value[groups : 2 * groups], value[:groups], float(value[-2]), float(value[-1]))


class Problem:
    """The negative logarithm of the posterior of the kernel's weights, and its gradient."""

    def __init__(
        self,
        x: FloatArray,
        t: FloatArray,
        own: FloatArray,
        doubts: FloatArray,
        group: IntArray,
        shape: str,
        centre: FloatArray,
    ) -> None:
        self.x, self.t, self.own, self.doubts = x, t, own, doubts
        self.group, self.shape, self.centre = group, shape, centre
        self.groups = int(group.max()) + 1

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        weights = _weights_of(theta, self.groups, self.shape)
        value, slope = _shape_of(_distance(self.x, self.x, weights.smooth[self.group]), self.shape)
        linear = (self.x * weights.linear[self.group]) @ self.x.T
        noise = weights.noise * self.doubts + self.own + JITTER
        factor = cho_factor(1 + linear + weights.scale * value + np.diag(noise), lower=True)
        alpha = cho_solve(factor, self.t)
        inner = np.outer(alpha, alpha) - cho_solve(factor, np.eye(len(self.t)))
        log_det = float(np.log(np.diag(factor[0])).sum())
        # sum_ij M_ij |x_i - x_j|^2 for each feature, without a matrix for each.
        steep = inner * slope
        squares = 2 * (steep.sum(axis=1) @ (self.x * self.x)) - 2 * (self.x * (steep @ self.x)).sum(axis=0)
        products = (self.x * (inner @ self.x)).sum(axis=0)
        by_group = [np.bincount(self.group, weights=each, minlength=self.groups) for each in (squares, products)]
        gradient = -0.5 * np.concatenate(
            [
                by_group[0] * weights.scale * weights.smooth,
                by_group[1] * weights.linear,
                [weights.scale * float((inner * value).sum()), weights.noise * float(np.diag(inner) @ self.doubts)],
            ]
        )
        away = (theta - self.centre) / 3
        return 0.5 * float(self.t @ alpha) + log_det + 0.5 * float(away @ away), gradient + away / 3

    def doubts_at(self, theta: FloatArray) -> FloatArray:
        """The doubts of the samples at these weights."""
        weights = _weights_of(theta, self.groups, self.shape)
        kernel = kernel_of(self.x, self.x, weights, self.group)
        noise = weights.noise * self.doubts + self.own + JITTER
        inverse = cho_solve(cho_factor(kernel + np.diag(noise), lower=True), np.eye(len(self.t)))
        precision = np.diag(inverse)
        variance = np.maximum(1 / precision - noise, 0) + weights.noise + self.own
        return doubts_of((inverse @ self.t) / precision, variance)
