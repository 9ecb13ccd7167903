"""Training of a distribution over architectures by gate gradients (ProxylessNAS, arXiv 1812.00332), feasible ones only.

Each step draws an architecture within the budget, takes the gradient of its loss on held-out images with respect to the
gates of every option (`supernet/gates.py`), and moves the distribution's parameters by it. The weights are fixed, or take a
step of their own on the path of another feasible architecture before each of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from latlas.latency.errors import LatlasError, UsageError
from latlas.search.adam import Adam
from latlas.search.distribution import Distribution
from latlas.search.feasible import Additive, Codes, FloatArray
from latlas.search.feasible_draws import FeasibleDraws, conditional_gradient
from latlas.search.feasible_sampling import Sampler, Screen
from latlas.search.soft_latency import SoftLatency, expected_latency
from latlas.search.two_paths import Pairs, draw_pairs, rescale, restricted
from latlas.search.weight_steps import WeightSteps
from latlas.supernet.batches import fitting_size, training_batch
from latlas.supernet.data import Dataset
from latlas.supernet.gates import MODES, gate_gradients
from latlas.supernet.network import Supernet
from latlas.supernet.space import Architecture
from latlas.supernet.train import training_device

Gates = tuple[float, Sequence[FloatArray]]
"""A step's loss, and its gradient with respect to each column's gates `(options,)`."""


@dataclass(frozen=True)
class ArchitectureTrainConfig:
    """How the distribution is trained.

    `mode` is that of `gates.gate_gradients`. `correction` follows the gradient of the feasible architectures' expected loss,
    estimated with `correction_draws` of them, instead of equation 4; see `feasible_draws.conditional_gradient`. `max_draws`
    bounds a step's search for a feasible architecture. `height` and `width` are those of the images, None for the data's own.
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
    """One step: the codes `(columns,)` that were drawn, how many draws that took, and what came of it.

    `loss` and `gates` are what `recorded` takes. `pairs` are the two options of each column in mode `two`. `entropy` (nats)
    and `expected_ms` (nan without terms) are those of the distribution after the step.
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
    """A trained distribution and its history, one row a step: see `ArchitectureStep`."""

    distribution: Distribution
    codes: Codes
    draws: npt.NDArray[np.int_]
    loss: FloatArray
    entropy: FloatArray
    expected_ms: FloatArray

    @property
    def steps(self) -> int:
        """How many were done; fewer than asked for where `stop` ended it."""
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
    """Train a distribution in place; the same arguments give the same one.

    Args:
        distribution: Over the codes of the supernet's space.
        supernet: Trained, or to be trained with `weight_steps`; without these, its weights and statistics stay as they are.
        dataset: Images and masks that the weights were, and are, not trained on.
        sampler: What draws architectures.
        config: See there.
        screen: Which of the codes drawn, `(n, columns)`, are within the budget; None for all.
        terms: Whose expected milliseconds are recorded.
        soft: A loss of latency besides, to compare with.
        weight_steps: ProxylessNAS's alternating training; without it, weights are fixed.
        on_step: Called after each step, recorded ones too.
        stop: Asked before each step; true ends the training there.
        recorded: `(loss, gates)` of the first steps of an earlier run with the same arguments, which are not computed again,
            though steps of weights are; the run goes on as that one would have.

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
    adam = Adam(distribution.parameters, config.learning_rate)
    if weight_steps is not None:
        weight_steps.start(supernet, config.steps, device)
    done: list[ArchitectureStep] = []
    for step in range(config.steps):
        if stop():
            break
        # All chance of a step comes from the seed and the step's number, and what is recorded draws none.
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
        adam.step(gradient)
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
    """Codes `(columns,)`, the distribution among whose options they are, the pairs it is restricted to, and the draws."""

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
        more = config.max_draws  # but the row that the pairs were made of is feasible
    return _Drawn(row, among, pairs, tries + more)


def _decoded(supernet: Supernet, row: Codes) -> Architecture:
    return supernet.space.decode(row[None])[0]


def _read(recorded: Gates, step: int, sizes: Sequence[int]) -> tuple[float, list[FloatArray]]:
    gates = [np.asarray(one, dtype=np.float64) for one in recorded[1]]
    if [one.shape for one in gates] != [(options,) for options in sizes]:
        raise UsageError(f"step {step} was recorded with gates of {[one.shape for one in gates]}, not of {sizes}")
    return float(recorded[0]), gates
