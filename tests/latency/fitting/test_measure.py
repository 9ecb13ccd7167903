"""`measure_targets` over a scripted bench: what a result says, crashes, failures."""

from collections import Counter

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.fitting import measure as module
from latlas.latency.fitting.measure import measure_targets
from latlas.latency.measuring.bench import Network, ProcessDiedError
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass, StopRule
from latlas.latency.runtime.asked import parse_asked
from latlas.supernet.operators.build import timing_operator

SETTING = Setting(rule=StopRule(relative_half_width=0.5), passes=3, max_passes=3)


class ScriptedBench:
    """Gives every network two milliseconds and the reference one; `dies` are the labels whose process crashes."""

    def __init__(self, dies=()):
        self.rule, self.dies = SETTING.rule, dies
        self.crashes: Counter[str] = Counter()
        self.read_back: dict[str, dict[str, object]] = {}
        self.asked: list[Network] = []
        self.problems: list[str] = []
        self.openvino_version, self.reference_id = "2026.4.1", "network-1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def time(self, network):
        self.asked.append(network)
        if any(network.label.endswith(name) for name in self.dies) and len(self.asked) > 4:
            self.crashes[network.label] = 2
            raise ProcessDiedError(f"timing {network.label}: its process died (SIGSEGV), 2 times in all")
        self.read_back[network.label] = {"precision": "f32", "int8_share": 0.25}
        return Pass((1.0,) * 7, (2.0,) * 12, at=1e9)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The user's cache must not learn scripted latencies, nor a test what this machine usually takes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bench(monkeypatch):
    made = ScriptedBench()
    monkeypatch.setattr(Setting, "bench", lambda self, reference="network": made)
    return made


@pytest.fixture
def two(tmp_path):
    import openvino as ov
    from openvino import opset13

    for name, shape in (("open.xml", [-1, 3, -1, -1]), ("fixed.xml", [1, 3, 16, 16])):
        image = opset13.parameter(ov.PartialShape(shape), np.float32, name="x")
        image.output(0).get_tensor().set_names({"x"})
        ov.save_model(ov.Model([opset13.relu(image)], [image]), tmp_path / name)
    return tmp_path / "open.xml", tmp_path / "fixed.xml"


def measured(targets, *shapes):
    return measure_targets(
        targets, SETTING, build_module=timing_operator, asked=parse_asked(shapes, ["open.xml:x=0..1"] if shapes else [])
    )


def test_a_result_says_what_was_measured(bench, two):
    first, second = measured(two, "1,3,8,8")
    assert first["inputs"] == [
        {"name": "x", "shape": [1, 3, 8, 8], "type": "f32", "fill": "0..1", "own_shape": "[?,3,?,?]"}
    ]
    assert second["inputs"] == [
        {"name": "x", "shape": [1, 3, 16, 16], "type": "f32", "fill": "noise 0..1", "own_shape": "[1,3,16,16]"}
    ]
    assert (first["batch"], first["precision"], first["int8_share"], first["crashes"]) == (1, "f32", 0.25, 0)
    assert (first["latency_ms"], first["status"], first["reason"], first["architecture"]) == (2.0, "ok", "", None)
    asked = {network.label: network for network in bench.asked}
    assert [one.shapes for one in asked.values() if one.label.startswith("1.")] == [((1, 3, 8, 8),)]
    assert [one.fills for one in asked.values() if one.label.startswith("1.")] == [("0..1",)]


def test_an_architecture_says_its_input_too(bench, tiny_space):
    (record,) = measured([tiny_space.baseline("mobilenetv3_small")])
    assert [(one["name"], one["shape"], one["fill"]) for one in record["inputs"]] == [
        ("image", [1, 3, 32, 32], "noise 0..1")
    ]
    assert record["architecture"] == str(tiny_space.baseline("mobilenetv3_small"))


def test_a_network_that_crashed_has_failed_and_the_others_have_not(bench, two):
    bench.dies = ("open.xml",)
    first, second = measured(two, "1,3,8,8")
    assert (first["status"], first["latency_ms"], first["ratio"], first["passes"]) == ("failed", None, None, 0)
    assert "its process died (SIGSEGV), 2 times in all" in first["reason"]
    assert (first["crashes"], second["crashes"], second["status"]) == (2, 0, "ok")


def test_where_all_failed_every_record_says_why(bench, two, monkeypatch):
    monkeypatch.setattr(ScriptedBench, "time", lambda self, network: (_ for _ in ()).throw(ProcessDiedError("gone")))
    records = measured(two, "1,3,8,8")
    assert [(one["status"], one["reason"], one["reference_ms"]) for one in records] == [("failed", "gone", None)] * 2


def test_a_wrong_file_is_an_error_before_any_process_is_started(two, monkeypatch):
    monkeypatch.setattr(Setting, "bench", lambda self, reference="network": pytest.fail("it was going to measure"))
    monkeypatch.setattr(module, "scratch_folder", lambda: pytest.fail("it was going to convert"))
    with pytest.raises(UsageError, match="dynamic sizes"):
        measured(two)


def test_a_reference_that_is_far_off_its_usual_latency_is_a_warning(bench, two, tmp_path, monkeypatch):
    """Two measurements of `winner.xml` said ok in a minute, disjoint, while the reference ran at 1.5 times its latency."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    slow = 1.0
    monkeypatch.setattr(ScriptedBench, "time", lambda self, network: Pass((slow,) * 7, (2.0 * slow,) * 12, at=1e9))
    assert [measured(two, "1,3,8,8")[0]["warnings"] for _ in range(4)] == [[]] * 4
    slow = 1.5
    first, second = measured(two, "1,3,8,8")
    (said,) = first["warnings"]
    assert said.startswith("this machine runs at 1.50 times the latency it usually has: another measurement")
    assert "latlas doctor" in said and "--predictor" in said and second["warnings"] == [said]
    (said,) = measure_targets(two[1:], SETTING, build_module=timing_operator, reference_ms=1.0)[0]["warnings"]
    assert "1.50 times the latency of --reference-ms" in said


def test_a_problem_of_the_machine_is_in_every_result_and_no_result_is_ok_then(bench, two):
    bench.problems = ["a CPU limit stopped the run 964 times"]
    first, second = measured(two, "1,3,8,8")
    assert first["warnings"] == second["warnings"] == bench.problems
    assert (first["status"], first["latency_ms"]) == ("noisy", 2.0)
