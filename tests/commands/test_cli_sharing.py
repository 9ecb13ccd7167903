"""`tables publish | push | pull` as they are typed: what they print, and their exit codes."""

import io
import json
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from latlas import cli
from latlas.latency.machine.environment import cpu_model
from latlas.latency.sharing.names import table_path
from latlas.latency.table.table import Table

TABLE = Table.read(Path(__file__).parents[1] / "data" / "table-v2.parquet")
DEVICE = "intel-core-i7-8700"
NAME = f"{DEVICE}/portrait-f32-t1.parquet"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a table, and a cache of its own."""
    monkeypatch.setenv("LATLAS_CACHE", str(tmp_path / "cache"))
    TABLE.write(tmp_path / "t.parquet")
    other = replace(TABLE.manifest, seed=1)
    Table(TABLE.rows, other).write(tmp_path / "other.parquet")
    with chdir(tmp_path):
        yield tmp_path


def latlas(*words):
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def test_publish_and_check(here):
    code, out, err = latlas("tables", "publish", "t.parquet")
    assert (code, err) == (0, "")
    assert out.startswith(
        f"tables/{NAME}: new, 3 operators, Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz, rows a6396f57e69d"
    )
    assert latlas("tables", "publish", "--check")[:2] == (0, "tables: 1 tables, as its indexes say\n")
    code, out, err = latlas("tables", "publish", "other.parquet", "--json")
    assert (code, out) == (2, "") and err.startswith(f"error: tables/{NAME} exists already") and err.count("\n") == 1
    record = json.loads(latlas("tables", "publish", "other.parquet", "--force", "--json")[1])
    assert (record["table"], record["state"], record["entries"]) == (f"tables/{NAME}", "replaced", 3)
    (here / "tables" / NAME).unlink()
    code, out, _ = latlas("tables", "publish", "--check", "--json")
    assert code == 1 and "there is no such table" in json.loads(out)["problems"][0]


@pytest.mark.parametrize("words", [(), ("t.parquet", "--check")])
def test_publish_needs_a_table_or_check(here, words):
    code, _, err = latlas("tables", "publish", *words)
    assert code == 2 and "name the table to publish, or --check the folder" in err


def test_push_and_pull(here):
    code, out, _ = latlas("tables", "push", "t.parquet", "shared", "--dry-run")
    assert code == 0 and out.startswith("would be: ") and not (here / "shared").exists()
    record = json.loads(latlas("tables", "push", "t.parquet", "shared", "--json")[1])
    assert (record["state"], record["dry_run"], record["table"]) == ("new", False, f"{here}/shared/{NAME}")
    assert latlas("tables", "push", "other.parquet", "shared")[0] == 2
    code, out, err = latlas("tables", "pull", "shared", "--cpu", DEVICE, "--space", "portrait", "--json")
    record = json.loads(out)
    assert (code, err, record["offline"], record["url"]) == (0, "", False, f"{here}/shared")
    (one,) = record["tables"]
    assert (one["table"], one["state"], one["path"]) == (f"tables/{NAME}", "new", NAME)
    assert Table.read(here / one["table"]) == TABLE


def test_pull_from_the_cache_says_so(here):
    latlas("tables", "push", "t.parquet", "shared")
    latlas("tables", "pull", "shared", "--cpu", "any")
    code, out, err = latlas("tables", "pull", "shared", "--cpu", "any", "--out", "again", "--offline")
    assert code == 0 and out.startswith(f"again/{NAME}: new")
    assert err.startswith(f"from the cache, last seen in {here}/shared 0 s ago (as told)")


def test_pull_is_of_this_machine_unless_told(here):
    code, _, err = latlas("tables", "pull", "shared")
    assert code == 1 and f"no table of device {table_path(cpu_model(), 'x', 'f32', 1).parent}" in err
    mine = replace(TABLE.manifest, environment=replace(TABLE.manifest.environment, cpu_model=cpu_model()))
    Table(TABLE.rows, mine).write(here / "mine.parquet")
    latlas("tables", "push", "mine.parquet", "shared")
    latlas("tables", "push", "t.parquet", "shared")
    assert len(json.loads(latlas("tables", "pull", "shared", "--json")[1])["tables"]) == 1


def test_space_is_found_by_any_of_its_texts(here):
    for space in ("portrait:height=192,width=192", "somebody-elses"):
        Table(TABLE.rows, replace(TABLE.manifest, space=space)).write(here / "s.parquet", overwrite=True)
        latlas("tables", "push", "s.parquet", "shared")
    for text in ("portrait:resolution=192", "somebody-elses"):
        code, out, _ = latlas("tables", "pull", "shared", "--cpu", DEVICE, "--space", text, "--json")
        assert code == 0 and len(json.loads(out)["tables"]) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("pull", "nosuch://x"), 2, "no store of kind 'nosuch' is known"),
        (("pull", "http://me:hunter22@127.0.0.1:9/x"), 1, "cannot read index.json at http://127.0.0.1:9/x"),
        (("push", "none.parquet", "shared"), 2, "there is no table none.parquet"),
        (("push", "t.parquet", "http://127.0.0.1:9/x"), 1, "cannot read"),
    ],
)
def test_errors_are_one_line_without_credentials(here, words, code, message):
    found, out, err = latlas("tables", *words)
    assert (found, out) == (code, "") and message in err and err.count("\n") == 1
    assert "hunter22" not in err and "Traceback" not in err
