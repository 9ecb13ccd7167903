"""Whether a machine ran at its usual speed and steadily while it measured, and what to do where it did not.

`usual` latencies of the references are remembered for a user, one short list for each environment, in
`$XDG_CACHE_HOME/latlas/references.json` (`~/.cache` where that is not set). Nothing but these warnings goes by it.
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
"""From which factor on, as a logarithm, a reference's latency is far off the usual one."""
BUSY_SHARE = 0.5
"""Share of busy passes from which on other work is the rule and not a burst."""
REMEMBERED = 30
"""Campaigns of an environment whose reference is remembered."""
LEAST_REMEMBERED = 3
"""So many earlier campaigns say what is usual; fewer say nothing."""
HALVED = 4
"""Passes from which on the earlier half is held against the later one."""


def pace_warning(ratio: float, when: str) -> str:
    """A warning where latencies are this many times those `when`, and far off them; else empty."""
    if abs(math.log(ratio)) <= FAR:
        return ""
    return (
        f"this machine runs at {ratio:.2f} times the latency {when}: another measurement of the same network may lie outside of "
        "these intervals. Wait until other work has ended (`latlas doctor` names it), or measure with `--predictor`, which holds "
        "sessions against networks that it knows"
    )


def steadiness_warnings(measured: Sequence[Measured], rule: StopRule) -> list[str]:
    """What the passes of a campaign themselves say: that most were busy, or that a network's later ones disagree with the
    earlier ones beyond their intervals."""
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
    """The reference's usual latency in this environment, None where too few campaigns are remembered."""
    earlier = _read(path or usual_path()).get(_key(environment), [])
    return median(earlier) if len(earlier) >= LEAST_REMEMBERED else None


def remember(environment: Environment, path: Path | None = None) -> None:
    """Remember the reference's latency of a campaign; where the file cannot be written nothing is."""
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
    """What is remembered; nothing where the file is missing or broken."""
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
