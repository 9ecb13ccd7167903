"""Any valid rows go through a file unchanged, and pandas reads what Latlas does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.latency.machine.environment import KEY_FIELDS, UNKNOWN
from latlas.latency.table.row import COUNTS, ESTIMATES, NUMBERS, Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN, OpSpec

DATA = Path(__file__).parents[2] / "data"
MANIFEST = Table.read(DATA / "table-v2.parquet").manifest
TRIPLES = ("lower_ms latency_ms upper_ms", "ratio_lower ratio ratio_upper", "p10_ms p50_ms p90_ms")
POSITIVE = st.floats(5e-324, 1e300)
LINE = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=30)


@st.composite
def rows(draw, origin):
    found = {}
    for _ in range(draw(st.integers(0, 5))):
        label = draw(LINE.filter(bool)) if origin == "imported" else ""
        channels, size = 4 * draw(st.integers(1, 300)), draw(st.integers(1, 2**31))
        kind = FOREIGN if label else draw(st.sampled_from(["skip", "shuffle"]))
        spec = OpSpec(kind, channels, channels, size, draw(st.integers(1, 2**31)), label=label)
        counts = {name: draw(st.integers(0, 2**63 - 1)) for name in COUNTS}
        if draw(st.integers(0, 3)) == 0:
            found[spec] = replace(Row.failed(spec, draw(st.text(min_size=1)), **counts), origin=origin)
            continue
        numbers: dict[str, Any] = {}
        for names in TRIPLES:
            numbers |= dict(zip(names.split(), sorted(draw(st.tuples(POSITIVE, POSITIVE, POSITIVE))), strict=True))
        numbers |= {name: draw(st.none() | st.just(0.0) | POSITIVE) for name in ESTIMATES}
        if origin == "imported":
            for name in draw(st.sets(st.sampled_from([name for name in NUMBERS if name != "latency_ms"]))):
                numbers[name] = None
        status, source = draw(st.sampled_from(["ok", "noisy"])), draw(LINE)
        found[spec] = Row(spec=spec, **numbers, **counts, status=status, origin=origin, source=source)
    return tuple(found.values())


@st.composite
def tables(draw):
    origin = draw(st.sampled_from(["measured", "imported"]))
    environment = MANIFEST.environment
    if origin == "imported":
        for name in draw(st.sets(st.sampled_from([*KEY_FIELDS, "reference_ms"]))):
            unknown = UNKNOWN if isinstance(getattr(environment, name), str) else None
            environment = replace(environment, **{name: unknown})
    manifest = replace(
        MANIFEST,
        environment=environment,
        origin=origin,
        space=draw(LINE.filter(bool)),
        source=draw(st.text()),
        command=draw(st.text()),
        noise_floor=draw(st.none() | st.floats(0, 1)),
    )
    return Table(draw(rows(origin)), manifest)


@given(tables())
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read_by_latlas_and_by_pandas(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("round") / "t.parquet"
    table.write(path)
    read = Table.read(path)
    assert read == table
    frame = pd.read_parquet(path)
    pd.testing.assert_frame_equal(frame, table.to_frame(), check_exact=True)
    assert frame.latency_ms.isna().sum() == table.count("failed")
    read.write(path, overwrite=True)
    assert Table.read(path) == table
