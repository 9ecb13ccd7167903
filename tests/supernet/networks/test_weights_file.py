import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from latlas.errors import EnvironmentMismatchError, FileFormatError, StorageError, UsageError
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.networks import tensor_file
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.weights_file import load_subnet, load_supernet, read_metadata, save_weights

TINY = PortraitSpace(
    height=32, width=32, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8, aspp_channels=8
)
TINY_LONGER = replace(TINY, depths=(1, 1, 1, 2))


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return Supernet(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@pytest.fixture
def saved(supernet, tmp_path):
    path = tmp_path / "supernet.safetensors"
    save_weights(supernet, path, {"steps": 7})
    return path


def rewrite(path, tensors=None, **changes):
    """The file again with other tensors, or with metadata replaced; a value of None takes an entry out."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    metadata = {key: value for key, value in (metadata | changes).items() if value is not None}
    save_file(load_file(path) if tensors is None else tensors, path, metadata)


def same_state(first, second):
    first, second = first.state_dict(), second.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_a_supernet_comes_back(supernet, saved):
    loaded = load_supernet(saved, TINY)
    assert loaded.space == TINY
    assert not loaded.training
    assert same_state(loaded, supernet)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert read_metadata(saved) == {"steps": 7}
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("baseline", [False, True])
def test_a_subnet_comes_back(supernet, tmp_path, baseline):
    path = tmp_path / "new" / "subnet.safetensors"
    architecture = TINY.baseline("mobilenetv3_small_x0.25") if baseline else TINY.random(np.random.default_rng(0))
    subnet = Subnet(architecture.graph()) if baseline else supernet.extract(architecture)
    save_weights(subnet, path)
    loaded = load_subnet(path, architecture)
    assert loaded.graph == architecture.graph()
    assert same_state(loaded, subnet)
    with torch.no_grad():
        images = torch.rand(2, 3, 32, 32)
        torch.testing.assert_close(loaded(images), subnet.eval()(images))  # memory formats differ


def test_loading_draws_no_random_numbers(saved):
    state = torch.get_rng_state()
    load_supernet(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_space_or_architecture_is_refused(supernet, saved, tmp_path):
    with pytest.raises(EnvironmentMismatchError, match=r"supernet\.safetensors: weights of portrait:height=32.*not of"):
        load_supernet(saved, PortraitSpace())
    path = tmp_path / "subnet.safetensors"
    first, second = TINY.cover()[:2]
    save_weights(supernet.extract(first), path)
    with pytest.raises(EnvironmentMismatchError, match=f"not of .*{second.hash}"):
        load_subnet(path, second)


def test_files_that_are_no_checkpoints_are_refused(saved, tmp_path):
    with pytest.raises(UsageError, match=r"none\.safetensors: cannot be read"):
        load_supernet(tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="cannot be read"):
        load_supernet(tmp_path)
    text = tmp_path / "text.safetensors"
    for content in (b"", b"not a checkpoint at all", b"\xff" * 64):
        text.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"text\.safetensors: not a safetensors file, or broken"):
            load_supernet(text)
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match="broken"):
        load_supernet(saved)
    save_file({"weight": torch.ones(1)}, text)
    with pytest.raises(FileFormatError, match="its format is None; latlas-supernet is needed"):
        load_supernet(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "latlas-subnet"}, "its format is 'latlas-subnet'; latlas-supernet is needed"),
        ({"schema": "99"}, "schema '99'; this version of Latlas reads 1"),
        ({"schema": None}, "schema None"),
        ({"record": "{"}, "its record is not a JSON object"),
        ({"record": "[" * 100_000}, "its record is not a JSON object"),
        ({"record": "[]"}, "its record is not a JSON object"),
        ({"record": "{}"}, "names no search space"),
        ({"record": '{"space": "portraits"}'}, "unknown space 'portraits'"),
        ({"record": '{"space": "portrait:height=7"}'}, "height is 7"),
        ({"record": '{"space": "portrait:depths=1000000000.1.1.1"}'}, "above 8192"),
        ({"record": '{"space": "portrait:decoder_channels=4000000000000000000"}'}, "above 8192"),
        ({"record": json.dumps({"space": TINY_LONGER.text})}, "lacks the tensor"),
    ],
)
def test_wrong_metadata_is_refused(saved, changes, message):
    rewrite(saved, **changes)
    with pytest.raises(FileFormatError, match=message):
        load_supernet(saved)


def test_a_huge_network_takes_no_memory_before_it_is_refused(saved):
    rewrite(saved, record=json.dumps({"space": TINY.text.replace("aspp_channels=8", "aspp_channels=8192")}))
    with pytest.raises(FileFormatError, match=r"the network's is torch.float32 \(8192,"):
        load_supernet(saved)


def test_tensors_that_do_not_fit_are_named(saved):
    whole = load_file(saved)
    name = next(key for key in whole if key.endswith("weight") and whole[key].ndim == 4)
    for tensors, message in (
        ({key: value for key, value in whole.items() if key != name}, "lacks the tensor"),
        (whole | {"other": torch.ones(1)}, "has a tensor other"),
        (whole | {name: torch.ones(1)}, r"is torch.float32 \(1,\)"),
        (whole | {name: whole[name].double()}, "is torch.float64"),
        (whole | {name: whole[name] * float("nan")}, "values that are not finite"),
    ):
        rewrite(saved, tensors)
        with pytest.raises(FileFormatError, match=message):
            load_supernet(saved)


@pytest.mark.parametrize(
    "graph",
    [
        None,
        3,
        [],
        [3],
        [[{}, []]],
        [[{"kind": "x"}, [-1]]],
        [["conv", [-1]]],
        [[{"kind": "skip", "in_channels": 3, "out_channels": 3, "height": 2, "width": 2}, [5]]],
        [[{"kind": "skip", "in_channels": 3, "out_channels": 3, "height": 2, "width": 2}, ["a"]]],
        [[{"kind": "skip", "in_channels": "3", "out_channels": 3, "height": 2, "width": 2}, [-1]]],
        [[{"kind": "skip", "in_channels": 3, "out_channels": 3, "height": 2, "width": 2}, [-1]]],  # has no hash
    ],
)
def test_a_wrong_graph_is_refused(supernet, tmp_path, graph):
    path = tmp_path / "subnet.safetensors"
    save_weights(supernet.extract(TINY.cover()[0]), path)
    rewrite(path, record=json.dumps({"graph": graph}))
    with pytest.raises(FileFormatError, match=r"subnet\.safetensors: "):
        load_subnet(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(supernet, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(tensor_file, "save_file", fail)
    with pytest.raises(StorageError, match=r"cannot write .*supernet\.safetensors: no space left"):
        save_weights(supernet, saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_an_unwritable_path_is_said(supernet, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*supernet\.safetensors"):
        save_weights(supernet, tmp_path / "file" / "supernet.safetensors")
