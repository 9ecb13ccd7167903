"""Trains a distribution over architectures by gate gradients (ProxylessNAS, arXiv 1812.00332), on feasible ones only.

Each step draws an architecture within the budget, takes the gradient of its loss on held-out images with respect to the
gates of every option (`supernet/networks/gates.py`), and moves the distribution's parameters by it. The weights are fixed, or
they take a step on the path of another feasible architecture before each step of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from latlas.arrays import Codes, FloatArray
from latlas.errors import LatlasError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.descent import adam, descend
from latlas.search.gradient.distribution import Distribution, log_softmax
from latlas.search.gradient.draws import FeasibleDraws, conditional_gradient
from latlas.search.gradient.sampling import Sampler, Screen
from latlas.search.gradient.soft_latency import SoftLatency, expected_latency
from latlas.search.gradient.weight_steps import WeightSteps
from latlas.spaces.space import Architecture
from latlas.supernet.data.batches import fitting_size, training_batch
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.gates import MODES, gate_gradients
from latlas.supernet.networks.network import Supernet
from latlas.supernet.training.train import training_device

Pairs = npt.NDArray[np.int_]
"""`(columns, 2)`: two options of each column. A column with one option repeats it."""

_FAR = 1000.0
"""A weight this far below the others has probability 0. It is finite, so that sums and differences are finite too."""


def draw_pairs(distribution: Distribution, row: Codes, rng: np.random.Generator) -> Pairs:
    """Pairs each option of codes `row` `(columns,)` with another, drawn by the probabilities of the column's other options.

    If the row was drawn from the distribution, each pair is a draw of two options without replacement. If the row is feasible,
    the pairs allow at least one feasible architecture: the row.
    """
    seconds = []
    for code, weights in zip(row, distribution.active(row), strict=True):
        others = np.delete(np.arange(len(weights)), code)
        seconds.append(rng.choice(others, p=np.exp(log_softmax(weights[others]))) if len(others) else code)
    return np.stack((np.asarray(row), np.array(seconds)), axis=1)


def restricted(distribution: Distribution, pairs: Pairs) -> Distribution:
    """A copy that draws only options of the pairs, with renormalised probabilities. Gradients of other weights are 0."""
    copy = distribution.tempered(1.0)
    for weights, pair in zip(copy.parameters, pairs, strict=True):
        out = np.isin(np.arange(weights.shape[-1]), pair, invert=True)
        weights[..., out] = weights[..., pair].min(axis=-1, keepdims=True) - _FAR
    return copy


def rescale(distribution: Distribution, before: Sequence[FloatArray], pairs: Pairs) -> None:
    """Shift the pairs' weights so that their exponentials sum to the same as in `before`, the parameters before the step.

    The probabilities of all other options then stay the same as before the step.
    """
    for weights, old, pair in zip(distribution.parameters, before, pairs, strict=True):
        options = np.unique(pair)
        grown = _log_sum_exp(weights[..., options]) - _log_sum_exp(old[..., options])
        weights[..., options] -= grown


def _log_sum_exp(weights: FloatArray) -> FloatArray:
    return (weights - log_softmax(weights))[..., :1]


Gates = tuple[float, Sequence[FloatArray]]
"""A step's loss, and its gradient with respect to each column's gates `(options,)`."""


@dataclass(frozen=True)
class ArchitectureTrainConfig:
    """How the distribution is trained.

    `mode` is for `gates.gate_gradients`. With `correction`, a step follows the gradient of the feasible architectures' expected
    loss instead of equation 4, estimated from `correction_draws` of them; see `draws.conditional_gradient`. `max_draws` bounds a
    step's search for a feasible architecture. `height` and `width` are the size of the images; None means the data's own.
    """

    steps: int = 500
    batch_size: int = 16
    mode: str = "recompute"
    learning_rate: float = 1e-3
    correction: bool = True
    correction_draws: int = 256
    max_draws: int = 10_000
    height: int | None = None
    width: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 2), ("correction_draws", 2), ("max_draws", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.mode not in MODES:
            raise UsageError(f"mode is {self.mode!r:.40}; known: {', '.join(MODES)}")


@dataclass(frozen=True, slots=True)
class ArchitectureStep:
    """One step: the codes `(columns,)` that were drawn, how many draws that took, and the result.

    `recorded` of `train_architecture` takes `loss` and `gates`. `pairs` are the two options of each column in mode `two`.
    `entropy` (nats) and `expected_ms` (nan without terms) describe the distribution after the step.
    """

    step: int
    codes: Codes
    pairs: Pairs | None
    draws: int
    loss: float
    gates: list[FloatArray]
    entropy: float
    expected_ms: float
    weight_loss: float | None


@dataclass(frozen=True, slots=True)
class ArchitectureTraining:
    """A trained distribution and its history, with one row per step; see `ArchitectureStep`."""

    distribution: Distribution
    codes: Codes
    draws: npt.NDArray[np.int_]
    loss: FloatArray
    entropy: FloatArray
    expected_ms: FloatArray

    @property
    def steps(self) -> int:
        """How many steps were done; fewer than configured if `stop` ended the training."""
        return len(self.loss)


def train_architecture(
    distribution: Distribution,
    supernet: Supernet,
    dataset: Dataset,
    sampler: Sampler,
    config: ArchitectureTrainConfig,
    *,
    screen: Screen | None = None,
    terms: Additive | None = None,
    soft: SoftLatency | None = None,
    weight_steps: WeightSteps | None = None,
    on_step: Callable[[ArchitectureStep], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    recorded: Sequence[Gates] = (),
) -> ArchitectureTraining:
    """Train a distribution in place, and return it with its history. The same arguments give the same result.

    Args:
        distribution: A distribution over the codes of the supernet's space.
        supernet: A trained supernet, or one that `weight_steps` trains. Without `weight_steps`, its weights and statistics do
            not change.
        dataset: Images and masks that the weights are never trained on.
        sampler: Draws the architectures.
        config: The settings of the training.
        screen: Says which of the drawn codes `(n, columns)` are within the budget; None for all.
        terms: Latency terms whose expected milliseconds are recorded; None to record none.
        soft: An additional latency loss, for comparison.
        weight_steps: Trains the weights in turns with the parameters, as in ProxylessNAS; None keeps the weights fixed.
        on_step: Called after each step, recorded steps included.
        stop: Called before each step; if it returns True, the training ends there.
        recorded: `(loss, gates)` of the first steps of an earlier run with the same arguments. They are not computed again, and
            the training continues as that run would have. Steps of the weights are computed again.

    Raises:
        UsageError: Space, distribution, data and config do not fit each other.
        InfeasibleBudgetError: No architecture within the budget was drawn.
        LatlasError: The loss is not finite.

    Example:
        >>> weights = LayerWeights.initial(space.template().sizes, rng)
        >>> sampler = FeasibleSampler(terms, budget_ms)
        >>> train_architecture(weights, supernet, held_out, sampler, ArchitectureTrainConfig(steps=1000))
    """
    sizes = supernet.space.template().sizes
    if tuple(distribution.sizes) != sizes:
        raise UsageError(
            f"the distribution is over columns of {tuple(distribution.sizes)} options; {supernet.space.text} has {sizes}"
        )
    graph = supernet.space.cover()[0].graph()
    size = fitting_size(graph, dataset, config.height, config.width, "images")
    device = training_device(config.device)
    supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    draws = FeasibleDraws(sampler, screen, config.max_draws)
    optimizer = adam(distribution.parameters, config.learning_rate)
    if weight_steps is not None:
        weight_steps.start(supernet, config.steps, device)
    done: list[ArchitectureStep] = []
    for step in range(config.steps):
        if stop():
            break
        # The seed and the step's number decide all randomness of a step; a recorded step uses no other random numbers.
        rng = np.random.default_rng([config.seed, 2, step])
        weight_loss = None
        if weight_steps is not None:
            weight_loss = weight_steps.step(_decoded(supernet, draws.one(distribution, rng)[0]), step, size)
        drawn = _draw(distribution, draws, config, rng)
        if step < len(recorded):
            loss, gates = _read(recorded[step], step, sizes)
        else:
            order = np.random.default_rng([config.seed, 3, step])
            images, masks = training_batch(dataset, config.batch_size, config.seed, step, size, None, order, device)
            pair = None if drawn.pairs is None else drawn.pairs.tolist()
            loss, gates = gate_gradients(supernet, images, masks, _decoded(supernet, drawn.row), config.mode, pair)
        if not (math.isfinite(loss) and all(np.isfinite(one).all() for one in gates)):
            raise LatlasError(f"step {step}: an architecture's loss is {loss}; the supernet's weights have diverged")
        if config.correction:
            gradient = conditional_gradient(drawn.among, gates, draws.many(drawn.among, config.correction_draws, rng))
        else:
            gradient = drawn.among.gate_gradient(drawn.row, gates)
        if soft is not None:
            _, gradient = soft.apply(drawn.among, loss, gradient)
        before = [one.copy() for one in distribution.parameters]
        descend(optimizer, gradient)
        if drawn.pairs is not None:
            rescale(distribution, before, drawn.pairs)
        expected_ms = math.nan if terms is None else expected_latency(distribution, terms)[0]
        done.append(
            ArchitectureStep(
                step, drawn.row, drawn.pairs, drawn.draws, loss, gates, distribution.entropy(), expected_ms, weight_loss
            )
        )
        if on_step is not None:
            on_step(done[-1])
    if weight_steps is not None:
        weight_steps.end()
    return ArchitectureTraining(
        distribution,
        np.array([one.codes for one in done], dtype=np.int64).reshape(len(done), len(sizes)),
        np.array([one.draws for one in done], dtype=np.int64),
        np.array([one.loss for one in done]),
        np.array([one.entropy for one in done]),
        np.array([one.expected_ms for one in done]),
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Drawn codes `(columns,)`, the distribution they were drawn from, its pairs (None if unrestricted), and the draws."""

    row: Codes
    among: Distribution
    pairs: Pairs | None
    draws: int


def _draw(
    distribution: Distribution, draws: FeasibleDraws, config: ArchitectureTrainConfig, rng: np.random.Generator
) -> _Drawn:
    row, tries = draws.one(distribution, rng)
    if config.mode != "two":
        return _Drawn(row, distribution, None, tries)
    pairs = draw_pairs(distribution, row, rng)
    among = restricted(distribution, pairs)
    try:
        row, more = draws.one(among, rng)
    except LatlasError:
        more = config.max_draws  # take the row that the pairs were made from; it is feasible
    return _Drawn(row, among, pairs, tries + more)


def _decoded(supernet: Supernet, row: Codes) -> Architecture:
    return supernet.space.decode(row[None])[0]


def _read(recorded: Gates, step: int, sizes: Sequence[int]) -> tuple[float, list[FloatArray]]:
    gates = [np.asarray(one, dtype=np.float64) for one in recorded[1]]
    if [one.shape for one in gates] != [(options,) for options in sizes]:
        raise UsageError(f"step {step} was recorded with gates of {[one.shape for one in gates]}, not of {sizes}")
    return float(recorded[0]), gates
