"""`measure` on the command line: what exists on the disk is looked at first, and every mistake is named before any work."""

from pathlib import Path

import pytest

from latlas.cli import run
from latlas.commands import measure
from latlas.errors import UsageError
from latlas.latency.measuring.profile import Setting


@pytest.fixture(autouse=True)
def nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Setting, "bench", lambda self, reference="network": pytest.fail("it was going to measure"))


@pytest.mark.parametrize(
    ("name", "content", "code", "told"),
    [
        ("NET.ONNX", b"<html>", 3, "it is a web page"),
        ("net.onnx", b"", 3, "it is empty"),
        ("net.PT", b"PK", 2, "it is a PyTorch file"),
        ("notes.txt", b"hello there", 3, "it is text that begins 'hello there'"),
        ("folder/a.onnx", b"x", 2, "it is a folder; name a model in it: a.onnx"),
    ],
)
def test_a_file_that_is_no_model_is_named_in_one_line(name, content, code, told, capsys):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert run(["measure", name.partition("/")[0]]) == code
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert told in err[0]
    assert err[0].startswith(f"error: {name.partition('/')[0]}: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shape", "1,x"), "--shape is '1,x'"),
        (("--values", "x"), "--values is 'x'"),
        (("--shape", "1,3,8,8"), "it is of model files, and none is given"),
    ],
)
def test_options_are_checked_first(arguments, told, capsys):
    assert run(["measure", "portrait/mobilenetv3_large", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_predict_and_others_take_the_architecture_that_a_file_carries(tiny_space):
    from latlas.commands.options import architecture_of

    chosen = tiny_space.baseline("mobilenetv3_small")
    Path("winner.xml").write_text(
        f'<net version="11"><rt_info><latlas><architecture value="{chosen}" /></latlas></rt_info></net>'
    )
    assert architecture_of("winner.xml", tiny_space) == chosen
    Path("other.onnx").write_bytes(b"\x08\x01\x02")
    with pytest.raises(UsageError, match=r"other\.onnx: it carries no architecture .* `latlas measure other\.onnx`"):
        architecture_of("other.onnx", tiny_space)


RECORD = {
    **{"target": "a.onnx", "latency_ms": 1.5, "lower_ms": 1.4, "upper_ms": 1.6, "status": "ok", "ratio": 0.5},
    **{"reference_ms": 3.0, "rounds": 30, "batch": None, "precision": "f32", "int8_share": 0.75, "crashes": 1},
    "inputs": [{"name": "x", "shape": [1, 3], "type": "f32", "fill": "noise 0..1", "own_shape": "[1,4]"}],
}


def test_the_lines_say_latency_inputs_batch_precision_and_crashes():
    assert measure.lines_of(RECORD) == [
        "1.500 ms [1.400, 1.600] ok, 0.500 x reference (3.000 ms), 30 rounds  a.onnx",
        "    measured with x [1,3] f32 (the file's own: [1,4]), noise 0..1; batch not said by the file, precision f32, "
        "75 % of its layers in int8, the timing process crashed 1 time(s)",
    ]
    failed = RECORD | {"latency_ms": None, "status": "failed", "reason": "its process died", "batch": 2, "crashes": 2}
    assert measure.lines_of(failed)[0] == "failed: a.onnx: its process died"
