"""The time left of a job of several commands: as planned, corrected by what its parts have taken so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MEASURING = "measuring"
"""The kind of work whose bars know best how long they still take."""
PRIOR_SECONDS = 10.0
"""How long a kind of work must have been planned to take before its own pace counts for more than the plan."""
PRIOR_SHARE = 0.1
"""Share of a phase's work that the plan counts for beside the pace that the phase itself has shown."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Work of one command that a bar of this title shows.

    `units` is what the bar counts, over all its `parts` together, and takes `seconds`; before each part lies a silence of
    `quiet_seconds`. What is of one `kind` is slowed alike. A phase is over when a later one of its command has begun; one that is
    `interleaved` has its parts among those of others, and ends none of them.
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
    """What was seen of a phase: units and parts done, and the seconds that they took."""

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
        """Seconds a unit: the plan's times `factor`, and what was seen."""
        prior = PRIOR_SHARE * self.phase.units
        return (prior * self.planned_pace * factor + self.seconds) / (prior + self.timed_units)


@dataclass
class Job:
    """A plan that is followed: tell it which command begins, and where its bars stand.

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
        """The command begins: those before it in the plan are done, now or earlier."""
        first = next(i for i, one in enumerate(self._states) if one.phase.command == command)
        for one in self._states[:first]:
            one.over = True
        self._command, self._last = command, self.clock()

    def time_left(self, title: str, done: float, total: float, seconds: float | None) -> float:
        """Seconds left of the job, told that a bar of this title is at `done` of `total`, and its own estimate.

        A title that the plan does not know changes nothing but the clock.
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
                one.current = one.total  # its part has come to its end since it was last heard of
            elif index < place and not state.phase.interleaved:
                one.over = True
        if not state.parts or done < state.current:
            # A new part: what went before was its silence.
            state.before, state.current, state.total = state.before + state.total, float(done), float(total)
            state.parts += 1
        else:
            state.timed_units += done - state.current
            state.seconds += spent
            state.current, state.total = float(done), float(total)
        part_left = max(0.0, total - done)
        pace = state.pace(self._factor(state.phase.kind))
        # A campaign knows what is noisy and measured again; other bars know no more than is known here.
        own = seconds if seconds is not None and state.phase.kind == MEASURING else part_left * pace
        others = sum(self._left(one) for one in self._states if one is not state)
        rest = max(0.0, state.phase.units - state.units - part_left) * pace
        return own + rest + others + state.quiet_left * self._factor()

    def seconds_left(self) -> float:
        """Seconds left of the job as far as is known."""
        return sum(self._left(one) for one in self._states)

    def _left(self, one: _State) -> float:
        if one.over:
            return 0.0
        units = max(0.0, one.phase.units - one.units)
        return units * one.pace(self._factor(one.phase.kind)) + one.quiet_left * self._factor()

    def _factor(self, kind: str = "") -> float:
        """How much longer work takes here than planned, 1 before anything was seen.

        Of this kind as far as it was seen; of another half of what was seen of all, on a scale of factors: neighbours slow all
        work, a slower kernel only one.
        """
        overall = math.sqrt(self._ratio(self._states, 1.0))
        return self._ratio([one for one in self._states if one.phase.kind == kind], overall) if kind else overall

    @staticmethod
    def _ratio(states: Sequence[_State], prior: float) -> float:
        planned = sum(one.planned_pace * one.timed_units for one in states)
        taken = sum(one.seconds for one in states)
        return (PRIOR_SECONDS * prior + taken) / (PRIOR_SECONDS + planned)
