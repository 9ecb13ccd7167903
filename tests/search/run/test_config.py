"""What a search is not led by."""

from typing import get_type_hints

import pytest

from latlas.commands import searching
from latlas.errors import UsageError
from latlas.search.accuracy.models import LEAST_VALIDATED
from latlas.search.config import LEAST_PREDICTED, SearchConfig
from latlas.search.run.accuracy_phase import phase_config
from latlas.search.run.prepare import require_searchable
from latlas.search.strategies.names import SEARCHED_BY


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_precisions_that_change_no_weights_are_searched(precision):
    require_searchable(precision, 1)


def test_int8_and_batches_are_refused():
    with pytest.raises(UsageError, match="search does not take int8"):
        require_searchable("int8", 1)
    with pytest.raises(UsageError, match="predictor is of batch 4"):
        require_searchable("f32", 4)


def test_the_help_names_every_strategy():
    (option,) = get_type_hints(searching.search, include_extras=True)["strategy"].__metadata__
    assert option.help.startswith(", ".join(SEARCHED_BY) + ";")


def test_an_unknown_strategy_is_said_before_anything_is_done():
    with pytest.raises(UsageError, match="unknown strategy 'luck'; known: evolution, "):
        SearchConfig(strategy="luck")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"strategy": "front-evolution", "accuracy_predictor": True},
            "'front-evolution' does not search over predicted",
        ),
        ({"strategy": "optuna-tpe", "accuracy_predictor": True}, "'optuna-tpe' does not search over predicted"),
        ({"strategy": "proxyless", "accuracy_predictor": True}, "take one of random, near_best"),
        ({"evaluations": 12, "accuracy_predictor": True}, "evaluations is 12; an accuracy predictor needs at least 13"),
        ({"predicted": 0}, "predicted is 0"),
        ({"arch_training": "alternating"}, "'alternating', and strategy 'evolution' trains no architecture parameters"),
        ({"arch_training": "both", "strategy": "proxyless"}, "'both'; known: decoupled, alternating"),
        ({"latency_loss": "sum"}, "latency_loss is 'sum', and strategy 'evolution' trains no"),
        ({"latency_loss": "difference", "strategy": "proxyless"}, "'difference'; known: sum, product"),
        ({"latency_weight": -1.0}, "latency_weight is -1.0"),
        ({"weight_learning_rate": float("nan")}, "weight_learning_rate is nan"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_done(asked, message):
    with pytest.raises(UsageError, match=message):
        SearchConfig(**asked)


def test_the_fewest_evaluations_that_quality_is_learnt_from():
    shared = phase_config(SearchConfig(evaluations=LEAST_PREDICTED, accuracy_predictor=True))
    assert (shared.learn, shared.scored) == (LEAST_VALIDATED, shared.rounds)
    shared = phase_config(SearchConfig(evaluations=100, accuracy_predictor=True, predicted=7))
    assert (shared.learn, shared.scored, shared.predicted) == (70, 30, 7)
