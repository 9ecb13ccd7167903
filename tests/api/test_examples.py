"""The examples in docstrings of all that `latlas` offers, run in a folder with the files that they name."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

import latlas
from latlas.latency.fitting.fit import Sample
from latlas.latency.formats.table_format import FORMATS
from latlas.latency.machine.environment import detect
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.features import CostList
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.saved import SavedPredictor
from latlas.latency.samples.predictor import SavedSamplePredictor
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.search.strategies.names import REGISTRY
from latlas.spaces.operators.spec import KINDS
from latlas.spaces.text import SPACES
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import save_weights

OFFERED = [name for name in latlas.__all__ if name not in ("__version__", "errors")]
CLASSES = (LatencyPredictor, SavedPredictor, SavedSamplePredictor, CompiledPredictor)


def cost_ms(spec):
    """Milliseconds that a network's operator takes in these examples."""
    return 0.002 + spec.macs / 1e6


def environment():
    return detect(
        threads=1, streams=1, precision="f32", batch=1, openvino_version="1", reference_id="r", reference_ms=1.0
    )


def write_predictor(folder, space):
    from latlas.latency.predictor.predictor_file import save_predictor

    rng = np.random.default_rng(0)
    graphs = [one.graph() for one in space.sample(50, rng)]
    costs = CostList({spec: cost_ms(spec) for spec in space.specs()})
    took = [sum(cost_ms(node.spec) for node in graph) * (1 + 0.005 * rng.normal()) for graph in graphs]
    predictor = LatencyPredictor(costs, 0.003).fit(graphs, took, [0.005] * len(took))
    save_predictor(folder, SavedPredictor(predictor, environment(), space.text, {"mape": 0.01}))


def write_measurements(path, space):
    """Latencies of twelve networks somewhere else, where all takes three times as long."""
    networks = space.sample(12, np.random.default_rng(1))
    lines = [f"{space.write(one.operators)},{3 * sum(cost_ms(n.spec) for n in one.graph())}" for one in networks]
    path.write_text("\n".join(["architecture,latency_ms", *lines, ""]))


def write_sample_predictor(folder):
    from latlas.latency.fitting.fit_samples import fit_tabular
    from latlas.latency.samples.predictor import save_sample_predictor
    from latlas.latency.samples.read import read_samples

    path = folder.with_suffix(".csv")
    path.write_text("depth,ms\n" + "".join(f"{depth},{0.4 * depth + 1}\n" for depth in range(1, 31)))
    fitted = fit_tabular(read_samples(path), ["depth"], "ms", 20)
    save_sample_predictor(folder, SavedSamplePredictor(fitted.predictor, fitted.figures))


def rows_of(specs):
    rows = []
    for spec in specs:
        ms = cost_ms(spec)
        rows.append(
            Row(
                spec=spec, latency_ms=ms, lower_ms=0.99 * ms, upper_ms=1.01 * ms, ratio=ms, ratio_lower=0.99 * ms,
                ratio_upper=1.01 * ms, rounds=60, discarded=0, passes=6, p10_ms=ms, p50_ms=ms, p90_ms=ms, status="ok",
            )
        )  # fmt: skip
    return tuple(rows)


def write_table(specs, build_module, out, setting, *, space, command, **rest):
    """What `measuring.profile.profile` does, with the milliseconds of `cost_ms`."""
    manifest = Manifest(environment=environment(), reference="r", space=space, command=command, seed=0)
    table = Table(rows_of(specs), manifest, out)
    table.write(out)
    return table


def measure_subnets(architectures, asked, setting, journal, *, rng=np.random.default_rng(0), **rest):  # noqa: B008
    """What `fit.collect_these` does, with the milliseconds of `cost_ms`."""
    found = []
    for one in architectures:
        ms = sum(cost_ms(node.spec) for node in one.graph()) * (1 + 0.005 * rng.normal())
        found.append(Sample(one, ms, 0.99 * ms, 1.01 * ms, ms, "ok", (ms, ms)))
    return found, environment()


def measure_networks(targets, setting, **rest):
    """What `measure.measure_targets` does, with the milliseconds of `cost_ms`."""
    took = [sum(cost_ms(node.spec) for node in one.graph()) for one in targets]
    return [
        {"target": str(one), "latency_ms": ms, "lower_ms": 0.99 * ms, "upper_ms": 1.01 * ms}
        for one, ms in zip(targets, took, strict=True)
    ]


@pytest.fixture(autouse=True)
def _a_machine_that_takes_no_time(monkeypatch):
    monkeypatch.setattr("latlas.latency.measuring.profile.profile", write_table)
    monkeypatch.setattr("latlas.latency.fitting.fit.collect_these", measure_subnets)
    monkeypatch.setattr("latlas.latency.fitting.measure.measure_targets", measure_networks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_space):
    folder = tmp_path_factory.mktemp("examples")
    space = replace(tiny_space, skip=False)
    write_predictor(folder / "predictor", space)
    write_sample_predictor(folder / "of-samples")
    write_measurements(folder / "elsewhere.csv", space)
    save_weights(Supernet(space).eval(), folder / "supernet.safetensors")
    write_table(space.specs(), None, folder / "table.parquet", None, space=space.text, command="")
    return folder


@pytest.fixture(autouse=True)
def _registries_as_they_were(monkeypatch):
    for registry in (FORMATS, KINDS, REGISTRY, SPACES):
        monkeypatch.setattr(registry, "_things", registry.loaded())


def examples_of(value, name):
    """The examples of a function, or of a class and its methods."""
    return [test for test in doctest.DocTestFinder(recurse=True).find(value, name) if test.examples]


def failures(tests):
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in tests:
        runner.run(test, out=output.append)
    return output


@pytest.mark.parametrize("name", OFFERED)
def test_the_example_of_each_name_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    tests = examples_of(getattr(latlas, name), name)
    assert tests
    assert failures(tests) == []


@pytest.mark.parametrize("value", CLASSES)
def test_the_examples_of_the_classes_that_they_return_run(value, folder, monkeypatch):
    monkeypatch.chdir(folder)
    tests = examples_of(value, value.__name__)
    assert tests
    assert failures(tests) == []


def test_an_example_that_is_wrong_would_be_seen():
    def wrong():
        """One.

        >>> 1 + 1
        3
        """

    assert "Expected:\n    3" in "".join(failures(examples_of(wrong, "wrong")))
