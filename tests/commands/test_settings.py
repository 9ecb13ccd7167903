"""`latlas.toml` and environment variables: what is wrong with them, and whom it concerns."""

import io
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from latlas import cli
from latlas.commands.parsing.settings import OTHER_VARIABLES, PREFIX, variable_warnings

SOURCES = Path(__file__).resolve().parents[2]
DRY = ("profile-ops", "--dry-run", "--space", "nasbench201")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LATLAS_")]:
        monkeypatch.delenv(name)


def latlas(*words: object) -> tuple[int, str, list[str]]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue().splitlines()


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("search", "--help"), ("tables", "--help")])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[search]\nbudget = 3\n",
            "warning: latlas.toml, [search]: 'budget' is not known there; did you mean budget_ms?",
        ),
        ("threads = = 2\n", "warning: latlas.toml cannot be read: Invalid value (at line 1, column 11)"),
        (
            'import = "x"\n',
            "warning: latlas.toml: import is 'x'; it must be a list of packages, such as [\"my_package\"]",
        ),
    ],
)
def test_help_and_version_say_a_mistake_in_a_line_and_go_on(words, text, said):
    Path("latlas.toml").write_text(text)
    code, out, err = latlas(*words)
    assert (code, err) == (0, [said])
    assert out


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[profile-ops]\nthread = 2\n", "did you mean threads?"),
        ("[profil-ops]\nthreads = 2\n", "did you mean profile-ops?"),
        ("profile-ops = 2\n", "'profile-ops' is not known there; commands are"),
        ("[profile-ops.threads]\nx = 2\n", "'threads' is not known there; options are"),
        ("[xyzzy]\nthreads = 2\n", "'xyzzy' is not known there; commands are"),
    ],
)
def test_it_stops_the_command_that_it_concerns(text, meant):
    Path("latlas.toml").write_text(text)
    code, out, err = latlas(*DRY)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("error: latlas.toml") and meant in err[0]


def test_another_command_goes_on_with_a_warning_of_one_line():
    Path("latlas.toml").write_text("[search]\nbudget = 3\nevaluation = 2\n[profile-ops]\njson = true\n")
    code, out, err = latlas(*DRY)
    assert code == 0 and out.startswith("[\n")
    assert err == [
        "warning: latlas.toml, [search]: 'budget' is not known there; did you mean budget_ms? (and 1 more)",
    ]


def test_a_mistake_in_tables_list_is_not_one_of_tables_show():
    Path("latlas.toml").write_text("[tables.list]\nthread = 2\n")
    assert latlas("tables", "list", ".")[0] == 2
    code, _, err = latlas("tables", "show", "gone.parquet")
    assert code == 2 and [line.partition(":")[0] for line in sorted(err)] == ["error", "warning"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LATLAS_PROFILE_OPS_RESOLUTON", "LATLAS_PROFILE_OPS_RESOLUTION"),
        ("LATLAS_TABLES_SHOW_VALU", "LATLAS_TABLES_SHOW_VALUE"),
        ("LATLAS_CASH", "LATLAS_CACHE"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_nearest(monkeypatch, name, nearest):
    monkeypatch.setenv(name, "64")
    code, out, err = latlas(*DRY)
    assert code == 0 and out
    assert err == [f"warning: the environment variable {name} is not known and does nothing; did you mean {nearest}?"]


def test_variables_that_are_known_are_not_told(monkeypatch):
    for name in ("LATLAS_PROFILE_OPS_THREADS", "LATLAS_PREDICTOR_ADAPT_GOAL", "LATLAS_IMPORT", "LATLAS_CACHE", "LATLA"):
        monkeypatch.setenv(name, "1")
    assert variable_warnings(cli.command_line()) == []


def test_a_variable_that_is_near_none_is_told_alone():
    assert variable_warnings(cli.command_line(), {"LATLAS_ZZZZZZ_Q": "1", "HOME": "/"}) == [
        "warning: the environment variable LATLAS_ZZZZZZ_Q is not known and does nothing"
    ]


def test_every_variable_that_the_code_reads_is_known():
    read = {
        name
        for room in ("commands", "files", "latency", "search", "spaces", "supernet", "api")
        for path in (SOURCES / room).rglob("*.py")
        for name in re.findall(rf"environ[^\n]*[\"']({PREFIX}_[A-Z_]+)", path.read_text())
    }
    assert read == set(OTHER_VARIABLES)


def test_latlas_version_is_no_setting(monkeypatch):
    monkeypatch.setenv("LATLAS_VERSION", "1")
    code, out, err = latlas(*DRY)
    assert code == 0 and out.endswith("operators\n")
    assert err[0].startswith("warning: the environment variable LATLAS_VERSION is not known")
