import pytest
import torch

from latlas.errors import UnknownOperatorError, UsageError
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.operators.spec import FOREIGN, KINDS, Kind, OpSpec, kinds, register_operator
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.operators import build
from latlas.supernet.operators.build import build_operator, built_kinds
from latlas.testing import OperatorSuite

# Everything that the space and its baselines are made of, and what only other configurations use.
SPECS = [
    *PortraitSpace(height=64, width=96, skip=True).specs(),
    OpSpec("mbconv", 8, 8, 12, 10, kernel_size=3, hidden_channels=8, activation="relu"),
    OpSpec("mbconv", 8, 12, 12, 10, stride=2, kernel_size=5, hidden_channels=24, squeeze_channels=8, dilation=2),
    OpSpec("conv", 6, 4, 12, 10, dilation=3, kernel_size=3),
    OpSpec("lite_stem", 3, 8, 12, 10, 2, 3),
    OpSpec("lite_mbconv", 8, 8, 12, 10, kernel_size=5, hidden_channels=8),
    OpSpec("lite_mbconv", 8, 12, 12, 10, 2, 3, hidden_channels=24),
    OpSpec("lite_mbconv", 8, 12, 12, 10, 1, 3, hidden_channels=24, dilation=2),
    OpSpec("shuffle", 6, 10, 12, 10),
    OpSpec("upsample_add", 6, 6, 12, 10, scale=1),
    OpSpec("probability", 3, 3, 12, 10),
    *NasBench201(height=8, width=12, channels=4, cells=1).specs(),
    OpSpec("atrous", 6, 4, 12, 10, kernel_size=3, label="1x6"),
    OpSpec("atrous", 6, 4, 12, 10, kernel_size=3, label="15x21"),
    OpSpec("pyramid", 6, 4, 12, 10, label="4x2"),
    OpSpec("pyramid", 6, 4, 12, 10, label="8x4"),
    OpSpec("pyramid", 6, 4, 12, 10, label="1x1"),
    OpSpec("concat", 3, 15, 12, 10),
    OpSpec("concat", 3, 3, 12, 10),
]


class TestEveryOperator(OperatorSuite):
    specs = SPECS


def test_each_kind_has_a_builder_and_each_builder_a_kind():
    assert {*built_kinds(), FOREIGN} == set(kinds())


def test_specs_under_test_cover_every_kind():
    assert {spec.kind for spec in SPECS} == set(kinds()) - {FOREIGN}


def test_hand_computed_parameters_of_an_mbconv():
    # 16 -> 96, depthwise 3x3, gate 96 -> 24 -> 96, 96 -> 24.
    expected = (16 * 96 + 2 * 96) + (9 * 96 + 2 * 96) + (96 * 24 + 24 + 24 * 96 + 96) + (96 * 24 + 2 * 24)
    spec = OpSpec("mbconv", 16, 24, 8, 8, 2, 3, hidden_channels=96, squeeze_channels=24, activation="relu")
    assert sum(parameter.numel() for parameter in build_operator(spec).parameters()) == expected == spec.params


def test_shuffle_keeps_half_of_its_input():
    spec = OpSpec("shuffle", 8, 8, 4, 4)
    x = torch.rand(1, 8, 4, 4)
    # Channel shuffle in two groups interleaves the halves, so even channels are the untouched ones.
    assert torch.equal(build_operator(spec).eval()(x)[:, ::2], x[:, :4])


def test_aspp_sees_the_whole_image():
    module = build_operator(OpSpec("aspp", 8, 8, 16, 16, hidden_channels=8)).eval()
    x = torch.rand(1, 8, 16, 16)
    y = x.clone()
    y[..., 0, 0] += 10.0
    assert not torch.equal(module(x)[..., 15, 15], module(y)[..., 15, 15])


def test_a_kind_without_a_builder_is_named(monkeypatch):
    monkeypatch.delitem(build._BUILDERS, "skip")
    with pytest.raises(UnknownOperatorError, match="'skip' has no torch builder; known: add, aspp"):
        build_operator(OpSpec("skip", 4, 4, 2, 2))


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (lambda spec: 1 / 0, r"package tests cannot build odd 4->4 at 2x2: ZeroDivisionError: division by zero"),
        (lambda spec: spec, r"package tests built OpSpec for odd 4->4 at 2x2; it must be a torch module"),
        (
            "tests_of_nothing:Odd",
            "the builder of operator kind 'odd', tests_of_nothing:Odd, cannot be loaded: ModuleNot",
        ),
        (None, "'odd' has no torch builder; known: .*; give its Kind a builder"),
    ],
)
def test_another_packages_builder_that_fails_is_named(monkeypatch, builder, message):
    monkeypatch.setattr(KINDS, "_things", KINDS.loaded())
    register_operator(Kind("odd", lambda spec: 0, lambda spec: 0, builder=builder))
    with pytest.raises(UsageError, match=message):
        build_operator(OpSpec("odd", 4, 4, 2, 2))
