"""The demo with commands that do nothing but write what they make, and its command lines held against the real ones."""

import json
import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import typer

from latlas import cli
from latlas.commands import demo as module
from latlas.commands.output import bar_of
from latlas.errors import InterruptedRunError, LatlasError

NAMES = ["profile-ops", "fit-predictor", "train-supernet", "search"]


class Line:
    """A command line with the demo and four commands that are told how to end."""

    def __init__(self, **ends):
        self.ends, self.called = ends, []
        self.certified = True

    def command(self, name):
        def body(context: typer.Context) -> None:
            words = context.args
            self.called.append(name)
            end = self.ends.get(name)
            if isinstance(end, BaseException):
                raise end
            if isinstance(end, int):
                raise typer.Exit(end)
            out = Path(words[words.index("--out") + 1])
            with bar_of("measuring operators") as bar:
                bar(1, 10, "", 5.0)
            if name == "search":
                (out / "result.json").write_text(json.dumps({"certified": self.certified}))
                raise typer.Exit(0 if self.certified else 1)
            out.write_text("made")

        return body

    def run(self, out):
        app = typer.Typer()
        for name in NAMES:
            loose = {"ignore_unknown_options": True, "allow_extra_args": True}
            app.command(name, context_settings=loose)(self.command(name))
        app.command("demo")(module.demo)
        said, told = StringIO(), StringIO()
        with redirect_stdout(told), redirect_stderr(said):
            try:
                code = typer.main.get_command(app)(["demo", "--out", str(out)], standalone_mode=False)
            except LatlasError as error:
                code = error.exit_code
                print(error, file=said)
        return code or 0, told.getvalue(), said.getvalue()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "a run" / "of mine"


def test_it_runs_the_main_job_in_any_folder_and_says_what_it_is(out):
    line = Line()
    code, told, said = line.run(out)
    assert code == 0 and line.called == NAMES
    assert "no network to ship" in told and str(out / "report.html") in told
    first, *_ = said.splitlines()
    assert first.startswith("this is a small demonstration on drawn portraits") and "it takes about" in first
    assert f"--out '{out}/table.parquet'" in said


def test_what_is_finished_is_not_done_again(out):
    assert Line().run(out)[0] == 0
    (out / "result.json").unlink()
    line = Line()
    code, _, said = line.run(out)
    assert code == 0 and line.called == ["search"]
    assert said.count("is there already, kept") == 3


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), InterruptedRunError("stopped; what is finished is in predictor.journal")]
)
def test_stopped_anywhere_it_says_how_to_go_on_and_keeps_what_is_finished(out, end):
    line = Line(**{"fit-predictor": end})
    code, told, said = line.run(out)
    assert code == InterruptedRunError.exit_code == 4
    assert line.called == NAMES[:2] and told == ""
    last = said.splitlines()[-1]
    assert "stopped during fit-predictor; what is finished is kept" in last
    assert shlex.join(["latlas", "demo", "--out", str(out)]) in last
    if isinstance(end, InterruptedRunError):
        assert "fit-predictor: stopped; what is finished is in predictor.journal" in said
    again = Line()
    assert again.run(out)[0] == 0 and again.called == NAMES[1:]


def test_a_command_that_fails_ends_it_with_its_code(out):
    line = Line(**{"train-supernet": 3})
    assert line.run(out)[0] == 3
    assert line.called == NAMES[:3]


def test_a_winner_that_is_not_certified_is_no_success_then_or_later(out):
    line = Line()
    line.certified = False
    code, told, _ = line.run(out)
    assert code == 1 and str(out / "report.html") in told
    assert Line().run(out)[0] == 1


def test_its_bars_tell_the_time_left_of_all(out, monkeypatch):
    heard = []
    monkeypatch.setattr(module.Job, "time_left", lambda self, *where: heard.append((self._command, *where)))
    Line().run(out)
    assert heard == [(name, "measuring operators", 1, 10, 5.0) for name in NAMES]


def test_the_commands_are_ones_that_the_command_line_takes(out):
    root = cli.command_line()
    for product, (name, *words) in module.commands(out):
        context = root.commands[name].make_context(name, words)
        assert str(product).startswith(str(out)) and context.params
    assert {phase.command for phase in module.PLAN} == set(NAMES)
