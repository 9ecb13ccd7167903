"""A small simulated run of benchmarks/constraint.py, and that its summary would see what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "constraint.py"
SPACE = "portrait:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.2.2.2,decoder_channels=8,aspp_channels=8"


@pytest.fixture(scope="module")
def constraint(load_script):
    return load_script(SCRIPT)


def test_a_simulated_run(tmp_path):
    samples = tmp_path / "samples.json"
    command = [
        *(sys.executable, "-P", str(SCRIPT), "--dry", "--space", SPACE, "--budgets", "2", "--seeds", "1"),
        *("--evaluations", "20", "--draws", "400", "--samples", str(samples)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["simulated"] is True
    ours, table_sum = result["latlas"], result["table_sum"]
    assert (ours["runs"], ours["returned"], ours["violations"]) == (2, 2, 0)
    assert ours["measured"] == len(json.loads(samples.read_text())) > 0
    assert result["filter"]["measured"] == table_sum["measured"] == 0
    # Alone an operator takes longer than in a network: a plain sum throws latency away.
    assert table_sum["violations"] == 0
    assert table_sum["returned_nothing"] == 2 or table_sum["unused_median"] > 0.2
    assert result["runs"][0]["constraint"]["prediction"]["predictions_tested"] > 0


def test_the_summary_sees_violations_and_waste(constraint):
    runs = [
        {"budget_ms": 10.0, "returned": ["a", "b"], "measured": 3, "seconds": 1.0},
        {"budget_ms": 10.0, "returned": ["c"], "measured": 2, "seconds": 1.0},
        {"budget_ms": 5.0, "returned": [], "measured": 0, "seconds": 1.0},
    ]
    again = {"a": [9.5, 9.4, 9.6], "b": [10.5, 10.1, 10.9], "c": [10.1, 9.9, 10.3]}
    found = constraint.summary(runs, again)
    assert (found["runs"], found["returned_nothing"], found["returned"]) == (3, 1, 3)
    assert (found["violations"], found["violations_beyond_the_interval"]) == (2, 1)
    assert found["worst_over"] == pytest.approx(0.05)
    assert found["unused_median"] == found["unused_worst"] == pytest.approx(0.05)
    assert (found["measured"], found["seconds"]) == (5, 3.0)


def test_what_is_kept_is_not_measured_again(constraint, tmp_path):
    from latlas.latency.measuring.interval import Interval

    asked = []

    def measure(architectures, passes):
        asked.append(list(architectures))
        return [None if one == "broken" else Interval(1.0, 0.9, 1.1) for one in architectures]

    path = tmp_path / "samples.json"
    first = constraint.Samples(path, measure)
    assert first(["a", "broken"], 6) == [Interval(1.0, 0.9, 1.1), None]
    assert constraint.Samples(path, measure)(["b", "a"], 6)[1] == Interval(1.0, 0.9, 1.1)
    constraint.Samples(path, measure)(["a"], 12)  # with more passes it is another measurement
    assert asked == [["a", "broken"], ["b"], ["a"]]
