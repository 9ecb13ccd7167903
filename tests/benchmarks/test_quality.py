"""A small simulated run of benchmarks/quality.py."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality(load_script):
    return load_script(SCRIPT)


def run(quality, monkeypatch, capsys, *more):
    monkeypatch.setattr(sys, "argv", ["quality.py", "--dry", "--steps", "1", "--seeds", "2", *more])
    quality.main()
    return capsys.readouterr().out


def test_two_parts_train_what_one_reports(quality, tmp_path, monkeypatch, capsys):
    samples = tmp_path / "samples.jsonl"
    for part in ("1/2", "2/2"):
        assert run(quality, monkeypatch, capsys, "--samples", str(samples), "--part", part) == ""
    before = samples.read_text()
    assert len([line for line in before.splitlines() if line]) == 4
    result = json.loads(run(quality, monkeypatch, capsys, "--samples", str(samples)))
    assert samples.read_text() == before, "nothing was trained again"
    (pair,) = result["pairs"]
    searched, baseline = pair["searched"], pair["baseline"]
    above = [a - b for a, b in zip(searched["by_seed"], baseline["by_seed"], strict=True)]
    value, low, high = pair["miou_above"]
    assert value == pytest.approx(sum(above) / 2) and low <= value <= high
    assert pair["latency_ratio"] == pytest.approx(searched["latency_ms"][0] / baseline["latency_ms"][0])
    assert searched["params"] < baseline["params"]


def test_images_have_the_sizes_asked_for(quality):
    for trained, judged in ((0, 0), (16, 0), (16, 24)):
        asked = Namespace(dry=True, train_resolution=trained, val_resolution=judged)
        training, validation = quality.photographs(asked, (32, 48))
        assert training.images.shape[2:] == ((trained, trained) if trained else (32, 48))
        assert validation.images.shape[2:] == ((judged, judged) if judged else (32, 48))


def test_a_network_of_a_pair_must_be_of_the_space(quality, monkeypatch, capsys):
    with pytest.raises(Exception, match="no operator 'xx'"):
        run(quality, monkeypatch, capsys, "--pairs", "xx/m3/sh/d5=mobilenetv3_large")
