"""Two tables compared, by numbers that were worked out by hand."""

import math
from dataclasses import replace

import pytest

from latlas.errors import UsageError
from latlas.latency.machine.environment import MachineState
from latlas.latency.table.compare import compare, differences, interval_of, ranks
from latlas.latency.table.row import COUNTS, NUMBERS, Row
from latlas.latency.table.table import Manifest, Table
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.places import Place, choices
from tests.machines import I7

ENVIRONMENT = replace(I7, cpu_flags="avx2 fma", reference_ms=2.0, latlas_version="0.2.0", state=MachineState())
MANIFEST = Manifest(environment=ENVIRONMENT, reference="r", space="portrait", command="", seed=0)
SKIPS = [OpSpec("skip", 8 * n, 8 * n, 64, 64) for n in range(1, 7)]
SEP, DIL, SHUFFLE = (OpSpec(kind, 24, 24, 32, 32) for kind in ("sepconv", "dilconv", "shuffle"))


def row(spec, ratio=1.0, half=1.02, reference_ms=2.0):
    """A row whose interval is `ratio` over and times `half`."""
    low, high = ratio / half, ratio * half
    times = [reference_ms * value for value in (ratio, low, high)]
    numbers = (*times, ratio, low, high, times[1], times[0], times[2])
    return Row(spec=spec, **dict(zip(NUMBERS, numbers, strict=True)), **dict.fromkeys(COUNTS, 40))


def imported(spec, latency_ms):
    numbers = dict.fromkeys(NUMBERS) | {"latency_ms": latency_ms}
    return Row(spec=spec, **numbers, **dict.fromkeys(COUNTS, 0), origin="imported")


def table(*rows, origin="measured", **environment):
    return Table(rows, replace(MANIFEST, origin=origin, environment=replace(ENVIRONMENT, **environment)))


def test_changes_are_beyond_both_intervals_and_the_largest_is_first():
    before = table(row(SKIPS[0]), row(SKIPS[1]), row(SKIPS[2]), row(SKIPS[3]))
    after = table(row(SKIPS[0], 1.03), row(SKIPS[1], 1.05), row(SKIPS[2], 0.5), row(SKIPS[3], 1.2))
    found = compare(before, after)
    assert [change.spec for change in found.changed] == [SKIPS[2], SKIPS[3], SKIPS[1]]
    assert [round(change.ratio, 3) for change in found.changed] == [0.5, 1.2, 1.05]
    assert found.changed[1].lower == pytest.approx(1.2 / 1.02**2)
    assert found.changed[1].upper == pytest.approx(1.2 * 1.02**2)
    assert ([c.spec for c in found.slower], [c.spec for c in found.faster]) == ([SKIPS[3], SKIPS[1]], [SKIPS[2]])
    assert found.geometric_mean == pytest.approx((1.03 * 1.05 * 0.5 * 1.2) ** 0.25)
    assert (found.by_ratio, found.differing) == (True, {})


def test_threshold_leaves_small_changes_out_in_both_directions():
    before = table(*(row(spec) for spec in SKIPS[:4]))
    after = table(*(row(spec, ratio) for spec, ratio in zip(SKIPS, (1.06, 1 / 1.06, 1.12, 1 / 1.12), strict=False)))
    assert len(compare(before, after).changed) == 4
    assert {change.spec for change in compare(before, after, threshold=1.1).changed} == {SKIPS[2], SKIPS[3]}


def test_a_wider_interval_on_the_logarithmic_scale():
    one = row(SKIPS[0], 1.0, 1.1)
    assert interval_of(one, True, 2.0) == pytest.approx((1 / 1.21, 1.0, 1.21))
    assert interval_of(one, False, 1.0) == pytest.approx((2 / 1.1, 2.0, 2.2))
    assert interval_of(imported(SKIPS[0], 1.0)) is None


def test_confidence_and_bonferroni():
    before, after = table(*(row(spec) for spec in SKIPS[:5])), table(*(row(spec, 1.045) for spec in SKIPS[:5]))
    assert len(compare(before, after).changed) == 5
    # 99 % is 2.576 / 1.960 times as wide: 1.02 ** (2 * 1.314) = 1.053.
    assert compare(before, after, confidence=0.99).changed == ()
    # A fifth of the 5 % for each of five.
    found = compare(before, after, bonferroni=True)
    assert found.changed == ()
    assert found.confidence == pytest.approx(0.99)


def test_how_many_change_by_chance():
    before, after = table(*(row(spec) for spec in SKIPS)), table(*(row(spec) for spec in SKIPS))
    # Equal intervals do not overlap where a difference is beyond 2 x 1.96 sd / (sqrt(2) sd) = 2.772 sd of it: 0.557 %.
    assert compare(before, after).by_chance == pytest.approx(6 * 0.00557, rel=0.01)
    # One interval of no width: beyond 1.96 sd, 5 %.
    exact = table(*(row(spec, 1.0, 1.0) for spec in SKIPS))
    assert compare(before, exact).by_chance == pytest.approx(6 * 0.05)
    assert compare(exact, exact).by_chance == 0
    assert compare(before, exact, threshold=1.1).by_chance < 1e-9


def test_other_environments_are_compared_in_milliseconds():
    before, after = table(row(SKIPS[0])), table(row(SKIPS[0], 1.0, reference_ms=3.0), openvino_version="2026.5.0")
    found = compare(before, after)
    assert (found.by_ratio, [change.ratio for change in found.changed]) == (False, [1.5])
    assert found.differing == {"openvino_version": ("2026.4.1", "2026.5.0")}
    drifted = table(row(SKIPS[0], 1.0, reference_ms=3.0), reference_ms=3.0, kernel="Linux 6.2")
    assert compare(before, drifted).changed == ()
    assert differences(before, drifted) == {"reference_ms": (2.0, 3.0), "kernel": ("Linux 6.1", "Linux 6.2")}


def test_nothing_is_left_out_in_silence():
    before = table(row(SKIPS[0]), row(SKIPS[1]), Row.failed(SKIPS[2], "hung"), Row.failed(SKIPS[5], "hung"))
    rows = imported(SKIPS[0], 4.0), imported(SKIPS[2], 1.0), imported(SKIPS[3], 1.0)
    after = table(*rows, origin="imported", reference_ms=None, reference_id="unknown")
    found = compare(before, after)
    assert (found.pairs, found.changed, found.by_chance) == ((), (), 0)
    (change,) = found.no_interval
    assert (change.spec, change.ratio, change.lower, change.beyond()) == (SKIPS[0], 2.0, None, False)
    assert (found.only_before, found.only_after, found.failed) == ((SKIPS[1], SKIPS[5]), (SKIPS[3],), (SKIPS[2],))
    assert found.geometric_mean == 2.0
    assert compare(table(), table()).geometric_mean is None


@pytest.mark.parametrize(
    "options", [{"threshold": 0.9}, {"threshold": math.nan}, {"confidence": 1.0}, {"confidence": 95}]
)
def test_impossible_options(options):
    with pytest.raises(UsageError, match=rf"{next(iter(options))} is"):
        compare(table(), table(), **options)


def test_places_where_there_is_a_choice():
    fixed = OpSpec("upsample_add", 24, 24, 32, 32, scale=2), OpSpec("dwsep", 24, 24, 32, 32, kernel_size=3)
    alone, large = OpSpec("skip", 8, 8, 32, 32), [OpSpec(kind, 4, 8, 64, 64, 2) for kind in ("sepconv", "dilconv")]
    found = choices([SEP, *fixed, alone, *large, DIL])
    assert list(found) == [Place(64, 64, 4, 8, 2), Place(32, 32, 24, 24, 1)]
    assert found[Place(32, 32, 24, 24, 1)] == (DIL, SEP)
    assert [str(place) for place in found] == ["4->8 s2 at 64x64", "24->24 at 32x32"]


def test_ranks():
    before = table(row(SEP, 1.0), row(DIL, 2.0), row(SHUFFLE, 1.03), row(SKIPS[0]))
    after = table(row(SEP, 3.0), row(DIL, 2.0), row(SHUFFLE, 1.0), row(SKIPS[0]), precision="bf16")
    (found,) = ranks(before, after)
    assert (found.operators, found.best_before, found.best_after) == (3, SEP, SHUFFLE)
    # sepconv and shuffle were not apart beyond their intervals before.
    (one,) = found.reversals
    assert (one.first, one.second) == (SEP, DIL)
    assert [one.before_ratio, one.after_ratio] == pytest.approx([2, 1.5])
    (back,) = ranks(after, before)
    assert [(one.first, one.second) for one in back.reversals] == [(DIL, SEP)]
    assert ranks(before, before)[0].reversals == ()


def test_ranks_of_operators_that_both_tables_have():
    before = table(row(SEP, 1.0), row(DIL, 2.0), Row.failed(SHUFFLE, "hung"))
    after = table(imported(SEP, 3.0), imported(DIL, 2.0), imported(SHUFFLE, 1.0), origin="imported")
    (found,) = ranks(before, after)
    assert (found.operators, found.best_after, found.reversals) == (2, DIL, ())


def test_the_other_way_round_is_the_inverse():
    before = table(row(SEP, 1.0), row(DIL, 2.0), row(SHUFFLE, 4.0))
    after = table(row(SEP, 5.0), row(DIL, 2.5), row(SHUFFLE, 1.0), precision="bf16")
    (there,), (back,) = ranks(before, after), ranks(after, before)
    assert str(there.place) == "24->24 at 32x32"
    assert len(there.reversals) == len(back.reversals) == 3
    assert {(one.first, one.second, one.before_ratio, one.after_ratio) for one in there.reversals} == {
        (one.second, one.first, one.after_ratio, one.before_ratio) for one in back.reversals
    }
    # The clearest first: from 4 times faster to 5 times slower.
    assert (there.reversals[0].first, there.reversals[0].second) == (SEP, SHUFFLE)


@pytest.mark.parametrize(("ratio", "reversals"), [(0.99, 0), (0.9, 1)])
def test_within_the_intervals_no_pair_changes_rank(ratio, reversals):
    before, after = table(row(SEP, 1.0), row(DIL, 1.1)), table(row(SEP, 1.0), row(DIL, ratio), precision="bf16")
    assert len(ranks(before, after)[0].reversals) == reversals


def test_an_operator_without_an_interval_changes_no_rank():
    before = table(row(SEP, 1.0), row(DIL, 2.0))
    bare = replace(row(DIL, 1.0), origin="imported", lower_ms=None, upper_ms=None)
    (found,) = ranks(before, Table((row(SEP, 2.0), bare), before.manifest))
    assert (found.operators, found.best_after, found.reversals) == (2, DIL, ())
