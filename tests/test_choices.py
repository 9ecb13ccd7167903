import pytest

from latlas.choices import did_you_mean, nearest, unknown

PRECISIONS = ("f32", "bf16", "int8")


@pytest.mark.parametrize(
    ("value", "known", "meant"),
    [
        ("fp32", PRECISIONS, "f32"),
        ("F32", PRECISIONS, "f32"),
        ("float32", PRECISIONS, "f32"),
        ("bfloat16", PRECISIONS, "bf16"),
        ("int7", PRECISIONS, "int8"),
        ("gpu", ("cpu", "cuda", "auto"), "cuda"),
        ("gpu", ("cpu", "auto"), "cpu"),  # what it usually means is not there
        ("--straregy", ("--storage", "--strategy"), "--strategy"),
        ("budget_ms", ("budget-ms", "baseline"), "budget-ms"),
        ("xyzzy", PRECISIONS, None),
        (7, ("1", "8"), None),
        ("f32", (), None),
    ],
)
def test_nearest(value, known, meant):
    assert nearest(value, known) == meant


def test_the_whole_message():
    assert unknown("precision", "fp32", PRECISIONS) == (
        "unknown precision 'fp32'; known: f32, bf16, int8; did you mean f32?"
    )
    assert unknown("precision", "xyzzy", PRECISIONS) == "unknown precision 'xyzzy'; known: f32, bf16, int8"


def test_a_long_value_does_not_fill_the_screen():
    assert len(unknown("precision", "x" * 10_000, PRECISIONS)) < 150


def test_its_end_alone():
    assert did_you_mean("predict0r", ["predictor"], "--") == "; did you mean --predictor?"
    assert did_you_mean("xyzzy", ["predictor"]) == ""
