"""The example package, installed as pip does and through the whole main job, and again by `--import`, without a change here."""

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latlas import cli, registry
from latlas.api import setting
from latlas.latency.formats.table_format import FORMATS
from latlas.latency.measuring.bench import Bench
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.table.table import Table
from latlas.search.run import campaigns
from latlas.search.strategies.names import REGISTRY as STRATEGIES
from latlas.spaces.operators.spec import KINDS
from latlas.spaces.text import SPACES, parse_space
from latlas.supernet.operators.build import timing_operator
from tests.scripted_bench import ScriptedBench

# Measuring on a machine that does other things too.
pytestmark = pytest.mark.timeout(600)

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "latlas_example"
SPACE = "ribbon:height=32,width=32,widths=8.8.12"
QUICK = ("--relative-error", "0.2")
TRAIN = ("--images", "16", "--batch-size", "2", "--device", "cpu")


class RibbonBench(ScriptedBench):
    """As the networks' multiply-adds say."""

    spaces = ("ribbon",)


class BenchOfGhosts(Bench):
    """A real bench for the package's own operators; what Latlas' operators take is scripted, as it says nothing here."""

    script = RibbonBench()

    def time(self, network: Any) -> Pass:
        return super().time(network) if network.label.startswith("ghost") else self.script.time(network)

    def node_times(self, network: Any) -> dict[str, Any]:
        return super().node_times(network) if network.label.startswith("ghost") else self.script.node_times(network)


def latlas(folder: Path, *words: object) -> Any:
    """What a command prints as JSON, run in a folder in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(folder):
        code = cli.run([*map(str, words), "--json"])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue())


def in_a_process(folder: Path, path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process, which finds what lies in `path`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATLAS_")}
    command = [sys.executable, "-P", "-m", "latlas.cli", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment | {"PYTHONPATH": str(path)}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory):
    """Passes of few rounds, operators converted once, one thread, a timing lock of our own, no LATLAS_ variables."""
    setting_of, threads = setting.setting_of, torch.get_num_threads()

    def hasty(*arguments: Any) -> Any:
        made = setting_of(*arguments)
        rule = replace(made.rule, pass_seconds=0.02, min_rounds=3, max_seconds=1.0, quiet_tolerance=100.0)
        return replace(made, passes=2, max_passes=2, rule=rule)

    folder = tmp_path_factory.mktemp("surroundings")
    shared, path = OperatorLibrary(folder, timing_operator), OperatorLibrary.path
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setting, "setting_of", hasty)
        patch.setattr(OperatorLibrary, "path", lambda self, spec: path(shared, spec))
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        for name in [name for name in os.environ if name.startswith("LATLAS_")]:
            patch.delenv(name)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where pip has installed the package, metadata and all."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module", params=["entry points", "--import"])
def job(request, tmp_path_factory, installed):
    """The main job's folder, how its commands are told of the package, and what each printed.

    Networks are made of the converted operators each time; the package's operators are measured for real where entry
    points make them known.
    """
    folder = tmp_path_factory.mktemp("job")
    registries = (SPACES, KINDS, STRATEGIES, FORMATS)
    with pytest.MonkeyPatch.context() as patch:
        for one in registries:
            patch.setattr(one, "_things", dict(one._things))
        patch.setattr(registry, "_imported", {})
        patch.setattr(sys, "path", list(sys.path))
        measured = request.param == "entry points"

        def bench(self: Setting, reference: str = "network") -> Bench:
            kind = BenchOfGhosts if measured and reference == "operator" else RibbonBench
            return kind(reference=reference, rule=self.rule, precision=self.precision, threads=self.threads)

        patch.setattr(Setting, "bench", bench)
        patch.setattr(campaigns, "SETTLE_SECONDS", 0.0)
        if request.param == "entry points":
            told: tuple[str, ...] = ()
            sys.path.append(str(installed))
        else:
            told = ("--import", "latlas_example")
            shutil.copytree(EXAMPLE / "latlas_example", folder / "latlas_example")
        importlib.invalidate_caches()
        assert "latlas_example" not in sys.modules
        printed = {
            "profile-ops": latlas(folder, "profile-ops", *told, "--space", SPACE, *QUICK, "--out", "t.parquet"),
            "fit-predictor": latlas(
                *(folder, "fit-predictor", *told, "--table", "t.parquet", *QUICK, "--subnets", 12, "--test", 4),
                *("--out", "predictor"),
            ),
            "train-supernet": latlas(
                folder, "train-supernet", *told, "--space", SPACE, *TRAIN, "--steps", 3, "--out", "s.safetensors"
            ),
            "search": latlas(
                *(folder, "search", *told, "--predictor", "predictor", "--supernet", "s.safetensors", *TRAIN, *QUICK),
                *("--strategy", "hill", "--evaluations", 4, "--finalists", 2, "--max-measurements", 2, "--out", "run"),
                *(
                    "--score-images",
                    4,
                    "--halving-steps",
                    1,
                    "--train-steps",
                    2,
                    "--min-use",
                    0,
                    "--no-onnx",
                    "--budget-ms",
                    5,
                ),
            ),
        }
        yield folder, told, printed
    for name in [name for name in sys.modules if name.partition(".")[0] == "latlas_example"]:
        del sys.modules[name]


def test_it_is_short():
    lines = [line for path in (EXAMPLE / "latlas_example").glob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) < 120


def test_pip_installs_its_entry_points(installed):
    (found,) = metadata.distributions(path=[str(installed)])
    assert {(one.group, one.name) for one in found.entry_points} == {
        ("latlas.operators", "ghost"),
        ("latlas.spaces", "ribbon"),
        ("latlas.strategies", "hill"),
    }


def test_its_operators_are_converted_and_measured(job):
    folder, _, printed = job
    table = Table.read(folder / "t.parquet")
    assert printed["profile-ops"]["failed"] == 0
    assert printed["profile-ops"]["entries"] == len(table) == len(parse_space(SPACE).specs())
    ghosts = [row for row in table if row.spec.kind == "ghost"]
    assert len(ghosts) == 6
    assert all(row.status in ("ok", "noisy") and row.latency_ms for row in ghosts)


def test_its_networks_are_learnt_and_searched_by_its_strategy(job):
    folder, _, printed = job
    assert (printed["fit-predictor"]["train"], printed["fit-predictor"]["test"]) == (12, 4)
    assert load_predictor(folder / "predictor").space == parse_space(SPACE)
    result = printed["search"]
    assert result["architecture"].startswith(SPACE + "/")
    assert result["evaluated"] == 4
    assert result["baseline"]["architecture"] == f"{SPACE}/plain"
    assert json.loads((folder / "run" / "config.json").read_text())["asked"]["strategy"] == "hill"


def test_the_winner_runs_in_openvino(job):
    import openvino as ov

    image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    model = ov.Core().read_model(job[0] / "run" / "winner.xml")
    probability = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]
    assert probability.shape == (1, 1, 32, 32)
    assert probability.min() >= 0 and probability.max() <= 1


def test_what_it_made_is_read_in_a_fresh_process_or_the_error_says_what_to_do(job, installed):
    folder, told, printed = job
    empty = folder / "empty"
    empty.mkdir()
    architecture = printed["search"]["architecture"]
    for words in (("predict", architecture), ("tables", "show", "t.parquet")):
        done = in_a_process(folder, empty if told else installed, *words, *told, "--json")
        assert done.returncode == 0, done.stderr
    for others in (
        ("predict", "--random", "1", "--predictor", str(folder / "predictor")),
        ("tables", "show", str(folder / "t.parquet")),
    ):
        done = in_a_process(empty, empty, *others)
        assert done.returncode in (2, 3)
        assert len(done.stderr.splitlines()) == 1 and "--import PACKAGE" in done.stderr, done.stderr
