"""The command line as a shell: version, module, completion, and what is said of a typing error."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from latlas import cli
from latlas.distribution import latlas_version

DATA = Path(__file__).resolve().parents[1] / "data"


def latlas(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def completed(words: str) -> list[str]:
    """What a shell is told may come next after these words, the last of them unfinished."""
    asked = {"_LATLAS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-P", "-m", "latlas"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_version():
    assert latlas("--version") == (0, f"latlas {latlas_version()}\n", "")


def test_python_m_latlas(tmp_path):
    command = [sys.executable, "-P", "-m", "latlas", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"latlas {latlas_version()}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("search", "--straregy", "x"),
            "no such option: --straregy; did you mean --strategy? See `latlas search --help`",
        ),
        (("search", "--xyzzy", "x"), "no such option: --xyzzy; see `latlas search --help`"),
        (("serch",), "no such command 'serch'; did you mean search? See `latlas --help`"),
        (("tables", "shw"), "no such command 'shw'; did you mean show? See `latlas tables --help`"),
        (("xyzzy",), "no such command 'xyzzy'; see `latlas --help`"),
        (
            ("tables", "show", "t.parquet", "--value", "isolate"),
            "Invalid value for '--value': 'isolate' is not one of 'isolated', 'boundary', 'in-network', 'ratio'; "
            "did you mean isolated? See `latlas tables show --help`",
        ),
        (("tables", "list", "--threads", "0"), "--threads is 0; it must be at least 1"),
        (
            ("doctor", "--rounds", "1"),
            "Invalid value for '--rounds': Input should be greater than or equal to 4, not '1'; see `latlas doctor --help`",
        ),
    ],
)
def test_a_typing_error_is_one_line_that_names_what_was_meant(words, message):
    assert latlas(*words) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("words", "next_words"),
    [
        ("latlas pre", ["predict", "predictor"]),
        ("latlas tables sh", ["show"]),
        ("latlas search --lat", ["--latency-loss", "--latency-weight"]),
        ("latlas tables show --value ", ["isolated", "boundary", "in-network", "ratio"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(words, next_words):
    assert completed(words) == next_words


def test_the_completion_of_a_shell_is_shown():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "latlas", "--show-completion", "bash"], capture_output=True, text=True, check=True
    )
    assert "complete -o default -F _latlas_completion latlas" in done.stdout


def test_the_tables_that_come_with_latlas_are_listed_where_there_are_no_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package"
    shutil.copytree(
        DATA, package / "tables", ignore=lambda folder, names: [n for n in names if n != "table-v2.parquet"]
    )
    monkeypatch.setattr("latlas.commands.tables.ROOT", package)
    code, out, err = latlas("tables", "list")
    assert code == 0, err
    assert out.startswith(f"{package / 'tables' / 'table-v2.parquet'}: ")
    (tmp_path / "tables").mkdir()
    assert latlas("tables", "list")[1] == "tables: no such table\n"


@pytest.mark.parametrize(
    "words", [["tables", "list", "--device", "xeon"], ["tables", "pull", "shared", "--device", "xeon"]]
)
def test_the_cpu_of_tables_is_no_device(words, capsys):
    assert cli.run(words) == 2
    assert capsys.readouterr().err == (
        f"error: no such option: --device; did you mean --cpu? See `latlas {words[0]} {words[1]} --help`\n"
    )
