"""The finalists: they are measured anew and ranked by short trainings, and the best is trained fully."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from latlas.errors import DivergedError, LatlasError
from latlas.latency.measuring.interval import Interval
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.verdict import Verdict
from latlas.search.constraint.verify import select
from latlas.search.run.journal import share
from latlas.search.run.search_run import Listener, SearchRun
from latlas.search.run.session import Session
from latlas.search.strategies.halving import Trial, successive_halving
from latlas.search.strategies.loop import Candidate, History
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig, train_subnet

DIFFERENT_SHARE = 0.25
"""Finalists differ from each other in at least this share of their layers."""


def confirm_finalists(
    history: History,
    constraint: LatencyConstraint,
    session: Session,
    at_once: int,
    min_use: float,
    on_note: Callable[[str], None],
) -> list[Candidate]:
    """The finalists that are surely within the budget when measured anew, best first.

    A network that can be certified and uses the share `min_use` of the budget is preferred to all that cannot.

    If none is, the candidates ranked after them are measured, and so on; see `verify.select`. Raises `LatlasError` if no
    candidate keeps the budget.
    """
    ranked = spread(history.ranked(), at_once)
    by_architecture = {one.architecture: one for one in ranked}

    def measure(architectures: Sequence[Architecture]) -> list[Interval | None]:
        on_note(f"measuring {len(architectures)} finalists")
        return session.measure(architectures, session.setting.careful_passes)

    within = select(constraint, list(by_architecture), at_once, measure, certain_use=min_use)
    if within:
        return [
            replace(
                by_architecture[one.architecture],
                verdict=Verdict(True, one.interval.latency_ms, one.interval.lower_ms, one.interval.upper_ms, True),
            )
            for one in within
        ]
    raise LatlasError(
        f"none of the {len(ranked)} candidates held {constraint.budget_ms:.3f} ms when measured; "
        "raise the budget a little, or measure on a quieter machine"
    )


def spread(ranked: Sequence[Candidate], count: int) -> list[Candidate]:
    """The same candidates, with `count` that differ from each other first. Both parts keep their order.

    The best candidates of a search are often mutants of one network, and an error of the supernet ranks them all high together.
    To train two of them would answer the same question twice. Two candidates differ if at least `DIFFERENT_SHARE` of their layers
    do.
    """
    first: list[Candidate] = []
    for one in ranked:
        if len(first) == count:
            break
        if all(_different(one.architecture, other.architecture) for other in first):
            first.append(one)
    return first + [one for one in ranked if one not in first]


def _different(one: Architecture, other: Architecture) -> bool:
    layers = list(zip(one.operators, other.operators, strict=True))
    return sum(a != b for a, b in layers) >= DIFFERENT_SHARE * len(layers)


def train(
    run: SearchRun, name: str, subnet: Subnet, images: Dataset, config: TrainConfig, calibration: Sequence[Tensor]
) -> Subnet:
    """The trained subnet, on the CPU, with new batch statistics.

    Its checkpoint in the run's folder is called `name`; a killed run continues from it. Raises `DivergedError` if the training
    diverges, and `InterruptedRunError` for Ctrl-C.
    """
    done = train_subnet(
        subnet,
        images,
        config,
        run.augmentation,
        checkpoint=run.folder.training(name),
        on_progress=partial(run.listener.on_training, name.partition("-")[0]),
    )
    return recalibrate(done.cpu(), calibration)


def rank_by_training(run: SearchRun, finalists: list[Candidate]) -> list[Trial[Candidate]]:
    """The finalists ranked by successive halving, best first; empty if there is nothing to rank, or no images for it.

    Finalists whose training diverges are left out, with a note. Raises `LatlasError` if all trainings diverge.
    """
    config, images = run.config, run.prepared
    if not (config.halving_steps and len(finalists) > 1 and len(images.unscored)):
        return []

    def train_and_score(finalist: Candidate, steps: int) -> float | None:
        name = f"finalist-{finalist.architecture.hash}-{steps}"

        def answer() -> float | None:
            brief, start = replace(config.train, steps=steps), images.start_of(finalist.architecture)
            try:
                done = train(run, name, start, images.unscored, brief, images.score_calibration)
            except DivergedError as error:
                run.note(f"a finalist is dropped: {error}")
                return None
            return score_subnet(done, images.scored, boundary=False).miou

        reached = run.journal.ask("trial", [str(finalist.architecture), steps], answer, _share_or_none)
        run.folder.training(name).unlink(missing_ok=True)
        return reached

    run.note(f"successive halving of {len(finalists)} finalists")
    ranked = successive_halving(finalists, train_and_score, config.halving_steps, config.train_steps)
    if not ranked:
        raise LatlasError(
            f"the trainings of all {len(finalists)} finalists diverged; use a lower --learning-rate than "
            f"{config.learning_rate}"
        )
    return ranked


def train_best(
    finalists: Sequence[Candidate],
    train: Callable[[Architecture], Subnet],
    listener: Listener,
) -> tuple[Candidate, Subnet]:
    """The first finalist whose full training does not diverge, and its trained subnet. Raises `DivergedError` if all do."""
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
