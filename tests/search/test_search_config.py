"""What a search is not led by."""

from typing import get_type_hints

import pytest

from latlas.commands import searching
from latlas.latency.errors import UsageError
from latlas.search.search_config import SearchConfig, require_searchable
from latlas.search.strategy_names import SEARCHED_BY


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
    with pytest.raises(UsageError, match="unknown strategy 'luck'; known: random, "):
        SearchConfig(strategy="luck")
