"""A trained network as ONNX beside its IR, for runtimes other than OpenVINO; an optional extra, `latlas[onnx]`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

from latlas.latency import model_file
from latlas.latency.record import one_line
from latlas.search.finish import check_parity
from latlas.supernet.network import Subnet

PACKAGES = ("onnx", "onnxscript")


def export_onnx(subnet: Subnet, path: Path, on_note: Callable[[str], None]) -> Path | None:
    """Write a subnet as ONNX, weights within, whole or not at all; its file.

    Where packages are missing, or torch cannot export it, there is a note and None. Its input `image` is `(1, 3, H, W)` RGB
    in 0..1, its output `output` the probability. OpenVINO reads the file back, and what it computes is compared with torch's;
    raises `LatlasError` where it differs.
    """
    path.unlink(missing_ok=True)
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        on_note(
            f"no ONNX is written: {' and '.join(missing)} not installed; pip install 'latlas[onnx]', or say --no-onnx"
        )
        return None
    subnet = subnet.cpu().eval()
    shape = subnet.graph[0].spec.input_shapes[0]
    temporary = path.with_name(f".{path.stem}.partial.onnx")
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                subnet,
                (torch.zeros((1, *shape)),),
                str(temporary),
                input_names=["image"],
                output_names=["output"],
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        temporary.unlink(missing_ok=True)
        on_note(f"no ONNX is written: torch cannot export this network: {one_line(str(error), 300)}")
        return None
    try:
        check_parity(model_file.read(temporary), subnet)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words on what does not concern the user: that torchvision is absent, what torch will deprecate."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=DeprecationWarning)
            warnings.simplefilter("ignore", category=FutureWarning)
            yield
    finally:
        log.setLevel(level)
