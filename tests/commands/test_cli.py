"""The command line: the whole main job once on a tiny space, what each command prints, and every way to get it wrong.

Commands run in this process through `cli.run`, with operators converted once for all of them; what depends on a fresh
process (registrations, signals) is run in one.
"""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latlas import cli
from latlas.api import in_network as api_in_network
from latlas.api import search as api_search
from latlas.api import setting
from latlas.latency.measuring.bench import Bench
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.model_file import metadata_of, read
from latlas.latency.table.row import NUMBERS
from latlas.latency.table.table import Table
from latlas.search.run import campaigns, comparison
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.text import parse_space
from latlas.supernet.data.drawn.portraits import generate_portrait
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import save_weights
from latlas.supernet.operators.build import timing_operator
from tests.documents import page, shown_commands
from tests.scripted_bench import ScriptedBench

# Measuring a table's worth of operators on a machine that does other things too.
pytestmark = pytest.mark.timeout(600)

SPACE = "portrait:height=32,width=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,aspp_channels=8,decoder_channels=8"
ARCHITECTURE = f"{SPACE}/m3/m5/s3/sh"
QUICK = ("--relative-error", "0.2")
IN_A_PROCESS = "import sys\nfrom latlas import cli"
TRAIN = ("--images", "16", "--batch-size", "2", "--device", "cpu")


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        """The standard output, which is JSON and nothing else."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def latlas(*words: object, in_folder: Path | None = None) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(in_folder or Path.cwd()):
        code = cli.run([str(word) for word in words])
    return Done(code, out.getvalue(), err.getvalue())


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Passes of few rounds, none discarded."""
    setting_of = setting.setting_of

    def hasty(*arguments: Any) -> Setting:
        made = setting_of(*arguments)
        rule = replace(made.rule, pass_seconds=0.02, min_rounds=3, max_seconds=1.0, quiet_tolerance=100.0)
        return replace(made, passes=2, max_passes=2, rule=rule)

    for module in (setting, api_search, api_in_network):  # wherever the name is used
        patch.setattr(module, "setting_of", hasty)


def in_a_process(*words: object, prelude: str = "", **options: Any) -> Done:
    """Run a command in a fresh process, where only what the command imports is there; the prelude's code comes before."""
    command = [sys.executable, "-P", "-c", f"{IN_A_PROCESS}\n{prelude}\nsys.exit(cli.main())", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def refuses(code: int, value: object, *words: object) -> Done:
    """Run a command that must fail with this code and one line that has the value; the run."""
    done = latlas(*words)
    assert (done.code, done.out) == (code, ""), done.err
    lines = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert lines[0] == done.err.splitlines()[-1]
    assert str(value) in lines[0]
    assert "Traceback" not in done.err
    return done


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory):
    """One thread, a timing lock of our own, conversions shared by all commands, one baseline, no LATLAS_ variables."""
    folder = tmp_path_factory.mktemp("surroundings")
    shared, path = OperatorLibrary(folder, timing_operator), OperatorLibrary.path
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(OperatorLibrary, "path", lambda self, spec: path(shared, spec))
        hasten(patch)
        patch.setattr(campaigns, "SETTLE_SECONDS", 0.0)
        patch.setattr(comparison, "FINAL_PAUSE_SECONDS", 0.0)
        patch.setattr(PortraitSpace, "baselines", ("mobilenetv3_large",))
        for name in [name for name in os.environ if name.startswith("LATLAS_")]:
            patch.delenv(name)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Where the main job runs; commands that come later read what it made."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def profiled(work):
    return latlas("profile-ops", "--space", SPACE, *QUICK, "--out", work / "table.parquet", "--json", in_folder=work)


@pytest.fixture(scope="module")
def table(profiled, work):
    assert profiled.code == 0, profiled.err
    return work / "table.parquet"


@pytest.fixture(scope="module")
def fitted(table, work):
    return latlas(
        *("fit-predictor", "--table", table, *QUICK, "--subnets", 20, "--test", 5),
        *("--out", work / "predictor", "--json"),
        in_folder=work,
    )


@pytest.fixture(scope="module")
def predictor(fitted, work):
    assert fitted.code == 0, fitted.err
    return work / "predictor"


@pytest.fixture(scope="module")
def supernet_trained(work):
    return latlas(
        *("train-supernet", "--space", SPACE, *TRAIN, "--steps", 3),
        *("--out", work / "supernet.safetensors", "--json"),
        in_folder=work,
    )


@pytest.fixture(scope="module")
def supernet(supernet_trained, work):
    assert supernet_trained.code == 0, supernet_trained.err
    return work / "supernet.safetensors"


@pytest.fixture(scope="module")
def searched(predictor, supernet, work):
    return latlas(
        *("search", "--predictor", predictor, "--supernet", supernet, *TRAIN, *QUICK),
        *(
            "--budget-ms",
            "auto",
            "--baseline",
            "mobilenetv3_large",
            "--evaluations",
            4,
            "--finalists",
            2,
            "--max-measurements",
            2,
        ),
        *("--score-images", 4, "--halving-steps", 1, "--train-steps", 2, "--out", work / "run", "--json"),
        in_folder=work,
    )


@pytest.fixture(scope="module")
def run_folder(searched, work):
    assert searched.code == 0, searched.err
    return work / "run"


ENVIRONMENT_KEYS = {"cpu_model", "threads", "streams", "precision", "openvino_version", "reference_id", "reference_ms"}


class TestMainJob:
    def test_profile_ops(self, profiled, table):
        record = profiled.record
        assert {"table", "entries", "noisy", "failed", "noise_floor", "seconds", "environment"} <= set(record)
        assert record["table"] == str(table)
        assert record["entries"] == len(parse_space(SPACE).specs()) == len(Table.read(table))
        assert record["failed"] == 0
        assert record["noise_floor"] > 0
        assert set(record["environment"]) >= ENVIRONMENT_KEYS
        assert (record["environment"]["threads"], record["environment"]["precision"]) == (1, "f32")
        assert not list(table.parent.glob("*.journal"))

    def test_fit_predictor(self, fitted, predictor):
        record = fitted.record
        assert set(record) >= {
            *("predictor", "train", "test", "mape", "within_1", "within_5", "within_10", "spearman", "noise_floor"),
            *("coverage", "additive_mape", "seconds"),
        }
        assert (record["predictor"], record["train"], record["test"]) == (str(predictor), 20, 5)
        for name in ("within_1", "within_5", "within_10", "coverage"):
            assert 0 <= record[name] <= 1
        assert sorted(path.name for path in predictor.parent.glob("predictor*")) == ["predictor"]
        assert fitted.err  # what it is doing goes to standard error

    def test_train_supernet(self, supernet_trained, supernet):
        record = supernet_trained.record
        assert {"supernet", "steps", "images", "loss", "seconds"} <= set(record)
        assert (record["supernet"], record["steps"], record["images"]) == (str(supernet), 3, 16)
        assert sorted(path.name for path in supernet.parent.glob("supernet*")) == [supernet.name]

    def test_search(self, searched, run_folder):
        record = searched.record
        assert set(record) >= {
            *("architecture", "budget_ms", "latency_ms", "lower_ms", "upper_ms", "miou", "macs", "params", "model"),
            *("report", "evaluated", "filtered", "measured", "false_accepts", "seconds"),
        }
        assert record["architecture"].startswith(SPACE + "/")
        assert record["lower_ms"] <= record["latency_ms"] <= record["upper_ms"]
        assert record["latency_ms"] <= record["budget_ms"]
        assert record["evaluated"] == 4
        assert 0 <= record["miou"] <= 1
        assert record["baseline"]["architecture"] == f"{SPACE}/mobilenetv3_large"
        assert Path(record["model"]).is_file()
        assert Path(record["report"]).is_file()
        assert "budget" in searched.err

    def test_finalists_hold_the_budget_and_the_best_of_them_wins(self, searched, run_folder):
        record = searched.record
        finalists = record["finalists"]
        assert 1 <= len(finalists) <= 2
        assert finalists[0]["architecture"] == record["architecture"]
        assert all(one["latency_ms"] <= record["budget_ms"] for one in finalists)
        if len(finalists) > 1:
            assert finalists[0]["trial_miou"] >= finalists[1]["trial_miou"]
            assert all(one["trial_steps"] == 1 for one in finalists)

    def test_the_report_shows_the_comparison_and_the_finalists(self, searched, run_folder):
        page = (run_folder / "report.html").read_text(encoding="utf-8")
        for one in searched.record["finalists"]:
            assert f"<code>{one['architecture']}</code></td><td>{one['latency_ms']:.3f}</td>" in page
        assert f"<td>{searched.record['params']:,}</td>" in page
        assert page.count("data:image/png;base64,") == 4

    def test_search_leaves_the_result_that_it_prints(self, searched, run_folder):
        assert json.loads((run_folder / "result.json").read_text()) == searched.record

    def test_the_winner_is_a_network_that_openvino_runs(self, searched, run_folder):
        import openvino as ov

        model = ov.Core().read_model(str(run_folder / "winner.xml"))
        assert [(port.any_name, list(port.shape)) for port in model.inputs] == [("image", [1, 3, 32, 32])]
        assert [(port.any_name, list(port.shape)) for port in model.outputs] == [("output", [1, 1, 32, 32])]
        image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
        probability = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]
        assert probability.min() >= 0
        assert probability.max() <= 1
        described = metadata_of(read(run_folder / "winner.xml"))
        assert described["architecture"] == searched.record["architecture"]
        assert "RGB" in described["input"]
        assert "probability" in described["output"]

    def test_the_winner_is_described_by_its_architecture_file(self, searched, run_folder):
        described = json.loads((run_folder / "winner.json").read_text())
        record = searched.record
        assert (described["text"], described["macs"], described["params"]) == (
            record["architecture"],
            record["macs"],
            record["params"],
        )

    def test_measure_takes_what_was_exported_and_its_architecture(self, run_folder):
        done = latlas("measure", run_folder / "winner.xml", run_folder / "winner.json", *QUICK, "--json")
        assert done.code == 0, done.err
        assert len(done.record) == 2
        for record in done.record:
            assert set(record) >= {
                *("latency_ms", "lower_ms", "upper_ms", "reference_ms", "rounds", "status", "environment")
            }
            assert 0 < record["lower_ms"] <= record["latency_ms"] <= record["upper_ms"]
            assert record["status"] in ("ok", "noisy")
            assert set(record["environment"]) >= ENVIRONMENT_KEYS

    def test_measure_gives_one_object_for_one_target_in_milliseconds_of_the_asked_reference(self):
        done = latlas("measure", ARCHITECTURE, *QUICK, "--reference-ms", "2.5", "--json")
        assert done.code == 0, done.err
        record = done.record
        assert record["reference_ms"] == 2.5
        assert record["latency_ms"] == pytest.approx(record["ratio"] * 2.5)

    def test_measure_states_milliseconds_like_a_predictors(self, predictor):
        done = latlas("measure", ARCHITECTURE, *QUICK, "--predictor", predictor, "--json")
        assert done.code == 0, done.err
        record = done.record
        assert record["latency_ms"] == pytest.approx(record["ratio"] * record["reference_ms"])
        assert record["reference_ms"] != record["session_reference_ms"]
        assert record["lower_ms"] < record["latency_ms"] < record["upper_ms"]
        refused = latlas("measure", ARCHITECTURE, *QUICK, "--predictor", predictor, "--reference-ms", "2.5")
        assert refused.code == 2
        assert "not both" in refused.err

    def test_what_a_search_measured_its_predictor_has_learnt(self, predictor, run_folder):
        before, after = (load_predictor(folder) for folder in (predictor, run_folder / "predictor"))
        assert {one.role for one in after.samples} == {"train", "test", "search"}
        assert [one for one in after.samples if one.role != "search"] == list(before.samples)
        assert after.figures["mape"] == before.figures["mape"]

    def test_predict(self, predictor, run_folder):
        done = latlas(
            "predict", ARCHITECTURE, run_folder / "winner.json", "--random", 3, "--predictor", predictor, "--json"
        )
        assert done.code == 0, done.err
        assert len(done.record) == 5
        assert done.record[0]["architecture"] == ARCHITECTURE
        for record in done.record:
            assert set(record) >= {"architecture", "latency_ms", "lower_ms", "upper_ms"}
            assert record["lower_ms"] <= record["latency_ms"] <= record["upper_ms"]
        again = latlas("predict", "--random", 3, "--predictor", predictor, "--json").record
        assert [one["architecture"] for one in again] == [one["architecture"] for one in done.record[2:]]

    def test_predict_says_it_in_words_too(self, predictor):
        done = latlas("predict", ARCHITECTURE, "--predictor", predictor)
        assert done.code == 0
        assert " ms [" in done.out
        assert done.out.rstrip().endswith(ARCHITECTURE)

    def test_predict_in_a_fresh_process_says_the_same(self, predictor):
        words = ("predict", ARCHITECTURE, "--predictor", predictor, "--json")
        done = in_a_process(*words)
        assert done.code == 0, done.err
        (fresh,), (here,) = done.record, latlas(*words).record
        assert fresh.keys() == here.keys() and fresh["architecture"] == here["architecture"]
        numbers = {name: value for name, value in here.items() if isinstance(value, float)}
        # Each process fits the model from its samples; where arrays lie in memory decides the last bit.
        assert {name: fresh[name] for name in numbers} == pytest.approx(numbers, rel=1e-12)

    def test_a_fresh_process_knows_the_space_of_a_supernet(self, predictor, supernet, tmp_path):
        words = ("search", "--predictor", predictor, "--supernet", supernet, *TRAIN, "--baseline", "resnet")
        done = in_a_process(*words, "--out", tmp_path / "run")
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith("error: portrait has no baseline 'resnet'")


def photographs(folder: Path, count: int = 12) -> None:
    """Drawn portraits as a user's folder of photographs, of several sizes."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for index in range(count):
        image, mask = generate_portrait(np.random.default_rng(index), 48 + 8 * (index % 3), 64)
        Image.fromarray(image).save(folder / "images" / f"{index}.jpg")
        Image.fromarray(mask * 255).save(folder / "masks" / f"{index}.png")


SMALLER = {
    "profile-ops": ("--space", SPACE, "--resolution", 32, *QUICK),
    "fit-predictor": ("--subnets", 10, "--test", 3, *QUICK),
    "train-supernet": ("--space", SPACE, "--steps", 3, "--train-resolution", 32, "--batch-size", 2),
    "search": (
        *("--evaluations", 3, "--finalists", 2, "--max-measurements", 1, "--score-images", 4),
        *("--halving-steps", 1, "--train-steps", 2, "--batch-size", 2, *QUICK),
    ),
    "measure": QUICK,
}
"""What is appended to a command of docs/main-job.md, where a later option replaces an earlier one, so that it takes seconds."""


class PortraitBench(ScriptedBench):
    """As the networks' multiply-adds say."""

    spaces = ("portrait",)


def test_the_documents_own_commands_run_in_their_order(tmp_path, monkeypatch):
    """Whether they are right, not what they measure: the main job above measures."""

    def bench(self: Setting, reference: str = "network") -> Bench:
        return PortraitBench(reference=reference, rule=self.rule, precision=self.precision, threads=self.threads)

    monkeypatch.setattr(Setting, "bench", bench)
    photographs(tmp_path / "photos")
    lines = [shlex.split(line)[1:] for line in shown_commands(page("main-job.md"), "latlas")]
    assert {words[0] for words in lines} == set(SMALLER)
    for words in lines:
        done = latlas(*words, *SMALLER[words[0]])
        assert done.code == 0, f"{words}: {done.err}"


class TestTables:
    def test_list(self, table):
        (record,) = latlas("tables", "list", table.parent, "--json").record
        assert (record["table"], record["space"]) == (str(table), SPACE)
        assert record["entries"] == len(Table.read(table))

    def test_show(self, table):
        record = latlas("tables", "show", table, "--json").record
        assert record["manifest"]["space"] == SPACE
        assert len(record["rows"]) == len(Table.read(table))
        text = latlas("tables", "show", table, "--rows").out.splitlines()
        assert len(text) == text.index("") + 1 + len(record["rows"])

    def test_validate(self, table):
        done = latlas("tables", "validate", table, table, "--json")
        assert done.code == 0
        assert [record["valid"] for record in done.record] == [True, True]

    def test_validate_goes_on_after_a_broken_one(self, table):
        Path("broken.parquet").write_bytes(table.read_bytes()[:-9])
        done = latlas("tables", "validate", "broken.parquet", table, "--json")
        assert done.code == 3
        assert [record["valid"] for record in done.record] == [False, True]
        assert "broken.parquet" in done.record[0]["reason"]
        assert done.err.splitlines()[-1] == "error: 1 of 2 tables not valid: broken.parquet"

    def test_diff_names_what_changed_and_only_that(self, table, tmp_path):
        assert latlas("tables", "diff", table, table, "--json").record["changes"] == []
        before = Table.read(table)
        slower = {name: 10 * getattr(before.rows[0], name) for name in NUMBERS}
        replace(before, rows=(replace(before.rows[0], **slower), *before.rows[1:])).write(tmp_path / "after.parquet")
        done = latlas("tables", "diff", table, tmp_path / "after.parquet", "--json")
        assert done.code == 1
        (change,) = done.record["changes"]
        assert change["operator"] == str(before.rows[0].spec)
        assert change["ratio"] == pytest.approx(10)

    def test_merge(self, table, tmp_path):
        rows = Table.read(table).rows
        for name, part in (("a", rows[:5]), ("b", rows[3:])):
            replace(Table.read(table), rows=part).write(tmp_path / f"{name}.parquet")
        done = latlas("tables", "merge", "a.parquet", "b.parquet", "--out", "both.parquet", "--json")
        assert done.code == 0, done.err
        assert (done.record["table"], done.record["entries"]) == ("both.parquet", len(rows))
        assert Table.read("both.parquet").rows == rows
        refuses(2, "both.parquet", "tables", "merge", "a.parquet", "--out", "both.parquet")
        assert latlas("tables", "merge", "a.parquet", "--out", "both.parquet", "--force").code == 0

    def test_merge_of_other_environments_names_the_field(self, table, tmp_path):
        other = Table.read(table)
        manifest = replace(other.manifest, environment=replace(other.manifest.environment, threads=7))
        replace(other, manifest=manifest).write(tmp_path / "other.parquet")
        refuses(3, "threads is 1 and 7", "tables", "merge", table, "other.parquet", "--out", "both.parquet")
        assert not Path("both.parquet").exists()


@pytest.fixture
def images(tmp_path):
    """A folder of images and masks, to be spoilt."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(2):
            picture = rng.integers(0, 255, (48, 40, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / split / "images" / f"{index}.png")
            mask = np.zeros((48, 40), dtype=np.uint8)
            mask[10:30, 10:30] = 255
            Image.fromarray(mask).save(folder / split / "masks" / f"{index}.png")
    return folder


class TestErrors:
    """One line on standard error that has the value, the documented exit code, nothing on standard output."""

    def test_unknown_space(self):
        refuses(2, "'atlantis'", "profile-ops", "--space", "atlantis", "--out", "t.parquet")
        refuses(2, "'nosuch=1'", "train-supernet", "--space", "portrait:nosuch=1")
        refuses(2, "33", "profile-ops", "--resolution", "33", "--dry-run")

    def test_unknown_operator(self, predictor):
        refuses(2, "'xx'", "predict", f"{SPACE}/m3/xx/s3/sh", "--predictor", predictor)
        refuses(2, "4 searchable layers", "predict", f"{SPACE}/m3/m3", "--predictor", predictor)

    @pytest.mark.parametrize("command", ["profile-ops", "fit-predictor", "doctor"])
    def test_unknown_precision(self, command):
        refuses(2, "'f64'", command, "--precision", "f64")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--threads", "0"),
            ("--threads", "many"),
            ("--seed", "-1"),
            ("--relative-error", "x"),
            ("--relative-error", "2"),
        ],
    )
    def test_impossible_values(self, option, value):
        done = refuses(2, value, "profile-ops", option, value, "--out", "t.parquet")
        assert option in done.err or option[2:].replace("-", "_") in done.err

    def test_unknown_options_and_commands(self):
        refuses(2, "--nosuch", "profile-ops", "--nosuch", "1")
        refuses(2, "'profile'", "profile")
        refuses(2, "'nosuch'", "tables", "nosuch")
        refuses(2, "paths", "tables", "validate")

    def test_more_threads_than_cpus(self):
        refuses(2, "4096", "profile-ops", "--threads", 4096, "--out", "t.parquet")

    @pytest.mark.parametrize(
        "words",
        [("fit-predictor", "--table"), ("tables", "show"), ("tables", "diff", "gone.parquet"), ("tables", "list")],
    )
    def test_missing_table(self, words):
        refuses(2, "gone.parquet", *words, "gone.parquet")

    def test_table_of_another_precision_or_thread_count(self, table, any_precision):
        words = ("fit-predictor", "--table", table, "--out", "p")
        done = refuses(3, "f32", *words, "--precision", "bf16")
        assert "bf16" in done.err
        refuses(3, "threads 1, asked for 2", *words, "--threads", 2)

    def test_table_of_another_space(self, table):
        done = refuses(
            3, "has no ", "fit-predictor", "--table", table, "--space", SPACE + ",expand_ratio=4", "--out", "p"
        )
        assert "latlas profile-ops" in done.err

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
    def test_broken_table(self, table, share):
        content = table.read_bytes()
        Path("broken.parquet").write_bytes(content[: int(share * len(content))])
        for words in (("tables", "validate"), ("fit-predictor", "--out", "p", "--table")):
            refuses(3, "broken.parquet", *words, "broken.parquet")

    def test_missing_predictor(self):
        refuses(2, "gone", "predict", ARCHITECTURE, "--predictor", "gone")

    def test_broken_predictor(self, predictor):
        shutil.copytree(predictor, "broken")
        content = Path("broken/predictor.json").read_bytes()
        Path("broken/predictor.json").write_bytes(content[: len(content) // 2])
        refuses(3, "broken/predictor.json", "predict", ARCHITECTURE, "--predictor", "broken")

    def test_nothing_to_predict(self, predictor):
        refuses(2, "--random", "predict", "--predictor", predictor)
        refuses(2, "1.5", "predict", ARCHITECTURE, "--predictor", predictor, "--confidence", "1.5")

    def test_predictor_of_another_space_than_the_supernet(self, predictor):
        save_weights(Supernet(parse_space(SPACE + ",expand_ratio=4")), Path("other.safetensors"), {"steps": 1})
        done = refuses(3, "expand_ratio=4", "search", "--predictor", predictor, "--supernet", "other.safetensors")
        assert "another environment: space is" in done.err

    def test_missing_supernet(self, predictor):
        refuses(2, "gone.safetensors", "search", "--predictor", predictor, "--supernet", "gone.safetensors")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
    def test_broken_supernet(self, predictor, supernet, share):
        content = supernet.read_bytes()
        Path("broken.safetensors").write_bytes(content[: int(share * len(content))])
        refuses(3, "broken.safetensors", "search", "--predictor", predictor, "--supernet", "broken.safetensors")

    def test_unknown_baseline_and_strategy(self, predictor, supernet):
        words = ("search", "--predictor", predictor, "--supernet", supernet, *TRAIN)
        refuses(2, "'resnet'", *words, "--baseline", "resnet")
        refuses(2, "'annealing'", *words, "--strategy", "annealing")

    def test_data_that_are_not_there(self, images):
        words = ("train-supernet", "--space", SPACE, "--data")
        refuses(2, "gone", *words, "gone")
        Path("empty").mkdir()
        refuses(2, "empty", *words, "empty")
        for split in ("train", "val"):
            shutil.rmtree(images / split / "images")
            (images / split / "images").mkdir()
        refuses(2, "photos", *words, images)

    def test_data_that_do_not_match(self, images):
        words = ("train-supernet", "--space", SPACE, "--data", images)
        mask = images / "train" / "masks" / "1.png"
        Image.new("L", (40, 47), 255).save(mask)
        done = refuses(2, mask, *words)
        assert "40x47" in done.err
        mask.write_bytes(b"no image")
        refuses(2, mask, *words)
        mask.unlink()
        refuses(2, images / "train" / "images" / "1.png", *words)

    @pytest.mark.parametrize(
        "said", [("--mask-values", "person=1", "void=255"), ("--mask-values=person=1,void=255",)], ids=len
    )
    def test_label_maps_are_refused_until_it_is_said_who_is_a_person(self, images, said):
        for path in (images / "train" / "masks").iterdir():
            mask = np.full((48, 40), 1, np.uint8)
            mask[:20], mask[20:22] = 0, 255
            Image.fromarray(mask).save(path)
        words = (
            "train-supernet",
            "--space",
            SPACE,
            "--data",
            images,
            "--steps",
            1,
            "--batch-size",
            2,
            "--device",
            "cpu",
        )
        refuses(2, "--mask-values person=1,void=255", *words)
        done = latlas(*words, "--out", "s.safetensors", "--json", *said)
        assert done.code == 0, done.err
        assert "void" in done.err
        assert done.record["mask_values"] == "person=1,void=255"
        assert done.record["warnings"] == []

    @pytest.mark.parametrize("rate", ["100", "-1", "0", "nan", "inf"])
    def test_a_learning_rate_out_of_range(self, rate):
        refuses(2, "learning-rate", "train-supernet", "--data", "synthetic", "--learning-rate", rate)

    def test_several_classes_are_refused_before_the_images(self, images):
        (images / "train" / "masks" / "1.png").write_bytes(b"no image")
        done = refuses(2, "num_classes=10", "train-supernet", "--space", f"{SPACE},num_classes=10", "--data", images)
        assert "only person or not is trained so far" in done.err

    def test_what_was_done_is_recorded_not_what_was_asked(self):
        """Killed after some steps, and gone on with in no time: the steps that were done, and the checkpoint is kept."""
        words = ("train-supernet", "--space", SPACE, *TRAIN, "--out", "slow.safetensors", "--steps", 1000, "--json")
        stop = """
import itertools, latlas.supernet.training.train as training
steps = itertools.count(1)
training.stop_requested = lambda: next(steps) == 3
"""
        done = in_a_process(*words, prelude=stop)
        assert done.code == 4, done.err
        done = latlas(*words, "--time-limit", 1e-6)
        assert done.code == 0, done.err
        assert (done.record["steps"], done.record["asked_steps"]) == (3, 1000)
        assert Path("slow.safetensors.training").exists()
        before = Path("slow.safetensors").read_bytes()
        refuses(1, "no step was done in the time limit of 1e-06 s", *words[:-1], "--force", "--time-limit", 1e-6)
        assert Path("slow.safetensors").read_bytes() == before

    def test_mask_values_are_read_before_the_images(self):
        refuses(2, "'dog=3'", "train-supernet", "--data", "nowhere", "--mask-values", "dog=3")

    def test_data_of_a_folder_train_a_supernet(self, images):
        done = latlas(
            *("train-supernet", "--space", SPACE, "--data", images, "--steps", 1, "--batch-size", 2),
            *("--device", "cpu", "--out", "s.safetensors", "--json"),
        )
        assert done.code == 0, done.err
        assert done.record["images"] == 2

    @pytest.mark.parametrize(
        "words",
        [
            ("profile-ops", "--space", SPACE, "--out", "file/t.parquet"),
            ("fit-predictor", "--space", SPACE, "--out", "file/predictor"),
            ("train-supernet", "--space", SPACE, *TRAIN, "--out", "file/s.safetensors"),
            ("demo", "--out", "file/run"),
        ],
        ids=lambda words: words[0],
    )
    def test_a_path_that_cannot_be_written(self, words):
        Path("file").write_text("I am no folder")
        refuses(2, "file", *words)
        assert Path("file").read_text() == "I am no folder"

    def test_other_paths_that_cannot_be_written(self, table, predictor, supernet):
        Path("file").write_text("")
        refuses(2, "file/t.parquet", "tables", "merge", table, "--out", "file/t.parquet")
        refuses(2, "file/run", "search", "--predictor", predictor, "--supernet", supernet, "--out", "file/run")
        refuses(2, "t.csv", "profile-ops", "--space", SPACE, "--out", "t.csv")

    def test_outputs_that_are_there_are_kept(self, table, predictor, supernet, run_folder):
        before = {path: path.read_bytes() for path in sorted(table.parent.rglob("*")) if path.is_file()}
        refuses(2, table, "profile-ops", "--space", SPACE, "--out", table)
        refuses(2, predictor, "fit-predictor", "--table", table, "--out", predictor)
        refuses(2, supernet, "train-supernet", "--space", SPACE, *TRAIN, "--out", supernet)
        refuses(2, run_folder, "search", "--predictor", predictor, "--supernet", supernet, "--out", run_folder)
        assert {path: path.read_bytes() for path in sorted(table.parent.rglob("*")) if path.is_file()} == before

    def test_a_search_that_was_begun_is_not_gone_on_with_as_another(self, predictor, supernet, run_folder):
        shutil.copytree(run_folder, "run", ignore=shutil.ignore_patterns("result.json"))
        kept = Path("run/journal.jsonl").read_bytes()
        words = ("search", "--predictor", predictor, "--supernet", supernet, *TRAIN, *QUICK, "--evaluations", 5)
        done = refuses(3, "--evaluations was 4, is 5", *words, "--out", "run")
        assert "--force to begin anew" in done.err
        assert Path("run/journal.jsonl").read_bytes() == kept

    def test_an_impossible_budget_is_said_with_the_fastest_there_is_before_anything_is_trained(
        self, predictor, supernet, monkeypatch
    ):
        def never(*arguments, **options):
            pytest.fail("something was trained or scored")

        monkeypatch.setattr("latlas.search.run.finalists.train_subnet", never)
        monkeypatch.setattr("latlas.search.run.score.score", never)
        done = refuses(
            *(1, "0.000 ms", "search", "--predictor", predictor, "--supernet", supernet, *TRAIN, *QUICK),
            *("--budget-ms", "0.0001", "--baseline", "mobilenetv3_large", "--out", "run"),
        )
        line = done.err.splitlines()[-1]
        assert "the fastest, portrait:" in line
        assert "is predicted to take" in line and "the slowest" in line
        assert not list(Path("run").glob("*.xml"))

    @pytest.mark.parametrize("budget", ["abc", "0", "-3", "nan", "inf", ""])
    def test_a_budget_that_is_no_number(self, budget):
        refuses(2, f"--budget-ms is {budget!r}", "search", "--budget-ms", budget)

    def test_measuring_what_is_no_network(self, run_folder):
        refuses(2, "gone.xml", "measure", "gone.xml")
        refuses(2, "gone.json", "measure", "gone.json")
        refuses(2, "notes.txt", "measure", "notes.txt")
        Path("broken.xml").write_text("<net>")
        refuses(3, "broken.xml", "measure", "broken.xml")
        Path("broken.onnx").write_bytes(b"\x00\x01\x02")
        refuses(3, "broken.onnx", "measure", "broken.onnx")
        Path("broken.json").write_text("{")
        refuses(3, "broken.json", "measure", "broken.json")
        Path("other.json").write_text("[]")
        refuses(3, "other.json", "measure", "other.json")
        shutil.copy(run_folder / "winner.xml", "weightless.xml")
        refuses(3, "weightless.xml", "measure", "weightless.xml")
        refuses(2, "--shape is '1,x'", "measure", ARCHITECTURE, "--shape", "1,x")

    def test_an_edited_architecture_is_noticed(self, run_folder):
        described = json.loads((run_folder / "winner.json").read_text())
        described["operators"][0] = "shuffle" if described["operators"][0] != "shuffle" else "mbconv_k3"
        Path("edited.json").write_text(json.dumps(described))
        refuses(3, "edited.json", "measure", "edited.json")


class TestDryRun:
    def test_it_measures_nothing_and_writes_nothing(self, monkeypatch):
        monkeypatch.setattr(Setting, "bench", lambda self: pytest.fail("it was going to measure"))
        done = latlas("profile-ops", "--space", SPACE, "--out", "t.parquet", "--dry-run")
        specs = parse_space(SPACE).specs()
        assert done.code == 0
        assert done.out.splitlines() == [*map(str, specs), f"{len(specs)} operators"]
        assert not list(Path().iterdir())

    def test_as_json(self):
        record = latlas("profile-ops", "--space", SPACE, "--dry-run", "--json").record
        assert record == [spec.to_record() for spec in parse_space(SPACE).specs()]


def height_of_dry_run(*words: object) -> int:
    """The input's height in what `profile-ops --dry-run` would measure."""
    done = latlas("profile-ops", "--dry-run", "--json", *words)
    assert done.code == 0, done.err
    return max(record["height"] for record in done.record)


class TestSettings:
    def test_a_flag_goes_before_a_variable_before_the_file_before_the_default(self, monkeypatch):
        assert height_of_dry_run() == 256
        Path("latlas.toml").write_text('[profile-ops]\nresolution = "64"\n')
        assert height_of_dry_run() == 64
        monkeypatch.setenv("LATLAS_PROFILE_OPS_RESOLUTION", "96")
        assert height_of_dry_run() == 96
        assert height_of_dry_run("--resolution", "128") == 128

    def test_every_kind_of_name_and_value(self):
        Path("latlas.toml").write_text("[profile_ops]\ndry-run = true\njson = true\nresolution = 64\nseed = 3\n")
        done = latlas("profile-ops")
        assert done.code == 0, done.err
        assert max(record["height"] for record in done.record) == 64

    def test_json_by_its_variable(self, monkeypatch):
        monkeypatch.setenv("LATLAS_PROFILE_OPS_JSON", "1")
        assert latlas("profile-ops", "--dry-run", "--space", SPACE).record

    def test_commands_of_tables(self, table):
        Path("latlas.toml").write_text("[tables.validate]\njson = true\n")
        assert latlas("tables", "validate", table).record[0]["valid"]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("[profile-ops]\nthreads = = 2\n", "line 2"),
            ("threads = 2\n", "'threads'"),
            ("[profile-ops]\nthread = 2\n", "'thread'"),
            ("[profile]\nthreads = 2\n", "'profile'"),
            ("[tables.nosuch]\njson = true\n", "'nosuch'"),
            ("[tables]\njson = true\n", "'json'"),
            ('[profile-ops]\nthreads = "many"\n', "'many'"),
            ("[profile-ops]\nthreads = 0\n", "0"),
        ],
    )
    def test_a_bad_line_of_the_file_is_named(self, text, value):
        Path("latlas.toml").write_text(text)
        refuses(2, value, "profile-ops", "--space", SPACE, "--out", "t.parquet")

    def test_a_file_that_is_no_text(self):
        Path("latlas.toml").write_bytes(b"\xff\xfe")
        refuses(2, "latlas.toml", "profile-ops", "--dry-run")


# Three operators; and after the third finished pass Ctrl-C, as a terminal sends it: to the group.
FEW = """
from latlas.spaces.space import SearchSpace
specs = SearchSpace.specs
SearchSpace.specs = lambda self: specs(self)[:3]
"""
INTERRUPTING = (
    FEW
    + """
import os, signal
from latlas.files.journal import Journal
append, done = Journal.append, []
def append_then_interrupt(self, record):
    append(self, record)
    done.append(record)
    if len(done) == 3:
        os.killpg(0, signal.SIGINT)
Journal.append = append_then_interrupt
"""
)


class TestInterrupted:
    def test_profile_ops_goes_on_from_where_it_was_stopped(self, tmp_path):
        words = ("profile-ops", "--space", SPACE, *QUICK, "--out", "t.parquet", "--json")
        done = in_a_process(*words, prelude=INTERRUPTING, start_new_session=True)
        assert (done.code, done.out) == (4, ""), done.err
        assert "Traceback" not in done.err
        assert "t.parquet.journal" in done.err.splitlines()[-1]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet.journal", "t.parquet.partial"]
        finished = Path("t.parquet.journal").read_text().splitlines()[1:]
        assert len(finished) == 3

        done = in_a_process(*words, prelude=FEW, start_new_session=True)
        assert done.code == 0, done.err
        assert done.record["entries"] == len(Table.read("t.parquet")) == 3
        assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet"]

    def test_another_setting_does_not_go_on_from_it(self):
        Path("t.parquet.journal").write_text('{"latlas_journal":2,"header":{"space":"another"}}\n{"label":"x"}\n')
        refuses(3, "'another'", "profile-ops", "--space", SPACE, "--out", "t.parquet")

    def test_force_begins_anew_whatever_was_begun_and_goes_on_without_it(self, table, tmp_path):
        shutil.copy(table, "t.parquet")
        before = Path("t.parquet").read_bytes()
        Path("t.parquet.journal").write_text('{"latlas_journal":2,"header":{"space":"another"}}\n{"label":"x"}\n')
        words = ("profile-ops", "--space", SPACE, *QUICK, "--out", "t.parquet", "--json")
        done = in_a_process(*words, "--force", prelude=INTERRUPTING, start_new_session=True)
        assert done.code == 4, done.err
        assert "the same command, without --force, goes on from t.parquet.journal" in done.err
        assert Path("t.parquet").read_bytes() == before
        done = in_a_process(*words, prelude=FEW, start_new_session=True)
        assert done.code == 0, done.err
        assert len(Table.read("t.parquet")) == 3
        assert not Path("t.parquet.journal").exists()
        refuses(2, "t.parquet", *words)

    def test_anywhere_else_it_ends_with_the_same_code(self, monkeypatch):
        monkeypatch.setattr(PortraitSpace, "specs", lambda self: signal.raise_signal(signal.SIGINT))
        done = latlas("profile-ops", "--space", SPACE, "--dry-run")
        assert (done.code, done.out) == (4, "")
        assert done.err.startswith("interrupted")


ROOT = cli.command_line()
COMMANDS = [
    (*path, name)
    for path, group in (
        ((), ROOT),
        (("tables",), ROOT.commands["tables"]),
        (("predictor",), ROOT.commands["predictor"]),
    )
    for name in group.commands
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words):
    done = latlas(*words, "--help")
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "Usage: latlas " + " ".join(words) in text
    if words not in [("tables",), ("predictor",)]:
        assert "Example: latlas " + " ".join(words) in text


def test_the_help_tells_of_exit_codes_and_settings():
    text = " ".join(latlas("--help").out.split())
    assert "4 interrupted, resumable" in text
    assert "[command] option = value" in text


@pytest.mark.parametrize("words", [(), ("tables",)])
def test_without_a_command_there_is_help_and_the_code_of_misuse(words):
    done = latlas(*words)
    assert done.code == 2
    assert "Usage: latlas" in done.out
    assert "error" not in done.err


def test_main_leaves_with_the_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["latlas", "profile-ops", "--space", "atlantis"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "atlantis" in capsys.readouterr().err
