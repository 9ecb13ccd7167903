"""`predictor show`, `predictor adapt`, `predict --explain` and `--here`, on predictors whose samples are made up."""

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import numpy as np
import pytest

from latlas import cli
from latlas.commands.predictors import adapted_lines
from latlas.errors import EnvironmentMismatchError
from latlas.latency.fitting.adapt import local_environment, require_local
from latlas.latency.fitting.explain import explain
from latlas.latency.fitting.measurements import Measurement, read_measurements
from latlas.latency.machine.environment import detect
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.features import CostList
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import PredictorSample, SavedPredictor, load_predictor, save_predictor
from latlas.spaces.nasbench201 import NasBench201

SPACE = "portrait:height=32,width=32,stem_channels=8,widths=8.8.16.16,depths=1.2.1.1,decoder_channels=8,aspp_channels=8,skip=True"


def latlas(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def environment(**changed):
    said = {"threads": 1, "streams": 1, "precision": "f32", "batch": 1, "openvino_version": "2026.4.1"}
    return detect(**(said | changed), reference_id="reference-1", reference_ms=0.5)


def cost(spec):
    return 0.01 + spec.macs / 1e7


def target_ms(graph):
    return 0.1 + sum(cost(node.spec) * (1.0 if node.spec.kind == "mbconv" else 2.5) for node in graph)


@pytest.fixture(scope="module")
def architectures(tiny_space):
    return tiny_space.sample(90, np.random.default_rng(0))


@pytest.fixture(scope="module")
def saved(tiny_space, architectures):
    costs = CostList({spec: cost(spec) for spec in tiny_space.specs()})
    rng = np.random.default_rng(1)
    ms = [(0.1 + sum(cost(n.spec) for n in a.graph())) * (1 + 0.01 * rng.normal()) for a in architectures]
    learnt, held = architectures[:50], architectures[50:]
    predictor = LatencyPredictor(costs).fit([a.graph() for a in learnt], ms[:50], [0.01] * 50)
    predicted = [*predictor.model_.left_out_, *predictor.latency_ms([a.graph() for a in held])]
    samples = tuple(
        PredictorSample(str(a), y, 0.98 * y, 1.02 * y, float(p), "train" if k < 50 else "test")
        for k, (a, y, p) in enumerate(zip(architectures, ms, predicted, strict=True))
    )
    return SavedPredictor(predictor, environment(), tiny_space.text, {"mape": 0.01}, samples)


@pytest.fixture
def folder(tmp_path, saved):
    save_predictor(tmp_path / "predictor", saved)
    return tmp_path / "predictor"


@pytest.fixture
def samples(tmp_path, architectures):
    """A file of what another machine took."""
    rng = np.random.default_rng(2)
    with (tmp_path / "there.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["architecture", "latency_ms", "lower_ms", "upper_ms"])
        for a in architectures:
            ms = target_ms(a.graph()) * (1 + 0.01 * rng.normal())
            writer.writerow([a, ms, 0.98 * ms, 1.02 * ms])
    return tmp_path / "there.csv"


def write_lines(path, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


class TestShow:
    def test_it_says_where_it_is_from_how_good_it_is_and_what_costs_most(self, folder):
        code, out, err = latlas("predictor", "show", folder, "--json")
        assert code == 0, err
        record = json.loads(out)
        assert record["samples"] == {"train": 50, "test": 40, "search": 0}
        assert record["environment"]["precision"] == "f32"
        assert record["roles"]["test"]["mape"] < 0.02
        assert [row["confidence"] for row in record["calibration"]] == [0.5, 0.8, 0.9, 0.95, 0.99]
        held = [row["held"] for row in record["calibration"]]
        assert held == sorted(held)
        assert all(row["held_lower"] <= row["held"] <= row["held_upper"] for row in record["calibration"])
        assert sum(row["share"] for row in record["operators"]) == pytest.approx(1.0)
        budgets = [record["budgets"]["fastest_ms"], *(row["latency_ms"] for row in record["budgets"]["within"])]
        assert budgets == sorted(budgets) and budgets[-1] <= record["budgets"]["slowest_ms"]
        code, out, _ = latlas("predictor", "show", folder)
        assert code == 0
        assert "50 learnt from, 0 of searches, 40 tested on" in out
        assert f"fastest {record['budgets']['fastest_ms']:.3f}, slowest" in out

    @pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
    def test_it_plots_and_twice_the_same(self, folder, tmp_path, suffix):
        files = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
        for file in files:
            code, _, err = latlas("predictor", "show", folder, "--plot", file)
            assert code == 0, err
        first, second = (file.read_bytes() for file in files)
        assert first == second
        assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!doctype html>"}[suffix])
        if suffix == ".html":
            assert b"http" not in first.replace(b"http-equiv", b"").split(b"base64,")[0]

    def test_what_a_file_says_is_escaped_in_the_page_and_clean_in_the_terminal(self, tmp_path, saved):
        evil = "<script>alert(1)</script>$x^2$"
        spoilt = SavedPredictor(
            saved.predictor,
            environment(),
            saved.space_text,
            {"mape": 0.01},
            saved.samples,
            ({"name": evil + "\x1b[31m", "sha256": "0", "environment": {"cpu_model": evil}, "adapted_from": "x"},),
        )
        save_predictor(tmp_path / "p", spoilt)
        code, out, err = latlas("predictor", "show", tmp_path / "p", "--plot", tmp_path / "p.html")
        assert code == 0, err
        assert "\x1b" not in out
        page = (tmp_path / "p.html").read_text()
        assert "<script>" not in page
        assert "&lt;script&gt;" in page

    def test_a_plot_of_another_kind_or_in_the_way_or_of_nothing_is_refused(self, folder, tmp_path, saved):
        (tmp_path / "mine.png").write_text("mine")
        for path, message in (("p.exe", ".png, .svg, .html"), ("mine.png", "exists already")):
            code, _, err = latlas("predictor", "show", folder, "--plot", tmp_path / path)
            assert (code, message in err) == (2, True), err
        assert (tmp_path / "mine.png").read_text() == "mine"
        save_predictor(tmp_path / "bare", SavedPredictor(saved.predictor, saved.environment, saved.space_text, {}))
        code, _, err = latlas("predictor", "show", tmp_path / "bare", "--plot", tmp_path / "b.png")
        assert (code, "no samples to plot" in err) == (2, True), err

    def test_samples_of_another_space_are_said(self, tmp_path, saved):
        odd = PredictorSample("portrait/m3", 1.0, 0.9, 1.1, 1.0, "test")
        save_predictor(tmp_path / "p", SavedPredictor(saved.predictor, saved.environment, saved.space_text, {}, (odd,)))
        code, _, err = latlas("predictor", "show", tmp_path / "p")
        assert (code, "sample 'portrait/m3'" in err) == (3, True), err


class TestExplain:
    def test_parts_sum_to_the_prediction_and_the_fastest_operator_is_named(self, folder, architectures):
        code, out, err = latlas("predict", architectures[0], "--predictor", folder, "--explain", "--json")
        assert code == 0, err
        record = json.loads(out)
        assert sum(part["latency_ms"] for part in record["parts"]) == pytest.approx(record["latency_ms"], rel=1e-9)
        layers = [part for part in record["parts"] if part["part"].startswith("layer ")]
        assert [part["operator"] for part in layers] == list(architectures[0].operators)
        assert {"stem", "aspp", "decoder S4", "head", "constant"} <= {part["part"] for part in record["parts"]}
        assert all(part["saves_ms"] >= 0 and part["se_ms"] > 0 for part in layers)
        assert all((part["saves_ms"] == 0) == (part["fastest"] == part["operator"]) for part in layers)

    def test_what_a_layer_saves_is_what_the_prediction_falls_by(self, saved, tiny_space, architectures):
        one = architectures[1]
        found = explain(saved.predictor, one)
        for layer, part in enumerate(part for part in found.parts if part.part.startswith("layer ")):
            other = tiny_space.architecture([*one.operators[:layer], part.fastest, *one.operators[layer + 1 :]])
            fell = found.latency_ms - saved.predictor.latency_ms([other.graph()])[0]
            assert part.saves_ms == pytest.approx(fell, abs=1e-12)

    def test_a_baseline_has_parts_and_nothing_to_exchange(self, folder):
        code, out, err = latlas("predict", "mobilenetv3_small", "--predictor", folder, "--explain", "--json")
        assert code == 0, err
        record = json.loads(out)
        assert sum(part["latency_ms"] for part in record["parts"]) == pytest.approx(record["latency_ms"], rel=1e-9)
        assert all(part["fastest"] is None for part in record["parts"])

    def test_a_predictor_that_is_not_linear_is_explained_too(self, tiny_space, architectures):
        class Curved:
            """Latency that no sum gives: the square of a sum."""

            cost_of = None

            def latency_ms(self, graphs):
                return np.array([1 + sum(cost(n.spec) for n in g) ** 2 for g in graphs])

        found = explain(Curved(), architectures[0])
        assert found.method == "shapley"
        assert sum(part.latency_ms for part in found.parts) == pytest.approx(found.latency_ms, rel=1e-9)
        again = explain(Curved(), architectures[0])
        assert again == found

    def test_a_cell_with_dead_edges(self):
        space = NasBench201()
        networks = space.sample(40, np.random.default_rng(0))
        predictor = LatencyPredictor().fit([a.graph() for a in networks], [target_ms(a.graph()) for a in networks])
        for one in networks[:3]:
            found = explain(predictor, one)
            assert sum(part.latency_ms for part in found.parts) == pytest.approx(found.latency_ms, rel=1e-9)
            assert len([part for part in found.parts if part.part.startswith("layer ")]) == 6


class TestElsewhere:
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (("--threads", 2), "threads is 1, asked for 2"),
            (("--precision", "bf16"), "precision is 'f32', asked for 'bf16'"),
        ],
    )
    def test_another_environment_that_is_asked_for_is_refused_by_its_fields(self, folder, words, named):
        code, out, err = latlas("predict", "--random", 1, "--predictor", folder, *words)
        assert (code, out, named in err) == (3, "", True), err

    def test_another_machine_is_refused_by_its_fields(self, folder, monkeypatch):
        monkeypatch.setattr("latlas.latency.machine.environment.cpu_model", lambda: "Another CPU")
        code, out, err = latlas("predict", "--random", 1, "--predictor", folder, "--here")
        assert (code, out) == (3, "")
        assert "cpu_model is" in err
        assert "here 'Another CPU'" in err
        assert "latlas predictor adapt" in err

    def test_what_is_of_this_machine_is_accepted_and_each_field_that_is_not_is_named(self):
        here = local_environment(Setting(precision="bf16", threads=2))
        require_local(here, "search")
        there = replace(here, cpu_model="Another CPU", openvino_version="1.0")
        message = r"cannot search: cpu_model is 'Another CPU', here .*; openvino_version is '1\.0', here"
        with pytest.raises(EnvironmentMismatchError, match=message):
            require_local(there, "search")
        with pytest.raises(EnvironmentMismatchError, match="cpu_flags is 'unknown'"):
            require_local(replace(here, cpu_flags="unknown"), "search")


class TestAdapt:
    def adapt(self, folder, samples, out, *words):
        return latlas("predictor", "adapt", "--predictor", folder, "--samples", samples, "--out", out, "--json", *words)

    def test_a_few_samples_make_a_predictor_of_there(self, folder, samples, tmp_path, tiny_space, saved):
        code, out, err = self.adapt(folder, samples, tmp_path / "there", "--subnets", 12, "--cpu-model", "Other CPU")
        assert code == 0, err
        record = json.loads(out)
        assert (record["train"], record["test"], record["enough"]) == (12, 78, True)
        assert record["mape"] < 0.03 < record["scaled_mape"]
        assert record["coverages"]["0.9"] >= 0.8
        assert list(record["expected_mape_with"].values()) == sorted(
            record["expected_mape_with"].values(), reverse=True
        )
        adapted = load_predictor(tmp_path / "there")
        assert adapted.environment.cpu_model == "Other CPU"
        (source,) = adapted.adapted_from
        assert source["sha256"] == json.loads((folder / "predictor.json").read_text())["sha256"]
        assert source["environment"]["cpu_model"] == saved.environment.cpu_model
        code, out, err = latlas("predictor", "show", tmp_path / "there")
        assert code == 0, err
        assert "adapted from  predictor (cpu_model" in out

    def test_a_network_with_several_lines_counts_once_at_its_median(self, folder, samples, tmp_path):
        with samples.open(newline="") as file:
            header, (name, *_), *others = list(csv.reader(file))[:21]
        several = [[name, 6, 5, 8], [name, 2, 1.5, 2.5], *others, [name, 3, 2, 3.5]]
        write_lines(tmp_path / "several.csv", [header, *several])
        code, out, err = self.adapt(folder, tmp_path / "several.csv", tmp_path / "there")
        assert code in (0, 1), err
        record = json.loads(out)
        assert (record["train"], record["networks"], record["repeated"]) == (20, 20, 1)
        # The pairs of 6, 2 and 3 differ by 4, 3 and 1: 8/3 on average, of a mean of 11/3.
        assert record["noise_floor"] == pytest.approx(8 / 11)
        sample = load_predictor(tmp_path / "there").samples[0]
        assert (sample.architecture, sample.latency_ms, sample.lower_ms, sample.upper_ms) == (name, 3.0, 2.0, 3.5)
        assert "1 of 20 networks stand several times, and two of their latencies differ by 72.73 %" in "".join(
            adapted_lines({"predictor": "there", **record})
        )

    def test_a_line_without_bounds_leaves_its_network_without_them(self, tmp_path, tiny_space, architectures):
        one, other = architectures[:2]
        header = ["architecture", "latency_ms", "lower_ms", "upper_ms"]
        write_lines(tmp_path / "bounds.csv", [header, [one, 2, 1, 3], [other, 5, 4, 7], [one, 4, 5, 6]])
        found = read_measurements(tmp_path / "bounds.csv", tiny_space, "latency_ms")
        assert found.measurements == [Measurement(one, 3.0), Measurement(other, 5.0, 4.0, 7.0)]

    def test_it_may_be_adapted_again_and_remembers_the_chain(self, folder, samples, tmp_path):
        assert self.adapt(folder, samples, tmp_path / "a", "--subnets", 8, "--goal", 0.5)[0] == 0
        # Too few or not, as the same samples have told the first all that they tell the second.
        assert self.adapt(tmp_path / "a", samples, tmp_path / "b", "--subnets", 8, "--goal", 0.5)[0] in (0, 1)
        (last,) = load_predictor(tmp_path / "b").adapted_from
        assert (last["name"], last["adapted_from"][0]["name"]) == ("a", "predictor")

    def test_several_sources_at_once(self, folder, samples, tmp_path):
        self.adapt(folder, samples, tmp_path / "a", "--subnets", 8)
        code, out, err = self.adapt(folder, samples, tmp_path / "both", "--predictor", tmp_path / "a", "--subnets", 8)
        assert code in (0, 1), err
        assert json.loads(out)["sources"] == 2
        assert len(load_predictor(tmp_path / "both").adapted_from) == 2

    def test_too_few_are_said_with_how_many_would_do_and_exit_code_1(self, folder, samples, tmp_path):
        code, out, err = self.adapt(folder, samples, tmp_path / "few", "--subnets", 5, "--goal", 0.012)
        assert code == 1
        record = json.loads(out)
        assert not record["enough"]
        assert "too few subnets: a mean error of" in err
        assert load_predictor(tmp_path / "few").figures["enough"] is False

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("--subnets", 4), 2, "at least 5"),
            (("--target", "watts"), 2, "no column 'watts'"),
            (("--goal", 7), 2, "goal is 7"),
            (("--environment", "gone.json"), 2, "gone.json: cannot be read"),
        ],
    )
    def test_what_cannot_be_is_refused(self, folder, samples, tmp_path, words, code, message):
        found, out, err = self.adapt(folder, samples, tmp_path / "there", *words)
        assert (found, out) == (code, ""), err
        assert message in err
        assert not (tmp_path / "there").exists()

    def test_the_environment_it_has_already_is_refused(self, folder, samples, tmp_path, saved):
        (tmp_path / "here.json").write_text(json.dumps({"environment": saved.environment.to_record()}))
        code, _, err = self.adapt(folder, samples, tmp_path / "there", "--environment", tmp_path / "here.json")
        assert (code, "is of this environment already" in err) == (2, True), err

    def test_measured_here(self, folder, tmp_path, tiny_space, monkeypatch, any_precision):
        """The command measures what it chose; the timing itself is made up here."""
        from latlas.latency.fitting.fit import Sample

        asked = []

        def collect_these(architectures, made, setting, journal, **_):
            asked.extend(architectures)
            there = environment(threads=setting.threads, precision=setting.precision)
            rows = [(a, target_ms(a.graph())) for a in architectures]
            return [Sample(a, ms, 0.98 * ms, 1.02 * ms, ms / 0.5, "ok", (1.0,)) for a, ms in rows], there

        monkeypatch.setattr("latlas.latency.fitting.fit.collect_these", collect_these)
        monkeypatch.setattr("latlas.latency.fitting.choose.POOL", 200)
        monkeypatch.setattr("latlas.latency.fitting.choose.INTEREST", 100)
        code, out, err = latlas(
            *("predictor", "adapt", "--predictor", folder, "--subnets", 12, "--test", 6, "--precision", "bf16"),
            *("--out", tmp_path / "here", "--json"),
        )
        assert code == 0, err
        record = json.loads(out)
        assert (record["train"], record["test"], len(set(asked))) == (12, 6, 18)
        assert load_predictor(tmp_path / "here").environment.precision == "bf16"
