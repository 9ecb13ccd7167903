import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.latency.runtime import conversion, model_file, stitching
from latlas.latency.runtime import plugin as runtime
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.networks.network import Subnet
from latlas.supernet.operators.build import timing_operator

TOLERANCE = 1e-4
"""Largest difference from torch in f32 that is let pass, of outputs in 0..1; seen: 4e-6."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return conversion.OperatorLibrary(tmp_path_factory.mktemp("library"), timing_operator)


def outputs(model, graph, image):
    modules = [timing_operator(node.spec) for node in graph]
    with torch.inference_mode():
        expected = Subnet(graph, modules).eval()(torch.from_numpy(image)).numpy()
    return runtime.Compiled(model, runtime.CompileOptions()).infer(image), expected


def test_a_stitched_network_is_torchs(library, tiny_space):
    rng = np.random.default_rng(0)
    architectures = [*tiny_space.cover(), tiny_space.baseline("mobilenetv3_small")]
    for architecture in architectures:
        graph = architecture.graph()
        image = rng.random((1, 3, 32, 32), dtype=np.float32)
        got, expected = outputs(library.stitch(graph), graph, image)
        assert got.shape == (1, 1, 32, 32)
        assert expected.std() > 1e-4
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def test_a_stitched_network_is_the_wholly_converted_one(library, tiny_space):
    graph = tiny_space.cover()[1].graph()
    image = np.random.default_rng(1).random((1, 3, 32, 32), dtype=np.float32)
    whole = conversion.convert_module(Subnet(graph, [timing_operator(n.spec) for n in graph]), [(1, 3, 32, 32)])
    stitched = runtime.Compiled(library.stitch(graph), runtime.CompileOptions()).infer(image)
    np.testing.assert_allclose(runtime.Compiled(whole, runtime.CompileOptions()).infer(image), stitched, atol=TOLERANCE)


def test_any_dag_is_stitched(library):
    """A node feeding three others, an identity behind the input and one in the middle, a dead branch."""
    conv = OpSpec("conv", 4, 4, 8, 8, kernel_size=3, activation="relu")
    skip = OpSpec("skip", 4, 4, 8, 8)
    add = OpSpec("upsample_add", 4, 4, 8, 8)
    graph = (
        Node(skip, (INPUT,)),
        Node(conv, (0,)),
        Node(skip, (1,)),
        Node(add, (1, 2)),
        Node(add, (3, 1)),
        Node(conv, (1,)),  # dead
        Node(add, (4, 0)),
    )
    image = np.random.default_rng(2).random((1, 4, 8, 8), dtype=np.float32)
    model = library.stitch(graph)
    got, expected = outputs(model, graph, image)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    assert sum(op.get_type_name() == "Convolution" for op in model.get_ordered_ops()) == 1


def test_stitching_leaves_the_operators_as_they_were(library, tiny_space):
    graph = tiny_space.cover()[0].graph()
    first, second = library.stitch(graph), library.stitch(graph)
    image = np.random.default_rng(3).random((1, 3, 32, 32), dtype=np.float32)
    options = runtime.CompileOptions()
    np.testing.assert_array_equal(
        runtime.Compiled(first, options).infer(image), runtime.Compiled(second, options).infer(image)
    )


def test_each_operator_is_converted_once(tmp_path, monkeypatch, tiny_space):
    built = []
    library = conversion.OperatorLibrary(tmp_path, lambda spec: built.append(spec) or timing_operator(spec))
    graph = tiny_space.cover()[0].graph()
    library.stitch(graph)
    library.describe(graph)
    assert len(built) == len({node.spec for node in graph})


def test_a_conversion_reports_to_nobody_and_leaves_warnings_alone(tmp_path, monkeypatch, caplog):
    """Neither that it begins and ends, nor that it failed; for what is not ours nothing changes."""
    from openvino_telemetry import Telemetry
    from openvino_telemetry.backend import backend_ga4  # noqa: F401  (makes it known)
    from openvino_telemetry.utils.sender import TelemetrySender

    sent = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(TelemetrySender, "send", lambda self, backend, message: sent.append(message))
    monkeypatch.setattr(Telemetry("somebody's", "1", "G-NOBODY", "ga4", enable_opt_in_dialog=False), "consent", True)

    class Failing(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("not to be had")

    conversion.OperatorLibrary(tmp_path, timing_operator).path(OpSpec("conv", 3, 8, 8, 8))
    with pytest.raises(Exception, match="not to be had"):
        conversion.convert_module(Failing(), [(1, 3, 8, 8)])
    assert sent == []
    logging.getLogger("latlas.latency").warning("still heard")
    assert "still heard" in caplog.text
    Telemetry().start_session("test")
    assert len(sent) == 1


def test_options_are_set_and_read_back(library):
    model = library.model(OpSpec("conv", 4, 4, 8, 8, kernel_size=3))
    for threads in (1, 2):
        compiled = runtime.Compiled(model, runtime.CompileOptions(threads=threads))
        assert compiled.options == runtime.CompileOptions("f32", threads, 1)
        assert compiled.run() > 0


def test_what_the_cpu_cannot_do_is_an_error_and_not_another_precision(library, monkeypatch):
    model = library.model(OpSpec("conv", 4, 4, 8, 8, kernel_size=3))
    monkeypatch.setattr(runtime.CompileOptions, "properties", lambda self: {"INFERENCE_PRECISION_HINT": "f32"})
    options = runtime.CompileOptions("bf16")
    with pytest.raises(LatlasError, match=r"asked OpenVINO for .*bf16.*it compiled for .*f32"):
        runtime.Compiled(model, options)


@pytest.mark.parametrize("settings", [{"precision": "int7"}, {"threads": 0}, {"streams": 0}])
def test_impossible_options_are_refused(settings):
    with pytest.raises(UsageError, match=str(next(iter(settings.values())))):
        runtime.CompileOptions(**settings)


def test_a_dynamic_module_is_refused(monkeypatch):
    class Dynamic(torch.nn.Module):
        def forward(self, x):
            return x.flatten()[x.flatten() > 0]

    with pytest.raises(LatlasError, match="dynamic shapes"):
        conversion.convert_module(Dynamic(), [(1, 3, 4, 4)])


def test_a_saved_model_is_the_same_and_keeps_what_it_is(tmp_path, tiny_space):
    graph = tiny_space.cover()[2].graph()
    models = [conversion.convert(timing_operator(n.spec), n.spec) for n in graph]
    model = stitching.stitch(graph, models, {"architecture": "portrait/x", "input": "RGB"})
    model_file.save(model, tmp_path / "net.xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    back = model_file.read(tmp_path / "net.xml")
    assert model_file.metadata_of(back) == {"architecture": "portrait/x", "input": "RGB"}
    image = np.random.default_rng(4).random((1, 3, 32, 32), dtype=np.float32)
    options = runtime.CompileOptions()
    np.testing.assert_array_equal(
        runtime.Compiled(model, options).infer(image), runtime.Compiled(back, options).infer(image)
    )


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"net\.pt: it is a PyTorch file"):
        model_file.read(tmp_path / "net.pt")
    with pytest.raises(UsageError, match="no such file"):
        model_file.read(tmp_path / "net.xml")
    for suffix in model_file.MODEL_SUFFIXES:
        path = tmp_path / f"broken{suffix}"
        path.with_suffix(".pdiparams").write_bytes(b"weights")
        path.write_bytes(b"not a model at all" * 10)
        with pytest.raises(FileFormatError, match="OpenVINO cannot read it"):
            model_file.read(path)


def test_a_dynamic_file_needs_its_shape(tmp_path):
    from openvino import Model, PartialShape, opset13, save_model

    image = opset13.parameter(PartialShape([-1, 3, -1, -1]), np.float32)
    save_model(Model([opset13.relu(image)], [image]), tmp_path / "dynamic.xml")
    with pytest.raises(UsageError, match="give them with --shape"):
        model_file.read(tmp_path / "dynamic.xml")
    model = model_file.read(tmp_path / "dynamic.xml", [1, 3, 16, 16])
    assert list(model.input().shape) == [1, 3, 16, 16]


def test_supported_precisions_hold_f32():
    assert "f32" in runtime.supported_precisions()


def test_ctrl_c_is_pythons_after_networks_were_compiled():
    """In a process of its own: where it is not, the process dies of it."""
    program = """
import signal
from latlas.latency.runtime import conversion
from latlas.latency.runtime import model_file
from latlas.latency.runtime import stitching
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.reference import OPERATOR
for threads in (1, 2):
    compiled = runtime.Compiled(stitching.reference_model(OPERATOR), runtime.CompileOptions(threads=threads))
del compiled
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
