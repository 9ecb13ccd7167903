"""Every command that the README, a page of docs/ or a help text shows is one that there is."""

import inspect
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import MagicMock

import pytest
import typer

import latlas
from latlas.api.search import search as latlas_search
from latlas.cli import app
from latlas.errors import UsageError
from tests.documents import PAGES, ROOT, blocks, shown_commands

README = ROOT / "README.md"
SHELL = {"|", ">", ">>", "<", "&&", "||", ";", "&", "2>"}
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def check_line(line: str) -> None:
    """Raises `typer.TyperException` or `UsageError` where the command line would not be parsed."""
    words = shlex.split(line, comments=True)
    words = words[: next((i for i, word in enumerate(words) if word in SHELL), len(words))]
    command: Any = typer.main.get_command(app)
    path, rest = words[0], words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{line!r}: `{path}` has no command {rest[0]!r}"
        path, command = f"{path} {rest[0]}", command.commands[rest[0]]
        rest = rest[1:]
    with suppress(typer.Exit):  # what --help leaves by
        command.make_context(path, rest)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, with its words."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from leaves(child, (*path, name))


LEAVES = list(leaves(typer.main.get_command(app)))


def text_of(path: Any) -> str:
    return path.read_text(encoding="utf-8")


def test_the_readme_shows_commands():
    assert shown_commands(text_of(README), "latlas")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_can_be_parsed(path):
    for line in shown_commands(text_of(path), "latlas"):
        check_line(line)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_make_target_of_a_page_exists(path):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in shown_commands(text_of(path), "make"):
        words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word and not word.startswith("-")]
        assert set(words) <= targets, line


@pytest.mark.parametrize(
    "path",
    [*PAGES, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md")), *(ROOT / "tables").glob("*.md")],
    ids=lambda path: path.name,
)
def test_every_link_to_a_file_leads_to_one(path):
    links = [link for link in LINK.findall(text_of(path)) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_is_short():
    assert len(text_of(README).split()) < 1200


class Front:
    """`latlas` for code that is only checked: each call must fit the real function's parameters, and gives a stand-in."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(latlas, name)

        def called(*arguments: Any, **options: Any) -> Any:
            inspect.signature(latlas_search if name == "search" else real).bind(*arguments, **options)
            return MagicMock()

        return called


def test_the_readmes_python_calls_what_there_is():
    (code,) = blocks(text_of(README), "python")
    exec(code.replace("import latlas\n", ""), {"latlas": Front()})
    assert code.count("latlas.") >= 6
    with pytest.raises(TypeError):
        exec("latlas.profile(nosuch=1)", {"latlas": Front()})


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_set_up_commands_are_targets(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_an_example_of_itself_that_can_be_parsed(path, command):
    example = command.epilog.removeprefix("Example: ")
    assert example.startswith(" ".join(("latlas", *path)))
    check_line(example)


BLOCK = """
```console
$ latlas tables show table.parquet
12 operators
$ latlas profile-ops --space portrait \\
    --threads 1 --out t.parquet | head -3   # a comment
$ make test ARGS=-q
```

```python
$ latlas not-in-a-console-block
```
"""


def test_commands_are_found_in_console_blocks_only():
    assert [" ".join(line.split()) for line in shown_commands(BLOCK, "latlas")] == [
        "latlas tables show table.parquet",
        "latlas profile-ops --space portrait --threads 1 --out t.parquet | head -3 # a comment",
    ]
    assert shown_commands(BLOCK, "make") == ["make test ARGS=-q"]
    for line in shown_commands(BLOCK, "latlas"):
        check_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "latlas profile-ops --nosuch 1",
        "latlas profile-ops --threads many",
        "latlas predict --random",
        "latlas tables show",
    ],
)
def test_a_line_that_cannot_be_parsed_is_noticed(line):
    with pytest.raises((typer.TyperException, UsageError)):
        check_line(line)


@pytest.mark.parametrize("line", ["latlas profile", "latlas tables nosuch x"])
def test_a_command_that_is_none_is_noticed(line):
    with pytest.raises(AssertionError, match="has no command"):
        check_line(line)


def types_of_the_architecture() -> list[tuple[str, str]]:
    """`(folder, name)` of each type in the table of ARCHITECTURE.md, with the folder that the row or one above names."""
    table = text_of(ROOT / "ARCHITECTURE.md").split("## Types")[1].split("##")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("|")][2:]
    found, folder = [], ""
    for room, _, names in rows:
        folder = room.strip().strip("`") or folder
        found += [(folder, name) for name in re.findall(r"`(\w+)`", names)]
    return found


@pytest.mark.parametrize(("folder", "name"), types_of_the_architecture())
def test_the_types_of_the_architecture_stand_where_it_says(folder, name):
    sources = "".join(text_of(path) for path in (ROOT / folder).rglob("*.py"))
    assert re.search(rf"^(class|def) {name}\b|^{name}\b(: \w+)? =", sources, re.MULTILINE)


def test_the_architecture_has_many_types():
    assert len(types_of_the_architecture()) > 30
