"""A saved predictor: the same predictions anywhere, and no broken, edited or foreign one is believed."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latlas.errors import EnvironmentMismatchError, FileFormatError, MissingEntryError, StorageError, UsageError
from latlas.files.records import canonical_json
from latlas.latency.machine.environment import detect
from latlas.latency.predictor.features import CostList
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import (
    MANIFEST,
    PredictorSample,
    SavedPredictor,
    load_predictor,
    save_predictor,
)
from latlas.spaces.operators.spec import OpSpec

CONFIDENCE = 0.9
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def graphs(tiny_space):
    return [one.graph() for one in tiny_space.sample(70, np.random.default_rng(0))]


@pytest.fixture(scope="module")
def saved(tiny_space, graphs):
    """A predictor with operator costs."""
    costs = CostList({spec: 0.01 + spec.macs / 1e7 for spec in tiny_space.specs()})
    rng = np.random.default_rng(1)
    latencies = [sum(costs(n.spec) for n in graph) * (1 + 0.02 * rng.normal()) for graph in graphs]
    predictor = LatencyPredictor(cost_of=costs).fit(graphs[:50], latencies[:50], [0.02] * 50)
    environment = detect(
        threads=1,
        streams=1,
        precision="f32",
        batch=1,
        openvino_version="2026.4.1",
        reference_id="reference-1",
        reference_ms=0.5,
    )
    samples = (PredictorSample("a", 1.0, 0.9, 1.1, 1.05, "train"), PredictorSample("b", 1.0, 0.9, 1.1, 0.97, "test"))
    return SavedPredictor(
        predictor, environment, tiny_space.text, {"mape": 0.02, "spearman": None}, samples, ({"sha256": "0"},)
    )


@pytest.fixture(scope="module")
def plain(tiny_space, graphs, saved):
    """A predictor without table."""
    latencies = [sum(n.spec.macs for n in graph) / 1e7 + 0.1 for graph in graphs]
    predictor = LatencyPredictor().fit(graphs[:20], latencies[:20])
    return replace(saved, predictor=predictor)


@pytest.fixture
def folder(tmp_path, saved):
    save_predictor(tmp_path / "predictor", saved)
    return tmp_path / "predictor"


def bounds(one, graphs):
    found = one.predictor.predict_interval(graphs, CONFIDENCE)
    return [[b.latency_ms, b.lower_ms, b.upper_ms] for b in found]


def assert_same(one, other, graphs):
    """Nearly: what is loaded is fitted anew, and another order of additions changes the last digits."""
    np.testing.assert_allclose(bounds(one, graphs), bounds(other, graphs), rtol=1e-5)


OTHER_PROCESS = """
import json, sys
from pathlib import Path
import numpy as np
import latlas.spaces.portrait
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.spaces.text import parse_space
saved = load_predictor(Path(sys.argv[1]))
graphs = [one.graph() for one in saved.space.sample(70, np.random.default_rng(0))]
bounds = saved.predictor.predict_interval(graphs, float(sys.argv[2]))
print(json.dumps([[b.latency_ms, b.lower_ms, b.upper_ms] for b in bounds]))
"""


def test_it_predicts_the_very_same_in_another_process(folder, saved, graphs):
    command = [sys.executable, "-P", "-c", OTHER_PROCESS, str(folder), str(CONFIDENCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), bounds(saved, graphs), rtol=1e-5)


def test_all_of_it_comes_back(folder, saved, graphs):
    loaded = load_predictor(folder)
    assert (loaded.environment, loaded.space_text, loaded.figures) == (
        saved.environment,
        saved.space_text,
        saved.figures,
    )
    assert (loaded.samples, loaded.adapted_from) == (saved.samples, saved.adapted_from)
    assert_same(loaded, saved, graphs)
    assert loaded.predictor.cost_of is not None
    assert loaded.predictor.cv_mape_ == pytest.approx(saved.predictor.cv_mape_, rel=1e-5)


def test_it_learns_on_after_it_was_loaded(folder, saved, graphs):
    more = graphs[50:], [2.0 + 0.01 * k for k in range(20)], [0.01] * 20
    loaded, kept = (one.predictor.updated(*more).latency_ms(graphs) for one in (load_predictor(folder), saved))
    np.testing.assert_allclose(loaded, kept, rtol=1e-6)


def test_it_may_have_no_costs(tmp_path, plain, graphs):
    save_predictor(tmp_path / "plain", plain)
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == [MANIFEST]
    loaded = load_predictor(tmp_path / "plain")
    assert loaded.predictor.cost_of is None
    assert_same(loaded, plain, graphs)


def test_saving_what_was_loaded_gives_the_same_files(folder, tmp_path):
    save_predictor(tmp_path / "again", load_predictor(folder))
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


def test_an_operator_without_a_latency_is_an_error_that_names_it(folder):
    lookup = load_predictor(folder).predictor.cost_of
    assert lookup is not None
    with pytest.raises(MissingEntryError, match=r"no latency of conv_k7 3->5.*profile-ops --update"):
        lookup(OpSpec("conv", 3, 5, 64, 64, 1, 7))


class TestBroken:
    def resealed(self, folder, **changed):
        """The folder with fields changed and its checksum made anew, as a stranger would."""
        record = json.loads((folder / MANIFEST).read_text()) | changed
        record = {name: value for name, value in record.items() if value is not ...}
        record.pop("sha256")
        record["sha256"] = hashlib.sha256(canonical_json(record).encode()).hexdigest()
        (folder / MANIFEST).write_text(json.dumps(record))

    def test_an_edited_number_is_noticed(self, folder):
        text = (folder / MANIFEST).read_text()
        (folder / MANIFEST).write_text(text.replace('"mape": 0.02', '"mape": 0.01'))
        with pytest.raises(FileFormatError, match=r"predictor\.json: its checksum does not match"):
            load_predictor(folder)

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
    def test_a_truncated_file_is_noticed(self, folder, share):
        content = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).write_bytes(content[: int(share * len(content))])
        with pytest.raises(FileFormatError, match=MANIFEST):
            load_predictor(folder)

    @pytest.mark.parametrize(
        "text", ["[]", "null", '"text"', "{}", "\x00\x01", "[" * 100_000, '{"schema_version": NaN}']
    )
    def test_json_that_is_no_predictor_is_refused(self, folder, text):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(FileFormatError, match=MANIFEST):
            load_predictor(folder)

    @pytest.mark.parametrize("version", [0, 1, 2, 4, "3", True, None])
    def test_another_schema_is_refused_by_its_number(self, folder, version):
        self.resealed(folder, schema_version=version)
        with pytest.raises(FileFormatError, match=f"schema version {version!r}; this Latlas reads 3"):
            load_predictor(folder)

    @pytest.mark.parametrize(
        "changed",
        [
            {"environment": None},
            {"environment": {"cpu_model": "x"}},
            {"predictor": None},
            {"kind": "oracle"},
            {"kind": ["graph"]},
            {"samples": [{"architecture": "a"}]},
            {"samples": None},
            {"adapted_from": [1]},
            {"space": ...},
            {"figures": None},
        ],
        ids=str,
    )
    def test_fields_that_make_no_sense_are_refused_even_with_a_right_checksum(self, folder, changed):
        self.resealed(folder, **changed)
        with pytest.raises(FileFormatError, match=MANIFEST) as caught:
            load_predictor(folder)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "changed",
        [
            {"names": None},
            {"names": ["base cost"]},
            {"model": {}},
            {"model": ...},
            {"costs": [["spec", 1.0]]},
            {"costs": [[{"kind": "no such kind"}, 1.0]]},
            {"costs": 5},
        ],
        ids=str,
    )
    def test_a_prediction_that_makes_no_sense_is_refused(self, folder, changed):
        record = json.loads((folder / MANIFEST).read_text())["predictor"] | changed
        self.resealed(folder, predictor={name: value for name, value in record.items() if value is not ...})
        with pytest.raises(FileFormatError, match=MANIFEST):
            load_predictor(folder)

    def test_none_at_all_names_the_command(self, tmp_path):
        with pytest.raises(UsageError, match=r"gone has no predictor\.json.*latlas fit-predictor --out"):
            load_predictor(tmp_path / "gone")


class TestForeign:
    def test_its_own_space_and_options_are_accepted(self, saved):
        saved.require(saved.space_text, precision="f32", threads=1, streams=1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"threads": 2}, "threads is 1, asked for 2"),
            ({"precision": "bf16"}, "precision is 'f32', asked for 'bf16'"),
            ({"threads": 2, "streams": 3}, "threads is 1, asked for 2; streams is 1, asked for 3"),
        ],
    )
    def test_other_options_are_refused_by_name(self, saved, options, message):
        with pytest.raises(EnvironmentMismatchError, match=message):
            saved.require(saved.space_text, **options)

    def test_another_space_is_refused_by_name(self, saved):
        with pytest.raises(EnvironmentMismatchError, match=r"space is 'portrait:height=32.*asked for 'portrait'"):
            saved.require("portrait")


class TestWriting:
    def test_what_is_there_stays_unless_it_is_to_be_replaced(self, folder, plain, graphs):
        before = (folder / MANIFEST).read_bytes()
        with pytest.raises(UsageError, match="exists already"):
            save_predictor(folder, plain)
        assert (folder / MANIFEST).read_bytes() == before
        save_predictor(folder, plain, overwrite=True)
        assert_same(load_predictor(folder), plain, graphs)
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    @pytest.mark.parametrize("kind", ["folder", "file"])
    def test_what_is_no_predictor_is_never_replaced(self, tmp_path, saved, kind):
        target = tmp_path / "mine"
        if kind == "folder":
            target.mkdir()
            (target / "thesis.txt").write_text("years of work")
        else:
            target.write_text("years of work")
        with pytest.raises(UsageError, match=r"mine exists and (holds|is no)"):
            save_predictor(target, saved, overwrite=True)
        assert (target / "thesis.txt" if kind == "folder" else target).read_text() == "years of work"

    def test_a_path_below_a_file_is_refused(self, tmp_path, saved):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match=r"cannot write .*predictor"):
            save_predictor(tmp_path / "file" / "predictor", saved)

    @pytest.mark.parametrize("replacing", [False, True])
    @pytest.mark.parametrize("failing", ["write_text", "rename"])
    def test_a_write_that_fails_leaves_nothing_and_what_was_there(
        self, tmp_path, saved, plain, graphs, monkeypatch, failing, replacing
    ):
        target = tmp_path / "predictor"
        if replacing:
            save_predictor(target, plain)
        module = Path if failing == "write_text" else os
        original = getattr(module, failing)

        def fail(path, *arguments, **options):
            # The second file of the two, and the rename that puts the new folder in its place (not that of the old back).
            if path.name == MANIFEST or (arguments[:1] == (target,) and path.name == "new"):
                raise OSError(28, "No space left on device")
            return original(path, *arguments, **options)

        monkeypatch.setattr(module, failing, fail)
        with pytest.raises(StorageError, match=r"cannot write .*predictor: No space left on device"):
            save_predictor(target, saved, overwrite=replacing)
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == (["predictor"] if replacing else [])
        if replacing:
            assert_same(load_predictor(target), plain, graphs)

    def test_a_predictor_whose_costs_cannot_be_saved_is_refused(self, tmp_path, saved, graphs):
        predictor = LatencyPredictor(cost_of=lambda spec: 1.0)
        predictor.fit(graphs[:12], [1.0 + 0.01 * index for index in range(12)])
        with pytest.raises(UsageError, match="CostList"):
            save_predictor(tmp_path / "predictor", replace(saved, predictor=predictor))
        assert not list(tmp_path.iterdir())


def test_a_predictor_of_schema_version_3_predicts_as_it_did(tiny_space):
    """Made by `save_predictor` of version 3; it stays as it is when the schema goes on."""
    loaded = load_predictor(DATA / "predictor-v3")
    assert (loaded.space_text, loaded.figures, len(loaded.samples)) == (tiny_space.text, {"mape": 0.02}, 14)
    assert loaded.environment.cpu_model == "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz"
    found = bounds(loaded, [one.graph() for one in tiny_space.sample(3, np.random.default_rng(5))])
    expected = [(0.193440, 0.187290, 0.199590), (0.191999, 0.185858, 0.198141), (0.211089, 0.204051, 0.218127)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
