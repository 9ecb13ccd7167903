"""The measuring campaigns of a run. Each takes the host's lock and opens the timing process, and is stored raw in the journal.

Between campaigns, while candidates are scored and networks trained, other processes on the host may measure. Readings are always
computed from the recorded passes, so a resumed run has the same readings.
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
"""Pause between training and the stopwatch: torch's thread pool spins for a while after its work."""


@dataclass
class Campaigns:
    """Measures for a run, like `campaign.measure_all`. A campaign that is in the journal is read from there."""

    setting: Setting
    journal: RunJournal | None = None
    on_progress: Callable[[Progress], None] | None = None
    _first: Environment | None = field(default=None, init=False)
    _bench: Bench = field(init=False)

    def __post_init__(self) -> None:
        self._bench = self.setting.bench()  # one for all campaigns, because it remembers the reference's quiet level

    @property
    def environment(self) -> Environment:
        """The environment of the first campaign. Later campaigns agree with it, whichever process ran them."""
        assert self._first is not None, "nothing was measured yet"
        return self._first

    @property
    def replaying(self) -> bool:
        """Whether the next campaign is in the journal already."""
        return self.journal is not None and self.journal.replaying

    def measure_all(self, networks: Sequence[Network], **options: Any) -> dict[str, Measured]:
        """Every network's passes, by label. `options` are passed to `campaign.measure_all`.

        Raises `EnvironmentMismatchError` if the run began on another machine.
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
        """The reference's latency in this campaign. If no network could be timed, it is the first campaign's."""
        if self._first is not None and not any(one.passes for one in measured):
            return self._first.session_reference_ms
        return campaign.reference_ms(measured)


def _ask_nobody_else(kind: str, key: object, answer: Callable[[], Any], read: Callable[[Any], T]) -> T:
    return read(answer())
