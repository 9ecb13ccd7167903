"""What becomes of the finalists: ranked anew by short trainings, the best trained fully, beside the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from latlas.errors import DivergedError, LatlasError
from latlas.search.config import SearchConfig
from latlas.search.run.folder import RunFolder
from latlas.search.run.journal import share
from latlas.search.run.listener import Listener
from latlas.search.run.prepare import Prepared
from latlas.search.strategies.halving import Trial, successive_halving
from latlas.search.strategies.loop import Candidate
from latlas.spaces.space import Architecture
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig, train_subnet


@dataclass(frozen=True, slots=True)
class Trainer:
    """How networks of this run are trained: with a checkpoint in its folder, from which a killed run goes on."""

    run: RunFolder
    augmentation: Augmentation | None
    listener: Listener

    def train(
        self, name: str, subnet: Subnet, data: Dataset, config: TrainConfig, calibration: Sequence[Tensor]
    ) -> Subnet:
        """The subnet trained, its batch statistics taken anew, on the CPU.

        Raises `DivergedError` where its loss is not finite, and `InterruptedRunError` for Ctrl-C.
        """
        done = train_subnet(
            subnet,
            data,
            config,
            self.augmentation,
            checkpoint=self.run.training(name),
            on_progress=partial(self.listener.on_training, name.partition("-")[0]),
        )
        return recalibrate(done.cpu(), calibration)


def rank_anew(
    finalists: list[Candidate], trainer: Trainer, prepared: Prepared, config: SearchConfig
) -> list[Trial[Candidate]]:
    """The finalists by successive halving, best first; none where there is nothing to rank, or no images for it.

    Those whose training diverges are left out, with a note. Raises `LatlasError` where no training holds.
    """
    if not (config.halving_steps and len(finalists) > 1 and len(prepared.unscored)):
        return []
    run, listener = trainer.run, trainer.listener

    def train_and_score(finalist: Candidate, steps: int) -> float | None:
        name = f"finalist-{finalist.architecture.hash}-{steps}"

        def answer() -> float | None:
            brief, start = replace(config.train, steps=steps), prepared.start_of(finalist.architecture)
            try:
                done = trainer.train(name, start, prepared.unscored, brief, prepared.score_calibration)
            except DivergedError as error:
                listener.on_note(f"a finalist is dropped: {error}")
                return None
            return score_subnet(done, prepared.scored, boundary=False).miou

        reached = run.journal.ask("trial", [str(finalist.architecture), steps], answer, _share_or_none)
        run.training(name).unlink(missing_ok=True)
        return reached

    listener.on_note(f"successive halving of {len(finalists)} finalists")
    ranked = successive_halving(finalists, train_and_score, config.halving_steps, config.train.steps)
    if not ranked:
        raise LatlasError(
            f"the trainings of all {len(finalists)} finalists diverged; use a lower --learning-rate than "
            f"{config.train.learning_rate}"
        )
    return ranked


def train_best(
    finalists: Sequence[Candidate],
    train: Callable[[Architecture], Subnet],
    listener: Listener,
) -> tuple[Candidate, Subnet]:
    """The first of the finalists whose full training holds, trained; raises `DivergedError` where none does."""
    for finalist in finalists:
        listener.on_note(f"training {finalist.architecture}")
        try:
            return finalist, train(finalist.architecture)
        except DivergedError as error:
            listener.on_note(f"a finalist is dropped: {error}")
            last = error
    raise last


def _share_or_none(value: object) -> float | None:
    return None if value is None else share(value)
