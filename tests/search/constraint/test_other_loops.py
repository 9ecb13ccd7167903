"""What docs/python.md says about the constraint in another search runs."""

from typing import Any

import numpy as np
import pytest

import latlas
from benchmarks.simulated import SimulatedMachine
from latlas.errors import EnvironmentMismatchError
from latlas.latency.machine.environment import detect
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import SavedPredictor, save_predictor
from latlas.spaces.portrait import PortraitSpace
from tests.documents import blocks, page

PAGE = "python.md"
BLOCKS = blocks(page(PAGE), "python")


@pytest.fixture(params=[256, 128])
def folder(request, tmp_path, monkeypatch):
    """A working folder with a predictor whose networks take 3.5 ms in median, of the default resolution or the demo's."""
    space, machine = PortraitSpace(height=request.param, width=request.param), SimulatedMachine(1)
    train = space.sample(40, np.random.default_rng(1))
    latencies = np.array([machine.latency_ms(one.graph()) for one in train])
    predictor = LatencyPredictor().fit([one.graph() for one in train], latencies * 3.5 / np.median(latencies))
    environment = detect(
        threads=1, streams=1, precision="f32", batch=1, openvino_version="1", reference_id="r", reference_ms=1.0
    )  # fmt: skip
    save_predictor(tmp_path / "predictor", SavedPredictor(predictor, environment, space.text, {}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "latlas.latency.fitting.measure.measure_targets", measured_by(machine, 3.5 / np.median(latencies))
    )
    return tmp_path


def measured_by(machine, scale):
    """What `measure_targets` gives, with the latency of a simulated machine."""

    def measure_targets(targets, setting, **rest):
        took = [(one, machine.latency_ms(one.graph()) * scale) for one in targets]
        return [
            {"target": str(one), "latency_ms": ms, "lower_ms": 0.99 * ms, "upper_ms": 1.01 * ms} for one, ms in took
        ]

    return measure_targets


def test_the_pages_python_runs(folder):
    assert BLOCKS
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, PAGE, "exec"), names)
    counts = names["constraint"].counts
    assert counts.accepted >= len(names["feasible"]) > 0
    assert counts.accepted + counts.rejected >= 100
    more = names["measuring"].counts
    assert 0 < more.measured <= 20 and more.accepted > 0
    assert (names["lower"] < names["milliseconds"]).all() and (names["milliseconds"] < names["upper"]).all()


class Theirs:
    """An architecture of somebody else's search: it has a graph, and that is all."""

    def __init__(self, space, operators):
        self.space, self.operators = space, operators

    def graph(self):
        return self.space.architecture(self.operators).graph()


def test_an_architecture_is_anything_with_a_graph(folder):
    saved = latlas.load_predictor("predictor")
    constraint = latlas.LatencyConstraint(saved.predictor, budget_ms=3.5)
    candidates = saved.space.sample(30, np.random.default_rng(2))
    verdicts = constraint.check_all([Theirs(saved.space, one.operators) for one in candidates])
    again = latlas.LatencyConstraint(constraint.predictor, budget_ms=3.5).check_all(candidates)
    assert verdicts == again
    assert {one.feasible for one in verdicts} == {True, False}


def test_an_architecture_of_another_space_is_refused_with_both_named(folder):
    saved = latlas.load_predictor("predictor")
    other = PortraitSpace(height=64, width=64)
    constraint = latlas.LatencyConstraint(saved, budget_ms=3.5)
    told = rf"is of portrait:height=64,width=64, the predictor is of {saved.space_text}; take architectures of"
    for asked in (constraint.check, lambda one: saved.predict([one]), lambda one: latlas.predict("predictor", [one])):
        with pytest.raises(EnvironmentMismatchError, match=told):
            asked(other.baseline("mobilenetv3_large"))
