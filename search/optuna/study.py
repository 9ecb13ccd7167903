"""Optuna's studies for a search: opens and checks them, and reads the evaluations from their trials.

Optuna is the extra `optuna`; it is imported inside the functions that need it.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from latlas.distribution import how_to_install
from latlas.errors import EnvironmentMismatchError, MissingPackageError, UsageError
from latlas.files.records import one_line
from latlas.search.optuna.coding import Coding, ScoreCoding, grid_coding
from latlas.search.optuna.samplers import SamplerSetting
from latlas.search.strategies.strategy import Evaluation, StrategyContext
from latlas.spaces.space import SearchSpace

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial


SQLITE_SECONDS = 60
"""How many seconds a process waits while another one writes."""


def open_storage(text: str | None) -> BaseStorage | None:
    """The storage that a text names: a database's URL, such as `sqlite:///search.db`, or `journal:` and a file's path.

    A text of None gives None, for a study in the memory of this process. Raises `UsageError` if the storage cannot be opened.
    """
    if text is None:
        return None
    from optuna import storages
    from optuna.exceptions import OptunaError
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    kind, separator, path = text.partition(":")
    if not separator or not path or kind == "redis" or (kind != "journal" and not path.startswith("//")):
        # Optuna's Redis storage unpickles what it finds there. The part before an @ may be a password.
        shown = text if "://" in text or "@" not in text else f"***@{text.rpartition('@')[2]}"
        raise UsageError(
            f"storage {shown!r} is not known; write journal:PATH, sqlite:///PATH or another database's URL"
        )
    if kind == "journal":
        _require_journal(Path(path))
    try:
        if kind == "journal":
            return storages.JournalStorage(JournalFileBackend(path))
        if not kind.startswith("sqlite"):
            return storages.RDBStorage(text)
        storage = storages.RDBStorage(text, engine_kwargs={"connect_args": {"timeout": SQLITE_SECONDS}})
        _write_ahead(storage)
        return storage
    except RuntimeError as error:  # Optuna raises it if another version of it made the tables
        raise UsageError(
            f"storage {text!r} is of another version of Optuna: {one_line(str(error))} Or name another storage"
        ) from None
    except (OptunaError, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        why = one_line(str(error).partition("\n")[0])
        raise UsageError(f"storage {text!r} cannot be opened: {why}; check the URL, or name another storage") from None


def _require_journal(path: Path) -> None:
    """Raise `UsageError` if the file exists and is not a journal of Optuna's; Optuna would ignore that and write into it."""
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        line = file.readline(1_000_000)
    try:
        known = "op_code" in json.loads(line)
    except (ValueError, TypeError, RecursionError):
        known = False
    if not known:
        raise UsageError(f"storage journal:{path} is no journal of Optuna's; it is left as it is, name another file")


def _write_ahead(storage: RDBStorage) -> None:
    """Switch SQLite to a write-ahead log, so that transactions do not wait for the disk and readers do not wait for writers.

    A trial makes some twenty transactions. If the machine loses power, the last of them are lost, but not the file.
    """
    from sqlalchemy import event, text

    @event.listens_for(storage.engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with storage.engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
    storage.engine.dispose()  # drop the connections that were made before


SPACE, CODING, BUDGET, OWNER, ARCHITECTURE, VERDICT, LATENCY = (
    "latlas_space",
    "latlas_coding",
    "latlas_budget_ms",
    "process",
    "architecture",
    "verdict",
    "latency_ms",
)
"""The names of attributes of a study and of its trials."""
EVALUATED = "evaluated"
Directions = tuple[Literal["maximize", "minimize"], ...]
BUDGETS_DIFFER = 0.05
"""A study has one budget. Each process gives it in its machine's milliseconds; they may differ by this share."""
ABANDONED = timedelta(hours=6)
"""A trial that another machine began longer ago counts as abandoned."""


def require_optuna() -> None:
    """Raise `MissingPackageError` if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"this strategy needs Optuna, which is not installed: {how_to_install('optuna')}"
        ) from None


def open_study(setting: SamplerSetting, space: SearchSpace, context: StrategyContext, directions: Directions) -> Study:
    """The study of a context. It is created if it does not exist.

    Raises `UsageError` if a shared storage comes without the study's name, and `EnvironmentMismatchError` if the study has
    another space, budget, coding or objective.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise it logs each trial, as the loop does
    coding = type(setting.coding).__name__
    storage = _storage_of(context)
    if storage is not None:
        _require_same_study(storage, coding, space, context, directions)
    study = optuna.create_study(
        storage=storage,
        study_name=context.study if storage is not None else None,
        sampler=setting.sampler,
        directions=directions,
        load_if_exists=True,
    )
    if storage is None:
        return study
    mine: dict[str, str | float] = {SPACE: space.text, CODING: coding}
    if context.budget_ms is not None:
        mine[BUDGET] = context.budget_ms
    for name in mine.keys() - study.user_attrs.keys():
        study.set_user_attr(name, mine[name])
    return study


def require_study(
    setting: SamplerSetting, space: SearchSpace, context: StrategyContext, directions: Directions
) -> None:
    """Raise what `open_study` would raise, without creating a study. Call it before any other work."""
    require_optuna()
    storage = _storage_of(context)
    if storage is not None:
        _require_same_study(storage, type(setting.coding).__name__, space, context, directions)


def _storage_of(context: StrategyContext) -> BaseStorage | None:
    storage = open_storage(context.storage)
    if storage is not None and not context.study:
        raise UsageError(f"storage {context.storage!r} needs the name of the study in it, which all who share it give")
    return storage


def _require_same_study(
    storage: BaseStorage, coding: str, space: SearchSpace, context: StrategyContext, directions: Directions
) -> None:
    """Raise `EnvironmentMismatchError` if the context's study exists and does not fit this search."""
    import optuna

    if context.study not in optuna.get_all_study_names(storage):
        return
    study = optuna.load_study(study_name=context.study, storage=storage)
    known = study.user_attrs
    if not known and study.get_trials(deepcopy=False):
        raise EnvironmentMismatchError(f"study {context.study!r} has trials that are not of Latlas; name another one")
    for name, value in ((SPACE, space.text), (CODING, coding)):
        if known.get(name, value) != value:
            raise EnvironmentMismatchError(
                f"study {context.study!r} is of {name.removeprefix('latlas_')} {known[name]!r}, not of {value!r}; "
                "name another one"
            )
    found = tuple(one.name.lower() for one in study.directions)
    if found != directions:
        raise EnvironmentMismatchError(
            f"study {context.study!r} has the objectives {', '.join(found)}, not {', '.join(directions)}; name another one"
        )
    budget = known.get(BUDGET)
    if context.budget_ms is None or budget is None:
        return
    if not isinstance(budget, float) or abs(context.budget_ms / budget - 1) > BUDGETS_DIFFER:
        raise EnvironmentMismatchError(
            f"study {context.study!r} is of a budget of {budget} ms, not of {context.budget_ms:.3f}; name another one"
        )


def evaluations_of(coding: Coding, trials: list[FrozenTrial]) -> Iterator[Evaluation]:
    """The evaluations among a study's trials, from all processes. Other trials are skipped."""
    for trial in trials:
        if trial.user_attrs.get(VERDICT) != EVALUATED or not trial.values:
            continue
        latency_ms = trial.user_attrs.get(LATENCY)
        try:
            architecture = coding.architecture(trial.params)
        except UsageError:
            continue
        known = isinstance(latency_ms, float) and math.isfinite(latency_ms)
        yield Evaluation(architecture, trial.values[0], latency_ms if known else math.nan)  # type: ignore[arg-type]


def shared_evaluations(context: StrategyContext, space: SearchSpace) -> list[Evaluation]:
    """All evaluations by the processes of a shared study, best first, each architecture once.

    Raises `UsageError` if the context names no study or the study does not exist, and `EnvironmentMismatchError` if the study
    has another space.
    """
    import optuna

    storage = open_storage(context.storage)
    if storage is None or not context.study:
        raise UsageError("the context names no storage and study that processes share")
    try:
        study = optuna.load_study(study_name=context.study, storage=storage)
    except KeyError:
        raise UsageError(f"{context.storage} has no study {context.study!r}") from None
    if study.user_attrs.get(SPACE) != space.text:
        raise EnvironmentMismatchError(f"study {context.study!r} is of {study.user_attrs.get(SPACE)!r}")
    codings = {kind.__name__: kind for kind in (Coding, ScoreCoding)}
    kind = codings.get(str(study.user_attrs.get(CODING)))
    coding = kind(space) if kind is not None else grid_coding(space)
    found = {one.architecture: one for one in evaluations_of(coding, study.get_trials(deepcopy=False))}
    return sorted(found.values(), key=lambda one: (-one.quality, str(one.architecture)))


def this_process() -> str:
    """The name of this machine and process, for the attribute that says who runs a trial."""
    return f"{platform.node()}:{os.getpid()}"


def abandoned(trial: FrozenTrial) -> bool:
    """Whether a trial's process is gone: it ran on this machine and has ended, or began the trial too long ago elsewhere."""
    machine, _, process = str(trial.user_attrs.get(OWNER, "")).rpartition(":")
    if machine == platform.node() and process.isdecimal():
        return not psutil.pid_exists(int(process))
    return trial.datetime_start is not None and datetime.now() - trial.datetime_start > ABANDONED
