"""Ranks between two tables, on hand-made rows."""

from dataclasses import replace

import pytest

from latlas.latency.table.ranks import Place, rank_changes
from latlas.latency.table.table import Row, Table
from latlas.spaces.operators.spec import OpSpec
from tests.latency.table.test_table import ENVIRONMENT, MANIFEST, row

SEP, DIL, SHUFFLE = (
    OpSpec("sepconv", 16, 24, 64, 64, 2),
    OpSpec("dilconv", 16, 24, 64, 64, 2),
    OpSpec("shuffle", 16, 24, 64, 64, 2),
)
ALONE = OpSpec("head", 24, 1, 32, 32)
BF16 = replace(MANIFEST, environment=replace(ENVIRONMENT, precision="bf16"))


def tables(before, after, width=0.01):
    rows = [[row(spec, ratio, width) for spec, ratio in one.items()] for one in (before, after)]
    return Table(tuple(rows[0]), MANIFEST), Table(tuple(rows[1]), BF16)


def test_a_pair_that_changes_order_is_a_flip():
    a, b = tables({SEP: 1.0, DIL: 2.0, SHUFFLE: 3.0, ALONE: 1.0}, {SEP: 1.0, DIL: 0.8, SHUFFLE: 3.0, ALONE: 9.0})
    (ranks,) = rank_changes(a, b)
    assert ranks.place == Place(64, 64, 16, 24, 2, 1) and str(ranks.place) == "16->24 s2 at 64x64"
    assert (ranks.operators, ranks.fastest_before, ranks.fastest_after) == (3, SEP, DIL)
    (flip,) = ranks.flips
    assert (flip.first, flip.second) == (SEP, DIL)
    assert (flip.before, flip.after) == pytest.approx((2.0, 0.8))
    assert ranks.to_record()["flips"] == [
        {"first": str(SEP), "second": str(DIL), "before": flip.before, "after": flip.after}
    ]


def test_the_other_way_round_is_the_inverse():
    a, b = tables({SEP: 1.0, DIL: 2.0, SHUFFLE: 4.0}, {SEP: 5.0, DIL: 2.5, SHUFFLE: 1.0})
    (there,), (back,) = rank_changes(a, b), rank_changes(b, a)
    assert len(there.flips) == len(back.flips) == 3
    assert {(f.first, f.second, f.before, f.after) for f in there.flips} == {
        (f.second, f.first, 1 / f.after, 1 / f.before) for f in back.flips
    }
    # The clearest first: from 4 times slower to 5 times faster.
    assert (there.flips[0].first, there.flips[0].second) == (SEP, SHUFFLE)


@pytest.mark.parametrize(("ratio", "flips"), [(0.99, 0), (0.9, 1)])
def test_within_the_intervals_nothing_flips(ratio, flips):
    a, b = tables({SEP: 1.0, DIL: 1.1}, {SEP: 1.0, DIL: ratio})
    assert len(rank_changes(a, b)[0].flips) == flips


def test_what_failed_has_no_interval_or_no_company_is_left_out():
    a, b = tables({SEP: 1.0, DIL: 2.0, SHUFFLE: 3.0}, {SEP: 2.0, DIL: 1.0})
    failed = Table((*b.rows, Row.failed(SHUFFLE, "hung")), BF16)
    assert rank_changes(a, failed)[0].operators == 2
    bare = replace(b[DIL], origin="imported", lower_ms=None, upper_ms=None)
    assert rank_changes(a, Table((b[SEP], bare), BF16)) == []
