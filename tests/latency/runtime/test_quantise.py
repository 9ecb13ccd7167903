"""int8 through NNCF: what is quantised computes what it did, and runs in int8."""

import logging
import re
import subprocess
import sys

import numpy as np
import pytest

from latlas.distribution import how_to_install
from latlas.errors import LatlasError, UsageError
from latlas.latency.runtime import conversion, model_file, stitching
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.quantise import _nncf, is_quantised, quantise, require_nncf
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.build import timing_operator

INT8 = runtime.CompileOptions("int8")
CONV = OpSpec("conv", 16, 16, 16, 16, kernel_size=3, activation="relu")
ADD = OpSpec("upsample_add", 16, 16, 8, 8, scale=2)
GRAPH = (
    Node(OpSpec("conv", 3, 16, 16, 16, 2, 3, activation="relu"), (INPUT,)),
    Node(OpSpec("dwsep", 16, 16, 8, 8, kernel_size=3), (0,)),
    Node(OpSpec("upsample_add", 16, 16, 8, 8), (1, 0)),
    Node(OpSpec("conv", 16, 1, 8, 8), (2,)),
    Node(OpSpec("probability", 1, 1, 8, 8), (3,)),
)
needs_int8 = pytest.mark.skipif("int8" not in runtime.supported_precisions(), reason="this CPU has no int8")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return conversion.OperatorLibrary(tmp_path_factory.mktemp("int8"), timing_operator, "int8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return conversion.OperatorLibrary(tmp_path_factory.mktemp("f32"), timing_operator)


def images(spec, batch=1):
    rng = np.random.default_rng(7)
    return [rng.random((batch, *shape), dtype=np.float32) for shape in spec.input_shapes]


@needs_int8
@pytest.mark.parametrize("spec", [CONV, ADD], ids=str)
def test_an_operator_is_quantised_and_computes_nearly_the_same(library, plain, spec):
    exact = runtime.Compiled(plain.model(spec), runtime.CompileOptions()).infer(*images(spec))
    compiled = runtime.Compiled(library.model(spec), INT8)
    got = compiled.infer(*images(spec))
    assert is_quantised(library.model(spec)) and not is_quantised(plain.model(spec))
    # Eight bits of a range are steps of 1/255 of it; a few of them add up.
    error = np.sqrt(np.mean((got - exact) ** 2)) / np.ptp(exact)
    assert 0 < error < 0.02


@needs_int8
def test_a_network_is_quantised_as_a_whole(library, plain):
    image = np.random.default_rng(1).random((1, 3, 16, 16), dtype=np.float32)
    exact = runtime.Compiled(plain.stitch(GRAPH), runtime.CompileOptions()).infer(image)
    ((path, inputs),) = library.describe(GRAPH)
    assert library.describe(GRAPH) == [(path, inputs)]  # made once
    model = stitching.graft([(runtime.core().read_model(path), tuple(inputs))])
    compiled = runtime.Compiled(model, INT8)
    assert 0.5 < compiled.int8_share() <= 1
    difference = np.abs(compiled.infer(image) - exact).max()
    assert exact.std() > 1e-3 and 0 < difference < 0.1


@needs_int8
def test_convolutions_run_in_int8_and_where_none_does_it_is_an_error(library, plain, monkeypatch):
    assert runtime.Compiled(library.model(CONV), INT8).int8_share() == 1
    assert runtime.Compiled(plain.model(CONV), INT8).int8_share() == 0  # nothing was asked of it
    monkeypatch.setattr(runtime, "int8_share", lambda *arguments: 0.0)
    with pytest.raises(LatlasError, match="runs none of it in int8"):
        runtime.Compiled(library.model(CONV), INT8)


def test_quantising_changes_neither_the_model_nor_standard_output(plain, capfd):
    model = plain.model(CONV)
    names = [op.get_friendly_name() for op in model.get_ordered_ops()]
    first, second = quantise(model), quantise(model)
    assert [op.get_friendly_name() for op in model.get_ordered_ops()] == names
    assert capfd.readouterr().out == ""
    outputs = [runtime.Compiled(one, INT8).infer(*images(CONV)) for one in (first, second)]
    np.testing.assert_array_equal(*outputs)  # seeded


def test_where_nothing_can_be_quantised_the_operator_stays_as_it_is(library):
    spec = OpSpec("probability", 1, 1, 8, 8)
    assert not is_quantised(library.model(spec))
    assert runtime.Compiled(library.model(spec), INT8).run() > 0


def test_without_nncf_there_is_a_line_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UsageError, match=re.escape(f"needs NNCF, which is not installed: {how_to_install('int8')}")):
        require_nncf()
    if "int8" in runtime.supported_precisions():
        with pytest.raises(UsageError, match="NNCF"):
            runtime.require_precision("int8")


def test_a_precision_that_the_cpu_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "supported_precisions", lambda: ["f32"])
    for precision in ("bf16", "int8"):
        with pytest.raises(UsageError, match=f"precision {precision}: this CPU has no instructions .* it has f32"):
            runtime.require_precision(precision)
    runtime.require_precision("f32")
    with pytest.raises(UsageError, match="int7"):
        runtime.require_precision("int7")


def test_a_file_that_is_not_quantised_is_not_measured_as_int8(plain, library):
    with pytest.raises(UsageError, match="no quantisers"):
        model_file.check_readable(plain.path(CONV), precision="int8")
    model_file.check_readable(library.path(CONV), precision="int8")


def test_nncf_has_no_telemetry():
    """In a process of its own: under pytest NNCF switches it off by itself."""
    program = """
import sys
from latlas.latency.runtime import quantise
assert "nncf" not in sys.modules
import nncf as found
""".replace("import nncf as found", "found = quantise._nncf()")
    program += """
from unittest.mock import MagicMock
assert isinstance(found.telemetry.telemetry, MagicMock), found.telemetry.telemetry
assert "openvino_telemetry" not in sys.modules
import openvino_telemetry
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("precision", ["f32", pytest.param("int8", marks=needs_int8)])
def test_a_batch_is_a_batch(tmp_path, plain, precision):
    library = conversion.OperatorLibrary(tmp_path, timing_operator, precision, batch=3)
    assert [list(port.shape) for port in library.model(ADD).inputs] == [[3, 16, 8, 8], [3, 16, 16, 16]]
    images = np.random.default_rng(1).random((3, 3, 16, 16), dtype=np.float32)
    together = runtime.Compiled(library.stitch(GRAPH), runtime.CompileOptions(precision)).infer(images)
    assert together.shape == (3, 1, 8, 8)
    alone = runtime.Compiled(plain.stitch(GRAPH), runtime.CompileOptions()).infer(images[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-4 if precision == "f32" else 0.1)


def test_the_batch_of_a_file_must_be_the_one_asked_for(tmp_path):
    from openvino import Model, PartialShape, opset13, save_model

    image = opset13.parameter(PartialShape([-1, 3, 8, 8]), np.float32)
    save_model(Model([opset13.relu(image)], [image]), tmp_path / "dynamic.xml")
    assert list(model_file.read(tmp_path / "dynamic.xml", batch=4).input().shape) == [4, 3, 8, 8]
    model_file.check_readable(tmp_path / "dynamic.xml", batch=4)
    with pytest.raises(UsageError, match="its batch is 2, asked for 1; say so with --batch 2"):
        model_file.check_readable(tmp_path / "dynamic.xml", [2, 3, 8, 8])


def test_our_own_warnings_are_still_heard(caplog):
    _nncf()
    logging.getLogger("latlas.search").warning("of ours")
    assert "of ours" in caplog.text
