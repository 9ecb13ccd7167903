"""Searches by the proxy task: what they are made of, and that killed ones end as unbroken ones; `tiny_proxy.py` does them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    script = Path(__file__).with_name("tiny_proxy.py")
    done = subprocess.run(
        [sys.executable, "-P", script, tmp_path_factory.mktemp("searches")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # it forks
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_candidates_are_cells_within_the_budget_scored_by_the_proxy(searches):
    found = searches["unbroken"]
    result, history = found["result"], found["history"]
    assert result["scored_by"] == "proxy" and result["proxy"]["pruner"] == "halving"
    assert result["latency_ms"] <= result["budget_ms"] and result["false_accepts"] == 0
    scored = [row for row in history if row["phase"] == "search" and row["quality"] is not None]
    assert len(scored) == 6 and all(0 <= row["quality"] <= 1 for row in scored)
    # Rungs of 1, 3 and 9 steps: each candidate has the first, and at least one went to the last.
    assert 6 < found["kinds"].count("proxy") < 18
    assert found["kinds"].count("score") == 0 and found["kinds"].count("trial") == 2


def test_baseline_and_rivals_are_compared_alike(searches):
    result = searches["unbroken"]["result"]
    assert result["baseline"]["architecture"].endswith("/aspp")
    (rival,) = result["rivals"]
    assert rival["architecture"].endswith("/dpc_cityscapes")
    for one in (result["baseline"], rival):
        assert one["train_steps"] == result["train_steps"] == 4
        assert one["latency_ms"] > 0 and 0 <= one["miou"] <= 1 and one["params"] > 0


@pytest.mark.parametrize(
    "name",
    [
        "while features are computed",
        "between two rungs",
        "while the rival is trained",
        "by Ctrl-C while a cell is trained",
    ],
)
def test_a_search_that_was_ended_goes_on_to_the_same_end(searches, name):
    killed, unbroken = searches[name], searches["unbroken"]
    if "Ctrl-C" in name:
        assert (killed["signal"], killed["code"]) == (0, 4)
    else:
        assert killed["signal"] == signal.SIGKILL
    assert killed["ended_early"] and killed["again"] == 0
    assert 0 < killed["kept"] <= len(unbroken["kinds"])
    for part in ("result", "history", "kinds"):
        assert killed[part] == unbroken[part]


@pytest.mark.parametrize(
    ("strategy", "pruner"), [("optuna-tpe", "hyperband"), ("evolution", "none"), ("random", "halving")]
)
def test_all_strategies_search_with_and_without_a_pruner(searches, strategy, pruner):
    found = searches[strategy]
    trained = found["kinds"].count("proxy")
    assert trained == 6 if pruner == "none" else 6 <= trained <= 18
    assert found["result"]["proxy"]["pruner"] == pruner
    assert found["result"]["latency_ms"] <= found["result"]["budget_ms"]
    assert found["result"]["rivals"] == []


def test_networks_begin_with_the_backbone_or_from_nothing(searches):
    """The same search otherwise: what its networks reach differs, what they take does not."""
    ours, other = searches["unbroken"]["result"], searches["from nothing"]["result"]
    assert ours["baseline"]["latency_ms"] == pytest.approx(other["baseline"]["latency_ms"])
    assert ours["baseline"]["miou"] != other["baseline"]["miou"]
