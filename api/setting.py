"""The options of a measurement, and the `Setting` that they make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.errors import UsageError
from latlas.files.places import require_can_write
from latlas.latency.precisions import PRECISIONS
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.measuring.profile import Setting
    from latlas.spaces.space import SearchSpace

MEASURING = "Measuring"
OnNote = Callable[[str], None]
"""Is told what happens, a line at a time."""
OnProgress = Callable[[int, int, str, "float | None", str], None]
"""Is told how many of how many are done, what is done now, the seconds left, and the phase.

The seconds are None where they are not known. What is counted changes with the phase, and only with it; it is empty in the
phase that the call is named after.
"""


def tell_nobody(done: int, total: int, what: str, seconds_left: float | None, phase: str) -> None:
    """An `OnProgress` that does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Options: how carefully to measure."""

    relative_error: float = option(
        0.01, "Half width of the 95 % interval that is asked for.", group=MEASURING, above=0, below=1
    )
    lock_timeout: float | None = option(
        None,
        "Seconds to wait for another run on this host. 0 does not wait. Default: for ever.",
        group=MEASURING,
        at_least=0,
        metavar="S",
    )
    seed: int = option(0, "Seed of everything that chance decides.", at_least=0, at_most=2**31 - 1)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring(Care):
    """Options: what to measure, and how carefully."""

    precision: str = option("f32", "f32, bf16 or int8. It is always set, never left to OpenVINO.", choices=PRECISIONS)
    threads: int = option(1, "Inference threads.", at_least=1)
    batch: int = option(1, "Images an inference.", at_least=1, at_most=4096)

    def setting(self) -> Setting:
        """The setting of these options; raises `UsageError` for a precision or threads that this machine does not have."""
        return setting_of(self.precision, self.threads, self.relative_error, self.seed, self.batch)


def setting_of(
    precision: str, threads: int, relative_error: float = 0.01, seed: int = 0, batch: int = 1, any_threads: bool = False
) -> Setting:
    """The setting of these options; with `any_threads` the caller checks the number of threads."""
    from latlas.latency.machine.usable import require_threads
    from latlas.latency.measuring.profile import Setting
    from latlas.latency.measuring.stopwatch import StopRule
    from latlas.latency.runtime.plugin import require_precision

    require_precision(precision)
    if not any_threads:
        require_threads(threads)
    if not 0 < relative_error < 1:
        raise UsageError(f"--relative-error is {relative_error}; it must lie between 0 and 1, as 0.01 for 1 %")
    rule = StopRule(relative_half_width=relative_error)
    # A steady network reaches one per cent with six passes; the error falls with the square root of their number.
    passes = max(3, math.ceil(6 * (0.01 / relative_error) ** 2))
    return Setting(
        precision=precision, threads=threads, batch=batch, seed=seed, rule=rule, passes=passes, max_passes=4 * passes
    )


def default_table(
    space: SearchSpace, precision: str, threads: int, batch: int = 1, folder: Path = Path("tables")
) -> Path:
    """The path of a published table of this machine."""
    from latlas.latency.machine.environment import cpu_model
    from latlas.latency.sharing.names import table_path

    return folder / table_path(cpu_model(), space.text, precision, threads, batch)


def require_new(path: Path, force: bool) -> None:
    """Raises `UsageError` if something is there that may not be replaced, or if nothing can be written."""
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; choose another path, or --force to replace it")
    require_can_write(path)
