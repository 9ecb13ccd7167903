"""Every command that the README or a help text shows is one that there is."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer

from latlas.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```console[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"|", ">", ">>", "<", "&&", "||", ";", "&", "2>"}


def shown_commands(text: str, program: str) -> list[str]:
    """The lines `$ program ...` of the fenced console blocks, continued ones joined."""
    joined = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    lines = [line.strip() for block in joined for line in block.splitlines()]
    return [line.removeprefix("$").strip() for line in lines if re.match(rf"\$\s+{re.escape(program)}(\s|$)", line)]


def check_line(line: str) -> None:
    """Raises `typer.TyperException` where the command line would not be parsed."""
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


def readme() -> str:
    if not README.is_file():
        pytest.skip("there is no README.md yet")
    return README.read_text(encoding="utf-8")


def test_every_command_of_the_readme_can_be_parsed():
    lines = shown_commands(readme(), "latlas")
    assert lines, "README.md shows no `$ latlas ...` in a ```console block"
    for line in lines:
        check_line(line)


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in shown_commands(readme(), "make"):
        words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word and not word.startswith("-")]
        assert set(words) <= targets, line


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
    with pytest.raises(typer.TyperException):
        check_line(line)


@pytest.mark.parametrize("line", ["latlas profile", "latlas tables nosuch x"])
def test_a_command_that_is_none_is_noticed(line):
    with pytest.raises(AssertionError, match="has no command"):
        check_line(line)
