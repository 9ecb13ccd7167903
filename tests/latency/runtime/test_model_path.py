"""What a path holds, told from its first bytes and its ending."""

import zipfile

import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.runtime.model_path import architecture_in, names_a_model, require_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 734003\n"


def refused(path, match, error=FileFormatError):
    with pytest.raises(error, match=match) as caught:
        require_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["net.onnx", "NET.ONNX", "net.xml", "net.Tflite", "net.pb", "net.pdmodel"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        (POINTER, "Git LFS pointer of a file of 734003 bytes, .*git lfs pull"),
        (b"/annex/objects/SHA256E-s1--x.onnx\n", "git-annex pointer"),
        (b"\n<!DOCTYPE HTML>\n<html><head>", "it is a web page"),
        (b"<!-- c --><html lang='de'>", "it is a web page"),
        (b"\x80\x02}q\x00.", "Python pickle, .*never opened"),
        (b"\x89HDF\r\n\x1a\n\x00", r"Keras file; .*model\.export"),
        (b"\x1f\x8b\x08\x00", "an archive; unpack it"),
        (b"GGUF\x03\x00", "a GGUF model"),
        ((64).to_bytes(8, "little") + b'{"a":{}}', "weights without a network"),
    ],
)
def test_what_stands_in_a_models_place_is_named_with_what_to_do(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name, told).startswith(f"{tmp_path / name}: it is ")


def test_a_pytorch_archive_is_one_whatever_it_is_called(tmp_path):
    for name in ("net.pt", "net.onnx"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("net/data.pkl", b"\x80\x02}.")
        error = FileFormatError if name == "net.onnx" else UsageError
        refused(tmp_path / name, r"a PyTorch file, .*torch\.onnx\.export", error)
    with zipfile.ZipFile(tmp_path / "net.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    refused(tmp_path / "net.zip", "an archive; unpack it", UsageError)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("net.PTH", "a PyTorch file"),
        ("net.keras", "a Keras file"),
        ("net.bin", r"weights of a model; give the \.xml"),
        ("net.pdiparams", r"give the \.pdmodel"),
        ("net.engine", "TensorRT engine"),
        ("net.mlmodel", "Core ML"),
        ("net.parquet", "a table of latencies"),
    ],
)
def test_other_endings_are_named(tmp_path, name, told):
    (tmp_path / name).write_bytes(b"\x00\x01\x02\x03")
    refused(tmp_path / name, told, UsageError)


def test_xml_that_is_no_ir_or_too_old(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0"?>\n<!-- x --><annotation verified="yes"><size/></annotation>')
    refused(path, "it is an annotation of images, not a model")
    path.write_text("<rss version='2.0'></rss>")
    refused(path, "it is XML of <rss>")
    path.write_text('<?xml version="1.0"?><net name="old" version="7"><layers/></net>')
    refused(path, "IR of version 7, .* convert the network anew")
    path.write_text('<?xml version="1.0"?><net name="new" version="11"><layers/></net>')
    require_model(path)


def test_folders_say_what_is_in_them(tmp_path):
    refused(tmp_path, "a folder without a model .* it holds nothing", UsageError)
    (tmp_path / "b.XML").touch()
    (tmp_path / "a.onnx").touch()
    refused(tmp_path, "name a model in it: a.onnx, b.XML", UsageError)
    (tmp_path / "predictor.json").touch()
    refused(tmp_path, "folder of a predictor, .* --predictor", UsageError)
    (tmp_path / "saved_model.pb").write_bytes(POINTER)
    refused(tmp_path, "Git LFS pointer")


def test_what_is_there_is_a_model_and_a_text_of_a_space_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").write_bytes(b"\x08\x01")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert all(map(names_a_model, ("model", "saved", "gone.ONNX", "gone.pt", "MODEL.Xml")))
    assert not any(map(names_a_model, ("portrait/mobilenetv3_large", "portrait:resolution=128/a,b", "x" * 5000)))
    refused(tmp_path / "gone.onnx", r"gone\.onnx: no such file", UsageError)


def test_the_architecture_in_a_file_of_ours(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<net version="11"><layers/><rt_info><info name="x" value="1"/><latlas>\n<hash value="5" />\n'
        '<architecture value="portrait:a=1/x&amp;y" /></latlas></rt_info></net>'
    )
    assert architecture_in(path) == "portrait:a=1/x&y"
    path.write_text('<net version="11"><rt_info><architecture value="other" /></rt_info></net>')
    assert architecture_in(path) is None
    assert architecture_in(tmp_path / "a.onnx") is None
