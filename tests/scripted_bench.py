"""A bench without a process, for tests where the stopwatch is not the point."""

import time
from typing import Any

from latlas.latency.measuring.bench import Bench
from latlas.latency.measuring.stopwatch import Pass
from latlas.latency.runtime.plugin import openvino_version
from latlas.latency.runtime.reference import reference_of
from latlas.spaces.text import parse_architecture


class ScriptedBench(Bench):
    """What it times takes what its multiply-adds say; a constant where its label is not that of an architecture of `spaces`."""

    spaces: tuple[str, ...] = ()

    def __enter__(self) -> Bench:
        self.openvino_version, self.reference_id = openvino_version(), reference_of(self.reference).id
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def time(self, network: Any) -> Pass:
        label = network.label.removeprefix("anchor ")
        macs = parse_architecture(label).macs if label.startswith(self.spaces) else 20_000
        return Pass((1.0,) * 3, (0.05 + macs / 1e7,) * 3, at=time.time())

    def node_times(self, network: Any) -> dict[str, Any]:
        return {"call_us": 1.0, "samples": [{"border_us": [1.0], "inner_us": [6.0], "wall_us": 8.0}] * 3}
