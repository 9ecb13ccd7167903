"""Rungs of the proxy task: Optuna's decisions against the rule of asynchronous successive halving, done by hand."""

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.search.proxy_config import PRUNERS, rungs_of
from latlas.search.run.rungs import Reached, Rungs


def climb(rungs, values):
    """Where a candidate of these values ends, and how far it was trained."""
    trained = []

    def reach(steps):
        trained.append(steps)
        return values[rungs.steps.index(steps)]

    return rungs.climb(reach), trained


def test_rungs_are_thirds_of_thirds():
    assert rungs_of(300, "halving") == (33, 100, 300) and rungs_of(9, "hyperband") == (1, 3, 9)
    assert rungs_of(5, "none") == (5,)
    with pytest.raises(UsageError, match="8 steps are too few for 3 rungs; train for at least 9"):
        rungs_of(8, "halving")
    with pytest.raises(UsageError, match="unknown pruner 'median'; known: none, halving, hyperband"):
        rungs_of(300, "median")


def test_without_a_pruner_all_are_trained_to_the_end():
    rungs = Rungs(300, "none")
    for value in (0.9, 0.1, 0.5):
        assert climb(rungs, [value]) == (Reached(300, value), [300])


def test_successive_halving_keeps_the_best_third_seen_so_far():
    """On from a rung go those among the best third, or the best, of what reached it until then (Li et al. 2020)."""
    rng, rungs = np.random.default_rng(3), Rungs(90, "halving")
    seen: list[list[float]] = [[], []]
    pruned = 0
    for _ in range(60):
        values = rng.random(3).tolist()
        found, trained = climb(rungs, values)
        expected = []
        for rung in range(3):
            expected.append(rungs.steps[rung])
            if rung == 2:
                break
            seen[rung].append(values[rung])
            best = sorted(seen[rung], reverse=True)[: max(1, len(seen[rung]) // 3)]
            if values[rung] not in best:
                break
        assert trained == expected
        assert found == Reached(expected[-1], values[len(expected) - 1], len(expected) < 3)
        pruned += found.pruned
    assert 30 < pruned < 60


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_same_answers_make_the_same_decisions(pruner):
    rng = np.random.default_rng(0)
    values = rng.random((30, 3))
    first, second = (
        [climb(rungs, row[-len(rungs.steps) :].tolist()) for row in values]
        for rungs in (Rungs(9, pruner), Rungs(9, pruner))
    )
    assert first == second
    if pruner != "none":
        assert 0 < sum(found.pruned for found, _ in first) < 30


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_failed_training_ends_there_and_is_worth_nothing(pruner):
    rungs = Rungs(9, pruner)
    found, trained = climb(rungs, [None, None, None])
    assert found == Reached(rungs.steps[0], 0.0, True) and len(trained) == 1
    assert not climb(rungs, [0.5, 0.5, 0.5])[0].pruned
