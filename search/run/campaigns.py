"""The campaigns of a run: each opens the timing process and the host's lock for itself, and is kept raw in the journal.

In between, while candidates are scored and networks trained, others on the host may measure. What a run makes of its
campaigns, it makes of the recorded passes: a run that goes on has the readings that it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from latlas.latency.machine.environment import Environment, require_same
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, Network
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.steadiness import remember
from latlas.latency.measuring.time_left import Progress
from latlas.search.run.journal import RunJournal

T = TypeVar("T")

SETTLE_SECONDS = 0.3
"""Between training threads and the stopwatch: torch's thread pool spins for a while after its work."""


@dataclass
class Campaigns:
    """What measures for a run: as `campaign.measure_all`, from the journal, where there is one, if it has been done."""

    setting: Setting
    journal: RunJournal | None = None
    on_progress: Callable[[Progress], None] | None = None
    _first: Environment | None = field(default=None, init=False)
    _bench: Bench = field(init=False)

    def __post_init__(self) -> None:
        self._bench = self.setting.bench()  # one for all: it remembers the reference's quiet level

    @property
    def environment(self) -> Environment:
        """That of the first campaign; later ones agree with it, in whatever process they ran."""
        assert self._first is not None, "nothing was measured yet"
        return self._first

    @property
    def replaying(self) -> bool:
        """Whether the next campaign has been done."""
        return self.journal is not None and self.journal.replaying

    def measure_all(self, networks: Sequence[Network], **options: Any) -> dict[str, Measured]:
        """Every network's passes, by label; `options` are those of `campaign.measure_all`.

        Raises `EnvironmentMismatchError` where this machine is not the one that the run began on.
        """
        along: Sequence[Network] = options.get("along", ())
        labels = [network.label for network in (*networks, *along)]

        def answer() -> dict[str, Any]:
            time.sleep(SETTLE_SECONDS)
            with self._bench as bench:
                found = campaign.measure_all(bench, networks, on_progress=self.on_progress, **options)
                environment = self.setting.environment(bench, self._reference_ms(list(found.values())))
                remember(environment)
            if self._first is not None:
                require_same(self._first, environment, "go on with this search here")
            records = [record for one in found.values() for record in campaign.records_of(one)]
            return {"environment": environment.to_record(), "records": records}

        def read(value: Any) -> tuple[Environment, dict[str, Measured]]:
            origin = f"{self.journal.path}, a campaign" if self.journal else "a campaign"
            environment = Environment.from_record(value["environment"], origin)
            return environment, campaign.restored(labels, value["records"], self.setting.rule, origin)

        ask = self.journal.ask if self.journal else _ask_nobody_else
        environment, found = ask("campaign", labels, answer, read)
        self._first = self._first or environment
        return found

    def _reference_ms(self, measured: Sequence[Measured]) -> float:
        """The reference's in this campaign; the first's where nothing of it could be timed, which is its networks' matter."""
        if self._first is not None and not any(one.passes for one in measured):
            return self._first.session_reference_ms
        return campaign.reference_ms(measured)


def _ask_nobody_else(kind: str, key: object, answer: Callable[[], Any], read: Callable[[Any], T]) -> T:
    return read(answer())
