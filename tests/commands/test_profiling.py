"""`profile-ops` of several dimensions at once; passes are scripted, so that nothing is timed."""

import json
from pathlib import Path

import pytest

from latlas import cli
from latlas.api.profile_several import variants_in
from latlas.api.setting import Care, setting_of
from latlas.commands.profile_ops import ProfiledSpaces, tables_of
from latlas.errors import UsageError
from latlas.latency.measuring import profile as profile_module
from latlas.latency.table.table import Table
from tests.latency.table.test_table import ENVIRONMENT, MANIFEST, row

SPACE = "portrait:stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,aspp_channels=8,decoder_channels=8"


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
    """Precisions that any CPU has, a lock of our own, and tables that are made up."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("latlas.latency.runtime.plugin.require_precision", lambda precision: None)
    monkeypatch.setattr(profile_module, "profile", scripted)


MADE: list[Path] = []


def scripted(specs, build_module, out, setting, *, space, command, update=False, **rest):
    """A table whose operators cost by their place in the list, at two threads the other way round."""
    MADE.append(out)
    order = list(specs) if setting.threads == 1 else list(reversed(specs))
    rows = tuple(row(spec, 1.0 + index) for index, spec in enumerate(order))
    key = setting.key("operator")
    environment = type(ENVIRONMENT)(**({n: getattr(ENVIRONMENT, n) for n in ENVIRONMENT.__dataclass_fields__} | key))
    manifest = type(MANIFEST)(environment, MANIFEST.reference, space, command, 0)
    table = Table(rows, manifest, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.write(out, overwrite=True)
    return table


def profile_ops(*words):
    MADE.clear()
    return cli.run(["profile-ops", "--space", SPACE, *map(str, words)])


def test_every_combination_is_a_variant():
    asked = ProfiledSpaces(resolution="256, 192x160", precision="f32,int8", threads=(1, 2), batch=(1, 4))
    variants = variants_in(None, tables_of(asked, Care()))
    assert len(variants) == 16
    assert len({variant.target for variant in variants}) == 16
    first, last = variants[0], variants[-1]
    assert (first.options.precision, first.options.threads, first.options.batch) == ("f32", 1, 1)
    assert (last.options.precision, last.options.threads, last.options.batch) == ("int8", 2, 4)
    assert (first.space.height, last.space.width) == (256, 160)
    assert last.target.name.endswith("-int8-t2-b4.parquet") and first.target.name.endswith("-f32-t1.parquet")
    assert len(tables_of(ProfiledSpaces(precision="f32,f32"), Care())) == 1


def test_a_table_each_then_none_and_what_changed_rank(capsys):
    words = ("--threads", "1,2", "--precision", "f32,bf16", "--out", "all", "--json")
    assert profile_ops(*words) == 0
    record = json.loads(capsys.readouterr().out)
    assert [Path(one["table"]).name[-11:-8] for one in record["tables"]] == ["-t1", "-t2"] * 2
    assert len(MADE) == 4 and all(path.is_file() and path.parts[0] == "all" for path in MADE)
    by_dimension = {(c["dimension"], *c["values"]): c for c in record["rank_changes"]}
    assert set(by_dimension) == {("precision", "f32", "bf16"), ("threads", 1, 2)}
    assert len(record["rank_changes"]) == 4
    threads, precision = by_dimension["threads", 1, 2], by_dimension["precision", "f32", "bf16"]
    assert not precision["changed"] and precision["places"] == threads["places"] > 0
    place = threads["changed"][0]
    assert place["flips"][0]["before"] > 1 > place["flips"][0]["after"]
    assert place["fastest_before"] != place["fastest_after"]

    assert profile_ops(*words[:-1]) == 0
    again = capsys.readouterr().out
    assert MADE == [] and again.count("there already") == 4 and "threads 1 -> 2" in again and "fastest" in again


def test_what_was_not_measured_yet_is(capsys):
    assert profile_ops("--threads", "1,2", "--out", "all") == 0
    gone = MADE[1]
    gone.unlink()
    assert profile_ops("--threads", "1,2", "--out", "all") == 0
    assert [gone] == MADE
    assert profile_ops("--threads", "1,2", "--out", "all", "--force") == 0
    assert len(MADE) == 2


def test_a_table_in_the_way_is_an_error_before_anything_is_measured(capsys):
    assert profile_ops("--threads", "1,2", "--out", "all") == 0
    one, two = MADE
    two.write_bytes(one.read_bytes())
    one.unlink()
    assert profile_ops("--threads", "1,2", "--out", "all") == 2
    assert "threads 1, not 2" in capsys.readouterr().err and MADE == []

    table = Table.read(two)
    two.unlink()
    Table(table.rows[1:], table.manifest).write(one)
    assert profile_ops("--threads", "1,2", "--out", "all") == 2
    assert "lacks 1 operators" in capsys.readouterr().err and MADE == []
    assert profile_ops("--threads", "1,2", "--out", "all", "--update") == 0
    assert [one, two] == MADE


def test_several_tables_need_a_folder(capsys):
    assert profile_ops("--threads", "1,2", "--out", "t.parquet") == 2
    assert "t.parquet; 2 tables need a folder" in capsys.readouterr().err


def test_a_precision_that_is_missing_is_an_error_before_anything_is_measured(monkeypatch, capsys):
    def refuse(precision):
        if precision == "bf16":
            raise UsageError("precision bf16: this CPU has no instructions for it")

    monkeypatch.setattr("latlas.latency.runtime.plugin.require_precision", refuse)
    assert profile_ops("--precision", "f32,bf16", "--out", "all") == 2
    assert "no instructions" in capsys.readouterr().err and MADE == [] and not Path("all").exists()


def test_a_dry_run_lists_the_operators_of_all_resolutions(capsys):
    assert profile_ops("--resolution", "64,96", "--dry-run", "--json") == 0
    heights = {spec["height"] for spec in json.loads(capsys.readouterr().out)}
    assert {64, 96} <= heights


@pytest.mark.parametrize(("option", "value"), [("--threads", "1,,2"), ("--batch", "1,x"), ("--batch", "0")])
def test_impossible_lists(option, value, capsys):
    assert profile_ops(option, value, "--out", "all") == 2
    assert option in capsys.readouterr().err


def test_the_batch_is_in_the_setting():
    setting = setting_of("f32", 1, 0.01, 0, 4)
    assert setting.batch == 4 and setting.key("operator")["batch"] == 4
    with pytest.raises(UsageError, match="batch is 0"):
        setting_of("f32", 1, 0.01, 0, 0)
