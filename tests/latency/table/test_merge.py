"""Merging: the union of immutable rows, in any order, of any number of tables."""

from dataclasses import replace
from functools import reduce
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import EnvironmentMismatchError, LatlasError, MergeConflictError, UsageError
from latlas.latency.machine.environment import MachineState, told_environment
from latlas.latency.table.manifest import InNetwork
from latlas.latency.table.merge import merge, parts
from latlas.latency.table.row import COUNTS, NUMBERS, Row
from latlas.latency.table.table import Manifest, Table
from latlas.spaces.operators.spec import OpSpec
from tests.machines import I7

ENVIRONMENT = replace(
    I7, cpu_flags="avx2 fma", reference_ms=2.0, latlas_version="0.2.0", state=MachineState(governor="performance")
)
MANIFEST = Manifest(
    environment=ENVIRONMENT,
    reference="eight convolutions",
    space="portrait",
    command="latlas profile-ops",
    seed=0,
    created_at="2026-01-02T03:10:00+00:00",
    tool_version="0.2.0",
)
IN_NETWORK = InNetwork(subnets=100, reference_id="net-1", reference_ms=5.0, fixed_ms=0.1, error=0.02, seed=0)
SPECS = [OpSpec("skip", 8 * n, 8 * n, 64, 64) for n in range(1, 5)]
SKIP = SPECS[0]


def row(spec=SKIP, ratio=1.0, width=0.1, **fields):
    low, high = ratio * (1 - width), ratio * (1 + width)
    numbers = (2 * ratio, 2 * low, 2 * high, ratio, low, high, 2 * low, 2 * ratio, 2 * high)
    counts = {"rounds": 40, "discarded": 3, "passes": 2}
    return Row(spec=spec, **dict(zip(NUMBERS, numbers, strict=True)), **counts, **fields)


def imported(spec=SKIP, latency_ms=1.0):
    numbers = dict.fromkeys(NUMBERS) | {"latency_ms": latency_ms}
    return Row(spec=spec, **numbers, **dict.fromkeys(COUNTS, 0), origin="imported")


def table(*rows, name=None, **fields):
    return Table(rows, replace(MANIFEST, **fields), Path(name) if name else None)


@st.composite
def tables(draw):
    """Three tables of one environment; rows of one operator may agree, disagree, or have failed."""

    def one():
        rows = []
        for spec in SPECS:
            kind = draw(st.sampled_from(["none", "failed", "ok", "ok", "estimated"]))
            if kind == "failed":
                rows.append(Row.failed(spec, draw(st.sampled_from(["hung", "died"]))))
            elif kind != "none":
                extra = {"in_network_ms": 0.5, "in_network_se_ms": 0.1} if kind == "estimated" else {}
                boundary = draw(st.sampled_from([None, 0.5]))
                ratio, width = draw(st.sampled_from([1.0, 1.01, 1.15, 1.3])), draw(st.sampled_from([0.06, 0.1, 0.2]))
                rows.append(row(spec, ratio, width, boundary_ms=boundary, **extra))
        estimated = any(found.in_network_ms is not None for found in rows)
        environment = replace(
            ENVIRONMENT,
            started_at=f"2026-01-01T00:00:0{draw(st.integers(0, 3))}+00:00",
            reference_ms=draw(st.sampled_from([2.0, 2.5])),
        )
        return table(
            *rows,
            environment=environment,
            in_network=IN_NETWORK if estimated else None,
            space=draw(st.sampled_from(["portrait", "lean", "lean + portrait"])),
            command=draw(st.sampled_from(["", "a", "b || c", "a && b"])),
            seed=draw(st.sampled_from([None, 0, 1])),
            noise_floor=draw(st.sampled_from([None, 0.01, 0.02])),
            created_at=f"2026-02-01T00:00:0{draw(st.integers(0, 3))}+00:00",
            tool_version=draw(st.sampled_from(["0.1.0", "0.2.0"])),
        )

    return one(), one(), one()


def conflicts_of(tables):
    """What merging them disagrees on, in no order; an empty set where it succeeds."""
    try:
        merge(tables)
    except MergeConflictError as error:
        return {(one.change.spec, frozenset((one.change.before, one.change.after))) for one in error.conflicts}
    return set()


@given(tables())
@settings(max_examples=80, deadline=None)
def test_any_number_in_any_order_gives_one_table_or_the_same_conflicts(three):
    found = [conflicts_of(order) for order in permutations(three)]
    assert found == found[:1] * 6
    if found[0]:
        return
    merged = merge(three)
    for order in permutations(three):
        assert merge(order) == merged
        assert reduce(lambda *two: merge(two), order) == merged
        assert merge((order[0], merge((order[1], order[2])))) == merged
    for one in three:
        assert merge([*three, one]) == merged
        assert merge((merged, one)) == merged
    assert merge((merged, merged)) == merged


@given(tables())
@settings(max_examples=60, deadline=None)
def test_merging_alters_no_row_and_loses_no_operator_and_no_part(three):
    try:
        merged = merge(three)
    except MergeConflictError:
        return
    all_rows = [found for one in three for found in one]
    assert all(found in all_rows for found in merged)
    assert {found.spec for found in merged} == {found.spec for found in all_rows}
    assert {found.spec for found in merged if found.status != "failed"} == {
        found.spec for found in all_rows if found.status != "failed"
    }
    assert set(parts(merged.manifest)) == {part for one in three for part in parts(one.manifest)}


def test_of_rows_that_agree_the_one_that_says_most_is_kept():
    plain, bounded = row(width=0.01), row(width=0.05, boundary_ms=0.5)
    within = row(width=0.1, in_network_ms=0.5)
    assert merge([table(plain), table(bounded)])[SKIP] == bounded
    assert merge([table(bounded), table(within, in_network=IN_NETWORK)])[SKIP] == within
    assert merge([table(plain), table(row(width=0.02))])[SKIP] == plain
    assert merge([table(Row.failed(SKIP, "hung")), table(plain)])[SKIP] == plain


def test_what_it_was_merged_of_is_kept():
    a = table(row(), name="a.parquet")
    later = {"command": "latlas profile-ops --threads 1", "created_at": "2026-03-01T00:00:00+00:00"}
    b = table(row(SPECS[1]), name="b.parquet", **later)
    merged = merge([a, b])
    assert parts(merged.manifest) == (
        *sorted(
            f"rows {one.manifest.rows_sha256} of {one.manifest.created_at}, latlas 0.2.0: {one.manifest.command}"
            for one in (a, b)
        ),
    )
    assert parts(a.manifest)[0] in parts(merged.manifest)
    assert merge((a, a)) == a and a.manifest.source == ""


def test_spaces_of_a_merged_table():
    same = merge([table(row()), table(row(SPECS[1]))])
    assert same.manifest.only_space("table t") == "portrait"
    several = merge([table(row()), table(row(SPECS[1]), space="lean:width=8"), table(space="portrait")])
    assert several.manifest.spaces == ("lean:width=8", "portrait")
    with pytest.raises(
        UsageError, match=r"table t is merged of 2 spaces; name one with --space: lean:width=8 \+ portrait"
    ):
        several.manifest.only_space("table t")
    with pytest.raises(LatlasError, match="--space SPACE --precision f32"):
        several.latency_ms(SPECS[3])


def test_conflicts_are_all_of_them_with_both_values():
    a = table(row(SPECS[0], 1.0, 0.01), row(SPECS[1], 1.0, 0.01), name="a.parquet")
    b = table(row(SPECS[0], 2.0, 0.01), row(SPECS[1], 1.01, 0.01), name="b.parquet")
    c = table(row(SPECS[0], 2.0, 0.01), row(SPECS[1], 4.0, 0.01), name="c.parquet")
    with pytest.raises(
        MergeConflictError, match=r"2 operators disagree .* 1 against 2 of the reference \(2 times\)"
    ) as caught:
        merge([a, b, c])
    found = [(one.change.spec, one.first, one.second, round(one.change.ratio, 2)) for one in caught.value.conflicts]
    assert found == [
        (SPECS[0], "a.parquet", "b.parquet", 2.0),
        (SPECS[1], "a.parquet", "c.parquet", 4.0),
        (SPECS[0], "a.parquet", "c.parquet", 2.0),
        (SPECS[1], "b.parquet", "c.parquet", 3.96),
    ]
    record = caught.value.conflicts[0].to_record()
    assert record["first"] == {
        "table": "a.parquet",
        "latency_ms": 2.0,
        "lower_ms": 1.98,
        "upper_ms": 2.02,
        "ratio": 1.0,
        "ratio_lower": 0.99,
        "ratio_upper": 1.01,
    }


def test_measured_and_imported_do_not_mix():
    foreign = table(imported(), origin="imported")
    with pytest.raises(EnvironmentMismatchError, match="the one is measured and the other imported"):
        merge([table(row()), foreign])
    unknown = replace(ENVIRONMENT, cpu_model="unknown", reference_id="unknown", reference_ms=None)
    foreign = table(imported(), origin="imported", environment=unknown)
    with pytest.raises(
        EnvironmentMismatchError, match="cpu_model is 'unknown' and 'unknown'; reference_id is 'unknown'"
    ):
        merge([foreign, foreign])


def test_imported_tables_merge_where_all_that_was_told_agrees():
    told = told_environment(cpu_model="Note10", threads=4, precision="f32", batch=None)
    small = table(imported(), origin="imported", environment=told)
    large = table(imported(replace(SKIP, height=2 * SKIP.height)), origin="imported", environment=told)
    assert len(merge([small, large])) == 2
    for other, message in (
        (replace(told, threads=1), "threads is 4 and 1"),
        (replace(told, threads=None), "threads is 4 and None"),
        (replace(told, batch=1), "batch is None and 1"),
        (replace(told, cpu_model="Pixel"), "cpu_model is 'Note10' and 'Pixel'"),
    ):
        with pytest.raises(EnvironmentMismatchError, match=message):
            merge([small, table(imported(), origin="imported", environment=other)])


def test_latencies_without_an_interval_agree_only_if_equal():
    one, other = table(imported(), origin="imported"), table(imported(latency_ms=1.001), origin="imported")
    assert merge([one, one]) == one
    with pytest.raises(MergeConflictError, match=r"1 against 1.001 ms"):
        merge([one, other])


def test_in_network_latencies_of_two_estimates_do_not_mix():
    a = table(row(in_network_ms=0.5), in_network=IN_NETWORK)
    b = table(row(in_network_ms=0.6), in_network=replace(IN_NETWORK, subnets=50))
    with pytest.raises(EnvironmentMismatchError, match="in-network latencies are of two estimates"):
        merge([a, b])
    assert merge([a, table(row(SPECS[1]))]).manifest.in_network == IN_NETWORK


def test_provenance_that_would_not_be_kept_is_an_error():
    with pytest.raises(LatlasError, match=r"would have .* characters, and at most 64000 are kept"):
        merge([table(command="a" * 40_000), table(command="b" * 40_000)])


def test_nothing_to_merge():
    with pytest.raises(UsageError, match="at least one table"):
        merge([])
    assert merge([table(row())]) == table(row())
