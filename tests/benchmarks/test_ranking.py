"""A tiny run of benchmarks/ranking.py, in two parts, and that its summary would see what it looks for."""

import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "ranking.py"


@pytest.fixture(scope="module")
def ranking(load_script):
    return load_script(SCRIPT)


def test_a_dry_run_in_parts(ranking, tmp_path, monkeypatch, capsys):
    samples = tmp_path / "samples.jsonl"
    common = [
        "--dry",
        "--images",
        "16",
        "--subnets",
        "4",
        "--drawn",
        "40",
        "--steps",
        "2",
        "--short",
        "1",
        "--batch-size",
        "4",
    ]
    common += ["--score-images", "4", "--calibration-images", "4", "--seeds", "2", "--samples", str(samples)]

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["ranking.py", *common, *more])
        ranking.main()
        return json.loads(capsys.readouterr().out)

    first = run("--part", "1/2")
    assert first["groups"]["spread"]["networks"] == 2
    run("--part", "2/2")
    lines = samples.read_text()
    whole = run()
    assert samples.read_text() == lines  # the parts had done everything
    group = whole["groups"]["spread"]
    assert group["networks"] == 4 and len(group["repeat_kendall"]) == 1
    rows = group["rows"]
    assert [row["macs"] for row in rows] == sorted(row["macs"] for row in rows)
    assert all(row["standalone_miou"] == pytest.approx(sum(row["by_seed"].values()) / 2) for row in rows)
    assert set(group["proxies"]) == {
        *("supernet_miou", "supernet_val_miou", "supernet_loss", "macs", "params", "short_miou 1", "short_loss 1")
    }
    assert all(-1 <= (one["kendall"]["value"] or 0) <= 1 for one in group["proxies"].values())
    assert group["seconds"]["train_seconds"] > 0


@pytest.fixture
def report(ranking):
    """The module that makes the report, as the benchmark imported it."""
    return sys.modules["benchmarks.ranking_report"]


def test_the_summary_sees_what_ranks_and_what_does_not(report):
    rows: list[dict[str, float | None]] = [
        {
            "standalone_miou": 0.6 + 0.01 * i,
            "supernet_miou": 0.4 + 0.01 * i,
            "supernet_loss": 1 - 0.01 * i,
            "macs": 9 - i,
        }
        for i in range(8)
    ]
    rows.append({"standalone_miou": None, "supernet_miou": 0.1, "supernet_loss": 2.0, "macs": 1})
    found = report.summary(rows, "standalone_miou", report.PROXIES)
    assert found["networks"] == 8 and found["standalone_miou"]["best"] == pytest.approx(0.67)
    proxies = found["proxies"]
    assert set(proxies) == {"supernet_miou", "supernet_loss", "macs"}
    assert proxies["supernet_miou"]["kendall"]["value"] == pytest.approx(1)
    assert proxies["supernet_loss"]["kendall"]["value"] == pytest.approx(1)
    assert proxies["macs"]["spearman"]["value"] == pytest.approx(-1)
    assert proxies["macs"]["miou_of_its_best"] == pytest.approx(0.60)
    assert proxies["macs"]["supernet_better_by"][0] == pytest.approx(2)
    assert report.summary(rows[:1], "standalone_miou", report.PROXIES) == {"networks": 1}


def test_repeatability_is_between_seeds(report):
    rows = [{"by_seed": {0: 0.1 * i, 1: -0.1 * i}} for i in range(4)] + [{"by_seed": {0: 0.9}}]
    assert report.repeatability(rows, 2) == [-1]
    assert report.repeatability(rows[-1:], 2) == [None]


@pytest.mark.parametrize("wrong", [[], ["--dry", "--near-subnets", "3"]])
def test_what_does_not_go_together_is_refused(ranking, monkeypatch, wrong):
    monkeypatch.setattr(sys, "argv", ["ranking.py", *wrong])
    with pytest.raises(SystemExit):
        ranking.main()
