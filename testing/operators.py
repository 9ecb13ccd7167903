"""Tests that every kind of operator must pass: shapes, multiply-adds, parameters, and the same output in OpenVINO and torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from latlas.latency.runtime.conversion import convert
from latlas.latency.runtime.plugin import CompileOptions, core
from latlas.spaces.operators.spec import SPEC_FIELDS, OpSpec
from latlas.supernet.operators.build import build_operator, timing_operator
from latlas.testing.parameters import repeat

TOLERANCE = 1e-4
"""The largest allowed difference between OpenVINO and torch in f32, as a share of the largest output."""


def random_inputs(spec: OpSpec, batch: int, seed: int = 0) -> list[Tensor]:
    """Inputs `(batch, channels, height, width)` in 0..1 for each of the operator's input shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(batch, *shape, generator=generator) for shape in spec.input_shapes]


class OperatorSuite:
    """The tests of operators. `specs` are the tested ones: several of each kind, with and without stride, of several widths."""

    specs: ClassVar[Sequence[OpSpec]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Repeat each test for every spec."""
        repeat(metafunc, {"spec": self.specs})

    def test_a_record_reads_back_and_every_field_is_in_it(self, spec: OpSpec) -> None:
        """A table's record of the operator holds all of it."""
        assert OpSpec.from_record(spec.to_record()) == spec
        assert tuple(spec.to_record()) == SPEC_FIELDS

    def test_module_has_the_shape_parameters_and_macs_of_its_spec(self, spec: OpSpec) -> None:
        """Torch counts what the kind says: two operations are one multiply-add."""
        module = build_operator(spec).eval()
        assert sum(parameter.numel() for parameter in module.parameters()) == spec.params
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(*random_inputs(spec, batch=1))
        assert tuple(output.shape[1:]) == spec.output_shape
        assert counter.get_total_flops() == 2 * spec.macs

    def test_an_operator_leaves_its_input_alone(self, spec: OpSpec) -> None:
        """Several nodes may read one output, so an in-place activation must never come first."""
        inputs = random_inputs(spec, batch=2)
        before = [x.clone() for x in inputs]
        build_operator(spec).train()(*inputs)
        assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))

    def test_what_is_timed_depends_on_the_spec_alone(self, spec: OpSpec) -> None:
        """The weights do not depend on earlier random draws, and torch's generator is left unchanged."""
        state = torch.get_rng_state()
        first = timing_operator(spec)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        second = timing_operator(spec)
        assert not first.training
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name]), name

    def test_openvino_gives_what_torch_gives(self, spec: OpSpec) -> None:
        """The converted operator gives the same output, at batch 1."""
        module, inputs = timing_operator(spec), random_inputs(spec, batch=1, seed=1)
        with torch.no_grad():
            expected = module(*inputs).numpy()
        compiled = core().compile_model(convert(module, spec), "CPU", CompileOptions("f32", 1).properties())
        given = compiled([x.numpy() for x in inputs])[0]
        assert given.shape == expected.shape
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(given, expected, rtol=0, atol=TOLERANCE * scale)
