"""Training of a supernet by uniform single-path sampling (Guo et al. 2020, arXiv 1904.00420), and of a subnet."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from latlas.choices import unknown
from latlas.errors import DivergedError, InterruptedRunError, UsageError
from latlas.files.signals import stop_requested, stoppable
from latlas.spaces.graph import Graph, graph_hash
from latlas.spaces.space import SearchSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.batches import fitting_size, training_batch
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.checkpoint import load_training, save_training
from latlas.supernet.training.course import Course
from latlas.supernet.training.devices import DEVICES
from latlas.supernet.training.steps import WeightAverage, adamw, training_step

_FREE_ON_RESUME = ("device", "log_every", "checkpoint_every_s")
"""Fields of `TrainConfig` that do not change what is computed."""
_CALIBRATION_BATCHES = 16


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    The optimiser is AdamW. The learning rate rises over `warmup_steps` (at most a tenth of all steps), then falls as a
    cosine to `min_learning_rate_share` of its maximum. `clip_norm` bounds the gradient's norm. `height` and `width` are the
    size of the training crops; None means the size of the data. With `ema_decay` the result has averaged weights, and
    a subnet's batch statistics are recalibrated for them. `device` is cpu, cuda or auto.
    """

    steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 2e-3
    min_learning_rate_share: float = 0.01
    weight_decay: float = 1e-4
    warmup_steps: int = 50
    clip_norm: float = 5.0
    ema_decay: float | None = None
    height: int | None = None
    width: int | None = None
    seed: int = 0
    device: str = "auto"
    log_every: int = 20
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0, and finite")
        for name in ("weight_decay", "warmup_steps", "seed", "checkpoint_every_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.min_learning_rate_share <= 1:
            raise UsageError(f"min_learning_rate_share is {self.min_learning_rate_share}; it must be within 0..1")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise UsageError(f"ema_decay is {self.ema_decay}; it must be between 0 and 1, or None")
        if self.device not in DEVICES:
            raise UsageError(unknown("device", self.device, DEVICES))

    def learning_rate_at(self, step: int, done: float) -> float:
        """The learning rate of a step (counted from 0), where `done` is the share of the training that is over, 0..1."""
        warmup_steps = min(self.warmup_steps, self.steps // 10)
        warmth = min(1.0, (step + 1) / (warmup_steps + 1))
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        floor = self.min_learning_rate_share
        return self.learning_rate * warmth * (floor + (1.0 - floor) * cosine)


@dataclass(frozen=True)
class TrainProgress:
    """How far a training is. `loss` is the mean since the last report; `seconds` include the parts before a resume.

    `first_step` is the step this process started at: 0 for a new training.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    eta_s: float
    first_step: int = 0


@dataclass(frozen=True)
class _Run:
    """The arguments that `train_supernet` and `train_subnet` have in common."""

    dataset: Dataset
    config: TrainConfig
    augmentation: Augmentation | None
    checkpoint: Path | None
    resume: bool
    on_progress: Callable[[TrainProgress], None] | None
    time_limit_s: float | None
    stop: Callable[[], bool] | None


def train_supernet(
    space: SearchSpace,
    dataset: Dataset,
    config: TrainConfig,
    augmentation: Augmentation | None = None,
    *,
    checkpoint: Path | None = None,
    resume: bool = True,
    on_progress: Callable[[TrainProgress], None] | None = None,
    time_limit_s: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Supernet:
    """A trained supernet of the space, in inference mode, on the training's device. Each step trains one random architecture.

    The same arguments give the same weights, interrupted or not, unless `time_limit_s` ends the training early.

    Args:
        space: Its graphs have one class.
        dataset: Images and their person masks.
        config: The settings of the training.
        augmentation: How images are varied; None leaves them as they are.
        checkpoint: Where the run is saved every `checkpoint_every_s` seconds and at its end.
        resume: True continues from `checkpoint` if the file exists; False overwrites it.
        on_progress: Called every `log_every` steps and after the last one; called once if no step is left to do.
        time_limit_s: The training ends after so many seconds, with the learning rate annealed. Earlier parts of a resumed
            training count.
        stop: Called after each step; if it returns True, the training stops as on Ctrl-C.

    Raises:
        UsageError: Space, data and config do not fit each other.
        DivergedError: The loss is not finite, or far above an untrained network's. The checkpoint is deleted.
        InterruptedRunError: Ctrl-C was pressed or `stop` returned True. The checkpoint is written.
        FileFormatError: The checkpoint is broken.
        EnvironmentMismatchError: The checkpoint is of another run.

    Example:
        >>> supernet = train_supernet(PortraitSpace(), dataset, TrainConfig(steps=4000), Augmentation())
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        supernet = Supernet(space)
    run = _Run(dataset, config, augmentation, checkpoint, resume, on_progress, time_limit_s, stop)

    def logits(images: Tensor, rng: np.random.Generator) -> Tensor:
        return supernet.logits(images, space.random(rng))

    _train(supernet, logits, space.cover()[0].graph(), f"supernet {space.text}", run)
    return supernet


def train_subnet(
    subnet: Subnet,
    dataset: Dataset,
    config: TrainConfig,
    augmentation: Augmentation | None = None,
    *,
    checkpoint: Path | None = None,
    resume: bool = True,
    on_progress: Callable[[TrainProgress], None] | None = None,
    time_limit_s: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Subnet:
    """The same subnet, trained in place. It starts from its own weights, or from the checkpoint's.

    Arguments and errors are the same as for `train_supernet`.

    Example:
        >>> subnet = train_subnet(supernet.extract(best), dataset, TrainConfig(steps=2000, ema_decay=0.99))
    """
    run = _Run(dataset, config, augmentation, checkpoint, resume, on_progress, time_limit_s, stop)

    def logits(images: Tensor, rng: np.random.Generator) -> Tensor:
        return subnet.logits(images)

    device = _train(subnet, logits, subnet.graph, f"subnet {graph_hash(subnet.graph)}", run)
    if config.ema_decay is not None:
        # The running statistics belong to the last weights, not to the averaged ones. Averaging the statistics does not help
        # (measured: mIoU 0.40, against 0.59 with new statistics).
        plain, size, rng = replace(run, augmentation=None), _crop_size(subnet.graph, run), np.random.default_rng(0)
        recalibrate(subnet, (_batch(plain, size, step, rng, device)[0] for step in range(_CALIBRATION_BATCHES)))
    return subnet


def _train(
    model: nn.Module,
    logits: Callable[[Tensor, np.random.Generator], Tensor],
    graph: Graph,
    name: str,
    run: _Run,
) -> torch.device:
    """Train a model in place and return its device. It ends in inference mode. `logits(images, rng)` is its forward pass."""
    config, checkpoint = run.config, run.checkpoint
    size = _crop_size(graph, run)
    device = training_device(config.device)
    model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stub
    optimizer = adamw(model, config.learning_rate, config.weight_decay)
    average = WeightAverage(model, config.ema_decay)
    settings = {key: value for key, value in asdict(config).items() if key not in _FREE_ON_RESUME}
    identity = {"network": name, "data": _describe(run.dataset), "augmentation": repr(run.augmentation), **settings}
    step, seconds_before, course = 0, 0.0, Course()
    if checkpoint is not None and run.resume and checkpoint.exists():
        step, seconds_before, course = load_training(checkpoint, model, optimizer, average.state, identity)
    first = step
    started = saved = time.monotonic()
    limit_s = math.inf if run.time_limit_s is None else run.time_limit_s
    losses: list[float] = []

    def seconds() -> float:
        return seconds_before + time.monotonic() - started

    def save() -> None:
        if checkpoint is not None:
            save_training(checkpoint, model, optimizer, average.state, identity, step, seconds(), course)

    def report() -> None:
        if run.on_progress is not None and losses:
            left_s = (config.steps - step) * (seconds() - seconds_before) / (step - first)
            eta_s = max(0.0, min(left_s, limit_s - seconds()))
            loss = sum(losses) / len(losses)
            run.on_progress(TrainProgress(step, config.steps, loss, seconds(), eta_s, first))
        losses.clear()

    if not first:
        save()  # find out now, not in a minute, if the path cannot be written
    with stoppable():  # a stop waits for the end of the step, where the run can be resumed exactly
        while step < config.steps and seconds() < limit_s:
            done = max(step / config.steps, seconds() / limit_s)
            # The seed and the step's number decide all randomness of a step, so a resumed run needs no generator state.
            rng = np.random.default_rng([config.seed, 1, step])
            images, masks = _batch(run, size, step, rng, device)

            def loss_of(images: Tensor = images, masks: Tensor = masks, rng: np.random.Generator = rng) -> Tensor:
                return segmentation_loss(logits(images, rng), masks)

            rate = config.learning_rate_at(step, done)
            what, chance = f"{name}: at step {step}", (config.seed, 2, step)
            with _forgotten_if_diverged(checkpoint):
                loss = training_step(model, optimizer, loss_of, rate, config.clip_norm, chance, what)
            step += 1
            average.update(step)
            losses.append(loss)
            course.add(loss)
            if step % config.log_every == 0:
                report()
            if stop_requested() or (run.stop is not None and run.stop()):
                save()
                raise InterruptedRunError(_farewell(name, step, config.steps, checkpoint))
            if checkpoint is not None and time.monotonic() - saved > config.checkpoint_every_s:
                save()
                saved = time.monotonic()
        report()
        if step == first and run.on_progress is not None and course.loss is not None:
            run.on_progress(TrainProgress(step, config.steps, course.loss, seconds(), 0.0, first))
        with _forgotten_if_diverged(checkpoint):
            course.require_learning(name, config.learning_rate)
        if step > first:
            save()
    optimizer.zero_grad(set_to_none=True)
    average.apply()
    model.eval()
    return device


@contextmanager
def _forgotten_if_diverged(checkpoint: Path | None) -> Iterator[None]:
    """Delete the checkpoint if the training diverges inside the block: resumed, it would diverge again."""
    try:
        yield
    except DivergedError:
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        raise


def training_device(name: str) -> torch.device:
    """The torch device for `cpu`, `cuda` or `auto`. Raises `UsageError` for `cuda` on a machine without CUDA."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("device is cuda; torch finds no CUDA device here, use cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def _farewell(name: str, step: int, steps: int, checkpoint: Path | None) -> str:
    after = f"{name}: interrupted after step {step} of {steps}; "
    if checkpoint is None:
        return after + "nothing is kept, as no checkpoint was named"
    return after + f"saved in {checkpoint}, from where the same command goes on, without --force"


def _crop_size(graph: Graph, run: _Run) -> tuple[int, int]:
    """Height and width of the training crops, after a check that network, data and limits fit each other."""
    size = fitting_size(graph, run.dataset, run.config.height, run.config.width, "training crops")
    if run.time_limit_s is not None and not run.time_limit_s > 0:
        raise UsageError(f"time_limit_s is {run.time_limit_s}; it must be above 0")
    return size


def _describe(dataset: Dataset) -> str:
    """A text that tells data sets apart by count, size and masks; the images are not hashed."""
    count, _, height, width = dataset.images.shape
    return f"{count} images of {height}x{width}, masks crc32 {zlib.crc32(dataset.masks.contiguous().numpy().data):08x}"


def _batch(
    run: _Run, size: tuple[int, int], step: int, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    return training_batch(
        run.dataset, run.config.batch_size, run.config.seed, step, size, run.augmentation, rng, device
    )
