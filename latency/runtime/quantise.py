"""Quantises models to int8 with NNCF's post-training quantisation, for latency only.

The ranges come from two seeded random inputs and no bias is corrected. That is enough to run the right kernels with the right
layouts between them, but the results of such a network say nothing about accuracy. An int8 latency is always measured, never
scaled from f32.
"""

from __future__ import annotations

import contextlib
import io
import logging
from types import ModuleType
from typing import Any

import numpy as np

from latlas.distribution import how_to_install, is_installed
from latlas.errors import LatlasError, MissingPackageError
from latlas.latency.runtime.silence import telemetry_hidden

CALIBRATION_INPUTS = 2
"""How many inputs the ranges are taken from; they hardly matter for the latency."""


def require_nncf() -> None:
    """Raises `UsageError` if NNCF is not installed."""
    if not is_installed("nncf"):
        raise MissingPackageError(f"precision int8 needs NNCF, which is not installed: {how_to_install('int8')}")


def quantise(model: Any, seed: int = 0) -> Any:
    """The int8 model of an f32 `openvino.Model`, which is not changed.

    It follows NNCF's recipe for CPUs (preset `performance`), with `CALIBRATION_INPUTS` seeded uniform inputs in 0..1 and no bias
    correction. If nothing in a model can be quantised, as in a sigmoid, it comes back unchanged. Raises `UsageError` if NNCF is
    not installed.
    """
    nncf = _nncf()
    copy = model.clone()
    for index, op in enumerate(copy.get_ordered_ops()):
        # NNCF identifies operations by name, and a stitched network has some names twice.
        op.set_friendly_name(f"{index}/{op.get_friendly_name()}")
    rng = np.random.default_rng(seed)
    inputs = [
        tuple(rng.random(tuple(port.shape), dtype=np.float32) for port in copy.inputs)
        for _ in range(CALIBRATION_INPUTS)
    ]
    # NNCF's progress bar goes to standard output, where a command prints its result.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return nncf.quantize(
                copy,
                nncf.Dataset([one[0] if len(one) == 1 else one for one in inputs]),
                target_device=nncf.TargetDevice.CPU,
                subset_size=CALIBRATION_INPUTS,
                advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
            )
        except (nncf.InternalError, nncf.ValidationError, nncf.UnsupportedModelError) as error:
            raise LatlasError(f"NNCF cannot quantise {model.get_friendly_name()}: {str(error)[:300]}") from None


def is_quantised(model: Any) -> bool:
    """Whether an `openvino.Model` has quantisers, as NNCF and others put into it."""
    return bool(quantisers(model))


def quantisers(model: Any) -> frozenset[str]:
    """Names of the `FakeQuantize` operations of an `openvino.Model`."""
    return frozenset(op.get_friendly_name() for op in model.get_ops() if op.get_type_name() == "FakeQuantize")


def _nncf() -> ModuleType:
    require_nncf()
    with telemetry_hidden():
        import nncf
    # NNCF's own set_log_level would also silence our warnings, at the handlers of the root logger.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
