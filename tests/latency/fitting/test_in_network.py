"""Adding in-network latencies to a table, with a bench that knows the truth instead of a timing process."""

import json
from dataclasses import replace

import numpy as np
import pytest

from latlas import cli
from latlas.commands.in_network import side_by_side
from latlas.errors import EnvironmentMismatchError, InterruptedRunError, MissingEntryError, UsageError
from latlas.latency.fitting import fit
from latlas.latency.fitting.in_network import add_in_network, in_network_subnets, isolated_errors
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass, StopRule
from latlas.latency.predictor.in_network import in_network_sum
from latlas.latency.table.table import Manifest, Row, Table
from latlas.spaces.graph import live_nodes
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace(
    height=32, width=32, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_channels=8, aspp_channels=8
)
REFERENCE_MS = 0.5
SUBNETS = 30


def isolated_ms(spec):
    return 0.01 + spec.macs / 1e7


def in_network_ms(spec):
    return isolated_ms(spec) * (0.5 if spec.kind == "mbconv" else 0.7)


class ScriptedBench:
    """Twice the reference's time is what a network takes at an in-network sum of 1 ms; ends after `passes`."""

    rule = StopRule()
    openvino_version = "2026.4.1"
    reference_id = "network-1"

    def __init__(self, costs, passes=10_000):
        self.costs, self.left, self.done = costs, passes, 0
        self.rng = np.random.default_rng(0)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        pass

    def time(self, network):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.done += 1
        ms = sum(self.costs[name] for name, _ in network.graph) * (1 + 0.003 * self.rng.normal())
        return Pass((REFERENCE_MS,) * 7, (ms,) * 12, at=float(self.done))


class NamingLibrary:
    """Describes a graph by its operators' names, and converts nothing."""

    def __init__(self, folder, build_module):
        pass

    def describe(self, graph):
        return [(str(graph[i].spec), list(graph[i].inputs)) for i in live_nodes(graph)]


@pytest.fixture
def bench(monkeypatch):
    found = ScriptedBench({str(spec): in_network_ms(spec) for spec in SPACE.specs()})
    monkeypatch.setattr(Setting, "bench", lambda self, reference="network": found)
    monkeypatch.setattr(Setting, "key", lambda self, reference="network": {"precision": self.precision})
    monkeypatch.setattr(Setting, "library", lambda self, folder, build_module: NamingLibrary(folder, build_module))
    return found


@pytest.fixture
def table(bench):
    environment = replace(Setting().environment(bench, REFERENCE_MS / 5), reference_id="operator-1")
    rows = []
    for spec in SPACE.specs():
        ms = isolated_ms(spec)
        triple = (0.99 * ms, ms, 1.01 * ms)
        low, mid, high = triple
        rows.append(Row(spec, mid, low, high, mid, low, high, 24, 0, 2, low, mid, high))
    return Table(tuple(rows), Manifest(environment, "operator-1", SPACE.text, "test", 0))


def test_the_plain_sum_is_that_of_networks(table, tmp_path):
    added, figures = add_in_network(table, SPACE, SUBNETS, Setting(), tmp_path / "journal", build_module=None)
    graphs = [one.graph() for one in SPACE.sample(40, np.random.default_rng(5))]
    true = [sum(in_network_ms(graph[i].spec) for i in live_nodes(graph)) for graph in graphs]
    sums = np.array([in_network_sum(added, graph) for graph in graphs])
    assert np.mean(np.abs(sums / true - 1)) < 0.02
    assert figures["subnets"] == SUBNETS
    assert figures["operators"] == len(table)
    assert figures["mape"]["isolated"] > 0.3
    assert figures["mape"]["boundary"] is None
    assert figures["mape"]["in_network"] < 0.03
    of = added.manifest.in_network
    assert (of.subnets, of.reference_id, of.reference_ms) == (SUBNETS, "network-1", REFERENCE_MS)
    assert [row.latency_ms for row in added] == [row.latency_ms for row in table]


def test_boundary_corrected_sums_are_told_too(table):
    samples = [fit.Sample(SPACE.cover()[0], 2.0, 1.9, 2.1, 1.0, "ok", (1.0,))] * 2
    halved = replace(table, rows=tuple(replace(row, boundary_ms=row.latency_ms / 2) for row in table))
    errors = isolated_errors(halved, samples)
    plain = sum(isolated_ms(node.spec) for node in SPACE.cover()[0].graph())
    assert errors["isolated"] == pytest.approx(abs(plain / 2 - 1))
    assert errors["boundary"] == pytest.approx(abs(plain / 4 - 1))


def test_an_interrupted_run_goes_on(table, bench, tmp_path):
    whole, _ = add_in_network(table, SPACE, SUBNETS, Setting(), tmp_path / "one", build_module=None)
    needed, bench.done, bench.left = bench.done, 0, 25
    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        add_in_network(table, SPACE, SUBNETS, Setting(), tmp_path / "two", build_module=None)
    bench.done, bench.left = 25, 10_000
    again, _ = add_in_network(table, SPACE, SUBNETS, Setting(), tmp_path / "two", build_module=None)
    assert bench.done == needed
    assert again.manifest.in_network.subnets == whole.manifest.in_network.subnets
    with pytest.raises(EnvironmentMismatchError, match="architectures was"):
        add_in_network(table, SPACE, SUBNETS + 1, Setting(), tmp_path / "two", build_module=None)


def test_baselines_are_among_the_subnets():
    subnets = in_network_subnets(SPACE, SUBNETS, 0)
    assert len(set(subnets)) == SUBNETS
    assert [one for one in subnets if one.is_baseline] == [SPACE.baseline(name) for name in SPACE.baselines]
    with pytest.raises(UsageError, match="11 subnets are too few; at least 10 beside the 2 baselines"):
        in_network_subnets(SPACE, 11, 0)


def test_nothing_is_measured_for_a_table_that_cannot_take_it(table, bench, tmp_path):
    lacking = replace(table, rows=table.rows[1:])
    with pytest.raises(MissingEntryError, match="measure it with `latlas profile-ops"):
        add_in_network(lacking, SPACE, SUBNETS, Setting(), tmp_path / "journal", build_module=None)
    foreign = replace(table.manifest, environment=replace(table.manifest.environment, cpu_model="Another CPU"))
    with pytest.raises(EnvironmentMismatchError, match="cpu_model is 'Another CPU'"):
        add_in_network(
            replace(table, manifest=foreign), SPACE, SUBNETS, Setting(), tmp_path / "journal", build_module=None
        )
    imported = replace(table.manifest, origin="imported")
    with pytest.raises(UsageError, match="is imported; only one measured here"):
        add_in_network(
            replace(table, manifest=imported), SPACE, SUBNETS, Setting(), tmp_path / "journal", build_module=None
        )
    assert bench.done == 0


def test_the_command_adds_to_the_table_and_shows_all_three_side_by_side(table, tmp_path, capsys):
    path, out = tmp_path / "t.parquet", tmp_path / "u.parquet"
    table.write(path)
    assert cli.run(["tables", "in-network", str(path), "--subnets", str(SUBNETS), "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["table"], record["subnets"]) == (str(out), SUBNETS)
    assert Table.read(path) == table
    assert not list(tmp_path.glob("*.journal"))
    row = Table.read(out).rows[0]
    assert f"{row.latency_ms:.4f}" in side_by_side(Table.read(out))[1]
    assert f"{row.in_network_ms:.4f} +-{row.in_network_se_ms:.4f}" in side_by_side(Table.read(out))[1]
    assert cli.run(["tables", "in-network", str(path), "--subnets", str(SUBNETS)]) == 0
    assert "in-network" in capsys.readouterr().out
    assert Table.read(path).manifest.in_network.subnets == SUBNETS
    for words, wanted in (
        ([path], "has in-network latencies already"),
        ([path, "--out", out], "exists already"),
        ([path, "--out", tmp_path / "x.csv"], "ends in .parquet"),
    ):
        assert cli.run(["tables", "in-network", *map(str, words)]) == 2
        assert wanted in capsys.readouterr().err
