"""Shapes and fills of model files' inputs: which input takes what, what is refused, and what fills a tensor."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from latlas.errors import FileFormatError, UsageError
from latlas.latency.runtime import model_file
from latlas.latency.runtime.asked import Asked, parse_asked, parse_shape
from latlas.latency.runtime.fill import tensor_of
from latlas.latency.runtime.plugin import Compiled, CompileOptions


def model_of(tmp_path, name, **inputs):
    """A saved model whose inputs are `name=(shape, type)`; each goes to an output of its own."""
    parameters = []
    for title, (shape, kind) in inputs.items():
        parameter = opset13.parameter(ov.PartialShape(shape), kind)
        parameter.set_friendly_name(title)
        parameter.output(0).get_tensor().set_names({title})
        parameters.append(parameter)
    outputs = [opset13.convert(parameter, "f32") for parameter in parameters]
    ov.save_model(ov.Model(outputs, parameters), tmp_path / name)
    return tmp_path / name


def resolved(paths, *shapes, values=(), batch=1):
    return model_file.resolve_files(paths, parse_asked(shapes, values), batch)


F32, I64 = ov.Type.f32, ov.Type.i64


def test_shapes_are_read_in_every_usual_form():
    forms = ("1,3,8,8", "1x3x8x8", "[1, 3, 8, 8]", "(1,3,8,8)", " 1 , 3, 8,8 ")
    assert {parse_shape(form) for form in forms} == {(1, 3, 8, 8)}
    assert parse_shape("128") == (128,)
    assert [parse_shape(text) for text in ("", "1,x", "1,-1", "1,0", "1.5")] == [None] * 5


def test_a_shape_without_a_name_leaves_a_static_file_as_it_is(tmp_path):
    dynamic = model_of(tmp_path, "dynamic.xml", x=([-1, 3, -1, -1], F32))
    static = model_of(tmp_path, "static.xml", x=([1, 3, 16, 16], F32))
    first, second = resolved([dynamic, static], "1,3,8,8")
    assert (first.inputs[0].shape, first.batch) == ((1, 3, 8, 8), 1)
    assert (second.inputs[0].shape, second.inputs[0].reshaped) == ((1, 3, 16, 16), False)
    with pytest.raises(UsageError, match=r"no input took it; .* x \[1,3,16,16\], .* name it: --shape x=1,3,8,8"):
        resolved([static], "1,3,8,8")
    assert resolved([static], "1,3,16,16")[0].inputs[0].reshaped is False  # it is that already


def test_a_static_input_is_reshaped_where_it_is_named_and_the_result_says_so(tmp_path):
    static = model_of(tmp_path, "static.xml", x=([1, 3, 16, 16], F32))
    dynamic = model_of(tmp_path, "dynamic.xml", x=([-1, 3, -1, -1], F32))
    (one,) = resolved([static], "x=1,3,8,8")
    assert (one.inputs[0].shape, one.inputs[0].reshaped) == ((1, 3, 8, 8), True)
    assert str(one.inputs[0]) == "x [1,3,8,8] f32 (the file's own: [1,3,16,16]), noise 0..1"
    # The name alone is for the open input of that name; the file's name says it of the static one.
    both = resolved([static, dynamic], "x=1,3,8,8")
    assert [one.inputs[0].shape for one in both] == [(1, 3, 16, 16), (1, 3, 8, 8)]
    for file in ("static.xml", str(static)):
        both = resolved([static, dynamic], "x=1,3,8,8", f"{file}:x=1,3,4,4")
        assert [one.inputs[0].shape for one in both] == [(1, 3, 4, 4), (1, 3, 8, 8)]


def test_several_inputs_by_name(tmp_path):
    path = model_of(tmp_path, "two.xml", src=([-1, 3, -1, -1], F32), ids=([-1, -1], I64))
    told = r"inputs src \[\?,3,\?,\?\] f32, ids \[\?,\?\] i64 have dynamic sizes.*--shape src=1,3,256,256 --shape ids=1,128"
    with pytest.raises(UsageError, match=told):
        resolved([path])
    with pytest.raises(UsageError, match=r"\[1,3,8,8\] does not say which is meant"):
        resolved([path], "1,3,8,8")
    (one,) = resolved([path], "src=2,3,8,8", "two.xml:ids=2,5", values=["ids=0..99"], batch=2)
    assert [(i.name, i.shape, i.type, i.fill) for i in one.inputs] == [
        ("src", (2, 3, 8, 8), "f32", "noise 0..1"),
        ("ids", (2, 5), "i64", "0..99"),
    ]
    assert one.batch == 2
    with pytest.raises(UsageError, match=r"--shape names 'bgr'; the inputs are src, ids"):
        resolved([path], "bgr=1,3,8,8")
    with pytest.raises(UsageError, match=r"--values names 'x'; the inputs of two\.xml are src, ids"):
        resolved([path], values=["two.xml:x=0"])
    with pytest.raises(UsageError, match=r"shape \[2,4,8,8\] does not fit its input src \[\?,3,\?,\?\]"):
        resolved([path], "src=2,4,8,8", "ids=1,5")


def test_names_with_colons_and_blanks(tmp_path):
    path = model_of(tmp_path, "a b:c.xml", **{"in:0": ([-1, 4], F32)})
    for asked in ("in:0=3,4", "a b:c.xml:in:0=3,4", f"{path}=3,4", "3,4"):
        assert resolved([path], asked, batch=3)[0].inputs[0].shape == (3, 4)


def test_the_batch_is_said_only_where_the_inputs_say_it(tmp_path):
    def batch(**inputs):
        return resolved([model_of(tmp_path, "b.xml", **inputs)])[0].batch

    assert batch(boxes=([4, 4, 2, 2], F32), image=([1, 3, 8, 8], F32)) is None
    assert batch(x=([8, 1, 64, 64], F32)) is None  # a sequence, or eight grey images
    assert batch(x=([3, 16, 16], F32)) is None
    assert batch(x=([1, 5], F32), m=([1, 5], ov.Type.boolean)) == 1
    with pytest.raises(UsageError, match="its batch is 4, asked for 1; say so with --batch 4"):
        batch(x=([4, 3, 8, 8], F32))


def test_the_layout_says_where_the_batch_is(tmp_path):
    image = opset13.parameter(ov.PartialShape([8, 1, 6]), np.float32)
    image.set_layout(ov.Layout("TNC"))
    ov.save_model(ov.Model([opset13.relu(image)], [image]), tmp_path / "a.xml")
    assert resolved([tmp_path / "a.xml"])[0].batch == 1


@pytest.mark.parametrize("text", ["", "x", "5..1", "1..", "nan", "0..inf", "gone.npy"])
def test_values_that_are_none(text):
    with pytest.raises(UsageError, match="--values"):
        parse_asked([], [f"ids={text}"])


def test_a_shape_that_is_none_or_given_twice():
    with pytest.raises(UsageError, match=r"--shape is 'x=1,y', where 'y' is no size; it must be such as"):
        parse_asked(["x=1,y"], [])
    with pytest.raises(UsageError, match="--shape is given twice for x"):
        parse_asked(["x=1", "x=2"], [])


def test_an_array_fills_an_input_and_gives_its_shape(tmp_path):
    path = model_of(tmp_path, "a.xml", ids=([-1, -1], I64))
    np.save(tmp_path / "ids.npy", np.arange(6).reshape(2, 3))
    (one,) = resolved([path], values=[f"ids={tmp_path}/ids.npy"], batch=2)
    assert one.inputs[0].shape == (2, 3)
    model = model_file.reshaped(model_file.load(path), [one.inputs[0].shape], path)
    compiled = Compiled(model, CompileOptions(), fills=[one.inputs[0].fill])
    compiled.run()
    np.testing.assert_array_equal(compiled._request.get_input_tensor(0).data, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(UsageError, match=r"ids\.npy is \[2,3\]; the input ids .* is \[2,4\]"):
        resolved([path], "ids=2,4", values=[f"ids={tmp_path}/ids.npy"], batch=2)
    np.save(tmp_path / "half.npy", np.full((2, 3), 0.5))
    with pytest.raises(UsageError, match=r"half\.npy holds float64; the input ids .* is i64"):
        resolved([path], values=[f"ids={tmp_path}/half.npy"], batch=2)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="no array of numbers"):
        parse_asked([], [f"ids={tmp_path}/objects.npy"])
    with pytest.raises(UsageError, match=r"--values 0\.5: the input ids .* is i64, of whole numbers"):
        resolved([path], "ids=1,4", values=["0.5"])


def filled(kind, fill="", shape=(2, 500)):
    port = opset13.parameter(ov.PartialShape(list(shape)), kind).output(0)
    return tensor_of(port, fill, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [ov.Type.i64, ov.Type.i32, ov.Type.u8, ov.Type.i8, ov.Type.boolean])
def test_whole_numbers_are_0_or_1(kind):
    data = filled(kind).data
    assert set(np.unique(data).tolist()) == {0, 1}
    assert data.shape == (2, 500)


@pytest.mark.parametrize("kind", [ov.Type.f32, ov.Type.f16, ov.Type.f64])
def test_numbers_are_noise(kind):
    data = filled(kind).data.astype(float)
    assert 0 <= data.min() < 0.1 < 0.9 < data.max() <= 1


def test_bf16_is_noise_too():
    tensor = filled(ov.Type.bf16)
    assert tensor.element_type == ov.Type.bf16
    back = (tensor.data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    assert 0 <= back.min() < 0.1 < 0.9 < back.max() <= 1


def test_types_of_half_a_byte_are_zeros():
    assert not filled(ov.Type.u4).data.any()


def test_ranges_and_constants():
    ranged = filled(ov.Type.i64, "3..5").data
    assert set(np.unique(ranged).tolist()) == {3, 4, 5}
    assert set(filled(ov.Type.i32, "7").data.ravel().tolist()) == {7}
    real = filled(ov.Type.f32, "-1..1").data
    assert -1 <= real.min() < -0.9 < 0.9 < real.max() <= 1


def test_weights_that_are_missing_short_or_a_pointer(tmp_path):
    constant = opset13.constant(np.arange(4096, dtype=np.float32).reshape(1, 4096))
    image = opset13.parameter(ov.PartialShape([1, 4096]), np.float32)
    ov.save_model(ov.Model([opset13.add(image, constant)], [image]), tmp_path / "w.xml", compress_to_fp16=False)
    weights = tmp_path / "w.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:100])
    with pytest.raises(FileFormatError, match=r"its weights, w\.bin of 100 bytes, are cut off or another model's"):
        model_file.load(tmp_path / "w.xml")
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 16384\n")
    with pytest.raises(FileFormatError, match=r"its weights, w\.bin: it is a Git LFS pointer"):
        model_file.load(tmp_path / "w.xml")
    weights.unlink()
    with pytest.raises(FileFormatError, match=r"its weights are missing: there is no w\.bin beside it"):
        model_file.load(tmp_path / "w.xml")


def test_openvinos_readers_do_not_write_on_the_screen(tmp_path, capfd):
    (tmp_path / "a.onnx").write_bytes(b"\xff\xfe\x00\x01 stand-in" * 20)
    with pytest.raises(FileFormatError, match="OpenVINO cannot read it") as caught:
        model_file.load(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_asked_by_nobody():
    assert Asked() == parse_asked([], [])
