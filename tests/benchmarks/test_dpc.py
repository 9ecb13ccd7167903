"""A small simulated run of benchmarks/dpc.py."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "dpc.py"
ARGUMENTS = ["--dry", "--cells", "4", "--drawn", "60", "--proxy-steps", "4", "--end-to-end-steps", "2", "--steps", "3"]


@pytest.fixture(scope="module")
def dpc(load_script):
    return load_script(SCRIPT)


def test_two_parts_do_what_one_reports(dpc, tmp_path, monkeypatch, capsys):
    samples = tmp_path / "samples.jsonl"

    def run(*more):
        files = ["--samples", str(samples), "--cache", str(tmp_path / "cache")]
        monkeypatch.setattr(
            sys, "argv", ["dpc.py", *ARGUMENTS, "--batch-size", "4", "--score-images", "6", *files, *more]
        )
        dpc.main()
        return capsys.readouterr().out

    for part in ("1/2", "2/2"):
        assert run("--part", part) == ""
    before = samples.read_text()
    # Features, a timing; seven networks are scored and trained.
    assert len([line for line in before.splitlines() if line]) == 2 + 2 * 7
    result = json.loads(run())
    assert samples.read_text() == before, "nothing was trained again"
    assert result["dry"] and len(result["cells"]) == 4
    for one in (result["found"], result["published"], result["aspp"], *result["cells"]):
        low, high = one["latency_ms"][1:]
        assert low <= one["latency_ms"][0] <= high
        assert 0 <= one["miou"][0] <= 1 and 0 <= one["proxy_miou"] <= 1 and one["macs"] > 0 and one["params"] > 0
    assert result["published"]["architecture"].endswith("/dpc_cityscapes")
    scores = [one["proxy_miou"] for one in result["cells"]]
    truth = [one["miou"][0] for one in result["cells"]]
    if np.ptp(scores) > 0 and np.ptp(truth) > 0:
        assert result["proxy"]["spearman"]["value"] == pytest.approx(spearmanr(scores, truth).statistic)
    assert result["violations"] == 0
    speed = result["speed"]
    assert speed["candidates_a_minute"] == pytest.approx(60 / speed["seconds_a_candidate"])
    assert speed["features"]["bytes"] == sum(
        file.stat().st_size for file in (tmp_path / "cache").glob("features-*/*") if file.suffix != ".json"
    )


def test_what_is_missing_is_asked_for(dpc, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dpc.py", "--backbone", "winner.safetensors"])
    with pytest.raises(SystemExit):
        dpc.main()
