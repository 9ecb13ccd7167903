"""Checks the storage of a shared search before anything is loaded or measured, so that a wrong one costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from latlas.errors import LatlasError, UsageError
from latlas.files.records import one_line
from latlas.search.config import SearchConfig
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.space import SearchSpace


def require_storage(config: SearchConfig, space: SearchSpace | None = None) -> None:
    """Check that the storage can be opened and that its study fits this search. Without a storage, do nothing.

    Raises:
        UsageError: The storage cannot be opened, is of another version of Optuna, or cannot be shared by the strategy.
        EnvironmentMismatchError: The study has another space, budget or objective. This is checked only if `space` is given.
    """
    if config.storage is None:
        return
    from latlas.search.optuna.samplers import sampler_setting
    from latlas.search.optuna.study import Directions, open_storage, require_optuna, require_study

    require_optuna()
    kind = config.strategy.rpartition("-")[2]
    if kind == "cmaes":
        raise UsageError(
            f"{config.strategy} does not share a storage: Optuna keeps its state there as a pickle, which could run anybody's "
            "code; leave out the storage, or take another sampler"
        )
    if space is None:
        open_storage(config.storage)
        return
    directions: Directions = ("maximize", "minimize") if config.front else ("maximize",)
    budget_ms = None if isinstance(config.budget_ms, str) else config.budget_ms
    context = StrategyContext(budget_ms=budget_ms, storage=config.storage, study=config.study)
    require_study(sampler_setting(kind, space, 0, config.evaluations), space, context, directions)


@contextmanager
def storage_named(storage: str | None) -> Iterator[None]:
    """Turn errors of Optuna or its database inside the block into a `LatlasError` that names the storage. The search can be
    resumed."""
    if storage is None:
        yield
        return
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        why = one_line(str(error).partition("\n")[0], 200)
        raise LatlasError(
            f"storage {storage} was lost: {why}; the same command goes on when it is there again"
        ) from None
