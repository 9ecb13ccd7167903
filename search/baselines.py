"""Checks that a space has the baselines that a search names. It does not load torch."""

from __future__ import annotations

from latlas.choices import did_you_mean
from latlas.errors import UsageError
from latlas.search.config import SearchConfig
from latlas.spaces.space import SearchSpace


def require_baselines(space: SearchSpace, config: SearchConfig) -> None:
    """Raise `UsageError` for a baseline or rival that the space does not have."""
    budget = [config.budget_ms] if isinstance(config.budget_ms, str) else []
    for name in (config.baseline, *config.rivals, *budget):
        if not space.is_baseline(name):
            raise UsageError(
                f"{space.name} has no baseline {name!r:.80}; it has {', '.join(space.baselines)}"
                + did_you_mean(name[:80], space.baselines)
            )
