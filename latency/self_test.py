"""The A/A run: a reference measured against itself in fresh compiles, where every ratio should be one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from latlas.latency import campaign
from latlas.latency.bench import Network, Timer
from latlas.latency.campaign import Progress
from latlas.latency.profile import Setting
from latlas.latency.reference import reference_of
from latlas.latency.stopwatch import Pass, disagreement

SIMULATED = 24
"""Entries of a campaign that are played through to foresee its cost: enough that their mean is steady, in a second or so."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """An A/A run's passes, settled, in the order they ran; `pass_seconds` is what each took, its compile included."""

    reference: str
    reference_id: str
    passes: tuple[Pass, ...]
    pass_seconds: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratios of the passes that were not busy."""
        return tuple(one.ratio for one in self.passes if one.quiet)

    @property
    def noise_floor(self) -> float | None:
        """Mean relative difference of two passes, over all pairs of them; None with fewer than two quiet ones.

        The same as a table's noise floor, of which each network gives one pair.
        """
        return disagreement(combinations(self.ratios, 2)) if len(self.ratios) > 1 else None

    def noise_floor_interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """An interval of the noise floor, wide with few passes; None where there is no floor.

        For normal ratios the mean difference of two is 2/sqrt(pi) of their standard deviation, whose interval is that of
        the chi-square distribution with one degree of freedom less than there are passes.
        """
        from scipy.stats import chi2

        floor, freedom = self.noise_floor, len(self.ratios) - 1
        if floor is None:
            return None
        tail = (1 - confidence) / 2
        low, high = (floor * math.sqrt(freedom / chi2.ppf(share, freedom)) for share in (1 - tail, tail))
        return float(low), float(high)

    @property
    def offset(self) -> float | None:
        """The mean ratio less one: how a fresh compile differs from the one that the process keeps."""
        return fmean(self.ratios) - 1 if self.ratios else None

    @property
    def reference_ms(self) -> float:
        """The reference's own latency: the median over the passes, busy ones left out."""
        return median(one.reference_ms for one in self._counted)

    @property
    def rounds(self) -> int:
        """All rounds of all passes."""
        return sum(len(one.rounds) for one in self.passes)

    @property
    def busy_share(self) -> float:
        """The share of rounds in which the reference was above its quiet level."""
        return sum(one.discarded for one in self.passes) / self.rounds

    @property
    def drift(self) -> float | None:
        """The reference's latency in the later half of the passes over that in the earlier half, less one."""
        times = [one.reference_ms for one in self._counted]
        half = len(times) // 2
        return median(times[-half:]) / median(times[:half]) - 1 if half else None

    @property
    def _counted(self) -> Sequence[Pass]:
        return [one for one in self.passes if one.quiet] or self.passes

    def to_dict(self) -> dict[str, Any]:
        """What it says, as JSON has it."""
        interval = self.noise_floor_interval()
        return {
            "reference_id": self.reference_id,
            "reference_ms": self.reference_ms,
            "noise_floor": self.noise_floor,
            "noise_floor_lower": interval[0] if interval else None,
            "noise_floor_upper": interval[1] if interval else None,
            "offset": self.offset,
            "passes": len(self.passes),
            "busy_passes": len(self.passes) - len(self.ratios),
            "rounds": self.rounds,
            "busy_share": self.busy_share,
            "drift": self.drift,
            "seconds_a_pass": fmean(self.pass_seconds),
        }


class _Clocked:
    """A timer that keeps what each of its passes took."""

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
    """The reference of that name against itself, so many times (one more where that is odd).

    Measured as a campaign measures: networks with two passes each, in random order. Raises `LatlasError` where it cannot
    be compiled or timed.
    """
    from latlas.latency.runtime import reference_model, save

    with TemporaryDirectory(prefix="latlas-") as folder:
        path = Path(folder) / "reference.xml"
        save(reference_model(reference_of(reference)), path)
        networks = [Network(f"A/A {reference} {index}", file=str(path)) for index in range(math.ceil(passes / 2))]
        with setting.bench(reference) as bench:
            timer = _Clocked(bench)
            found = campaign.measure_all(
                timer,
                networks,
                passes=2,
                max_passes=2,
                repeat_noisy=False,
                seed=setting.seed,
                on_progress=on_progress,
            )
            campaign.reference_ms(list(found.values()))  # says why, where nothing could be measured
    done = sorted((one for measured in found.values() for one in measured.passes), key=lambda one: one.at)
    return SelfTest(reference, bench.reference_id, tuple(done), tuple(timer.seconds))


class _Replay:
    """A timer that plays an A/A run's passes again, each network its own random order of them, and counts their time."""

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
    """What measuring so many entries is foreseen to take; `met_share` of them meet the asked error."""

    entries: int
    relative_error: float
    passes_each: float
    met_share: float
    seconds: float


def foresee(run: SelfTest, setting: Setting, entries: int, repeat_noisy: bool) -> Cost:
    """The cost of a campaign over `entries` networks that are as the reference, at the setting's error.

    A campaign is played through with the A/A run's passes in place of new ones, so that its own rules say how many it
    needs. Converting the operators comes on top.
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
        relative_error=setting.rule.relative_error,
        passes_each=fmean(len(one.passes) for one in found),
        met_share=fmean(one.reading(setting.rule).status == "ok" for one in found),
        seconds=replay.spent * entries / len(networks),
    )
