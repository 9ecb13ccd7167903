"""A small simulated run of benchmarks/derivation.py, and what must hold of it whatever the figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "derivation.py"
SPACE = "portrait:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,aspp_channels=8"


def test_a_simulated_run():
    command = [
        *(sys.executable, "-P", str(SCRIPT), "--dry", "--space", SPACE, "--seeds", "1"),
        *("--steps", "3", "--count", "200", "--repeats", "3"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=150)
    result = json.loads(done.stdout)
    for share in ("0.5", "0.1", "0.01"):
        for row in result["draws"][share]["rows"]:
            assert row["above_budget_by_predictor"] == row["refused_farther_than_the_interval"] == 0
            assert row["log_share_error"] == pytest.approx(0.0, abs=0.1)
            lower, upper = row["log_share_bounds"]
            assert lower - 1e-9 <= row["log_share"] - row["log_share_error"] <= upper + 1e-9
        relative = result["gradient"][share]["relative"]
        assert relative["layer, 0, exact"]["bias"] < 0.1 < relative["layer, 0, none"]["bias"]
        for how, row in result["derived"][share]["table"].items():
            assert row["reached"] <= 1 + 1e-9 or row["over_budget"]
            assert row["over_budget"] == 0 or "argmax" in how
    assert all(kind["ten_best_are_enumerations"] == kind["cases"] for kind in result["truth"].values())
