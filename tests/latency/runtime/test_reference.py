import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime import reference, stitching


def test_the_ids_are_those_of_the_published_tables():
    """Changing layers or weights makes another reference: give it another name, old tables keep theirs."""
    assert reference.OPERATOR.id == "operator-2-a0bea6cdc39d"
    assert reference.NETWORK.id == "network-2-03eab9f83f19"


def test_the_definition_has_the_layers_and_the_whole_checksum():
    text = reference.OPERATOR.definition
    assert text.startswith("operator-2-a0bea6cdc39d: input 1x3x96x96; 3-16k3s2 16-64k1s1 dw64-64k3s1 64-24k1s1 ")
    assert text.endswith(f"seed 0; defined in latency/runtime/reference.py; sha256 {reference.OPERATOR.sha256}")
    assert reference.OPERATOR.sha256.startswith("a0bea6cdc39d") and len(reference.OPERATOR.sha256) == 64
    assert len(reference.NETWORK.definition) < 4000


def test_an_unknown_reference_is_named():
    assert reference.reference_of("network") is reference.NETWORK
    with pytest.raises(UsageError, match="reference is 'gpu'; known: operator, network"):
        reference.reference_of("gpu")


def test_the_network_reference_is_larger_than_a_cache_and_the_operator_one_fits():
    def megabytes(one):
        return sum(one.weights(index).nbytes for index in range(len(one.layers))) / 1e6

    assert megabytes(reference.OPERATOR) < 0.5
    assert 5 < megabytes(reference.NETWORK) < 10


def test_the_hash_is_murmur3s_finaliser():
    # From the algorithm's definition, in Python's unbounded integers.
    def by_hand(h):
        h ^= h >> 16
        h = h * 0x85EBCA6B % 2**32
        h ^= h >> 13
        h = h * 0xC2B2AE35 % 2**32
        return h ^ h >> 16

    values = [0, 1, 2, 12345, 2**20 * 3 + 7, 2**32 - 1]
    assert reference.hash32(np.array(values, dtype=np.uint32)).tolist() == [by_hand(v) for v in values]


@pytest.mark.parametrize(
    ("one", "shape"), [(reference.OPERATOR, (1, 160, 12, 12)), (reference.NETWORK, (1, 640, 8, 8))]
)
def test_layers_fit_and_activations_stay_at_unit_scale(one, shape):
    compiled = runtime.Compiled(stitching.reference_model(one), runtime.CompileOptions())
    output = compiled.infer(np.random.default_rng(0).random(one.input_shape).astype(np.float32))
    assert output.shape == shape
    assert 0.05 < output.std() < 20


def test_the_model_is_numpys_own_convolution():
    """The first two layers by hand."""
    one = reference.OPERATOR
    x = np.random.default_rng(1).random(one.input_shape).astype(np.float32)
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    first = np.maximum(np.einsum("chwij,ocij->ohw", windows, one.weights(0)), 0)
    second = np.maximum(np.einsum("chw,oc->ohw", first, one.weights(1)[..., 0, 0]), 0)
    model = stitching.reference_model(one)
    relu = [op for op in model.get_ordered_ops() if op.get_type_name() == "Relu"][1]
    from openvino import Model
    from openvino import opset13 as opset

    cut = Model([opset.result(relu.output(0))], model.get_parameters(), "cut")
    got = runtime.Compiled(cut, runtime.CompileOptions()).infer(x)
    np.testing.assert_allclose(got[0], second, rtol=1e-4, atol=1e-4)
