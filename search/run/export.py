"""Exports trained networks to OpenVINO IR and ONNX, and measures the exported files."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from latlas.distribution import how_to_install
from latlas.errors import LatlasError
from latlas.files.records import one_line
from latlas.files.write import whole_file, write_json
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Network
from latlas.latency.measuring.interval import Interval
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import CAMPAIGN_SD
from latlas.latency.runtime import conversion, model_file, stitching
from latlas.latency.runtime import plugin as runtime
from latlas.search.run.campaigns import Campaigns
from latlas.spaces.space import Architecture
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.weights_file import save_weights

PARITY_TOLERANCE = 1e-3
"""The largest allowed difference of a probability between torch and the exported network in f32; 4e-6 was seen."""
INPUT_DESCRIPTION = "RGB image, float32 NCHW, values 0..1"
OUTPUT_DESCRIPTION = "probability of person, float32 N1HW"


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an exported network: its IR (with a `.bin` beside it), the architecture, and torch weights."""

    architecture: Architecture
    model: Path
    description: Path
    weights: Path


def export(architecture: Architecture, subnet: Subnet, folder: Path, name: str) -> Exported:
    """Write `<name>.xml` and `.bin`, `<name>.json` and `<name>.safetensors`, and check the IR against torch.

    The IR's input is `(1, 3, H, W)` RGB in 0..1; its output is the probability `(1, classes, H, W)`. Its runtime information
    describes both, and the architecture, under `latlas`. Raises `LatlasError` if the exported network's output differs from
    torch's.
    """
    subnet = subnet.cpu().eval()
    modules = [conversion.convert(module, node.spec) for module, node in zip(subnet.nodes, subnet.graph, strict=True)]
    metadata = {
        "architecture": str(architecture),
        "hash": architecture.hash,
        "input": INPUT_DESCRIPTION,
        "output": OUTPUT_DESCRIPTION,
    }
    model = stitching.stitch(subnet.graph, modules, metadata)
    check_parity(model, subnet)
    files = Exported(architecture, folder / f"{name}.xml", folder / f"{name}.json", folder / f"{name}.safetensors")
    model_file.save(model, files.model)
    write_json(files.description, architecture.to_record(), overwrite=True)
    save_weights(subnet, files.weights, {"architecture": str(architecture)})
    return files


def check_parity(model: Any, subnet: Subnet) -> float:
    """The largest difference between the OpenVINO model's and the subnet's probabilities on a seeded random image.

    Raises `LatlasError` if it is above `PARITY_TOLERANCE`.
    """
    shape = subnet.graph[0].spec.input_shapes[0]
    image = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = subnet(image).numpy()
    got = runtime.Compiled(model, runtime.CompileOptions()).infer(image.numpy())
    difference = float(abs(got - expected).max())
    if not difference <= PARITY_TOLERANCE:
        raise LatlasError(f"the exported network differs from torch's by {difference:.2e} in probability; report this")
    return difference


def networks_of(exported: Sequence[Exported]) -> list[Network]:
    """The exported files as networks to measure, labelled by their architectures."""
    return [Network(str(one.architecture), file=str(one.model.resolve())) for one in exported]


def measure_exported(
    campaigns: Campaigns, exported: Sequence[Exported], setting: Setting, reference_ms: float
) -> dict[Architecture, Interval]:
    """Milliseconds of the exported files, measured in turn, at this session's `reference_ms`."""
    networks = networks_of(exported)
    found = campaigns.measure_all(networks, passes=setting.passes, max_passes=setting.max_passes, seed=setting.seed)
    return {one.architecture: interval_of(found[str(one.architecture)], reference_ms, setting) for one in exported}


def rescaled(
    intervals: Mapping[Architecture, Interval], anchor: Architecture, before: Interval
) -> dict[Architecture, Interval]:
    """The intervals at the speed that the machine had when `anchor` was first measured as `before`.

    Between a search and its end the machine trains networks, and a new timing process puts the reference network elsewhere in
    memory (0.4 %). A network measured both times corrects for both. The uncertainty of its two measurements is added to the
    others'.
    """
    after = intervals[anchor]
    scale = before.latency_ms / after.latency_ms
    errors = [one.half_ms / one.latency_ms for one in (before, after)]
    found = {}
    for architecture, one in intervals.items():
        latency_ms = one.latency_ms * scale
        half_ms = latency_ms * math.hypot(one.half_ms / one.latency_ms, *errors)
        found[architecture] = Interval.around(latency_ms, half_ms)
    return found | {anchor: before}


def averaged(readings: Sequence[Mapping[Architecture, Interval]]) -> dict[Architecture, Interval]:
    """The mean of several measurements of the same networks. Its interval is no narrower than theirs, because they were all
    rescaled by the same measurement."""
    found = {}
    for architecture in readings[0]:
        intervals = [one[architecture] for one in readings]
        found[architecture] = Interval.around(
            fmean(one.latency_ms for one in intervals), fmean(one.half_ms for one in intervals)
        )
    return found


def interval_of(
    measured: campaign.Measured, reference_ms: float, setting: Setting, campaign_sd: float = CAMPAIGN_SD
) -> Interval:
    """Milliseconds with bounds. Raises `LatlasError` if the measurement failed."""
    if not measured.passes:
        raise LatlasError(f"{measured.label} could not be measured: {measured.reason}")
    reading = measured.reading(setting.rule, campaign_sd)
    return Interval(reading.ratio * reference_ms, reading.lower * reference_ms, reading.upper * reference_ms)


def calibration_images(images: Tensor, batch_size: int = 16) -> list[Tensor]:
    """Images `(N, 3, H, W)` uint8 as float batches in 0..1, channels last, to set batch normalisation from."""
    chosen = images.float().div_(255).contiguous(memory_format=torch.channels_last)
    return list(chosen.split(batch_size))


PACKAGES = ("onnx", "onnxscript")


def export_onnx(subnet: Subnet, path: Path, on_note: Callable[[str], None]) -> Path | None:
    """Write a subnet as one ONNX file with its weights, whole or not at all, and return its path.

    If packages are missing, or torch cannot export the network, it gives a note and returns None. The input `image` is
    `(1, 3, H, W)` RGB in 0..1; the output `output` is the probability. OpenVINO reads the file back, and its result is compared
    with torch's. Raises `LatlasError` if they differ.
    """
    path.unlink(missing_ok=True)
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        on_note(
            f"no ONNX is written: {' and '.join(missing)} not installed: {how_to_install('onnx')}, or say --no-onnx"
        )
        return None
    subnet = subnet.cpu().eval()
    shape = subnet.graph[0].spec.input_shapes[0]
    try:
        with whole_file(path) as draft:
            with _quiet(), torch.no_grad():
                torch.onnx.export(
                    subnet,
                    (torch.zeros((1, *shape)),),
                    str(draft),
                    input_names=["image"],
                    output_names=["output"],
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            check_parity(model_file.read(draft), subnet)
    except torch.onnx.OnnxExporterError as error:
        on_note(f"no ONNX is written: torch cannot export this network: {one_line(str(error), 300)}")
        return None
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings that do not concern the user: a missing torchvision, and torch's deprecations."""
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
