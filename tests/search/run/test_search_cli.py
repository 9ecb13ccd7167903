"""Searches through the command line with each way of searching that has an option of its own, on the scripted machine of
`tiny_search.py`: a Pareto front, a shared study, predicted quality, weights trained in turns, a soft latency loss."""

import json
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from latlas import cli
from latlas.api.data import load_data
from latlas.api.search import search
from latlas.latency.measuring.interval import Interval
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import save_predictor
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.search.accuracy.file import load_accuracy
from latlas.search.report.history import read_history
from latlas.search.run import accuracy_phase, campaigns, comparison
from latlas.search.run.session import Session
from latlas.search.strategies.front import front, hypervolume
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.text import parse_architecture
from latlas.supernet.data import dataset
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import load_supernet, read_metadata, save_weights

BUDGET_MS = 0.28
SCRIPT = Path(__file__).with_name("tiny_search.py")


@pytest.fixture(scope="module")
def tiny(load_script):
    return load_script(SCRIPT)


@pytest.fixture(scope="module", autouse=True)
def _machine(tiny):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Setting, "bench", lambda self, reference="network": tiny.ScriptedBench())
        patch.setattr(OperatorLibrary, "describe", lambda self, graph: [])
        patch.setattr(comparison, "export", tiny.exported)
        patch.setattr(campaigns, "SETTLE_SECONDS", 0.0)
        patch.setattr(PortraitSpace, "baselines", ("mobilenetv3_large",))
        patch.setattr(accuracy_phase, "phase_config", tiny.by_ridge)
        patch.setattr(dataset, "synthetic", cache(dataset.synthetic))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def work(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    save_predictor(folder / "predictor", tiny.saved_predictor())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_weights(Supernet(tiny.SPACE), folder / "supernet", {"steps": 3, "height": 32, "width": 32})
    return folder


def latlas(work, out, *words):
    """A search of the work folder: its exit code, its JSON, and what it said."""
    said, result = StringIO(), StringIO()
    sizes: dict[str, float] = {
        "images": 16,
        "batch-size": 2,
        "score-images": 4,
        "train-steps": 2,
        "halving-steps": 1,
        "finalists": 2,
    }
    sizes |= {"max-measurements": 12, "min-use": 0, "relative-error": 0.02, "budget-ms": BUDGET_MS}
    common = ["--predictor", work / "predictor", "--supernet", work / "supernet", "--out", work / out, "--no-onnx"]
    options = [word for name, value in sizes.items() for word in (f"--{name}", value)]
    with redirect_stdout(result), redirect_stderr(said):
        code = cli.run(list(map(str, ("search", *common, *options, "--device", "cpu", "--json", *words))))
    return code, json.loads(result.getvalue() or "null"), said.getvalue()


def searched(work, out, *words, budget_ms=BUDGET_MS):
    code, result, said = latlas(work, out, *words)
    assert code == 0, said
    assert result["certified"] and result["upper_ms"] <= budget_ms and result["false_accepts"] == 0
    return result


def scored(work, out):
    """What was scored, in order: architectures and qualities."""
    frame, _ = read_history(work / out / "history.parquet")
    rows = frame[(frame["phase"] == "search") & frame["quality"].notna()]
    return dict(zip(rows["architecture"], rows["quality"], strict=True))


def test_a_front(work, tiny):
    result = searched(work, "front", "--pareto", "--evaluations", 30)
    found = result["front"]
    points = [(one["latency_ms"], one["supernet_miou"]) for one in found]
    assert len(found) > 1 and front(points).all() and points == sorted(points)
    for one in found:  # measured, all of them, and within the budget
        true_ms = tiny.milliseconds(parse_architecture(one["architecture"], tiny.SPACE))
        assert one["latency_ms"] == pytest.approx(true_ms, rel=0.005) and one["upper_ms"] <= BUDGET_MS
    assert result["front_hypervolume"] == pytest.approx(hypervolume(points, BUDGET_MS))
    assert result["config"]["strategy"] == "front-evolution" and result["evaluated"] == 30
    frame, about = read_history(work / "front" / "history.parquet")
    assert about["strategy"] == "front-evolution"
    assert frame[frame["phase"] == "front"]["architecture"].tolist() == [one["architecture"] for one in found]
    page = (work / "front" / "report.html").read_text()
    assert all(f"<td><code>{one['architecture']}</code></td><td>{one['latency_ms']:.3f}</td>" in page for one in found)
    # Whatever was scored and is surely faster than a member of the front is worse than it.
    qualities = scored(work, "front")
    for one in found:
        faster = [
            quality
            for name, quality in qualities.items()
            if tiny.milliseconds(parse_architecture(name, tiny.SPACE)) < 0.9 * one["latency_ms"]
        ]
        assert all(quality <= one["supernet_miou"] for quality in faster)


def test_a_winner_that_may_be_above_the_budget_is_no_success(work, tiny, monkeypatch):
    """Bounds of a noisy hour: a fifth to either side."""
    read = Session.measure_networks

    def noisily(self, networks, passes, repeat_noisy=False):
        found = read(self, networks, passes, repeat_noisy)
        if not repeat_noisy:  # another than the last campaign
            return found
        return {label: Interval.around(one.latency_ms, 0.2 * one.latency_ms) for label, one in found.items()}

    monkeypatch.setattr(Session, "measure_networks", noisily)
    monkeypatch.setattr(comparison, "FINAL_PAUSE_SECONDS", 0.0)
    code, result, said = latlas(work, "uncertain", "--evaluations", 3)
    assert code == 1, said
    assert result["latency_ms"] <= BUDGET_MS < result["upper_ms"] and result["certified"] is False
    assert json.loads((work / "uncertain" / "result.json").read_text())["certified"] is False
    assert "the upper bound is above the budget; measuring 2 times more" in said
    page = (work / "uncertain" / "report.html").read_text()
    assert "<h1>NOT certified within 0.280 ms" in page and "is the best uncertain one" in page
    assert page.count('name="viewport"') == 1 and "mIoU, trained, against measured latency" in page


def test_a_budget_above_everything_is_said_and_quality_decides(work, tiny):
    code, result, said = latlas(work, "all-fit", "--evaluations", 4, "--budget-ms", 27, "--min-use", 0.9)
    assert code == 0, said
    assert result["all_fit"] and result["certified"] and result["fastest_ms"] < result["slowest_ms"] < 27
    assert f"fit the budget: the slowest takes {result['slowest_ms']:.3f} ms (predicted)" in said
    assert "widen the space: height, width, widths, depths, expand_ratio" in said
    # The space's fastest network is scored first, and three others are; it was the only one before.
    scores = scored(work, "all-fit")
    assert len(scores) == 4
    assert {one["architecture"] for one in result["finalists"]} <= set(scores)
    latencies = [tiny.milliseconds(parse_architecture(name, tiny.SPACE)) for name in scores]
    assert latencies[0] == min(latencies) and min(latencies[1:]) > 1.02 * latencies[0]


def test_searches_share_a_study(work):
    optuna = pytest.importorskip("optuna")
    storage = f"sqlite:///{work}/shared.db"
    words = ("--strategy", "optuna-tpe", "--storage", storage, "--study", "portraits")
    first = searched(work, "first", *words, "--evaluations", 8)
    assert (first["study"]["name"], first["study"]["evaluated"], first["study"]["taken"]) == ("portraits", 8, [])
    mine = scored(work, "first")
    assert first["evaluated"] == len(mine) == 8

    second = searched(work, "second", *words, "--evaluations", 12, "--seed", 5)
    others = scored(work, "second")
    taken = second["study"]["taken"]
    # The fastest comes first in each; but for that and for what was taken of the first one's best, there is nothing twice.
    fastest = next(iter(mine))
    assert fastest == next(iter(others))
    assert set(mine) & set(others) == {fastest, *taken} and 1 <= len(taken) <= 2
    assert second["study"]["evaluated"] == 12 == len(set(mine) | set(others))

    third = searched(work, "third", *words, "--evaluations", 12)  # there is nothing left to do but to choose
    assert set(scored(work, "third")) == {fastest, *third["study"]["taken"]}

    trials = optuna.load_study(study_name="portraits", storage=storage).trials
    evaluated = [one for one in trials if one.user_attrs.get("verdict") == "evaluated"]
    assert {one.user_attrs["architecture"] for one in evaluated} == set(mine) | set(others)
    assert not [one for one in trials if one.state == optuna.trial.TrialState.RUNNING]

    # As after a kill before the result was written: the journal has all that the study said then.
    (work / "second" / "result.json").unlink()
    again = searched(work, "second", *words, "--evaluations", 12, "--seed", 5)
    assert {**again, "seconds": 0} == {**second, "seconds": 0}
    assert len(optuna.load_study(study_name="portraits", storage=storage).trials) == len(trials)


def test_a_front_of_a_shared_study(work):
    pytest.importorskip("optuna")
    words = ("--strategy", "front-nsgaii", "--storage", f"sqlite:///{work}/fronts.db", "--study", "front")
    first = searched(work, "nsga", *words, "--evaluations", 10)
    second = searched(work, "nsga again", *words, "--evaluations", 10)
    assert second["study"]["evaluated"] == 10 and second["study"]["taken"]
    places = [[(one["latency_ms"], one["supernet_miou"]) for one in result["front"]] for result in (first, second)]
    assert hypervolume(places[1], BUDGET_MS) == pytest.approx(hypervolume(places[0], BUDGET_MS), rel=0.02)


def test_predicted_quality(work, tiny):
    result = searched(work, "predicted", "--accuracy-predictor", "--predicted", 40, "--evaluations", 16)
    learnt = result["accuracy_predictor"]
    assert (learnt["drawn"], learnt["chosen"], result["evaluated"]) == (11, 5, 16)
    assert len(learnt["rounds"]) == 3 and learnt["rounds"][-1][0]["spearman"] == learnt["spearman"]
    assert learnt["samples"] == 14 and learnt["asked"] > 40  # all but the last round's
    assert f"Spearman {learnt['spearman']['value']:.2f}" in (work / "predicted" / "report.html").read_text()
    predictor, metadata = load_accuracy(Path(learnt["file"]), tiny.SPACE)
    assert metadata["round"] == 3 and metadata["left_out"]["spearman"] == learnt["spearman"]
    names = list(scored(work, "predicted"))
    drawn, chosen = (
        tiny.SPACE.encode([parse_architecture(name, tiny.SPACE) for name in some]) for some in (names[:11], names[11:])
    )
    assert predictor.predict(chosen).mean() > predictor.predict(drawn).mean()
    assert len(set(names)) == 16


def test_quality_is_not_predicted_where_too_little_is_within_the_budget(work):
    tight = ("--budget-ms", 0.256, "--max-measurements", 2)  # what is predicted to be fastest takes 0.250
    code, result, said = latlas(work, "few", "--accuracy-predictor", "--evaluations", 20, *tight)
    assert code == 0, said
    assert "quality was not predicted" in said and 1 <= result["evaluated"] < 10
    assert result["accuracy_predictor"]["rounds"] == [] and result["accuracy_predictor"]["spearman"] is None
    assert result["accuracy_predictor"]["file"] is None and not (work / "few" / "accuracy.safetensors").exists()
    assert "Quality was not predicted" in (work / "few" / "report.html").read_text()


def test_weights_in_turns_are_those_of_a_copy(work, tiny):
    before = sha256((work / "supernet").read_bytes()).hexdigest()
    words = ("--strategy", "proxyless", "--arch-steps", 3, "--evaluations", 5)
    result = searched(work, "turns", *words, "--arch-training", "alternating")
    assert sha256((work / "supernet").read_bytes()).hexdigest() == before
    assert (result["architecture_training"]["steps"], result["architecture_training"]["weight_steps"]) == (3, 3)
    copy = Path(result["trained_supernet"])
    assert read_metadata(copy) == {"steps": 6, "height": 32, "width": 32}
    pairs = zip(load_supernet(copy).parameters(), load_supernet(work / "supernet").parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)
    code, _, said = latlas(work, "turns", *words, "--arch-training", "alternating", "--force", "--supernet", copy)
    assert code == 2 and "is where the trained copy would be written" in said and copy.exists()


def test_a_soft_latency_loss_is_held_to_the_budget_afterwards(work):
    words = ("--strategy", "proxyless-adjacent", "--arch-steps", 3, "--evaluations", 5)
    hard, soft = (
        searched(work, name, *words, *more)
        for name, more in (("hard", ()), ("soft", ("--latency-loss", "sum", "--latency-weight", 5)))
    )
    assert soft["architecture_training"]["entropy"] != hard["architecture_training"]["entropy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pareto", "--accuracy-predictor"), "--pareto and --accuracy-predictor do not go together"),
        (("--pareto", "--strategy", "proxyless"), "--pareto is searched by front-evolution"),
        (("--accuracy-predictor", "--strategy", "optuna-tpe"), "'optuna-tpe' does not search over predicted quality"),
        (("--arch-training", "alternating"), "trains no architecture parameters"),
        (("--storage", "sqlite:///x.db"), "keeps nothing in a storage"),
        (("--strategy", "optuna-tpe", "--storage", "sqlite:///x.db"), "give both, or neither"),
        (("--strategy", "optuna-tpe", "--study", "one"), "give both, or neither"),
    ],
)
def test_what_does_not_go_together(work, words, message):
    code, _, said = latlas(work, "refused", *words)
    assert code == 2 and message in said.splitlines()[-1]
    assert not (work / "refused").exists() or not list((work / "refused").iterdir())


def test_options_are_read_of_a_file_and_of_variables(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latlas.toml").write_text("[search]\naccuracy-predictor = true\n")
    monkeypatch.setenv("LATLAS_SEARCH_STRATEGY", "optuna-random")
    code, _, said = latlas(work, "refused")
    assert code == 2 and "'optuna-random' does not search over predicted quality" in said
    Path("latlas.toml").write_text('[search]\narch_training = "alternating"\n')
    code, _, said = latlas(work, "refused")
    assert code == 2 and "'optuna-random' trains no architecture parameters" in said


class Drawn:
    """A strategy of the caller's, whose draws no seed of a search decides."""

    name = "drawn"

    def __init__(self, space):
        self.space, self.rng, self.told = space, np.random.default_rng(11), []

    def suggest(self, count):
        return [self.space.random(self.rng) for _ in range(count)]

    def update(self, completed):
        self.told += [one.architecture for one in completed]


def test_a_search_by_a_strategy_of_the_callers_within_a_baselines_latency(work, tiny):
    options = {
        "data": load_data("synthetic", images=16),
        "budget_ms": "mobilenetv3_small",
        "out": work / "own",
        **{"evaluations": 6, "batch_size": 2, "score_images": 4, "train_steps": 2, "halving_steps": 1, "finalists": 2},
        **{"max_measurements": 12, "min_use": 0.0, "relative_error": 0.02, "onnx": False, "device": "cpu"},
    }
    mine = Drawn(tiny.SPACE)
    result = search(work / "predictor", work / "supernet", strategy=mine, **options)
    assert result["config"]["strategy"] == "drawn" and result["config"]["budget_ms"] == "mobilenetv3_small"
    assert result["budget_ms"] == pytest.approx(tiny.milliseconds(tiny.SPACE.baseline("mobilenetv3_small")), rel=0.005)
    assert result["latency_ms"] <= result["budget_ms"] and result["evaluated"] == len(mine.told) == 6
    # As after a kill: the journal has what it suggested, and a strategy made anew is told the same.
    (work / "own" / "result.json").unlink()
    other = Drawn(tiny.SPACE)
    other.rng = np.random.default_rng(12)
    again = search(work / "predictor", work / "supernet", strategy=other, **options)
    assert {**again, "seconds": 0} == {**result, "seconds": 0} and other.told == mine.told
