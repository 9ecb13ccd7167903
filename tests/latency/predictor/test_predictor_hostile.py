"""Predictor files that are broken, edited, swapped or made to hurt: one clear error each, or the very same prediction."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latlas.errors import LatlasError
from latlas.files.records import canonical_json
from latlas.latency.machine.environment import detect
from latlas.latency.predictor import predictor_file
from latlas.latency.predictor.adapted import AdaptedPredictor, common_sources
from latlas.latency.predictor.features import CostList
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import (
    MANIFEST,
    PredictorSample,
    SavedPredictor,
    load_predictor,
    save_predictor,
)
from latlas.latency.samples.columns import Column, TabularFeatures
from latlas.latency.samples.lightgbm import LightGBMRegressor
from latlas.latency.samples.predictor import (
    SamplePredictor,
    SavedSamplePredictor,
    load_sample_predictor,
    save_sample_predictor,
    scores_of,
)

DATA = Path(__file__).parents[2] / "data"
KINDS = ("graph", "adapted")
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Short(dict[str, bytes]):
    """What hypothesis need not print in full where a test fails: it warns of that, and a warning is an error here."""

    def __repr__(self):
        return f"{len(self)} of them"


class ShortList(list[object]):
    def __repr__(self):
        return f"{len(self)} of them"


@pytest.fixture(scope="module")
def graphs(tiny_space):
    return ShortList(one.graph() for one in tiny_space.sample(30, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def contents(tiny_space, graphs, tmp_path_factory):
    """The manifest of a predictor of each kind, as bytes."""
    costs = CostList({spec: 0.01 + spec.macs / 1e7 for spec in tiny_space.specs()})
    latencies = [0.1 + sum(costs(n.spec) for n in graph) for graph in graphs]
    plain = LatencyPredictor(costs).fit(graphs[:20], latencies[:20], [0.01] * 20)
    cost_of, said = common_sources([plain], tiny_space.specs())
    adapted = AdaptedPredictor(cost_of, 0.003, said).fit(graphs[:6], [2 * ms for ms in latencies[:6]], [0.01] * 6)
    environment = detect(
        threads=1,
        streams=1,
        precision="f32",
        batch=1,
        openvino_version="2026.4.1",
        reference_id="reference-1",
        reference_ms=0.5,
    )
    samples = (PredictorSample("a", 1.0, 0.9, 1.1, 1.05, "train"),)
    found = Short()
    for kind, predictor in zip(KINDS, (plain, adapted), strict=True):
        folder = tmp_path_factory.mktemp("made") / kind
        save_predictor(folder, SavedPredictor(predictor, environment, tiny_space.text, {"mape": 0.02}, samples))
        found[kind] = (folder / MANIFEST).read_bytes()
    return found


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    """The folder of a predictor of samples, with LightGBM."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = np.exp(1 + 0.3 * X[:, 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latlas.latency.samples.lightgbm.ROUNDS", 5)
        regressor = LightGBMRegressor().fit(X, y)
    features = TabularFeatures((Column("a", None), Column("b", None)))
    predictor = SamplePredictor(features, (0, 1), regressor, scores_of(regressor, y), "ms")
    folder = tmp_path_factory.mktemp("boosted") / "predictor"
    save_sample_predictor(folder, SavedSamplePredictor(predictor, {"mape": 0.1}))
    return folder


def written(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(content)
    return folder


def sealed(record):
    """The record with a right checksum, as whoever edits one on purpose would give it."""
    record = {name: value for name, value in record.items() if name != "sha256"}
    record["sha256"] = hashlib.sha256(canonical_json(record).encode()).hexdigest()
    return json.dumps(record).encode()


def check_refusal(error):
    """One clean line, and an exit code that says usage or file."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 1500
    assert error.exit_code in (2, 3)


def outcome(folder, graphs, load=load_predictor):
    """Bounds that a folder's predictor gives, or None where it is refused with one line of an error of ours."""
    try:
        bounds = load(folder).predictor.predict_interval(graphs, 0.9)
    except LatlasError as error:
        check_refusal(error)
        return None
    return np.array([[b.latency_ms, b.lower_ms, b.upper_ms] for b in bounds])


def believable(bounds):
    return bool(np.all(np.isfinite(bounds)) and np.all(bounds > 0) and np.all(bounds[:, 1] <= bounds[:, 2]))


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(data=st.data())
def test_tampered_bytes_are_refused_or_change_nothing(tmp_path, contents, graphs, kind, data):
    content = contents[kind]
    at = data.draw(st.integers(0, len(content) - 1))
    put = data.draw(st.binary(max_size=4))
    cut = data.draw(st.integers(0, 4))
    spoilt = content[:at] + put + content[at + cut :]
    found = outcome(written(tmp_path / "p", spoilt), graphs)
    if found is not None:  # blanks between values are not of the record
        np.testing.assert_allclose(found, outcome(written(tmp_path / "q", content), graphs), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.99999])
def test_a_truncated_file_is_refused(tmp_path, contents, graphs, kind, share):
    content = contents[kind][: int(share * len(contents[kind]))]
    assert outcome(written(tmp_path / "p", content), graphs) is None


def paths_of(value, path=()):
    """Where the values of a record are, but of long lists the first and last alone."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, (*path, name))
    elif isinstance(value, list):
        for index in {0, len(value) - 1} if value else ():
            yield from paths_of(value[index], (*path, index))


def replaced(record, path, value):
    if not path:
        return value
    changed = record.copy()
    changed[path[0]] = replaced(record[path[0]], path[1:], value)
    return changed


HOSTILE: list[object] = [
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    1e-320,
    10**400,
    2**63,
    "",
    "x",
    "\x1b[2J\nrm -rf",
    "x" * 10_000,
    [],
    [[]],
    {},
    {"a": 1},
    [1e308] * 3,
]


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(where=st.integers(0, 2**31), value=st.integers(0, len(HOSTILE) - 1))
def test_any_value_of_another_type_or_size_is_refused_or_gives_numbers(tmp_path, contents, graphs, kind, where, value):
    record = json.loads(contents[kind])
    paths = [path for path in paths_of(record) if path]
    path = paths[where % len(paths)]
    found = outcome(written(tmp_path / "p", sealed(replaced(record, path, HOSTILE[value]))), graphs)
    assert found is None or believable(found), path


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_is_left_out_or_added_is_refused_or_ignored(tmp_path, contents, graphs, kind):
    record = json.loads(contents[kind])
    for name in set(record) - {"sha256"}:
        spoilt = {key: value for key, value in record.items() if key != name}
        assert outcome(written(tmp_path / "p", sealed(spoilt)), graphs) is None, name
    for name in record["predictor"]:
        inner = {key: value for key, value in record["predictor"].items() if key != name}
        found = outcome(written(tmp_path / "p", sealed({**record, "predictor": inner})), graphs)
        # What is kept of a predictor that has its samples all the same follows from these.
        assert (found is None) == (name not in ("scores", "cv_mape", "range_ms")), name


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-0x1", "1_000"])
def test_what_is_no_number_of_json_is_refused(tmp_path, contents, graphs, number):
    text = contents["graph"].decode()
    spoilt = text.replace('"mape": 0.02', f'"mape": {number}')
    assert spoilt != text
    assert outcome(written(tmp_path / "p", spoilt.encode()), graphs) is None


@pytest.mark.parametrize("inner", ["9" * 5000, "[" * 50_000, '"' + "\\u0000" * 100 + '"', "1" + "0" * 400])
def test_a_number_or_nesting_without_end_is_refused(tmp_path, contents, graphs, inner):
    text = contents["graph"].decode().replace('"mape": 0.02', f'"mape": {inner}')
    assert outcome(written(tmp_path / "p", text.encode()), graphs) is None


def test_a_file_that_is_too_large_is_not_read(tmp_path, contents, graphs, monkeypatch):
    folder = written(tmp_path / "p", contents["graph"])
    monkeypatch.setattr(predictor_file, "MAX_BYTES", 1000)
    assert outcome(folder, graphs) is None


@pytest.mark.parametrize("place", ["folder", "manifest", "pipe", "directory", "loop"])
def test_links_and_what_is_no_file_lead_nowhere_else(tmp_path, contents, graphs, place):
    """A link is followed as any program would; whatever it leads to is believed no more than a file is."""
    secret = tmp_path / "secret"
    secret.write_text("root:x:0:0\x1b[31m")
    folder = tmp_path / "p"
    if place == "folder":
        folder.symlink_to(secret)
    elif place == "loop":
        folder.symlink_to(folder)
    else:
        folder.mkdir()
        if place == "manifest":
            (folder / MANIFEST).symlink_to(secret)
        elif place == "pipe":
            os.mkfifo(folder / MANIFEST)
        else:
            (folder / MANIFEST).mkdir()
    assert outcome(folder, graphs) is None


@pytest.mark.parametrize("space", ["../../etc", "/", "portrait:height=99999999999", "nasbench201"])
def test_a_space_that_leads_elsewhere_is_text_and_no_path(tmp_path, contents, graphs, space):
    record = json.loads(contents["graph"])
    folder = written(tmp_path / "p", sealed({**record, "space": space}))
    loaded = load_predictor(folder)
    with pytest.raises(LatlasError, match="space"):
        loaded.require("portrait")
    try:
        _ = loaded.space
    except LatlasError as error:
        check_refusal(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


@pytest.mark.parametrize("space", ["x" * 100_000, "portrait\x1b[2J", "a\nb", "", 5, None, ["portrait"]])
def test_a_space_that_is_no_line_of_text_is_refused(tmp_path, contents, graphs, space):
    record = json.loads(contents["graph"])
    assert outcome(written(tmp_path / "p", sealed({**record, "space": space})), graphs) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_of_one_kind_under_another_name_is_refused(tmp_path, contents, graphs, kind):
    record = json.loads(contents[kind])
    other = next(name for name in KINDS if name != kind)
    assert outcome(written(tmp_path / "p", sealed({**record, "kind": other})), graphs) is None


@QUICK
@given(data=st.data())
def test_tampered_trees_with_a_right_checksum_cannot_end_the_process(tmp_path, boosted, data):
    record = json.loads((boosted / MANIFEST).read_text())
    trees = record["predictor"]["regressor"]["trees"]
    name = data.draw(st.sampled_from(sorted(set(trees) - {"features"})))
    strange: list[object] = [10**400, None, "1", True, [], 2**63]
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    number: st.SearchStrategy[object] = st.one_of(st.integers(-200, 200), numbers, st.sampled_from(strange))
    for _ in range(data.draw(st.integers(1, 3))):
        trees[name][data.draw(st.integers(0, len(trees[name]) - 1))] = data.draw(number)
    try:
        loaded = load_sample_predictor(written(tmp_path / "predictor", sealed(record)))
    except LatlasError as error:
        check_refusal(error)
        return
    latency, lower, upper = loaded.predictor.predict_interval(np.zeros((3, 2)))
    assert np.all(np.isfinite([latency, lower, upper]))
    assert np.all(lower > 0)


@pytest.mark.parametrize("version", [1, 2, 4, 10**30, -1, 3.0, "3", [3]])
def test_another_version_is_refused_by_its_number(tmp_path, contents, graphs, version):
    record = {**json.loads(contents["graph"]), "schema_version": version}
    folder = written(tmp_path / "p", sealed(record))
    with pytest.raises(LatlasError, match="schema version"):
        load_predictor(folder)


def test_a_predictor_of_another_space_is_refused_by_name(tmp_path, contents):
    loaded = load_predictor(written(tmp_path / "p", contents["graph"]))
    with pytest.raises(LatlasError, match=r"space is 'portrait:height=32.*asked for 'nasbench201'"):
        loaded.require("nasbench201")
