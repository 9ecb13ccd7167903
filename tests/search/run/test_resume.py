"""Searches that are killed for real, and what they end with when the same call goes on: `tiny_search.py` does them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

KILLED = (
    "after the first campaign",
    "in the fourth record",
    "after the finalists",
    "while a finalist is trained",
    "while the winner is trained",
)


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    script = Path(__file__).with_name("tiny_search.py")
    done = subprocess.run(
        [sys.executable, "-P", script, tmp_path_factory.mktemp("searches")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # it forks
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_journal_has_what_came_from_outside(searches):
    kinds = searches["unbroken"]["kinds"]
    assert kinds[:3] == [None, "campaign", "score"]
    assert kinds.count("score") == 6 and kinds.count("trial") == 3
    # The first campaign, what prediction could not decide, the finalists, the exported networks.
    assert kinds.count("campaign") >= 4 and kinds[-1] == "campaign"
    assert any(row["verdict"] == "rejected" and row["measured"] for row in searches["unbroken"]["history"])


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_search_ends_as_an_unbroken_one(searches, name):
    killed, unbroken = searches[name], searches["unbroken"]
    assert killed["signal"] == signal.SIGKILL and killed["ended_early"] and killed["again"] == 0
    assert 0 < killed["kept"] < len(unbroken["kinds"])
    assert killed["result"] == unbroken["result"]
    assert killed["history"] == unbroken["history"]
    assert killed["kinds"] == unbroken["kinds"]


def test_a_search_by_gradients_takes_the_steps_that_it_took(searches):
    killed, unbroken = searches["while gradients are taken"], searches["unbroken by gradients"]
    assert killed["signal"] == signal.SIGKILL and killed["kept"] == 5
    assert unbroken["kinds"][1:8] == ["campaign", *["gates"] * 5, "score"]
    assert killed["result"] == unbroken["result"]
    assert killed["history"] == unbroken["history"]
    assert killed["kinds"] == unbroken["kinds"]


def test_a_search_by_prediction_takes_the_rounds_that_it_took(searches):
    killed, unbroken = searches["after a round of prediction"], searches["unbroken by prediction"]
    kinds = unbroken["kinds"]
    assert kinds.count("predicted quality") == 3 and kinds.count("score") == 14
    first = kinds.index("predicted quality")
    assert kinds[:first].count("score") == 10
    assert killed["signal"] == signal.SIGKILL and killed["kept"] == first + 3
    learnt = unbroken["result"]["accuracy_predictor"]
    assert (learnt["kind"], learnt["drawn"], learnt["chosen"]) == ("ridge", 10, 4)
    assert -1 <= learnt["spearman"]["value"] <= 1
    assert killed["result"] == unbroken["result"]
    assert killed["history"] == unbroken["history"]
    assert killed["kinds"] == unbroken["kinds"]


@pytest.mark.parametrize(("name", "kept"), [("while weights are trained", 5), ("after weights were trained", 9)])
def test_a_search_that_trains_weights_too_goes_on_from_their_checkpoint(searches, name, kept):
    killed, unbroken, fixed = searches[name], searches["unbroken in turns"], searches["unbroken by gradients"]
    assert (
        killed["signal"] == signal.SIGKILL and killed["kept"] == kept and killed["trainings"] == ["supernet.training"]
    )
    assert unbroken["kinds"][1:8] == ["campaign", *["gates"] * 5, "score"]
    assert killed["result"] == unbroken["result"]
    assert killed["history"] == unbroken["history"]
    trained = unbroken["result"]["architecture_training"]
    assert (trained["steps"], trained["weight_steps"]) == (5, 5)
    assert fixed["result"]["architecture_training"]["weight_steps"] == 0
    assert fixed["result"]["trained_supernet"] is None
    # The same network, scored with the weights of the copy.
    first = [one["history"][0] for one in (fixed, unbroken)]
    assert first[0]["architecture"] == first[1]["architecture"] and first[0]["quality"] != first[1]["quality"]


@pytest.mark.parametrize("name", ["by Ctrl-C while scoring", "by Ctrl-C while training"])
def test_so_does_one_that_was_stopped(searches, name):
    stopped, unbroken = searches[name], searches["unbroken"]
    assert (stopped["signal"], stopped["code"], stopped["again"]) == (0, 4, 0) and stopped["ended_early"]
    assert stopped["result"] == unbroken["result"]
    assert stopped["history"] == unbroken["history"]


def test_what_is_measured_on_a_slower_day_is_brought_to_the_day_that_the_search_began(searches):
    """Networks three per cent slower against a reference that is a fifth slower itself."""
    slower, unbroken = searches["on a slower day"]["result"], searches["unbroken"]["result"]
    before = {one["architecture"]: one["latency_ms"] for one in unbroken["finalists"]}
    after = {one["architecture"]: one["latency_ms"] for one in slower["finalists"]}
    assert before.keys() & after.keys()
    assert all(after[one] == pytest.approx(before[one], rel=0.005) for one in before.keys() & after.keys())
    assert slower["latency_ms"] <= slower["budget_ms"] == unbroken["budget_ms"]


def test_a_search_by_another_packages_strategy_goes_on_too(searches):
    killed, unbroken = searches["while a hill is climbed"], searches["unbroken by hill climbing"]
    assert killed["signal"] == signal.SIGKILL and killed["ended_early"] and killed["again"] == 0
    assert (killed["result"], killed["history"], killed["kinds"]) == tuple(
        unbroken[name] for name in ("result", "history", "kinds")
    )
    assert unbroken["config"]["asked"]["strategy"] == "hill"
    # As its code decides the result, a run is held against its version too.
    assert unbroken["config"]["versions"]["latlas_example"] == "unknown"
