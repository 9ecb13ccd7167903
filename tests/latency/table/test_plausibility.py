"""What is possible and hardly true: each rule with a table that it is right about, and a sound one that it leaves alone."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from latlas.latency.machine.environment import MachineState
from latlas.latency.table.manifest import InNetwork
from latlas.latency.table.merge import PARTS
from latlas.latency.table.plausibility import implausible, leftovers
from latlas.latency.table.row import Row
from latlas.latency.table.table import Manifest, Table
from latlas.spaces.operators.spec import OpSpec
from tests.machines import I7

ENVIRONMENT = replace(I7, cpu_flags="avx2 fma", reference_ms=2.0, latlas_version="0.2.0", state=MachineState())
MANIFEST = Manifest(environment=ENVIRONMENT, reference="r", space="portrait", command="", seed=0)
IN_NETWORK = InNetwork(subnets=100, reference_id="net-1", reference_ms=5.0, fixed_ms=0.1, error=0.02, seed=0)
LARGE, SMALL = OpSpec("sepconv", 32, 32, 64, 64, kernel_size=3), OpSpec("sepconv", 32, 32, 32, 32, kernel_size=3)


def row(spec=LARGE, latency_ms=1.0, width=0.01, reference_ms=2.0, **fields):
    times = latency_ms, latency_ms * (1 - width), latency_ms * (1 + width)
    numbers = {"rounds": 40, "discarded": 3, "passes": 2}
    numbers |= dict(zip(("latency_ms", "lower_ms", "upper_ms"), times, strict=True))
    ratios = (value / reference_ms for value in times)
    numbers |= dict(zip(("ratio", "ratio_lower", "ratio_upper"), ratios, strict=True))
    numbers |= {"p10_ms": latency_ms * 0.95, "p50_ms": latency_ms, "p90_ms": latency_ms * 1.2}
    return Row(spec=spec, **numbers | fields)


def rules(*rows, **manifest):
    return {doubt.rule: doubt.message for doubt in implausible(Table(rows, replace(MANIFEST, **manifest)))}


def test_a_sound_table_has_no_warnings():
    network = {"in_network_ms": 0.5, "in_network_se_ms": 0.01, "boundary_ms": 0.9}
    assert rules(row(), row(SMALL, 0.3), Row.failed(OpSpec("skip", 8, 8, 8, 8), "hung")) == {}
    assert rules(row(**network), row(SMALL, 0.3), in_network=IN_NETWORK) == {}


@pytest.mark.parametrize(
    ("rows", "rule", "message"),
    [
        ([], "empty", "no row with a latency"),
        ([Row.failed(LARGE, "hung")], "empty", "no row with a latency"),
        ([row(latency_ms=0.001)], "unit", "1.1e[+]13 multiply-adds a second and thread; are these seconds"),
        ([row(latency_ms=1000.0)], "unit", "1.1e[+]07 multiply-adds a second and thread; are these microseconds"),
        ([row(width=0)], "interval", "interval of no width at 1 ms"),
        ([row(width=0.6)], "interval", "called ok with 0.4 to 1.6 ms"),
        ([row(p10_ms=2.1, p50_ms=2.2, p90_ms=2.3)], "percentiles", "takes 1 ms, and its raw times are 2.1 to 2.3 ms"),
        ([row(boundary_ms=1.1)], "boundary", "takes 1.1 ms without its borders and 1 ms with them"),
        ([row(rounds=0)], "rounds", "from 0 rounds in 2 passes"),
        ([row(reference_ms=2.1)], "reference", "is of a reference of 2.1 ms, the manifest says 2 ms"),
        (
            [row(latency_ms=1.001, lower_ms=0.99, ratio=0.5, ratio_lower=0.495)],
            "reference",
            "references of 2 to 2.002 ms",
        ),
        ([row(), row(SMALL, 1.1)], "resolution", "at 64x64 takes 1 ms and sepconv_k3 .* at 32x32, the smaller, 1.1 ms"),
        ([row(in_network_ms=0.5, in_network_se_ms=0.1)], "in-network", "nothing says of what it was estimated"),
    ],
)
def test_what_is_hardly_true(rows, rule, message):
    found = rules(*rows)
    assert list(found) == [rule]
    assert re.search(message, found[rule])


def test_noise_is_no_doubt():
    assert rules(row(), row(SMALL, 1.015)) == {}
    assert rules(row(width=0.6, status="noisy", reason="3 s")) == {}
    assert rules(row(), row(replace(SMALL, kernel_size=5), 1.1)) == {}


def test_more_channels_may_be_a_little_faster():
    more = replace(LARGE, out_channels=48, in_channels=48)
    assert rules(row(), row(more, 0.95)) == {}
    assert "48->48" in rules(row(), row(more, 0.8))["channels"]
    # One is larger in one way and smaller in another: neither is the larger one.
    other = OpSpec("sepconv", 64, 24, 64, 64, kernel_size=3)
    assert rules(row(replace(LARGE, out_channels=40), 3.0), row(other)) == {}


def test_rows_of_a_merged_table_are_of_several_sessions():
    source = PARTS.join(["rows 1", "rows 2"])
    assert rules(row(), row(SMALL, 0.3, reference_ms=2.3), source=source) == {}
    assert "7 ms" in rules(row(), row(SMALL, 0.3, reference_ms=7.0), source=source)["reference"]


def test_an_imported_table_is_held_to_what_it_says():
    nothing = dict.fromkeys(
        ("lower_ms", "upper_ms", "ratio", "ratio_lower", "ratio_upper", "p10_ms", "p50_ms", "p90_ms")
    )
    foreign = row(OpSpec("foreign", 8, 8, 8, 8, label="a"), rounds=0, passes=0, origin="imported", **nothing)
    assert rules(foreign, origin="imported") == {}
    assert "are these milliseconds" in rules(replace(foreign, latency_ms=1e5), origin="imported")["unit"]


def test_in_network_figures_without_rows_or_errors():
    assert "no row has one" in rules(row(), in_network=IN_NETWORK)["in-network"]
    assert "without its standard error" in rules(row(in_network_ms=0.5), in_network=IN_NETWORK)["in-network"]


def test_many_of_one_rule_are_one_warning():
    rows = [row(OpSpec("skip", 8 * n, 8 * n, 64, 64), rounds=0) for n in range(1, 9)]
    (doubt,) = implausible(Table(tuple(rows), MANIFEST))
    assert doubt.message.endswith("; and 3 more")
    assert doubt.message.count("0 rounds") == 5


def test_leftovers(tmp_path):
    path = tmp_path / "t.parquet"
    Path(path).touch()
    assert leftovers(path) == []
    for name in ("t.parquet.journal", ".t.parquet.abc.tmp", ".other.parquet.abc.tmp", "other.parquet.journal"):
        (tmp_path / name).touch()
    found = {doubt.rule: doubt.message for doubt in leftovers(path)}
    assert set(found) == {"journal", "temporary"}
    assert "t.parquet.journal is there" in found["journal"]
    assert found["temporary"].endswith("deleted: .t.parquet.abc.tmp")
