"""A table at int8 and batch 2, really measured: of two operators and in few passes."""

from dataclasses import replace

import pytest

from latlas.latency.measuring.profile import Setting, profile
from latlas.latency.measuring.stopwatch import StopRule
from latlas.latency.runtime import plugin as runtime
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.build import timing_operator

CONV = OpSpec("conv", 16, 16, 16, 16, kernel_size=3, activation="relu")
SKIP = OpSpec("skip", 16, 16, 16, 16)


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
def test_a_table_of_each_precision_has_latencies_without_borders(tmp_path, monkeypatch, precision):
    if precision not in runtime.supported_precisions():
        pytest.skip(f"this CPU has no {precision}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    setting = replace(
        Setting(precision=precision, batch=2, rule=StopRule(relative_half_width=0.5)), passes=2, max_passes=2
    )
    out = tmp_path / "t.parquet"
    profile([CONV, SKIP], timing_operator, out, setting, space="portrait", command="test")
    table = Table.read(out)
    environment = table.manifest.environment
    assert (environment.precision, environment.batch) == (precision, 2)
    shares = {row.spec: (row.boundary_ms or 0.0) / table.latency_ms(row.spec) for row in table}
    assert 0 < shares[CONV] < 1 and 0 <= shares[SKIP] < 1
    assert all(row.boundary_ms is not None for row in table)
    assert not out.with_name("t.parquet.journal").exists()
