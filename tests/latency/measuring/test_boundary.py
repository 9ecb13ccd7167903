"""What of an isolated latency is the operator's own."""

import json

import pytest

from latlas.errors import CompileTimeoutError, FileFormatError
from latlas.files.journal import Journal
from latlas.latency.measuring.bench import Bench, Network
from latlas.latency.measuring.boundary import inner_share, measure_inner_shares
from latlas.latency.runtime import conversion
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.plugin import ExecutedNode, border_nodes, execution_graph, int8_share
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.build import timing_operator

CONV = OpSpec("conv", 16, 16, 16, 16, kernel_size=3, activation="relu")


def node(name, layer, *inputs, precision="f32", operations=()):
    return ExecutedNode(name, layer, precision, operations, inputs)


def test_only_conversions_between_the_ends_and_the_first_and_last_layers_are_borders():
    nodes = [
        node("image", "Input"),
        node("in", "Reorder", "image"),
        node("conv", "Convolution", "in"),
        node("middle", "Reorder", "conv"),
        node("pool", "Reduce", "middle"),
        node("cast", "Convert", "pool"),
        node("out", "Reorder", "cast"),
        node("result", "Output", "out"),
    ]
    assert border_nodes(nodes) == {"in", "cast", "out"}


def test_a_quantiser_at_the_input_is_a_border_and_one_fused_with_work_is_not():
    nodes = [
        node("image", "Input"),
        node("fq", "Subgraph", "image", operations=("x/fq",)),
        node("other", "Subgraph", "image", operations=("x/fq", "relu")),
        node("add", "Eltwise", "fq", "other"),
        node("result", "Output", "add"),
    ]
    assert border_nodes(nodes, frozenset({"x/fq"})) == {"fq"}
    assert border_nodes(nodes) == set()


def test_a_conversion_whose_result_is_used_again_within_is_no_border_of_the_output():
    nodes = [
        node("image", "Input"),
        node("conv", "Convolution", "image"),
        node("out", "Reorder", "conv"),
        node("more", "Convolution", "out"),
        node("result", "Output", "out"),
        node("result2", "Output", "more"),
    ]
    assert border_nodes(nodes) == set()


def test_the_share_of_int8_is_of_layers_that_compute():
    layers = [node("c", "Convolution", precision="u8"), node("d", "Convolution"), node("r", "Reorder", precision="u8")]
    assert int8_share(layers) == 0.5
    assert int8_share([]) == 0.0


def sample(inner, border, wall):
    return {"inner_us": inner, "border_us": border, "wall_us": wall}


def test_the_inner_share_by_hand():
    # 60 of 60 + 30 + 10 microseconds are its own; nothing is cut off.
    assert inner_share({"call_us": 10, "samples": [sample([40, 20], [30], 100)]}) == pytest.approx(0.6)
    # Three nodes and 1.5 us that the counters do not show: half of one to each.
    assert inner_share({"call_us": 10, "samples": [sample([40, 20], [30], 101.5)]}) == pytest.approx(61 / 101.5)
    # At most one microsecond each, however much the wall shows; nothing is taken away where it shows less.
    assert inner_share({"call_us": 10, "samples": [sample([40, 20], [30], 150)]}) == pytest.approx(62 / 103)
    assert inner_share({"call_us": 10, "samples": [sample([40, 20], [30], 50)]}) == pytest.approx(0.6)


def test_the_median_compile_counts_and_an_identity_has_nothing_of_its_own():
    samples = [sample([50], [40], 100), sample([50], [4000], 100), sample([60], [30], 100)]
    assert inner_share({"call_us": 10, "samples": samples}) == pytest.approx(0.5)
    assert inner_share({"call_us": 10, "samples": [sample([], [], 11)]}) == 0.0


class Scripted:
    def __init__(self, records):
        self.records, self.asked = records, []

    def node_times(self, network):
        self.asked.append(network.label)
        record = self.records[network.label]
        if isinstance(record, Exception):
            raise record
        return record


def test_shares_are_kept_in_the_journal_and_not_measured_again(tmp_path):
    records = {
        "a": {"call_us": 10, "samples": [sample([60], [30], 100)]},
        "b": CompileTimeoutError("hung"),
        "c": {"call_us": 0, "samples": [sample([30], [10], 40)]},
    }
    networks = [Network(label, file=f"{label}.xml") for label in records]
    with Journal(tmp_path / "j", {}) as journal:
        first = measure_inner_shares(Scripted(records), networks[:2], journal)
    again = Scripted(records)
    with Journal(tmp_path / "j", {}) as journal:
        assert measure_inner_shares(again, networks, journal) == first | {"c": 0.75}
    assert (first, again.asked) == ({"a": 0.6}, ["c"])


@pytest.mark.parametrize("broken", [{"share": 1.5}, {"share": "much"}, {}, {"share": -0.1}])
def test_a_broken_share_in_the_journal_is_an_error(tmp_path, broken):
    with Journal(tmp_path / "j", {}) as journal:
        journal.append({"boundary": "a"} | broken)
    with Journal(tmp_path / "j", {}) as journal, pytest.raises(FileFormatError, match="borders of 'a' are broken"):
        measure_inner_shares(Scripted({}), [], journal)


def test_a_real_operator_has_borders_and_work(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    library = conversion.OperatorLibrary(tmp_path, timing_operator)
    nodes = execution_graph(runtime.Compiled(library.model(CONV), runtime.CompileOptions())._compiled)
    assert {n.layer for n in nodes} >= {"Input", "Convolution", "Output"}
    skip = OpSpec("skip", 16, 16, 16, 16)
    with Bench(reference="operator") as bench:
        record = bench.node_times(Network("conv", file=str(library.path(CONV))))
        nothing = bench.node_times(Network("skip", file=str(library.path(skip))))
    json.dumps(record)
    assert record["call_us"] > 0 and len(record["samples"]) == 3
    assert all(one["inner_us"] and one["wall_us"] > 0 for one in record["samples"])
    assert 0 < inner_share(record) < 1
    assert 0 <= inner_share(nothing) < 0.9
