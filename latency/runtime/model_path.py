"""Tells from a path's first bytes and its ending what it holds, before OpenVINO reads it.

Whoever gives a Git LFS pointer, a saved web page or a PyTorch file learns that, and what to do; a parser's error would not
say it. Nothing here imports OpenVINO.
"""

from __future__ import annotations

import html
import re
import zipfile
from pathlib import Path

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.files.stand_in import stand_in

MODEL_SUFFIXES = (".xml", ".onnx", ".tflite", ".pb", ".pdmodel")
"""Endings of the files that OpenVINO reads, in lower case; a TensorFlow SavedModel is a folder."""
SAVED_MODEL = "saved_model.pb"

_TO_ONNX = "export it with `torch.onnx.export(model, example, 'model.onnx')` and measure that file"
_TORCH = f"a PyTorch file, which holds no network that OpenVINO reads; {_TO_ONNX}"
_KERAS = "a Keras file; save it with `model.export('folder')` and measure that folder"
_UNPACK = "an archive; unpack it and measure the model in it"
_OTHERS = {
    **dict.fromkeys((".pt", ".pth", ".pt2", ".ckpt", ".jit", ".torchscript", ".ptl"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle"), f"a Python pickle, which is never opened; {_TO_ONNX}"),
    ".safetensors": f"weights without a network; {_TO_ONNX}",
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    ".bin": "the weights of a model; give the .xml beside it",
    ".pdiparams": "the weights of a model; give the .pdmodel beside it",
    ".data": "the weights of a model; give the .onnx beside it",
    **dict.fromkeys((".engine", ".plan", ".trt"), "a TensorRT engine, which runs on its GPU only; give its .onnx"),
    **dict.fromkeys((".mlmodel", ".mlpackage"), "a Core ML model; export the network to .onnx and give that"),
    ".blob": "a compiled model of another device; give the model that it was compiled of",
    ".ort": "a model of ONNX Runtime's own format; give the .onnx that it was made of",
    ".caffemodel": "a Caffe model; convert it to .onnx and give that",
    ".gguf": "a GGUF model; export the network to OpenVINO or .onnx and give that",
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"), _UNPACK),
    ".parquet": "a table of latencies, not a network; `latlas tables show` reads it",
    ".py": f"a Python program; {_TO_ONNX}",
}
_HEAD = 4096
_TAIL = 2**16
_OWN = re.compile(rb'<latlas>.{0,8000}?<architecture value="([^"]{1,20000})"', re.DOTALL)
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)([^>]*)")
_IR_VERSION = re.compile(rb"""\bversion\s*=\s*["'](\d{1,4})["']""")
_OLDEST_IR = 10


def names_a_model(text: str) -> bool:
    """Whether a text names a model file: there is such a file or folder, or it has a model's ending."""
    path = Path(text)
    if path.suffix.lower() in (*MODEL_SUFFIXES, *_OTHERS):
        return True
    try:
        return path.is_file() or (path / SAVED_MODEL).is_file()
    except OSError:  # the text cannot be a path, for example because it is too long
        return False


def require_model(path: Path) -> None:
    """Raises an error if a path is no model; its line says what the path is and what to do.

    Raises:
        UsageError: there is nothing, or something that is no model file.
        FileFormatError: a file with the name of a model holds something else.
    """
    if path.is_dir():
        if not (path / SAVED_MODEL).is_file():
            raise UsageError(folder_message(path))
        path = path / SAVED_MODEL
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    head, size = _head(path)
    ending = path.suffix.lower()
    known = ending in MODEL_SUFFIXES
    if found := stand_in(head, size):
        raise FileFormatError(f"{path}: {found}")
    if (found := _by_content(path, head)) or (not known and (found := _OTHERS.get(ending, ""))):
        error: type[FileFormatError | UsageError] = FileFormatError if known else UsageError
        raise error(f"{path}: it is {found}")
    if ending == ".xml":
        _require_ir(path, head)


def folder_message(folder: Path) -> str:
    """The message for a folder that is no SavedModel; it names what in the folder can be measured."""
    names = sorted(path.name for path in folder.iterdir() if path.name[:1] != ".")
    models = [name for name in names if Path(name).suffix.lower() in MODEL_SUFFIXES]
    if "predictor.json" in names:
        return f"{folder}: it is the folder of a predictor, not a network; give it as --predictor"
    if models:
        return f"{folder}: it is a folder; name a model in it: {one_line(', '.join(models[:5]), 200)}"
    held = one_line(", ".join(names[:5]), 150) or "nothing"
    return (
        f"{folder}: it is a folder without a model that OpenVINO reads ({', '.join(MODEL_SUFFIXES)}); it holds {held}"
    )


def architecture_in(path: Path) -> str | None:
    """The architecture that Latlas wrote into an .xml of its own, as text; None for any other file."""
    if path.suffix.lower() != ".xml":
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))  # OpenVINO writes a model's runtime information at the end
        found = _OWN.search(file.read(_TAIL))
    return html.unescape(found[1].decode("utf-8", "replace")) if found else None


def explain_unreadable(path: Path, said: str) -> str:
    """The message for a file that OpenVINO could not read; OpenVINO's own words if nothing better is known."""
    ending = path.suffix.lower()
    beside = path.with_suffix(".bin")
    if ending == ".xml" and ("weights" in said or "bin" in said):
        return _weights_message(beside, said)
    if ending == ".onnx" and "externally stored data" in said:
        told = re.search(r"\(([^(),]+), offset", said)
        return _weights_message(path.with_name(told[1].strip()) if told else path.with_name(f"{path.name}.data"), said)
    if ending == ".pdmodel" and not path.with_suffix(".pdiparams").is_file():
        return f"its weights, {path.with_suffix('.pdiparams').name}, are not beside it; or it is no Paddle model"
    head, _ = _head(path / SAVED_MODEL if path.is_dir() else path)
    if ending != ".xml" and not any(byte < 9 or 13 < byte < 32 for byte in head):
        begin = one_line(head[:60].decode("utf-8", "replace"), 60)
        return f"OpenVINO cannot read it: it is text that begins {begin!r}, not a model"
    if "Unable to read the model" in said:
        return f"OpenVINO cannot read it: no {ending or 'model'} file, a damaged one, or one that ended too early"
    return f"OpenVINO cannot read it: {said}"


def _weights_message(weights: Path, said: str) -> str:
    if not weights.is_file():
        return f"its weights are missing: there is no {weights.name} beside it; copy that too"
    head, size = _head(weights)
    if found := stand_in(head, size):
        return f"its weights, {weights.name}: {found}"
    return f"its weights, {weights.name} of {size} bytes, are cut off or another model's; copy both again ({said})"


def _head(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD), path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def _by_content(path: Path, head: bytes) -> str:
    """The kind of a file that is no model, by its bytes; empty if they do not tell."""
    if head.startswith(b"PK\x03\x04"):
        return _by_archive(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a Python pickle, such as an old PyTorch file, which is never opened; {_TO_ONNX}"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _KERAS
    if (
        head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd"))
        or head[257:262] == b"ustar"
    ):
        return _UNPACK
    if head.startswith(b"GGUF"):
        return _OTHERS[".gguf"]
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 10**8:
        return _OTHERS[".safetensors"]
    return ""


def _by_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:10_000]
    except (zipfile.BadZipFile, OSError):
        return "a damaged archive; copy or download it again"
    if any(name.endswith(("/data.pkl", "/constants.pkl")) for name in names) or "data.pkl" in names:
        return _TORCH
    if any(name.endswith(("archive_format", ".pt2")) for name in names):
        return _TORCH
    return _KERAS if "config.json" in names and any("weights.h5" in name for name in names) else _UNPACK


def _require_ir(path: Path, head: bytes) -> None:
    text = re.sub(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>", b"", head.removeprefix(b"\xef\xbb\xbf"), flags=re.DOTALL)
    root = _ROOT.search(text)
    if root is None:
        return  # OpenVINO will say what is wrong
    name = root[1].decode("ascii", "replace")
    if name != "net":
        annotation = "an annotation of images" if name == "annotation" else f"XML of <{one_line(name, 40)}>"
        raise FileFormatError(f"{path}: it is {annotation}, not a model of OpenVINO, which begins with <net>")
    version = _IR_VERSION.search(root[2])
    if version and int(version[1]) < _OLDEST_IR:
        raise FileFormatError(
            f"{path}: it is IR of version {int(version[1])}, which this OpenVINO no longer reads; convert the network anew, "
            "as with `ovc model.onnx`"
        )
