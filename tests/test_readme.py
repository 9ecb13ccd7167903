"""Every command that the README, a page of docs/ or a help text shows is one that there is."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import typer

from latlas.cli import app
from latlas.errors import UsageError
from tests.documents import PAGES, ROOT, shown_commands

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
    "path", [*PAGES, *ROOT.glob("[A-Z]*.md"), *(ROOT / "tables").glob("*.md")], ids=lambda path: path.name
)
def test_every_link_to_a_file_leads_to_one(path):
    links = [link for link in LINK.findall(text_of(path)) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


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
