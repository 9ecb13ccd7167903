"""`--import`: on every command, by its variable, in latlas.toml; and what goes wrong with it."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from latlas import cli, registry
from latlas.latency.formats.table_format import FORMATS
from latlas.spaces.text import SPACES

ROOT = cli.command_line()
COMMANDS = [
    (*path, name)
    for path, group in (
        ((), ROOT),
        (("tables",), ROOT.commands["tables"]),
        (("predictor",), ROOT.commands["predictor"]),
    )
    for name, command in group.commands.items()
    if not hasattr(command, "commands")
]
RIBBON = """
from dataclasses import dataclass
from typing import ClassVar
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.text import register_space

@register_space
@dataclass(frozen=True)
class Ribbon(NasBench201):
    name: ClassVar[str] = "ribbon"
    cells: int = 1
"""
DRY = ("profile-ops", "--dry-run", "--space")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """A working folder with a module that registers a space; afterwards all is as it was."""
    (tmp_path / "ribbons.py").write_text(RIBBON)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(SPACES, "_things", dict(SPACES._things))
    monkeypatch.setattr(registry, "_imported", {})
    monkeypatch.delenv("LATLAS_IMPORT", raising=False)
    yield
    for name in ("ribbons", "pairing"):
        sys.modules.pop(name, None)


def latlas(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_it(words):
    code, out, _ = latlas(*words, "--help")
    assert code == 0 and "--import" in out and "LATLAS_IMPORT" in out


def test_a_module_of_the_working_folder_brings_its_space():
    code, out, err = latlas(*DRY, "ribbon:cells=2", "--import", "ribbons")
    assert code == 0, err
    assert out.splitlines()[-1] == "22 operators"
    assert registry.imported_packages() == ("ribbons",)


def test_several_are_imported_by_commas_and_by_repeating_it():
    Path("others.py").write_text("")
    Path("more.py").write_text("")
    code, _, err = latlas(*DRY, "ribbon", "--import", "others, ribbons", "--import", "more")
    assert code == 0, err
    assert registry.imported_packages() == ("others", "ribbons", "more")


def test_the_variable_does_the_same(monkeypatch):
    monkeypatch.setenv("LATLAS_IMPORT", "ribbons")
    assert latlas(*DRY, "ribbon")[0] == 0


def test_the_settings_file_names_installed_packages_and_nothing_that_lies_beside_it(monkeypatch, tmp_path):
    Path("latlas.toml").write_text('import = ["ribbons"]\n[profile-ops]\ndry-run = true\n')
    code, out, err = latlas("profile-ops", "--space", "ribbon")
    assert (code, out) == (2, "") and "error: --import ribbons: the package cannot be loaded: ModuleNotFound" in err
    monkeypatch.syspath_prepend(tmp_path)
    assert latlas("profile-ops", "--space", "ribbon")[0] == 0


@pytest.mark.parametrize("text", ['import = "ribbons"\n', "import = [1]\n", 'import = ["ribbons.py/"]\n'])
def test_a_bad_line_of_the_settings_file_is_named(text):
    Path("latlas.toml").write_text(text)
    code, _, err = latlas(*DRY, "portrait")
    assert code == 2 and "import is " in err


def test_a_space_that_nothing_brings_is_refused_with_what_to_do():
    code, out, err = latlas(*DRY, "ribbon")
    assert (code, out) == (2, "")
    assert "unknown space 'ribbon'; known: dpc, nasbench201, portrait" in err and "--import PACKAGE" in err


PAIRS = """
import latlas
from latlas.latency.formats.entry import Entry, foreign_operator, milliseconds, rows_of
from latlas.latency.formats.table_format import Contents, TableFormat

def read(text, path, told):
    pairs = [line.split() for line in text.splitlines()]
    one = lambda name: foreign_operator(name, name, in_channels=1, out_channels=1, height=1, width=1)
    return Contents(rows_of([Entry(name, milliseconds(ms, "ms", name), one(name)) for name, ms in pairs], path))

def write(table, pairs):
    return "".join(f"{row.spec.label} {ms!r}\\n" for row, ms in pairs)

latlas.register_format(TableFormat("pairs", read, write, endings=(".pairs",)))
"""


def test_tables_of_its_format_are_imported_and_exported(monkeypatch):
    monkeypatch.setattr(FORMATS, "_things", dict(FORMATS._things))
    Path("pairing.py").write_text(PAIRS)
    Path("some.pairs").write_text("blur 0.5\nsharpen 1.25\n")
    told = ("--import", "pairing")
    code, out, err = latlas("tables", "import", "some.pairs", "--out", "t.parquet", *told)
    assert code == 0, err
    assert "2 operators of some.pairs (pairs)" in out
    code, _, err = latlas("tables", "export", "t.parquet", "--format", "pairs", "--out", "again.pairs", *told)
    assert code == 0, err
    assert Path("again.pairs").read_text() == Path("some.pairs").read_text()
    monkeypatch.setattr(FORMATS, "_things", {})
    code, _, err = latlas("tables", "export", "t.parquet", "--format", "pairs", "--out", "third.pairs")
    assert code == 2 and "--format is pairs; it must be one of ofa, proxyless, fbnet, csv" in err
    assert "--import PACKAGE" in err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('no\\nluck')", "--import broken: the package cannot be loaded: ValueError: no luck"),
        ("def x(:", "--import broken: the package cannot be loaded: SyntaxError"),
        (RIBBON.replace('"ribbon"', '"portrait"'), "space 'portrait' is registered already, by Latlas; package broken"),
    ],
)
def test_a_package_that_cannot_be_imported_is_one_line_and_help_still_works(code, message):
    Path("broken.py").write_text(code)
    failed, out, err = latlas(*DRY, "portrait", "--import", "broken")
    assert (failed, out) == (2, "") and message in err
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert latlas("profile-ops", "--import", "broken", "--help")[0] == 0
    assert latlas(*DRY, "portrait")[0] == 0
