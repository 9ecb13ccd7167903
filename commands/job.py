"""The time left of a job of several commands: the plan, corrected by the time that its parts have taken so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MEASURING = "measuring"
"""The kind of work whose own bars estimate their time left best."""
PRIOR_SECONDS = 10.0
"""When finished work of a kind was planned to take this long, its own pace counts for more than the plan."""
PRIOR_SHARE = 0.1
"""The weight of the plan, as a share of a phase's work, beside the pace that the phase itself has shown."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The work of one command that a bar with this title shows.

    The bar counts `units` over all its `parts` together; they take `seconds`. Before each part the bar is silent for
    `quiet_seconds`. Work of one `kind` is slowed by the same factor. A phase ends when a later phase of its command begins. The
    parts of an `interleaved` phase lie between the parts of other phases, and end none of them.
    """

    command: str
    title: str
    kind: str
    units: float
    seconds: float
    quiet_seconds: float = 0.0
    parts: int = 1
    interleaved: bool = False


@dataclass(slots=True)
class _State:
    """The progress of a phase: finished units and parts, and the seconds that they took."""

    phase: Phase
    before: float = 0.0
    current: float = 0.0
    total: float = 0.0
    parts: int = 0
    timed_units: float = 0.0
    seconds: float = 0.0
    over: bool = False

    @property
    def units(self) -> float:
        return self.before + self.current

    @property
    def planned_pace(self) -> float:
        return self.phase.seconds / self.phase.units

    @property
    def quiet_left(self) -> float:
        return 0.0 if self.over else max(0, self.phase.parts - self.parts) * self.phase.quiet_seconds

    def pace(self, factor: float) -> float:
        """The seconds for a unit, from the plan times `factor` and from the pace so far."""
        prior = PRIOR_SHARE * self.phase.units
        return (prior * self.planned_pace * factor + self.seconds) / (prior + self.timed_units)


@dataclass
class Job:
    """A plan in progress. Tell it which command begins, and the positions of its bars.

    Example:
        >>> job = Job([Phase("train", "training", "training", units=100, seconds=50)], clock=lambda: 0.0)
        >>> job.begin("train")
        >>> job.seconds_left()
        50.0
    """

    plan: Sequence[Phase]
    clock: Callable[[], float] = time.monotonic
    _states: list[_State] = field(init=False)
    _command: str = field(init=False, default="")
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._states = [_State(phase) for phase in self.plan]
        self._last = self.clock()

    def begin(self, command: str) -> None:
        """Note that a command begins; the commands before it in the plan are then done."""
        first = next(i for i, one in enumerate(self._states) if one.phase.command == command)
        for one in self._states[:first]:
            one.over = True
        self._command, self._last = command, self.clock()

    def time_left(self, title: str, done: float, total: float, seconds: float | None) -> float:
        """The seconds left of the job, after a bar with this title reported `done` of `total` and its own estimate.

        A title that is not in the plan changes only the clock.
        """
        now = self.clock()
        spent, self._last = now - self._last, now
        known = [one for one in self._states if (one.phase.command, one.phase.title) == (self._command, title)]
        if not known:
            return self.seconds_left()
        (state,) = known
        place = self._states.index(state)
        for index, one in enumerate(self._states):
            if one.phase.interleaved and one is not state:
                one.current = one.total  # its part has ended since the last report
            elif index < place and not state.phase.interleaved:
                one.over = True
        if not state.parts or done < state.current:
            # A new part; the time before it was its silence.
            state.before, state.current, state.total = state.before + state.total, float(done), float(total)
            state.parts += 1
        else:
            state.timed_units += done - state.current
            state.seconds += spent
            state.current, state.total = float(done), float(total)
        part_left = max(0.0, total - done)
        pace = state.pace(self._factor(state.phase.kind))
        # A campaign knows which measurements it repeats; other bars know no more than this plan.
        own = seconds if seconds is not None and state.phase.kind == MEASURING else part_left * pace
        others = sum(self._left(one) for one in self._states if one is not state)
        rest = max(0.0, state.phase.units - state.units - part_left) * pace
        return own + rest + others + state.quiet_left * self._factor()

    def seconds_left(self) -> float:
        """The estimated seconds left of the job."""
        return sum(self._left(one) for one in self._states)

    def _left(self, one: _State) -> float:
        if one.over:
            return 0.0
        units = max(0.0, one.phase.units - one.units)
        return units * one.pace(self._factor(one.phase.kind)) + one.quiet_left * self._factor()

    def _factor(self, kind: str = "") -> float:
        """How many times longer than planned work takes here; 1 at the beginning.

        For a kind that has run, it is the factor of this kind. For another kind it is the square root of the factor over all
        work: busy neighbours slow every kind, a slower kernel only one.
        """
        overall = math.sqrt(self._ratio(self._states, 1.0))
        return self._ratio([one for one in self._states if one.phase.kind == kind], overall) if kind else overall

    @staticmethod
    def _ratio(states: Sequence[_State], prior: float) -> float:
        planned = sum(one.planned_pace * one.timed_units for one in states)
        taken = sum(one.seconds for one in states)
        return (PRIOR_SECONDS * prior + taken) / (PRIOR_SECONDS + planned)
