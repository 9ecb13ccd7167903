import numpy as np

from latlas.latency import reference, runtime


def test_the_id_is_that_of_the_published_tables():
    """Changing layers or weights makes another reference: give it another name, old tables keep theirs."""
    assert reference.reference_id() == "reference-1-bc53675957bb"


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


def test_layers_fit_and_activations_stay_at_unit_scale():
    compiled = runtime.Compiled(runtime.reference_model(), runtime.CompileOptions())
    output = compiled.infer(np.random.default_rng(0).random(reference.INPUT_SHAPE).astype(np.float32))
    assert output.shape == (1, 160, 20, 20)
    assert 0.05 < output.std() < 20


def test_the_model_is_numpys_own_convolution():
    """The first two layers by hand."""
    x = np.random.default_rng(1).random(reference.INPUT_SHAPE).astype(np.float32)
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    first = np.maximum(np.einsum("chwij,ocij->ohw", windows, reference.weights(0)), 0)
    second = np.maximum(np.einsum("chw,oc->ohw", first, reference.weights(1)[..., 0, 0]), 0)
    model = runtime.reference_model()
    relu = [op for op in model.get_ordered_ops() if op.get_type_name() == "Relu"][1]
    from openvino import Model
    from openvino import opset13 as opset

    cut = Model([opset.result(relu.output(0))], model.get_parameters(), "cut")
    got = runtime.Compiled(cut, runtime.CompileOptions()).infer(x)
    np.testing.assert_allclose(got[0], second, rtol=1e-4, atol=1e-4)
