"""Which finalists a search goes on with, by scripted measurements."""

import pytest

from latlas.errors import LatlasError
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import Interval, LatencyConstraint, Verdict
from latlas.search.run.finalists import confirm_finalists, spread
from latlas.search.strategies.loop import Candidate, History
from latlas.spaces.portrait import PortraitSpace


class FlatPredictor:
    """Predicts the same for all."""

    def predict_interval(self, graphs, confidence):
        return [Prediction(1.0, 0.9, 1.1) for _ in graphs]


class ScriptedSession:
    """Gives each architecture the milliseconds that it is told, None for one that cannot be measured."""

    class setting:
        careful_passes = 4

    def __init__(self, latencies):
        self.latencies, self.asked = latencies, []

    def measure(self, architectures, passes):
        assert passes == 4
        self.asked.append(len(architectures))
        found = [self.latencies[one] for one in architectures]
        return [None if ms is None else Interval(ms, 0.99 * ms, 1.01 * ms) for ms in found]


@pytest.fixture
def history(tiny_space):
    verdict = Verdict(True, 1.0, 0.9, 1.1, False)
    candidates = [Candidate(one, 0.9 - 0.1 * i, verdict) for i, one in enumerate(tiny_space.cover()[:5])]
    return History(candidates)


def chosen(history, latencies, at_once=2, budget_ms=2.0):
    ranked = [one.architecture for one in history.ranked()]
    constraint = LatencyConstraint(FlatPredictor(), budget_ms)
    session = ScriptedSession(dict(zip(ranked, latencies, strict=True)))
    return (
        confirm_finalists(history, constraint, session, at_once, 0.97, lambda note: None),
        session,
        ranked,
        constraint,
    )


def test_all_finalists_that_hold_the_budget_are_kept_in_their_order(history):
    found, session, ranked, _ = chosen(history, [1.5, 1.9, 1.0, 1.0, 1.0])
    assert [one.architecture for one in found] == ranked[:2]
    assert [one.verdict.latency_ms for one in found] == [1.5, 1.9]
    assert session.asked == [2]


def test_where_none_does_those_ranked_after_them_are_measured(history):
    # 1.99 is within, but its upper bound is not.
    found, session, ranked, constraint = chosen(history, [2.5, 1.99, None, 1.8, 1.0])
    assert [one.architecture for one in found] == [ranked[3]]
    assert session.asked == [2, 2]
    assert constraint.counts.accepted == constraint.counts.rejected == 0


def test_where_no_candidate_does_the_search_says_so(history):
    with pytest.raises(LatlasError, match=r"none of the 5 candidates held 2\.000 ms"):
        chosen(history, [3.0] * 5)


def candidate_of(operators, quality):
    return Candidate(PortraitSpace().architecture(operators), quality, Verdict(True, 1.0, 0.9, 1.1, False))


def test_mutants_of_a_better_one_come_after_those_that_differ():
    best = ["mbconv_k3"] * 14
    mutants = [candidate_of(["shuffle"] * n + best[n:], 0.9 - 0.01 * n) for n in (0, 1, 3, 4, 5)]
    # Four of 14 layers are a quarter; the one with five differs from the best, but not from the one with four.
    assert spread(mutants, 2) == [mutants[0], mutants[3], mutants[1], mutants[2], mutants[4]]
    assert spread(mutants, 1) == mutants


def test_where_too_few_differ_the_others_follow_in_their_order():
    mutants = [candidate_of(["shuffle"] * n + ["mbconv_k3"] * (14 - n), 0.9 - 0.01 * n) for n in range(3)]
    assert spread(mutants, 3) == mutants
    assert spread([], 3) == []
