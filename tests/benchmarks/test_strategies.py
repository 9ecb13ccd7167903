"""A small simulated run of benchmarks/strategies.py, and that its summary would see what it looks for."""

import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "strategies.py"


@pytest.fixture(scope="module")
def strategies(load_script):
    return load_script(SCRIPT)


def test_a_simulated_run(strategies, tmp_path, monkeypatch, capsys):
    scores, samples, runs = (tmp_path / name for name in ("scores.jsonl", "samples.json", "runs.jsonl"))
    names = ["random", "evolution", "accuracy", "reinforce", "proxyless", "evolution+filter", "proxyless+soft"]
    sizes = {"images": 16, "score-images": 4, "calibration-images": 4, "seeds": 2, "evaluations": 14, "predicted": 30}
    sizes |= {"draws": 400, "finalists": 3, "gradient-steps": 2, "batch-size": 4}
    command = ["--dry", "--kinds", "ridge", "--methods", *names, "--scores", str(scores), "--samples", str(samples)]
    command += ["--runs", str(runs)]
    command += [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["strategies.py", *command])
    strategies.main()
    result = json.loads(capsys.readouterr().out)
    methods = result["methods"]
    assert result["simulated"] is True and list(methods) == names
    hard = [methods[name] for name in names[:5]]
    assert all((one["runs"], one["violations"], one["measured_again"]) == (2, 0, 2) for one in hard)
    assert all(one["measured"] > 0 for one in hard) and methods[names[5]]["measured"] == 0
    assert all(one["evaluated"] <= 14 for one in methods.values())
    assert methods["random"]["miou_above_random"] == [0, 0, 0]
    best, low, high = methods["evolution"]["miou"]
    assert low <= best <= high
    kept = [json.loads(line) for line in scores.read_text().splitlines() if line]
    assert len({(one["architecture"], one["done"]) for one in kept}) == len(kept)
    # The same command again only measures again: every run is kept, with its own seconds.
    monkeypatch.setattr(strategies, "one_run", lambda *_: pytest.fail("done again"))
    strategies.main()
    assert json.loads(capsys.readouterr().out)["runs"] == result["runs"]


def test_the_summary_sees_violations_and_differences(strategies):
    def run(method, seed, returned, miou):
        return {
            "method": method, "budget_ms": 10.0, "seed": seed, "returned": returned, "miou": miou, "held_out_miou": miou,
            "seconds": 1.0, "measured": seed, "evaluated": 5,
        }  # fmt: skip

    runs = [run("a", 0, ["x"], 0.7), run("a", 1, ["y"], 0.8), run("a", 2, [], None)]
    against = [run("random", seed, ["z"], 0.6) for seed in range(3)]
    found = strategies.summary(runs, {"x": [9.0, 8.9, 9.1], "y": [11.0, 10.5, 11.5]}, against)
    assert (found["runs"], found["returned_nothing"], found["measured_again"]) == (3, 1, 2)
    assert (found["violations"], found["violations_beyond_the_interval"]) == (1, 1)
    assert found["worst_over"] == pytest.approx(0.1) and found["used"] == pytest.approx(1.0)
    assert found["miou"][0] == pytest.approx(0.75) and found["miou_above_random"][0] == pytest.approx(0.15)
    assert found["measured"] == pytest.approx(1.0)
    # Student's 12.706 of one degree of freedom, times 0.05.
    assert found["miou"][1] == pytest.approx(0.75 - 12.706 * 0.05, abs=1e-3)
    assert sys.modules["benchmarks.scores"].over_seeds([0.5]) == [0.5, None, None]
    assert sys.modules["benchmarks.scores"].over_seeds([]) == [None, None, None]
