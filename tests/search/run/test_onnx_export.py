"""The winner as ONNX: OpenVINO computes of the file what torch computes."""

import logging

import numpy as np
import pytest

from latlas.distribution import how_to_install
from latlas.latency.runtime.model_file import read
from latlas.search.run import export as onnx_export
from latlas.search.run.export import export_onnx
from latlas.supernet.networks.network import Subnet


@pytest.fixture
def subnet(tiny_space):
    names = ["shuffle", "mbconv_k3", "skip", "dilconv_k5", "sepconv_k3"]
    return Subnet(tiny_space.architecture(names).graph())


def test_the_file_computes_what_the_subnet_does(tmp_path, subnet):
    pytest.importorskip("onnxscript")
    notes: list[str] = []
    checked: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        check = onnx_export.check_parity
        patch.setattr(onnx_export, "check_parity", lambda *both: checked.append(check(*both)))
        assert export_onnx(subnet, tmp_path / "winner.onnx", notes.append) == tmp_path / "winner.onnx"
    assert not notes and checked[0] < 1e-4
    model = read(tmp_path / "winner.onnx")
    assert (model.inputs[0].any_name, model.outputs[0].any_name) == ("image", "output")
    assert list(model.inputs[0].shape) == [1, 3, 32, 32]
    assert np.prod(model.outputs[0].shape) == 32 * 32
    assert [path.name for path in tmp_path.iterdir()] == ["winner.onnx"]
    assert logging.getLogger("torch.onnx").level == logging.NOTSET


def test_without_its_packages_there_is_a_note_and_no_stale_file(tmp_path, subnet, monkeypatch):
    monkeypatch.setattr(onnx_export, "PACKAGES", ("onnx_that_nobody_has",))
    (tmp_path / "winner.onnx").write_text("of an earlier run")
    notes: list[str] = []
    assert export_onnx(subnet, tmp_path / "winner.onnx", notes.append) is None
    assert notes == [
        f"no ONNX is written: onnx_that_nobody_has not installed: {how_to_install('onnx')}, or say --no-onnx"
    ]
    assert not list(tmp_path.iterdir())
