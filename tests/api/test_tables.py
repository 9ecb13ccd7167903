"""What the commands of tables call, called from Python: wrong values are refused as on the command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from latlas.api.compare import CompareOptions, compare_tables
from latlas.api.sharing import PullOptions
from latlas.errors import UsageError
from latlas.latency.formats.table_format import ImportOptions
from latlas.latency.table.table import Table

DATA = Path(__file__).parent.parent / "data"


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (CompareOptions, {"threshold": 0.5}, "threshold is 0.5; it must be a ratio of at least 1"),
        (CompareOptions, {"confidence": 1.0}, "confidence is 1.0; it must be at least 0.5 and below 1"),
        (ImportOptions, {"threads": 0}, "threads is 0; it must be at least 1"),
        (ImportOptions, {"batch": 2**20 + 1}, "batch is 1048577; it must be at most 1.04858e\\+06"),
        (PullOptions, {"threads": 0}, "threads is 0; it must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_refused(options, values, message):
    with pytest.raises(UsageError, match=message):
        options(**values)


def test_a_comparison_says_which_changes_it_has(tmp_path):
    table = Table.read(DATA / "table-v2.parquet")
    row = next(row for row in table if row.status == "ok")
    table = Table((row,), table.manifest)
    table.write(tmp_path / "a.parquet")
    times = {
        name: 2 * value
        for name in ("latency_ms", "lower_ms", "upper_ms", "ratio", "ratio_lower", "ratio_upper")
        if (value := getattr(row, name)) is not None
    }
    Table((replace(row, **times),), table.manifest).write(tmp_path / "b.parquet")
    compared = compare_tables(tmp_path / "a.parquet", tmp_path / "b.parquet", CompareOptions())
    assert compared.to_record()["changes"][0]["ratio"] == pytest.approx(2)
    assert [compared.fails(kind) for kind in ("any", "slower", "faster", "none")] == [True, True, False, False]
    with pytest.raises(UsageError, match="fail_on is 'slow'; it must be one of any, slower, faster, none"):
        compared.fails("slow")
