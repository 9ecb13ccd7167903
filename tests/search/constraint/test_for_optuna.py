"""Optuna studies under the latency constraint, and the five lines of somebody else's search."""

import numpy as np
import optuna
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.for_optuna import KEY, OptunaLatencyConstraint


@pytest.fixture(scope="module")
def setting(tiny_space, learner):
    """A simulated machine, a predictor of it, and a budget that a third of the networks hold."""
    machine = SimulatedMachine(1)
    train = tiny_space.sample(60, np.random.default_rng(0))
    latencies = [one.latency_ms for one in machine.session(2).measure(train)]
    predictor = learner().fit([one.graph() for one in train], latencies)
    return machine, predictor, float(np.quantile(latencies, 0.33))


@pytest.fixture
def study_of(tiny_space, setting):
    """Run a study of so many trials; the constraint, the study, and the architecture of a trial."""
    machine, predictor, budget_ms = setting
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def architecture_of(trial):
        names = [trial.suggest_categorical(f"layer{i}", options) for i, options in enumerate(tiny_space.choices)]
        return tiny_space.architecture(names)

    def run(sampler_of, trials, how):
        session = machine.session(3)
        constraint = LatencyConstraint(predictor, budget_ms, measure_all=session.measure, max_measurements=15)
        within = OptunaLatencyConstraint(constraint, architecture_of)

        def objective(trial):
            if how is not None:
                getattr(within, how)(trial)
            return architecture_of(trial).macs

        study = optuna.create_study(direction="maximize", sampler=sampler_of(within))
        study.optimize(objective, n_trials=trials)
        return constraint, study, architecture_of

    return run


@pytest.mark.parametrize(
    ("sampler_of", "how"),
    [
        (lambda within: optuna.samplers.TPESampler(seed=0, n_startup_trials=8), "check"),
        (lambda within: optuna.samplers.NSGAIISampler(seed=0, population_size=8), "check"),
        pytest.param(
            lambda within: optuna.samplers.NSGAIISampler(seed=0, population_size=8, constraints_func=within),
            None,
            marks=pytest.mark.filterwarnings("ignore:`constraints_func` has been deprecated:FutureWarning"),
        ),
    ],
    ids=["tpe", "nsga2", "constraints_func"],
)
def test_samplers_are_told_what_is_within_the_budget(study_of, setting, sampler_of, how):
    machine, _, budget_ms = setting
    constraint, study, architecture_of = study_of(sampler_of, 40, how)
    assert constraint.counts.accepted + constraint.counts.rejected > 20  # repeats are not checked anew
    best = study.best_trial  # the best of those whose constraint is at most 0
    assert machine.latency_ms(architecture_of(best).graph()) <= budget_ms
    over = [one for one in study.trials if one.value > best.value]
    assert over  # without the constraint another would be the best
    assert not any(constraint.check(architecture_of(one)).feasible for one in over)


def test_what_is_not_within_the_budget_is_pruned_before_it_is_evaluated(study_of, setting):
    machine, _, budget_ms = setting
    _, study, architecture_of = study_of(lambda within: optuna.samplers.RandomSampler(seed=0), 30, "prune")
    kept = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
    pruned = [one for one in study.trials if one.state == optuna.trial.TrialState.PRUNED]
    assert kept and pruned and len(kept) + len(pruned) == 30
    assert all(one.constraints[KEY] <= 0 for one in kept)
    assert all(one.constraints[KEY] > 0 for one in pruned)
    assert all(machine.latency_ms(architecture_of(one).graph()) <= budget_ms for one in kept)
