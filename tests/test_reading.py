"""The snippets of tables/READING.md run as they stand, over tables of two environments, one of which has fewer columns."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from latlas.latency.table.table import Table

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "tables" / "READING.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tables/: bf16, and f32 as of a version of the schema that has fewer columns."""
    folder = tmp_path_factory.mktemp("reading")
    (folder / "tables" / "cpu").mkdir(parents=True)
    fewer = pq.read_table(DATA / "table-v2.parquet").drop_columns(["origin", "source", "in_network_ms"])
    pq.write_table(fewer, folder / "tables" / "cpu" / "portrait-f32-t1.parquet")
    other = Table.read(DATA / "table-v2.parquet")
    environment = replace(other.manifest.environment, precision="bf16", threads=2)
    replace(other, manifest=replace(other.manifest, environment=environment)).write(
        folder / "tables" / "cpu" / "portrait-bf16-t2.parquet"
    )
    replace(other, manifest=replace(other.manifest, environment=replace(environment, threads=1))).write(
        folder / "tables" / "cpu" / "portrait-bf16-t1.parquet"
    )
    return folder


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def snippet(word: str) -> str:
    (found,) = [code for code in SNIPPETS if word in code]
    return found


def test_all_snippets_are_tested():
    assert len(SNIPPETS) == 6


def test_pandas_finds_the_fastest_of_each_place_and_environment(folder):
    code = snippet("import pandas")
    out = run(code + "\nprint('ROWS', len(frame), sorted(set(frame.precision)), len(fastest))", folder)
    # Two operators with a latency, at two places, in three environments.
    assert out.splitlines()[-1] == "ROWS 9 ['bf16', 'f32'] 6"


def test_duckdb_reads_the_folder_as_one(folder):
    code = snippet("filename = true")
    out = run(code + "\nprint('ROWS', sorted(operators.aggregate('precision, threads, count(*)').fetchall()))", folder)
    assert out.splitlines()[-1] == "ROWS [('bf16', 1, 2), ('bf16', 2, 2), ('f32', 1, 2)]"


def test_duckdb_sets_precisions_side_by_side(folder):
    out = run(snippet("bf16_over_f32") + "\nprint('ROWS', [row[-1] for row in ratios.fetchall()])", folder)
    assert out.splitlines()[-1] == "ROWS [1.0, 1.0]"


def test_polars_reads_the_folder_as_one(folder):
    out = run(snippet("include_file_paths") + "\nprint('ROWS', slowest.height, slowest['latency_ms'][0])", folder)
    assert out.splitlines()[-1] == "ROWS 6 2.0"
    out = run(snippet("diagonal") + "\nprint('ROWS', everything.height, everything['origin'].null_count())", folder)
    assert out.splitlines()[-1] == "ROWS 9 3"


def test_the_manifest_is_read(folder):
    lines = run(snippet("read_metadata") + "\nprint(json.dumps(manifest))", folder).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[-1])["environment"]["precision"] == "f32"


def test_the_columns_named_are_the_key_of_a_row():
    text = (ROOT / "tables" / "READING.md").read_text(encoding="utf-8")
    frame = pd.read_parquet(DATA / "table-v2.parquet")
    named = set(re.findall(r"`([a-z_]+)`", text)) & set(frame.columns)
    from latlas.latency.machine.environment import KEY_FIELDS
    from latlas.spaces.operators.spec import SPEC_FIELDS

    assert {*SPEC_FIELDS, *KEY_FIELDS} <= named
