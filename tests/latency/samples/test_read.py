import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latlas import cli
from latlas.errors import FileFormatError, UsageError
from latlas.latency.fitting.fit_samples import fit_graphs, fit_tabular, split
from latlas.latency.samples.columns import Column, TabularFeatures, numeric
from latlas.latency.samples.lightgbm import LightGBMRegressor
from latlas.latency.samples.predictor import SamplePredictor, centre_of, load_sample_predictor, save_sample_predictor
from latlas.latency.samples.read import architectures_of, columns_of, matrix_of, read_samples, target_of
from latlas.spaces.graph import DEAD_BRANCHES, executed_inputs
from latlas.spaces.text import parse_space

SPACE = parse_space("nasbench201:cells=1,height=8,width=8,channels=4")
COST = {"relu_conv": 0.4, "avg_pool": 0.3, "add": 0.05, "basic_block": 1.0, "skip": 0.02, "zeroize": 0.03}


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "samples.csv"
    path.write_bytes(text.encode(encoding))
    return read_samples(path)


def table_of(tmp_path, count=80, seed=0):
    """A file of two numbers, a text and the two parts of a latency that follows from them."""
    rng = np.random.default_rng(seed)
    lines = ["depth,width,device,encoder_ms,decoder_ms"]
    for _ in range(count):
        depth, width, device = int(rng.integers(1, 7)), int(rng.integers(1, 9)), rng.choice(["xeon", "pi"])
        slow = 4 if device == "pi" else 1
        lines.append(f"{depth},{width / 8},{device},{slow * depth * width / 8!r},{0.5 * slow * (1 + width)!r}")
    return written(tmp_path, "\n".join(lines))


def networks_of(tmp_path, count=120, dead_branches="dropped", seed=0):
    lines = ["architecture,ms"]
    for architecture in SPACE.sample(count, np.random.default_rng(seed)):
        graph = architecture.graph()
        ms = 1 + sum(
            COST.get(graph[i].spec.name.partition("_k")[0], 0.1) for i in executed_inputs(graph, dead_branches)
        )
        lines.append(f"{str(architecture).partition('/')[2]},{ms!r}")
    return written(tmp_path, "\n".join(lines))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(("1", 1.0), ("-2.5e3", -2500.0), (".5", 0.5), ("5.", 5.0)),
        *((cell, None) for cell in ("nan", "inf", "1e999", "1_000", "0x10", "", "٣", "1e101")),
    ],
)
def test_what_is_a_number(cell, value):
    assert numeric(cell) == value


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e90, max_value=1e90))
def test_what_python_writes_of_a_number_is_read(value):
    assert numeric(repr(value)) == value


def test_columns_are_numbers_or_categories(tmp_path):
    samples = table_of(tmp_path, 20)
    columns = columns_of(samples, ["depth", "device", "width:categorical"])
    assert [c.categories is None for c in columns] == [True, False, False]
    assert columns[1].categories == ("pi", "xeon")
    matrix = matrix_of(samples, columns)
    assert matrix.shape == (20, 1 + 2 + len(columns[2].categories))
    assert np.all(matrix[:, 1:3].sum(axis=1) == 1)
    assert TabularFeatures(columns).groups[:3] == (0, 1, 1)


def test_a_target_may_be_a_sum(tmp_path):
    samples = written(tmp_path, "a,b,a+b\n1,2,9\n3,4,9")
    assert target_of(samples, "a + b", "ms").tolist() == [3, 7]
    assert target_of(samples, "a+b", "ms").tolist() == [9, 9]  # a column of that very name
    assert target_of(samples, "b", "ms").tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,t\n1,2\nx,3",
            r"line 3: a is 'x', other lines have numbers; mend it, or read all as text with a:categorical",
        ),
        ("a,t\n1,2\n,3", "line 3: a is empty"),
        ("a,t\n1,2\n1,fast", "line 3: t is 'fast'; it must be a number"),
        ("a,t\n1,2\n1,nan", "line 3: t is 'nan'"),
        ("a,t\n1,2\n1,-3", "line 3: t is -3; a latency must be above 0"),
        ("a,t\n1,2\n1,0", "line 3: t is 0"),
        ("a,t\n1,2\n1", "line 3 has 1 fields; the first line names 2"),
        ("a,a,t\n1,1,2", "columns given twice: a"),
        ("a,t\n1,\x1b[31m", r"line 2: t is .*31m'; it must be a number"),
        ("a,t\n" + "\n".join(f"n{i},1" for i in range(70)), "a has 70 different texts, such as 'n0'; at most 64"),
        ("a,t", "has no rows"),
        ("a,t\n1,2\0", "line 2: holds a null character"),
    ],
)
def test_a_broken_file_names_line_and_value(tmp_path, text, message):
    def read():
        samples = written(tmp_path, text)
        columns_of(samples, ["a"])
        target_of(samples, "t", "ms")

    with pytest.raises((FileFormatError, UsageError), match=message) as caught:
        read()
    assert "\x1b" not in str(caught.value)


def test_a_file_that_is_no_text_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(FileFormatError, match="line 2: not UTF-8"):
        written(tmp_path, "a,t\né,1", "latin-1")
    with pytest.raises(UsageError, match="cannot be read"):
        read_samples(tmp_path)
    monkeypatch.setattr("latlas.latency.samples.read.MAX_BYTES", 10)
    with pytest.raises(FileFormatError, match="more than 10 bytes"):
        written(tmp_path, "a,t\n1,2\n3,4\n")


def test_unknown_and_repeated_columns(tmp_path):
    samples = table_of(tmp_path, 12)
    for names, message in (
        (["deep"], "no column 'deep'; it has depth"),
        (["depth", "depth"], "twice"),
        ([], "no features"),
    ):
        with pytest.raises(UsageError, match=message):
            columns_of(samples, names)


def test_the_split_is_seeded_and_parts(tmp_path):
    learnt, held_out = split(50, 30, None, 1)
    assert sorted([*learnt, *held_out]) == list(range(50))
    assert np.array_equal(learnt, split(50, 30, 5, 1)[0]) and len(split(50, 30, 5, 1)[1]) == 5
    assert not np.array_equal(learnt, split(50, 30, None, 2)[0])
    with pytest.raises(UsageError, match="50 samples cannot be parted into 50"):
        split(50, 50, None, 1)
    with pytest.raises(UsageError, match="--train is 3"):
        split(50, 3, None, 1)


def test_columns_are_learnt(tmp_path):
    fitted = fit_tabular(table_of(tmp_path), ["depth", "width", "device"], "encoder_ms+decoder_ms", 60, seed=1)
    figures = fitted.figures
    assert (figures["train"], figures["test"]) == (60, 20)
    assert figures["mape"] < 0.03 and figures["within_10"] > 0.9 and figures["spearman"] > 0.98
    assert 0 <= figures["coverage_90"] <= figures["coverage_95"] <= 1
    assert figures["noise_floor"] == 0.0  # some rows stand several times, and took exactly the same
    json.dumps(figures, allow_nan=False)


@pytest.mark.parametrize("done", DEAD_BRANCHES)
def test_what_is_done_with_dead_branches_is_found(tmp_path, done):
    fitted = fit_graphs(networks_of(tmp_path, dead_branches=done), SPACE, "ms", 80, seed=1)
    assert fitted.figures["dead_branches"] == done
    assert fitted.figures["mape"] < 0.03
    errors = fitted.figures["left_out_error"]
    assert errors[done] == min(errors.values()) and set(errors) == set(DEAD_BRANCHES)


def test_architectures_of_a_file(tmp_path):
    samples = written(tmp_path, "architecture,t\n|none~0|+|none~0|none~1|+|none~0|none~1|none~9|,1")
    with pytest.raises(FileFormatError, match=r"line 2: .*'none~9' of node 3 must be"):
        architectures_of(samples, SPACE)
    with pytest.raises(
        UsageError, match=r"no column 'architecture' of architectures; it has arch_str, t: name it with --column"
    ):
        architectures_of(written(tmp_path, "arch_str,t\nx,1"), SPACE)


def test_a_record_is_all_that_predicting_needs(tmp_path):
    fitted = fit_tabular(table_of(tmp_path), ["depth", "width", "device"], "encoder_ms", 60)
    record = json.loads(json.dumps(fitted.predictor.to_record()))
    again = SamplePredictor.from_record(record)
    matrix = matrix_of(table_of(tmp_path, 5, seed=9), again.features.columns)
    for mine, its in zip(fitted.predictor.predict_interval(matrix), again.predict_interval(matrix), strict=True):
        assert np.allclose(mine, its, rtol=1e-6)


def test_a_record_keeps_what_predictions_are_centred_by(tmp_path):
    predictor = fit_tabular(table_of(tmp_path, 30), ["depth"], "encoder_ms", 20).predictor
    record = predictor.to_record()
    matrix = np.array([[2.0], [5.0]])
    other = SamplePredictor.from_record(record | {"factor": 1.0})
    np.testing.assert_allclose(predictor.predict(matrix), predictor.factor * other.predict(matrix))
    assert record.pop("factor") == predictor.factor != 1.0
    with pytest.raises(FileFormatError, match="the predictor's factor: None is no number"):
        SamplePredictor.from_record(record)


@given(st.lists(st.floats(0.6, 1.9), min_size=1, max_size=30), st.floats(0.6, 1.9))
def test_no_other_factor_errs_less_on_what_was_left_out(measured, other):
    regressor = LightGBMRegressor()
    regressor.left_out_ = np.ones(len(measured))

    def error(factor):
        return np.mean(np.abs(factor / np.array(measured) - 1))

    assert error(centre_of(regressor, measured)) <= error(other) + 1e-12


@pytest.mark.parametrize(
    "change",
    [
        {"features": {"kind": "code"}},
        {"features": {"kind": "tabular", "columns": [{"name": "a", "categories": [1]}]}},
        {"features": {"kind": "tabular", "columns": [{"name": "a"}]}},
        {"features": {"kind": "tabular", "columns": [{"name": "a", "categories": [["x"]]}]}},
        {"features": {"kind": "graph", "space": 3, "dead_branches": "dropped"}},
        {"features": {"kind": "graph", "space": "portrait", "dead_branches": "kept"}},
        {"kept": [-1]},
        {"kept": [10**9]},
        {"kept": []},
        {"scores": []},
        {"scores": [2, 1]},
        {"scores": [-1]},
        {"factor": 0.0},
        {"factor": float("nan")},
        {"factor": "1"},
        {"target": None},
        {"regressor": None},
    ],
    ids=str,
)
def test_a_tampered_record_is_refused(tmp_path, change):
    record = fit_tabular(table_of(tmp_path, 20), ["depth"], "encoder_ms", 12).predictor.to_record()
    with pytest.raises(FileFormatError, match="the predictor's"):
        SamplePredictor.from_record(record | change)
    with pytest.raises(FileFormatError):
        SamplePredictor.from_record([])


def test_a_column_has_no_more_categories_than_are_learnt_from():
    with pytest.raises(UsageError, match="65 categories"):
        Column("a", tuple(map(str, range(65))))


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(argument) for argument in arguments])
    return SimpleNamespace(exit_code=code, stdout=out.getvalue(), stderr=err.getvalue())


def test_the_commands_learn_and_predict_columns(tmp_path):
    path, out = table_of(tmp_path).path, tmp_path / "p"
    asked = ["fit-predictor", "--samples", path, "--features", "depth,width,device", "--train", 60, "--seed", 1]
    done = run(*asked, "--target", "encoder_ms+decoder_ms", "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["test"] == 20
    assert run(*asked, "--target", "encoder_ms", "--out", out).exit_code == 2  # there is one already
    new = tmp_path / "new.csv"
    new.write_text("device,depth,width\npi,3,0.5\nxeon,3,0.5\n")
    done = run("predict", "--predictor", out, "--samples", new, "--json")
    first, second = json.loads(done.stdout)
    assert first["line"] == 2 and first["latency_ms"] == pytest.approx(4 * 3 * 0.5 + 2 * 5, rel=0.1)
    assert first["lower_ms"] < first["latency_ms"] < first["upper_ms"]
    assert second["latency_ms"] == pytest.approx(first["latency_ms"] / 4, rel=0.1)
    new.write_text("device,depth,width\ngpu,3,0.5\n")
    done = run("predict", "--predictor", out, "--samples", new)
    assert done.exit_code == 3 and "line 2: device is 'gpu'; learnt from were pi, xeon" in done.stderr


def test_lines_in_order_are_stated_at_the_usual_speed(tmp_path):
    samples = table_of(tmp_path, 160)
    for index, (_, cells) in enumerate(samples.lines):
        cells["encoder_ms"] = repr(float(float(cells["encoder_ms"]) * (1 + 0.2 * np.sin(index / 12))))
    asked = (samples, ["depth", "width", "device"], "encoder_ms", 120)
    plain, ordered = fit_tabular(*asked).figures, fit_tabular(*asked, in_order=True).figures
    assert ordered["mape"] < 0.5 * plain["mape"]
    assert ordered["without_order"]["mape"] > 2 * ordered["mape"]
    assert "without_order" not in plain


def test_the_commands_learn_and_predict_networks(tmp_path):
    path, out = networks_of(tmp_path).path, tmp_path / "p"
    asked = ["fit-predictor", "--samples", path, "--space", SPACE.text, "--target", "ms", "--out", out]
    done = run(*asked, "--train", 60, "--test", 10, "--dead-branches", "dropped")
    assert done.exit_code == 0, done.stderr
    assert "60 samples (gaussian_process, dead branches dropped)" in done.stdout and "on 10 others" in done.stdout
    text = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    done = run("predict", text, "--predictor", out, "--json")
    assert [r["architecture"] for r in json.loads(done.stdout)] == [f"{SPACE.text}/{text}"]
    assert len(json.loads(run("predict", "--random", 3, "--predictor", out, "--json").stdout)) == 3
    assert len(json.loads(run("predict", "--samples", path, "--predictor", out, "--json").stdout)) == 120


def test_a_folder_of_schema_version_3_predicts_as_it_did_and_one_of_a_later_is_refused(tmp_path):
    """It stays as it is when the schema goes on."""
    first = Path(__file__).parents[2] / "data" / "samples-v3"
    loaded = load_sample_predictor(first)
    assert loaded.predictor.predict(np.array([[3.0], [10.0]])) == pytest.approx([6.80999206, 21.3088795])
    save_sample_predictor(tmp_path / "now", loaded)
    manifest = tmp_path / "now" / "predictor.json"
    assert json.loads(manifest.read_text())["sample_schema_version"] == 3
    manifest.write_text(manifest.read_text().replace('"sample_schema_version": 3', '"sample_schema_version": 4'))
    with pytest.raises(FileFormatError, match="schema version 4; this Latlas reads 3"):
        load_sample_predictor(tmp_path / "now")


def test_a_tampered_folder_is_refused(tmp_path):
    path, out = table_of(tmp_path).path, tmp_path / "p"
    run(
        "fit-predictor", "--samples", path, "--features", "depth", "--target", "encoder_ms", "--train", 60, "--out", out
    )
    manifest = out / "predictor.json"
    manifest.write_text(manifest.read_text().replace('"target": "encoder_ms"', '"target": "decoder_ms"'))
    with pytest.raises(FileFormatError, match="checksum does not match"):
        load_sample_predictor(out)
    assert run("predict", "--predictor", out, "--samples", path).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "depth", "--train", 20], "--samples needs --target"),
        (["--target", "encoder_ms", "--train", 20], "--samples needs --space"),
        (["--target", "encoder_ms", "--features", "depth"], "--samples needs --train"),
        (
            ["--target", "encoder_ms", "--features", "depth", "--train", 20, "--table", "t.parquet"],
            "--samples and --table",
        ),
        (["--target", "ms", "--features", "depth", "--train", 20], "no column 'ms'"),
        (["--target", "ms", "--space", "nasbench201", "--train", 20, "--in-order"], "--in-order is of --features"),
    ],
)
def test_what_samples_need(tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.parquet").touch()  # one that is not there is said first
    done = run("fit-predictor", "--samples", table_of(tmp_path, 30).path, "--out", tmp_path / "p", *arguments)
    assert done.exit_code == 2 and message in done.stderr
    assert not (tmp_path / "p").exists()


def test_options_of_samples_without_samples(tmp_path):
    done = run("fit-predictor", "--target", "ms", "--out", tmp_path / "p")
    assert done.exit_code == 2 and "are of --samples FILE.csv" in done.stderr
