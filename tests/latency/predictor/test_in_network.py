"""In-network latencies from simulated networks whose truth the test knows."""

from dataclasses import replace

import numpy as np
import pytest

from latlas.errors import MissingEntryError, UsageError
from latlas.latency.fitting.design import designed
from latlas.latency.machine.environment import detect
from latlas.latency.predictor.in_network import cost_in, estimate_in_network, in_network_sum, with_in_network
from latlas.latency.table.table import Manifest, Row, Table
from latlas.spaces.graph import distinct_specs, live_nodes
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace()
NOISE = 0.01


def isolated_ms(spec):
    return 0.02 + spec.macs / 2e7


def truth_of(seed, spread=0.15):
    """In-network latency of each operator: 0.6 of the isolated, times a factor of its kind and one of its own."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, float] = {}
    return {
        spec: 0.6 * isolated_ms(spec) * np.exp(spread * (kinds.setdefault(spec.name, rng.normal()) + rng.normal()))
        for spec in distinct_specs(a.graph() for a in SPACE.cover())
    }


def latencies(truth, graphs, rng, interaction=0.0):
    """Sums with a relative effect of each pair of kinds in a row, of so large a standard deviation in all, and noise."""
    effects: dict[tuple[str, str, int], float] = {}
    found = []
    for graph in graphs:
        total = sum(truth[graph[i].spec] for i in live_nodes(graph))
        pairs = [
            (graph[source].spec.name, node.spec.name, node.spec.height) for node in graph for source in node.inputs
        ]
        off = sum(effects.setdefault(pair, rng.normal()) for pair in pairs) / np.sqrt(len(pairs))
        found.append(total * (1 + interaction * off))
    return np.array(found)


def estimate(truth, graphs, rng, interaction=0.0, cost_of=isolated_ms):
    noise = 1 + NOISE * rng.normal(size=len(graphs))
    return estimate_in_network(
        graphs, latencies(truth, graphs, rng, interaction) * noise, [NOISE] * len(graphs), cost_of
    )


def graphs_of(architectures):
    return [one.graph() for one in architectures]


@pytest.fixture(scope="module")
def plan():
    return graphs_of(designed(SPACE, 98))


@pytest.fixture(scope="module")
def unseen():
    return graphs_of(SPACE.sample(100, np.random.default_rng(99)))


@pytest.fixture(scope="module")
def found(plan):
    return estimate(truth_of(0), plan, np.random.default_rng(1))


class TestEstimate:
    def test_the_plain_sum_tells_unseen_networks_to_less_than_the_noise(self, found, unseen):
        true = latencies(truth_of(0), unseen, np.random.default_rng())
        assert np.mean(np.abs(found.sums(unseen) / true - 1)) < 0.8 * NOISE
        assert found.error < 2 * NOISE
        assert len(found.left_out) == 98

    def test_what_networks_tell_apart_is_found_to_its_standard_error(self, plan):
        # Two operators at one layer: their difference is what a change of operator costs.
        off = []
        for seed in range(4):
            truth, rng = truth_of(seed), np.random.default_rng(seed + 100)
            one = estimate(truth, plan, rng)
            column = {spec: i for i, spec in enumerate(one.specs)}
            for layer, options in enumerate(SPACE.choices):
                a, b = (SPACE.cover()[k].graph()[layer + 1].spec for k in rng.choice(len(options), 2, replace=False))
                step = np.zeros(len(one.specs))
                step[column[a]], step[column[b]] = 1, -1
                off.append((step @ one.latency_ms - truth[a] + truth[b]) / np.sqrt(step @ one.covariance @ step))
        assert 0.88 <= np.mean(np.abs(off) < 1.96) <= 1.0
        assert np.std(off) > 0.5

    @pytest.mark.parametrize("interaction", [0.0, 0.02])
    def test_standard_errors_cover_the_truth(self, plan, unseen, interaction):
        covered, sums = [], []
        for seed in range(4):
            truth, rng = truth_of(seed), np.random.default_rng(seed)
            one = estimate(truth, plan, rng, interaction)
            true = np.array([truth[spec] for spec in one.specs])
            covered.append(np.mean(np.abs(one.latency_ms - true) <= 1.96 * one.se_ms))
            without = latencies(truth, unseen, np.random.default_rng())
            sums.append(np.mean(np.abs(one.sums(unseen) - without) <= 1.96 * one.sums_se(unseen)))
        assert np.mean(covered) > 0.85
        assert np.mean(sums) > 0.85

    def test_what_no_sum_explains_is_seen(self, plan):
        rng = np.random.default_rng(3)
        assert estimate(truth_of(0), plan, rng, 0.03).misfit > 2 * estimate(truth_of(0), plan, rng).misfit

    def test_operators_of_all_networks_share_their_sum_by_cost(self, found):
        always = [i for i, spec in enumerate(found.specs) if spec.kind in ("head", "dwsep", "upsample_add", "aspp")]
        ratios = [found.latency_ms[i] / isolated_ms(found.specs[i]) for i in always]
        assert np.ptp(ratios) < 0.2 * np.mean(ratios)
        assert found.fixed_ms == 0.0

    def test_none_is_below_nothing(self, plan):
        # A kind that spares the network something, as no operator can by itself.
        truth = {spec: -0.01 if spec.kind == "shuffle" else ms for spec, ms in truth_of(2).items()}
        one = estimate(truth, plan, np.random.default_rng(0))
        assert one.latency_ms.min() == 0.0
        assert np.all(one.se_ms > 0)
        true = latencies(truth, plan, np.random.default_rng())
        assert np.mean(np.abs(one.sums(plan) / true - 1)) < 2 * NOISE

    def test_is_the_same_for_the_same_samples(self, plan, found):
        again = estimate(truth_of(0), plan, np.random.default_rng(1))
        assert np.array_equal(again.latency_ms, found.latency_ms)

    def test_refuses_an_operator_that_no_network_had(self, found):
        with pytest.raises(MissingEntryError, match=r"no in-network latency of .*mbconv"):
            found.sums([SPACE.baseline("mobilenetv3_large").graph()])

    def test_refuses_impossible_numbers(self, plan):
        with pytest.raises(UsageError, match="9 networks, 9 latencies and 8 errors"):
            estimate_in_network(plan[:9], [1.0] * 9, [0.01] * 8, isolated_ms)
        with pytest.raises(UsageError, match="positive and finite"):
            estimate_in_network(plan[:10], [1.0] * 9 + [float("nan")], [0.01] * 10, isolated_ms)


def table_of(specs, boundary=False, **more):
    environment = detect(
        threads=1,
        streams=1,
        precision="f32",
        batch=1,
        openvino_version="2026.4.1",
        reference_id="operator-1",
        reference_ms=0.5,
    )
    rows = []
    for spec in specs:
        ms = isolated_ms(spec)
        triple = (ms, 0.99 * ms, 1.01 * ms)
        rows.append(
            Row(spec, *triple, *triple, 24, 0, 2, 0.99 * ms, ms, 1.01 * ms, boundary_ms=ms / 2 if boundary else None)
        )
    return Table(tuple(rows), Manifest(environment, "operator-1", SPACE.text, "test", 0, **more))


class TestTable:
    def test_rows_and_manifest_say_what_was_found(self, found, unseen, tmp_path):
        specs = SPACE.specs()
        before = table_of(specs)
        with_in_network(before, found, "network-1", 3.5, 7).write(tmp_path / "t.parquet")
        table = Table.read(tmp_path / "t.parquet")
        of = table.manifest.in_network
        assert (of.subnets, of.reference_id, of.reference_ms, of.seed) == (98, "network-1", 3.5, 7)
        assert of.error == found.error
        index = list(found.specs).index(unseen[0][0].spec)
        row = table[unseen[0][0].spec]
        assert (row.in_network_ms, row.in_network_se_ms) == (found.latency_ms[index], found.se_ms[index])
        assert row.latency_ms == before[row.spec].latency_ms
        assert in_network_sum(table, unseen[0]) == pytest.approx(found.sums(unseen[:1])[0])

    def test_an_operator_without_is_a_miss(self, found):
        table = with_in_network(table_of(SPACE.specs()), found, "network-1", 3.5, 7)
        other = SPACE.baseline("mobilenetv3_small").graph()
        assert table[other[1].spec].in_network_ms is None
        with pytest.raises(MissingEntryError, match="no in-network latency of mbconv"):
            in_network_sum(table, other)

    def test_a_failed_row_stays_as_it_is(self, found):
        specs = SPACE.specs()
        table = table_of(specs)
        broken = replace(table, rows=(Row.failed(specs[0], "it hung"), *(r for r in table if r.spec != specs[0])))
        rows = {row.spec: row for row in with_in_network(broken, found, "network-1", 3.5, 7)}
        assert rows[specs[0]] == Row.failed(specs[0], "it hung")

    def test_the_cost_is_boundary_corrected_where_all_rows_are(self):
        specs = SPACE.specs()
        assert cost_in(table_of(specs, boundary=True))(specs[0]) == pytest.approx(isolated_ms(specs[0]) / 2)
        assert cost_in(table_of(specs))(specs[0]) == isolated_ms(specs[0])
        mixed = table_of(specs, boundary=True)
        mixed = replace(mixed, rows=(replace(mixed.rows[0], boundary_ms=None), *mixed.rows[1:]))
        assert cost_in(mixed)(specs[0]) == isolated_ms(specs[0])
