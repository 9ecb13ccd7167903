"""Where nothing can be written, that is said before anything is measured, trained or loaded."""

from pathlib import Path

import pytest

import latlas
from latlas import cli
from latlas.errors import UsageError
from latlas.latency.measuring.profile import Setting

IN_A_FILE = "notes.txt/out"
"""A path below what is a file."""


@pytest.fixture(autouse=True)
def nothing_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("here")
    monkeypatch.setattr(Setting, "bench", lambda self, reference="network": pytest.fail("it was going to measure"))
    monkeypatch.setattr(Setting, "library", lambda self, *rest: pytest.fail("it was going to convert"))
    monkeypatch.setattr(
        "latlas.supernet.data.dataset.synthetic", lambda *rest, **more: pytest.fail("it was going to draw")
    )


@pytest.mark.parametrize(
    "words",
    [
        ("profile-ops", "--out", f"{IN_A_FILE}.parquet"),
        ("profile-ops", "--threads", "1,2", "--out", IN_A_FILE),
        ("fit-predictor", "--out", IN_A_FILE),
        ("predictor", "adapt", "--predictor", "p", "--out", IN_A_FILE),
        ("train-supernet", "--out", f"{IN_A_FILE}.safetensors"),
        ("tables", "in-network", "t.parquet", "--out", f"{IN_A_FILE}.parquet"),
    ],
)
def test_by_the_commands(words, capsys):
    assert cli.run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and IN_A_FILE in line
    assert [path.name for path in Path().iterdir()] == ["notes.txt"]


def test_by_the_calls():
    space = latlas.space("portrait", "32")
    calls = (
        lambda: latlas.profile(space, f"{IN_A_FILE}.parquet"),
        lambda: latlas.fit_predictor(space, out=IN_A_FILE),
        lambda: latlas.train_supernet(space, out=f"{IN_A_FILE}.safetensors"),
        lambda: latlas.adapt_predictor(["p"], out=IN_A_FILE),
    )
    for call in calls:
        with pytest.raises(UsageError, match=IN_A_FILE):
            call()
    assert [path.name for path in Path().iterdir()] == ["notes.txt"]
