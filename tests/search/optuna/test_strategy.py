"""Optuna's studies behind a strategy: what each trial is told, and storages that processes share."""

import subprocess
import sys
from collections import Counter

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.for_optuna import KEY
from latlas.search.make import make_strategy
from latlas.search.optuna import coding as optuna_coding
from latlas.search.optuna.coding import Coding, ScoreCoding, StageCoding, grid_coding
from latlas.search.optuna.study import shared_evaluations
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import OPTUNA_STRATEGIES
from latlas.search.strategies.strategy import Dropped, Evaluation, StrategyContext
from latlas.spaces.graph import graph_macs
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space

SPACE = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1")
SKIP = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.2.2.1,skip=true")
FAST = [name for name in OPTUNA_STRATEGIES if name != "optuna-gp"]
EVALUATIONS = 24


def quality(architecture):
    names = architecture.operators
    return names.count("mbconv_k5") / len(names)


def make(name, *, space=SPACE, seed=0, evaluations=40, **context):
    return make_strategy(
        name, space, np.random.default_rng(seed), evaluations, context=StrategyContext(**context) if context else None
    )


def states(strategy):
    return Counter(one.state for one in strategy.trials.study.get_trials(deepcopy=False))


@pytest.mark.parametrize("name", OPTUNA_STRATEGIES)
def test_a_trial_says_what_became_of_its_architecture(name):
    strategy = make(name, budget_ms=5.0)
    evaluated, over, repeated, silent = strategy.suggest(4)
    strategy.update([Evaluation(evaluated, 0.7, 4.0)])
    strategy.dropped([Dropped(over, 0.25), Dropped(repeated)])
    assert states(strategy)[TrialState.RUNNING] == 1
    strategy.suggest(1)
    trials = {one.user_attrs["architecture"]: one for one in strategy.trials.study.get_trials(deepcopy=False)}

    found = trials[str(evaluated)]
    assert (found.state, found.values) == (TrialState.COMPLETE, [0.7])
    assert found.user_attrs["verdict"] == "evaluated"
    assert found.user_attrs["latency_ms"] == 4.0
    if name == "optuna-gp":  # learns only from trials that have values
        assert (trials[str(over)].state, trials[str(over)].values) == (TrialState.COMPLETE, [0.7])
    else:
        assert trials[str(over)].state == TrialState.PRUNED
    assert trials[str(over)].user_attrs["verdict"] == "dropped"
    if name != "optuna-cmaes":  # takes no constraints
        assert found.constraints == {KEY: -1.0}
        assert trials[str(over)].constraints == {KEY: 0.25}
    assert trials[str(repeated)].state == trials[str(silent)].state == TrialState.FAIL
    assert trials[str(silent)].user_attrs["verdict"] == "not evaluated"


@pytest.mark.parametrize("name", OPTUNA_STRATEGIES)
def test_what_was_not_suggested_becomes_a_trial(name):
    strategy, one = make(name), SPACE.cover()[3]
    strategy.update([Evaluation(one, 0.4, 2.0), Evaluation(one, 0.4, 2.0)])
    (trial,) = strategy.trials.study.get_trials()
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.4])
    assert strategy.trials.coding.architecture(trial.params) == one
    assert one not in strategy.suggest(5)


def test_an_evaluation_that_comes_late_counts():
    strategy = make("optuna-tpe")
    (late,) = strategy.suggest(1)
    strategy.suggest(1)  # whoever suggests anew before it tells has given the first up
    strategy.update([Evaluation(late, 0.9, 1.0)])
    assert states(strategy)[TrialState.COMPLETE] == 1
    assert strategy.trials.study.best_trial.user_attrs["architecture"] == str(late)


def test_a_quality_that_is_no_number_fails_its_trial():
    strategy = make("optuna-nsgaii")
    (one,) = strategy.suggest(1)
    strategy.update([Evaluation(one, float("nan"), 1.0)])
    assert states(strategy) == {TrialState.FAIL: 1}


class Macs:
    def predict_interval(self, graphs, confidence=0.95):
        return [Prediction(ms, 0.98 * ms, 1.02 * ms) for ms in (graph_macs(graph) / 1e4 for graph in graphs)]


def latency(architecture):
    return graph_macs(architecture.graph()) / 1e4


@pytest.fixture(scope="module")
def budget_ms():
    return float(np.quantile([latency(one) for one in SPACE.sample(300, np.random.default_rng(0))], 0.4))


@pytest.mark.parametrize("name", FAST)
def test_after_a_search_no_trial_is_running(name, budget_ms):
    strategy = make(name, evaluations=20)
    history = run_search(strategy, LatencyConstraint(Macs(), budget_ms, scale_error=0.0), quality, 20)
    assert len(history.candidates) == 20
    assert history.filtered > 0
    found = states(strategy)
    assert found[TrialState.RUNNING] == found[TrialState.WAITING] == 0
    evaluated = [
        one for one in strategy.trials.study.get_trials(deepcopy=False) if one.user_attrs.get("verdict") == "evaluated"
    ]
    assert {one.user_attrs["architecture"] for one in evaluated} == {
        str(one.architecture) for one in history.candidates
    }
    assert all("latency_ms" in one.user_attrs for one in evaluated)


@pytest.mark.parametrize("name", FAST)
def test_what_is_predicted_over_the_budget_is_not_suggested(name, budget_ms):
    base = [options[0] for options in SPACE.choices]
    constant = latency(SPACE.architecture(base))
    unary = [
        np.array([latency(SPACE.architecture([*base[:i], name, *base[i + 1 :]])) - constant for name in options])
        for i, options in enumerate(SPACE.choices)
    ]
    strategy = make(name, terms=Additive(constant, unary), budget_ms=budget_ms)
    for _ in range(4):
        suggested = strategy.suggest(5)
        assert max(map(latency, suggested)) <= budget_ms * (1 + 1e-9)
        strategy.update([Evaluation(one, quality(one), latency(one)) for one in suggested])


def test_a_grid_is_gone_through_once_and_ends():
    strategy, seen = make("optuna-grid"), []
    while suggested := strategy.suggest(300):
        strategy.update([Evaluation(one, quality(one), 1.0) for one in suggested[::2]])
        strategy.dropped([Dropped(one, 0.1) for one in suggested[1::2]])
        seen += suggested
    assert sorted(map(str, seen)) == sorted(map(str, enumerate_space(SPACE)))


def test_a_grid_of_a_large_space_has_one_operator_a_stage():
    space = PortraitSpace()
    strategy = make("optuna-grid", space=space)
    for one in strategy.suggest(30):
        assert all(len(set(one.operators[stage])) == 1 for stage in space.stage_slices())
    strategy.update([Evaluation(space.random(np.random.default_rng(0)), 0.5, 1.0)])  # has no place in that grid
    assert TrialState.COMPLETE not in states(strategy)


@pytest.mark.parametrize("kind", [Coding, ScoreCoding])
def test_codings_read_what_they_write(kind):
    coding = kind(SKIP)
    for one in SKIP.sample(30, np.random.default_rng(0)):
        assert coding.architecture(coding.params(one)) == one
        assert set(coding.params(one)) == set(coding.distributions)


def test_a_stage_coding_writes_what_has_one_operator_a_stage():
    coding = StageCoding(SKIP)
    coherent = SKIP.random_by_stage(np.random.default_rng(0))
    params = {name: options[0] for name, options in coding.choices.items()}
    for options in zip(*(o * 8 for o in coding.choices.values()), strict=False):
        params = dict(zip(coding.choices, options, strict=True))
        one = coding.architecture(params)  # a layer that lacks the operator has another
        assert coding.architecture(coding.params(one)) == one
    assert coding.params(coherent) is None or coding.architecture(coding.params(coherent)) == coherent
    mixed = SKIP.architecture([options[i % 2] for i, options in enumerate(SKIP.choices)])
    assert coding.params(mixed) is None


@pytest.mark.parametrize("kind", [Coding, StageCoding, ScoreCoding])
@pytest.mark.parametrize("params", [{}, {"layer00": "x"}, {"__class__": 1}])
def test_parameters_of_something_else_are_refused(kind, params):
    with pytest.raises(UsageError, match="a trial's parameters"):
        kind(SKIP).architecture(params)


def test_a_grid_that_cannot_be_gone_through_is_refused(monkeypatch):
    monkeypatch.setattr(optuna_coding, "MAX_GRID", 2000)
    with pytest.raises(UsageError, match="2401 points with one operator a stage, 2000 are the most"):
        grid_coding(PortraitSpace())


WORKER = """
import sys, time
import numpy as np
import latlas.spaces.portrait
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.strategies.loop import run_search
from latlas.search.make import make_strategy
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.text import parse_space
from latlas.spaces.graph import graph_macs
from latlas.latency.predictor.predictor import Prediction

name, storage, space, budget_ms = sys.argv[1], sys.argv[2], parse_space(sys.argv[3]), float(sys.argv[4])
class Macs:
    def predict_interval(self, graphs, confidence=0.95):
        return [Prediction(ms, 0.98 * ms, 1.02 * ms) for ms in (graph_macs(graph) / 1e4 for graph in graphs)]
def quality(architecture):
    time.sleep(0.02)  # so that neither is done before the other has begun
    return architecture.operators.count("mbconv_k5") / len(architecture.operators)
context = StrategyContext(storage=storage, study="shared", budget_ms=budget_ms)
strategy = make_strategy(name, space, np.random.default_rng(0), 24, context=context)
print("ready", flush=True)
sys.stdin.readline()
constraint = LatencyConstraint(Macs(), budget_ms, scale_error=0.0)
history = run_search(strategy, constraint, quality, 24, batch=4)
print(*[one.architecture for one in history.candidates], sep="\\n")
"""


@pytest.mark.parametrize(("name", "kind"), [("optuna-tpe", "sqlite"), ("optuna-grid", "journal")])
def test_two_processes_share_a_search_and_together_do_the_number_asked_for(name, kind, tmp_path, budget_ms):
    storage = f"sqlite:///{tmp_path}/search.db" if kind == "sqlite" else f"journal:{tmp_path}/search.log"
    command = [sys.executable, "-P", "-c", WORKER, name, storage, SPACE.text, str(budget_ms)]
    workers = []
    for _ in range(2):  # opened one after the other, as creating a database's tables is not for two at once
        one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert one.stdout.readline() == "ready\n"
        workers.append(one)
    outputs = []
    for one in workers:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in workers:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0
        outputs.append(out.split())

    assert all(outputs)  # both took part
    done = [*outputs[0], *outputs[1]]
    assert len(done) - len(set(done)) <= 3  # twice only what both asked for in the same moment
    assert EVALUATIONS <= len(set(done)) <= EVALUATIONS + 4  # at most a batch more
    context = StrategyContext(storage=storage, study="shared", budget_ms=budget_ms)
    found = shared_evaluations(context, SPACE)
    assert {str(one.architecture) for one in found} == set(done)
    assert [one.quality for one in found] == sorted((one.quality for one in found), reverse=True)
    assert all(latency(one.architecture) <= budget_ms and one.quality == quality(one.architecture) for one in found)

    # Whoever comes later goes on from there: with the same number there is nothing left to do.
    assert make(name, storage=storage, study="shared", evaluations=EVALUATIONS).suggest(8) == []
    more = make(name, storage=storage, study="shared", evaluations=EVALUATIONS + 10)
    assert more.suggest(4)
    assert not set(map(str, more.suggest(4))) & set(done)
    more.dropped([Dropped(one) for one in list(more._open)])
    trials = optuna.load_study(study_name="shared", storage=more.trials.study._storage).trials
    assert not [one for one in trials if one.state == TrialState.RUNNING]


def test_trials_of_a_process_that_ended_are_failed(tmp_path):
    storage = f"journal:{tmp_path}/search.log"
    command = [sys.executable, "-P", "-c", WORKER.split("print(")[0] + "strategy.suggest(3)", "optuna-tpe", storage]
    subprocess.run([*command, SPACE.text, "5"], check=True, timeout=120)
    strategy = make("optuna-tpe", storage=storage, study="shared", evaluations=40)
    assert states(strategy) == {TrialState.FAIL: 3}


def test_a_study_of_something_else_is_refused(tmp_path):
    storage = f"journal:{tmp_path}/search.log"
    make("optuna-tpe", storage=storage, study="one", budget_ms=5.0)
    make("optuna-random", storage=storage, study="one", budget_ms=5.1)  # another sampler is welcome, noise too
    with pytest.raises(EnvironmentMismatchError, match=r"is of space 'portrait:.*name another one"):
        make("optuna-tpe", space=SKIP, storage=storage, study="one", budget_ms=5.0)
    with pytest.raises(EnvironmentMismatchError, match=r"a budget of 5\.0 ms, not of 6\.000"):
        make("optuna-tpe", storage=storage, study="one", budget_ms=6.0)
    with pytest.raises(EnvironmentMismatchError, match="the objectives maximize, not maximize, minimize"):
        make("front-nsgaii", storage=storage, study="one", budget_ms=5.0)
    with pytest.raises(EnvironmentMismatchError, match="is of 'portrait:"):
        shared_evaluations(StrategyContext(storage=storage, study="one"), SKIP)
    with pytest.raises(UsageError, match="has no study 'two'"):
        shared_evaluations(StrategyContext(storage=storage, study="two"), SPACE)
    foreign = optuna.create_study(storage=f"sqlite:///{tmp_path}/x.db", study_name="x")
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(EnvironmentMismatchError, match="trials that are not of Latlas"):
        make("optuna-tpe", storage=f"sqlite:///{tmp_path}/x.db", study="x")


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("search.db", "is not known; write journal:PATH"),
        ("redis://localhost", "is not known"),
        ("sqlite:////nowhere/at/all/search.db", "cannot be opened"),
        ("journal:/nowhere/at/all/search.log", "cannot be opened"),
        ("nosuch://x", "cannot be opened"),
    ],
)
def test_storages_that_cannot_be_opened_are_said(storage, message):
    with pytest.raises(UsageError, match=message):
        make("optuna-tpe", storage=storage, study="one")


def test_a_storage_needs_a_studys_name_and_a_sampler_without_pickles(tmp_path):
    with pytest.raises(UsageError, match="needs the name of the study"):
        make("optuna-tpe", storage=f"journal:{tmp_path}/search.log")
    with pytest.raises(UsageError, match="pickle"):
        make("optuna-cmaes", storage=f"journal:{tmp_path}/search.log", study="one")


def test_a_strangers_trial_is_passed_over(tmp_path):
    storage = f"sqlite:///{tmp_path}/search.db"
    strategy = make("optuna-random", storage=storage, study="one")

    def add(params):
        distributions = {name: optuna.distributions.CategoricalDistribution([value]) for name, value in params.items()}
        attributes = {"verdict": "evaluated"}
        strategy.trials.study.add_trial(
            optuna.trial.create_trial(value=9.0, params=params, distributions=distributions, user_attrs=attributes)
        )

    add({"x": "shuffle"})
    assert len(strategy.suggest(3)) == 3
    assert shared_evaluations(StrategyContext(storage=storage, study="one"), SPACE) == []


def test_a_study_whose_parameters_mean_something_else_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path}/search.db"
    foreign = optuna.create_study(storage=storage, study_name="one", direction="maximize")
    foreign.set_user_attr("latlas_space", SPACE.text)
    foreign.ask({"layer00": optuna.distributions.CategoricalDistribution(["shuffle", "other"])})
    with pytest.raises(EnvironmentMismatchError, match="holds trials of something else"):
        make("optuna-random", storage=storage, study="one").suggest(3)
