"""Warns if a machine did not run at its usual speed, or not steadily, while it measured.

The references' latencies are remembered for each user, in one short list for each environment, in
`$XDG_CACHE_HOME/latlas/references.json` (`~/.cache` if that is not set). Only these warnings use them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from latlas.errors import LatlasError
from latlas.files.write import write_text
from latlas.latency.machine.environment import Environment
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.stopwatch import StopRule, combine

FAR = 0.05
"""A reference is far off its usual latency if the logarithm of their ratio is above this."""
BUSY_SHARE = 0.5
"""If more than this share of the passes were busy, other work was the rule and not a burst."""
REMEMBERED = 30
"""How many campaigns of an environment are remembered."""
LEAST_REMEMBERED = 3
"""How many earlier campaigns it takes to say what is usual."""
HALVED = 4
"""From this many passes on, the earlier half is compared with the later half."""


def pace_warning(ratio: float, when: str) -> str:
    """A warning if latencies are far off, at `ratio` times the latencies of `when`; else empty."""
    if abs(math.log(ratio)) <= FAR:
        return ""
    return (
        f"this machine runs at {ratio:.2f} times the latency {when}: another measurement of the same network may lie outside of "
        "these intervals. Wait until other work has ended (`latlas doctor` names it), or measure with `--predictor`, which holds "
        "sessions against networks that it knows"
    )


def steadiness_warnings(measured: Sequence[Measured], rule: StopRule) -> list[str]:
    """Warnings from the passes of a campaign: most were busy, or the later passes of a network disagree with its earlier ones
    beyond their intervals."""
    passes = [done for one in measured for done in one.passes]
    busy = sum(not done.quiet for done in passes)
    found = []
    if passes and busy >= BUSY_SHARE * len(passes):
        found.append(
            f"{busy} of {len(passes)} passes were busy: other work ran meanwhile; wait until it has ended "
            "(`latlas doctor` names it)"
        )
    for one in measured:
        quiet = sorted((done for done in one.passes if done.quiet), key=lambda done: done.at)
        if len(quiet) < HALVED:
            continue
        early, late = (combine(half, rule) for half in (quiet[: len(quiet) // 2], quiet[len(quiet) // 2 :]))
        if early.upper < late.lower or late.upper < early.lower:
            parts = [f"{half.ratio:.3f} [{half.lower:.3f}, {half.upper:.3f}]" for half in (early, late)]
            found.append(
                f"{one.label}: its earlier passes say {parts[0]} times the reference, its later ones {parts[1]}: the machine "
                "changed meanwhile; measure again"
            )
    return found


def usual_path() -> Path:
    """The file of the usual latencies."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "latlas" / "references.json"


def usual_ms(environment: Environment, path: Path | None = None) -> float | None:
    """The reference's usual latency in this environment; None if too few campaigns are remembered."""
    earlier = _read(path or usual_path()).get(_key(environment), [])
    return median(earlier) if len(earlier) >= LEAST_REMEMBERED else None


def remember(environment: Environment, path: Path | None = None) -> None:
    """Remember the reference's latency of a campaign; if the file cannot be written, do nothing."""
    if environment.reference_ms is None:
        return
    path = path or usual_path()
    known = _read(path)
    key = _key(environment)
    known[key] = [*known.get(key, []), round(environment.reference_ms, 6)][-REMEMBERED:]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1) + "\n", overwrite=True)
    except (LatlasError, OSError):
        return


def _key(environment: Environment) -> str:
    return " | ".join(f"{name} {value}" for name, value in sorted(environment.key().items()) if name != "batch")


def _read(path: Path) -> dict[str, list[float]]:
    """The remembered latencies by environment; empty if the file is missing or broken."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        str(key): [float(one) for one in values if isinstance(one, int | float) and 0 < one < math.inf]
        for key, values in known.items()
        if isinstance(values, list)
    }
