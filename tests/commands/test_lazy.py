"""Commands that are loaded when they are asked for: what lists say of them is true, and a list loads none."""

import inspect
import json
import subprocess
import sys
from importlib import import_module
from typing import ClassVar

import pytest

from latlas.commands.parsing.catalog import COMMANDS, PREDICTOR, TABLES
from latlas.commands.parsing.lazy import Listed, LoadedCommands, lazy_group

ALL = [
    *((("latlas", one.name), one) for one in COMMANDS),
    *((("latlas", "tables", one.name), one) for one in TABLES),
    *((("latlas", "predictor", one.name), one) for one in PREDICTOR),
]


@pytest.mark.parametrize(("words", "listed"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_what_is_listed_is_what_the_command_says(words, listed):
    module, _, name = listed.function.rpartition(".")
    first = inspect.getdoc(getattr(import_module(f"latlas.commands.{module}"), name)).split("\n\n")[0]
    assert listed.summary == " ".join(first.split())
    assert listed.example.startswith(" ".join(words))
    command = listed.load()
    assert command.name == listed.name
    assert command.get_short_help_str() == listed.stub().get_short_help_str()
    assert command.epilog == f"Example: {listed.example}"
    assert not command.hidden and not command.deprecated


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["--help"], []),
        (["tables", "--help"], []),
        (["--version"], []),
        (["serch"], []),
        (["tables", "lst"], []),
        (["doctor", "--jsno"], ["latlas.commands.doctor"]),
        (["predictor", "show", "--plt"], ["latlas.commands.predictors"]),
    ],
    ids=" ".join,
)
def test_only_the_module_of_the_command_is_loaded(words, modules, tmp_path):
    program = (
        f"import json, sys\nfrom latlas import cli\ncode = cli.run({words!r})\n"
        f"print('LOADED' + json.dumps([name for name in sys.modules if name in {sorted(MODULES)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.rpartition("LOADED")[2]) == modules


MODULES = {f"latlas.commands.{one.function.rpartition('.')[0]}" for _, one in ALL}


def test_settings_and_variables_load_the_commands_that_they_name(tmp_path):
    (tmp_path / "latlas.toml").write_text("[doctor]\njson = true\n")
    program = (
        "import json, os, sys\nos.environ['LATLAS_TABLES_SHOW_VALUE'] = 'ratio'\nos.environ['LATLAS_IMPORT'] = 'json'\n"
        "from latlas import cli\ncode = cli.run(['--help'])\n"
        f"print('LOADED' + json.dumps(sorted(name for name in sys.modules if name in {sorted(MODULES)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.rpartition("LOADED")[2]) == ["latlas.commands.doctor", "latlas.commands.tables"]
    assert done.stderr == ""


class Counted(Listed):
    loads: ClassVar[list[str]] = []

    def load(self):
        self.loads.append(self.name)
        return super().load()


def test_a_command_is_loaded_once_and_keeps_its_place():
    commands = LoadedCommands({"b": Counted("b", "doctor.doctor", "B.", "x"), "a": 1})
    Counted.loads.clear()
    assert list(commands) == ["b", "a"] and "b" in commands and "c" not in commands
    assert commands.stub("b").help == "B." and commands.stub("c") is None
    assert Counted.loads == []
    assert commands["b"] is commands["b"] is commands.stub("b")
    assert Counted.loads == ["b"] and list(commands) == ["b", "a"]
    with pytest.raises(KeyError, match="c"):
        commands["c"]


def test_a_group_lists_its_own_first():
    group = lazy_group([Listed("show", "tables.tables_show", "Show.", "latlas show")])(name="g", commands={"old": 1})
    assert group.list_commands(None) == ["show", "old"]
    assert list(group.commands) == ["show", "old"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("latlas tab", "tables"), ("latlas tables pu", "push"), ("latlas tables show --val", "--value")],
)
def test_a_shell_completes_commands_and_options(typed, offered, tmp_path):
    environment = {"_LATLAS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from latlas import cli; cli.run([])"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout.split(), done.stderr
