"""Chooses the regressor that suits samples best: it has the smallest error on left-out samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from latlas.errors import FileFormatError
from latlas.latency.samples.regressors import Regressor, check_samples, left_out_error


def choose_regressor(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    seed: int = 0,
    *,
    errors: npt.ArrayLike | None = None,
    groups: Sequence[int] | None = None,
    candidates: Sequence[Regressor] | None = None,
) -> Regressor:
    """The fitted regressor with the smallest error on left-out samples, among Gaussian processes and LightGBM or `candidates`.

    `groups` says which features of a Gaussian process share a scale; None gives each feature its own.
    """
    from latlas.latency.samples.gaussian_process import MAX_SAMPLES as MOST
    from latlas.latency.samples.gaussian_process import GaussianProcess
    from latlas.latency.samples.lightgbm import LightGBMRegressor

    matrix, latencies, spread = check_samples(X, y, errors, 10)
    if candidates is None:
        candidates = [LightGBMRegressor(seed=seed)]
        if len(latencies) <= MOST:
            candidates = [GaussianProcess(groups=groups, seed=seed), *candidates]
    fitted = [candidate.fit(matrix, latencies, spread) for candidate in candidates]
    return min(fitted, key=lambda one: left_out_error(one, latencies))


def regressor_from_record(record: object) -> Regressor:
    """The regressor of a record, by its `name`; raises `FileFormatError` if it is none."""
    from latlas.latency.samples.gaussian_process import GaussianProcess
    from latlas.latency.samples.lightgbm import LightGBMRegressor

    known: dict[str, type[Regressor]] = {kind.name: kind for kind in (GaussianProcess, LightGBMRegressor)}
    name = record.get("name") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(name, str) or name not in known:
        raise FileFormatError(f"the predictor's regressor is {name!r:.40}; known: {', '.join(sorted(known))}")
    return known[name].from_record(record)
