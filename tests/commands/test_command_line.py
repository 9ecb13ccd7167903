"""Commands made from dataclasses: what typer gets of them, what they get back, and the help on one screen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from latlas import cli
from latlas.commands.parsing.command_line import with_options
from latlas.commands.parsing.help_text import GroupedCommand
from latlas.errors import UsageError
from latlas.option import check_options, option, options_of
from latlas.search.config import SearchConfig
from latlas.search.proxy_config import ProxyConfig


def pair(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(f"--size is {text!r}; write HxW")
    return int(height), int(width)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    count: int = option(10, "Networks to draw.", at_least=1)
    size: tuple[int, int] = option((4, 6), "Of the image.", read=pair, shown="4x6")
    limit_s: float | None = option(None, "Seconds.", name="time-limit", group="Limits")
    shuffle: bool = option(True, "In no order.", group="Limits")
    seed: int = option(0, "Seed.")
    words: str = "no option"

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class Output:
    out: Path = option(Path("drawn"), "Folder.", metavar="FOLDER")
    force: bool = option(False, "Replace it.")
    seed: int = option(0, "Seed.")


def run(*words, **more):
    """What a command was called with, or its result where it was not called."""
    called = []
    app = typer.Typer(add_completion=False)

    @app.callback()
    def group():
        pass

    @app.command(cls=GroupedCommand)
    @with_options
    def draw(
        drawing: Drawing,
        output: Output,
        networks: Annotated[list[str] | None, typer.Argument(help="To draw too.")] = None,
    ) -> None:
        """Draw networks.

        Some more words.
        """
        called.append((drawing, output, networks))

    done = CliRunner().invoke(app, ["draw", *words], **{"auto_envvar_prefix": "LATLAS", **more})
    return called[0] if called else done


def test_defaults_are_those_of_the_classes():
    assert run() == (Drawing(), Output(), None)


def test_each_class_gets_its_options_and_a_shared_one_goes_to_both():
    drawing, output, networks = run("a", "b", "--count", "3", "--seed", "7", "--no-shuffle", "--size", "8x9", "--force")
    assert drawing == Drawing(count=3, seed=7, shuffle=False, size=(8, 9))
    assert output == Output(force=True, seed=7) and networks == ["a", "b"]


def test_an_option_with_a_name_of_its_own_has_it_in_variables_and_files_too():
    assert run("--time-limit", "2.5")[0].limit_s == 2.5
    assert run(env={"LATLAS_DRAW_TIME_LIMIT": "1.5", "LATLAS_DRAW_COUNT": "4"})[0] == Drawing(limit_s=1.5, count=4)
    assert run(default_map={"draw": {"time_limit": 3.0, "out": "there"}})[:2] == (
        Drawing(limit_s=3.0),
        Output(out=Path("there")),
    )


def test_what_is_out_of_bounds_is_said_with_the_options_name():
    assert str(run("--count", "0").exception) == "--count is 0; it must be at least 1"


def test_what_cannot_be_read_is_said_by_the_reader():
    assert str(run("--size", "big").exception) == "--size is 'big'; write HxW"


def test_two_options_of_one_name_must_be_the_same():
    @dataclass(frozen=True)
    class Other:
        seed: int = option(1, "Another.")

    def draw(drawing: Drawing, other: Other) -> None:
        """Draw."""

    draw.__annotations__ = {"drawing": Drawing, "other": Other, "return": None}
    with pytest.raises(TypeError, match="two classes have an option 'seed', and they differ"):
        with_options(draw)


def test_help_explains_common_options_and_names_the_others():
    lines = run("--help", terminal_width=100).output.splitlines()
    assert any("networks" in line and "To draw too." in line for line in lines)
    assert any("--count" in line and "Networks to draw. [10]" in line for line in lines)
    assert any(line.split()[1:2] == ["Limits"] and "--time-limit --shuffle/--no-shuffle" in line for line in lines)
    assert "Seconds." not in "".join(lines) and "Some more words." not in "".join(lines)


def test_all_help_explains_them_all():
    output = run("--help-all").output
    assert "Seconds." in output and "Some more words." in output and "─ Limits ─" in output


@pytest.fixture
def search_help(monkeypatch, capfd):
    def lines(width, *words):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.run(["search", *words]) == 0
        return capfd.readouterr().out.splitlines()

    return lines


def test_the_help_of_search_fits_one_screen(search_help):
    lines = search_help(100, "--help")
    assert len(lines) <= 40 and max(map(len, lines)) <= 110  # the example is one line, to be copied


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("word", ["--help", "--help-all"])
def test_no_name_of_an_option_is_cut(search_help, width, word):
    text = "\n".join(search_help(width, word))
    names = [
        about.name or name.replace("_", "-")
        for kind in (SearchConfig, ProxyConfig)
        for name, about in options_of(kind).items()
    ]
    assert len(names) > 30
    assert [name for name in names if f"--{name}" not in text] == [] and "…" not in text
