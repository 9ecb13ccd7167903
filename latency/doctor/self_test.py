"""The A/A run: it measures a reference against itself in fresh compiles, so every ratio should be one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, median
from typing import Any

import numpy as np

from latlas.files.scratch import scratch_folder
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Network, Timer
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass, disagreement
from latlas.latency.measuring.time_left import Progress
from latlas.latency.runtime.reference import reference_of

SIMULATED = 24
"""How many entries of a campaign are simulated to estimate its cost: enough for a steady mean, within about a second."""
SHARED_OUT = 100
"""The noise floor is the mean over this many random ways to divide an A/A run's passes into readings."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The passes of an A/A run with their quiet levels, in the order in which they ran.

    `pass_seconds` is how long each took, compiling included; `reading_passes` of them make one reading.
    """

    reference: str
    reference_id: str
    passes: tuple[Pass, ...]
    pass_seconds: tuple[float, ...]
    reading_passes: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratios of the passes that were not busy."""
        return tuple(one.ratio for one in self.passes if one.quiet)

    @property
    def noise_floor(self) -> float | None:
        """Relative difference of two readings, as `stopwatch.disagreement` of a table; None with fewer than two quiet passes.

        All passes time one network, so any of them can make a reading: this is the mean over random ways to divide them.
        """
        if len(self.ratios) < 2:
            return None
        rng, count = np.random.default_rng(0), max(1, len(self.ratios) // self.reading_passes)
        shared = (np.array_split(rng.permutation(self.ratios), count) for _ in range(SHARED_OUT))
        return fmean(disagreement(one.tolist() for one in readings) for readings in shared)

    def noise_floor_interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """An interval of the noise floor, wide with few passes; None if there is no noise floor.

        The floor is proportional to the standard deviation of the passes. For normal ratios its interval follows from the
        chi-square distribution, with one degree of freedom fewer than passes.
        """
        from scipy.stats import chi2

        floor, freedom = self.noise_floor, len(self.ratios) - 1
        if floor is None:
            return None
        tail = (1 - confidence) / 2
        low, high = (floor * math.sqrt(freedom / chi2.ppf(share, freedom)) for share in (1 - tail, tail))
        return float(low), float(high)

    @property
    def pass_difference(self) -> float | None:
        """Mean relative difference of two passes, over all pairs of quiet ones; None with fewer than two."""
        pairs = list(combinations(self.ratios, 2))
        return fmean(abs(a - b) / ((a + b) / 2) for a, b in pairs) if pairs else None

    @property
    def offset(self) -> float | None:
        """The mean ratio less one; with few passes, the difference between two compiles of the reference does not average out."""
        return fmean(self.ratios) - 1 if self.ratios else None

    @property
    def reference_ms(self) -> float:
        """The reference's own latency: the median over the passes that were not busy."""
        return median(one.reference_ms for one in self._counted)

    @property
    def busy_share(self) -> float:
        """The share of passes that were busy: the reference ran above its quiet level."""
        return 1 - len(self.ratios) / len(self.passes)

    @property
    def drift(self) -> float | None:
        """The relative change of the reference's latency from the earlier to the later half of the passes."""
        times = [one.reference_ms for one in self._counted]
        half = len(times) // 2
        return median(times[-half:]) / median(times[:half]) - 1 if half else None

    @property
    def _counted(self) -> Sequence[Pass]:
        return [one for one in self.passes if one.quiet] or self.passes

    def to_record(self) -> dict[str, Any]:
        """The results of the run as a record for JSON."""
        interval = self.noise_floor_interval()
        return {
            "reference_id": self.reference_id,
            "reference_ms": self.reference_ms,
            "noise_floor": self.noise_floor,
            "noise_floor_lower": interval[0] if interval else None,
            "noise_floor_upper": interval[1] if interval else None,
            "pass_difference": self.pass_difference,
            "offset": self.offset,
            "passes": len(self.passes),
            "busy_passes": len(self.passes) - len(self.ratios),
            "busy_share": self.busy_share,
            "drift": self.drift,
            "seconds_a_pass": fmean(self.pass_seconds),
        }


class _Clocked:
    """A timer that remembers how long each of its passes took."""

    def __init__(self, timer: Timer) -> None:
        self.rule, self._timer, self.seconds = timer.rule, timer, list[float]()

    def time(self, network: Network) -> Pass:
        started = time.monotonic()
        done = self._timer.time(network)
        self.seconds.append(time.monotonic() - started)
        return done


def self_test(
    setting: Setting, reference: str, passes: int, on_progress: Callable[[Progress], None] | None = None
) -> SelfTest:
    """Measure the named reference against itself, in at least `passes` passes.

    It measures as a campaign does: several networks, in random order, each with the passes of one reading. Raises
    `LatlasError` if the reference cannot be compiled or timed.
    """
    from latlas.latency.runtime.model_file import save
    from latlas.latency.runtime.stitching import reference_model

    with scratch_folder() as folder:
        path = folder / "reference.xml"
        save(reference_model(reference_of(reference)), path)
        count = max(1, passes // setting.passes)
        each = math.ceil(passes / count)
        networks = [Network(f"A/A {reference} {index}", file=str(path)) for index in range(count)]
        with setting.bench(reference) as bench:
            timer = _Clocked(bench)
            found = campaign.measure_all(
                timer,
                networks,
                passes=each,
                max_passes=each,
                repeat_noisy=False,
                seed=setting.seed,
                on_progress=on_progress,
            )
            campaign.reference_ms(list(found.values()))  # raises with the reason if nothing could be measured
    done = sorted((one for measured in found.values() for one in measured.passes), key=lambda one: one.at)
    return SelfTest(reference, bench.reference_id, tuple(done), tuple(timer.seconds), setting.passes)


class _Replay:
    """A timer that replays the passes of an A/A run, in another random order for each network, and counts their time."""

    def __init__(self, run: SelfTest, setting: Setting) -> None:
        self.rule, self.spent = setting.rule, 0.0
        self._run, self._rng = run, np.random.default_rng(setting.seed)
        self._left: dict[str, list[int]] = {}

    def time(self, network: Network) -> Pass:
        left = self._left.setdefault(network.label, [])
        if not left:
            left += self._rng.permutation(len(self._run.passes)).tolist()
        index = left.pop()
        self.spent += self._run.pass_seconds[index]
        return replace(self._run.passes[index], at=self.spent, quiet_ms=None, adjustment=1.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimated cost of measuring `entries` networks; `met_share` of them meet the asked error."""

    entries: int
    relative_half_width: float
    passes_each: float
    met_share: float
    seconds: float


def estimate_cost(run: SelfTest, setting: Setting, entries: int, repeat_noisy: bool) -> Cost:
    """The estimated cost of a campaign over `entries` networks like the reference, at the setting's error.

    A campaign is simulated with the passes of the A/A run instead of new ones, so its own rules say how many it needs. The
    time to convert the operators is not included.
    """
    replay = _Replay(run, setting)
    networks = [Network(str(index)) for index in range(min(entries, SIMULATED))]
    found = campaign.measure_all(
        replay,
        networks,
        passes=setting.passes,
        max_passes=setting.max_passes,
        repeat_noisy=repeat_noisy,
        seed=setting.seed,
    ).values()
    return Cost(
        entries=entries,
        relative_half_width=setting.rule.relative_half_width,
        passes_each=fmean(len(one.passes) for one in found),
        met_share=fmean(one.reading(setting.rule).status == "ok" for one in found),
        seconds=replay.spent * entries / len(networks),
    )
