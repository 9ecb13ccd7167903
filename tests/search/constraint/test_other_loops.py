"""What the README says of using the constraint in another search runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from latlas.latency.machine.environment import detect
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import SavedPredictor, save_predictor
from latlas.search.constraint.simulated import SimulatedMachine
from latlas.spaces.portrait import PortraitSpace

README = Path(__file__).parents[3] / "README.md"
BLOCKS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if "constraint" in block
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a predictor whose networks take 3.5 ms in median."""
    space, machine = PortraitSpace(), SimulatedMachine(1)
    train = space.sample(40, np.random.default_rng(1))
    latencies = np.array([machine.latency_ms(one.graph()) for one in train])
    predictor = LatencyPredictor().fit([one.graph() for one in train], latencies * 3.5 / np.median(latencies))
    environment = detect(
        threads=1, streams=1, precision="f32", batch=1, openvino_version="1", reference_id="r", reference_ms=1.0
    )  # fmt: skip
    save_predictor(tmp_path / "predictor", SavedPredictor(predictor, environment, space.text, {}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_python_runs(folder):
    assert BLOCKS
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)
    counts = names["constraint"].counts
    assert counts.accepted >= len(names["feasible"]) > 0
    assert counts.accepted + counts.rejected >= 100


class Theirs:
    """An architecture of somebody else's search: it has a graph, and that is all."""

    def __init__(self, operators):
        self.operators = operators

    def graph(self):
        return PortraitSpace().architecture(self.operators).graph()


def test_an_architecture_is_anything_with_a_graph(folder):
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.search.constraint.constraint import LatencyConstraint

    space = PortraitSpace()
    constraint = LatencyConstraint(load_predictor(Path("predictor")).predictor, budget_ms=3.5)
    candidates = space.sample(30, np.random.default_rng(2))
    verdicts = constraint.check_all([Theirs(one.operators) for one in candidates])
    again = LatencyConstraint(constraint.predictor, budget_ms=3.5).check_all(candidates)
    assert verdicts == again
    assert {one.feasible for one in verdicts} == {True, False}
