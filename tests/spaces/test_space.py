import json
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import FileFormatError, UnknownOperatorError, UnknownSpaceError, UsageError
from latlas.spaces.graph import check_graph
from latlas.spaces.portrait import SPACE_OPERATORS, PortraitSpace
from latlas.spaces.space import SearchSpace, enumerate_space
from latlas.spaces.text import (
    SPACES,
    _read_space,
    architecture_from_record,
    parse_architecture,
    parse_space,
    read_architecture,
    register_space,
)

SPACE = PortraitSpace()


def test_the_default_space_is_the_one_in_the_design():
    assert SPACE.size == 7**14
    assert len(SPACE.specs()) >= 90
    assert SPACE.input_shape() == (3, 256, 256)
    graph = SPACE.cover()[0].graph()
    sizes = [node.spec.output_shape for node in graph[1:15]]
    assert sizes == [(24, 64, 64)] * 2 + [(40, 32, 32)] * 4 + [(80, 16, 16)] * 4 + [(160, 8, 8)] * 4
    assert graph[-1].spec.output_shape == (1, 256, 256)


def test_operators_are_as_defined():
    graph = SPACE.architecture(["mbconv_k5"] * 14).graph()
    first, deep = graph[1].spec, graph[7].spec
    assert (first.hidden_channels, first.squeeze_channels, first.activation) == (96, 24, "relu")
    assert (deep.hidden_channels, deep.squeeze_channels, deep.activation) == (240, 64, "hswish")  # into S16
    dilated = SPACE.architecture(["dilconv_k3"] * 14).graph()[2].spec
    assert (dilated.kernel_size, dilated.dilation) == (3, 2)


def test_mobilenetv3_is_the_papers():
    large = SPACE.baseline("mobilenetv3_large").graph()
    assert [n.spec.out_channels for n in large[1:16]] == [
        16,
        24,
        24,
        40,
        40,
        40,
        80,
        80,
        80,
        80,
        112,
        112,
        160,
        160,
        160,
    ]
    # torchvision states 5,483,032 and 2,542,856; less its classifiers and its last, 960 and 576 wide, convolutions.
    assert sum(n.spec.params for n in large[:16]) == 5_483_032 - 1_230_080 - 1_281_000 - 155_520
    small = SPACE.baseline("mobilenetv3_small").graph()
    assert [n.spec.stride for n in small[1:12]] == [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1]
    assert sum(n.spec.params for n in small[:12]) == 2_542_856 - 590_848 - 1_025_000 - 56_448
    assert large[-1].spec == small[-1].spec


def test_baselines_are_narrowed():
    widths = [n.spec.out_channels for n in SPACE.baseline("mobilenetv3_large_x0.75").graph()[1:16]]
    assert widths == [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 88, 88, 120, 120, 120]
    assert SPACE.baseline("mobilenetv3_large_x0.75").macs < 0.7 * SPACE.baseline("mobilenetv3_large").macs
    with pytest.raises(UsageError, match="above 0"):
        SPACE.baseline("mobilenetv3_large_x0").graph()


operators = st.lists(st.sampled_from(SPACE_OPERATORS), min_size=14, max_size=14)


@settings(max_examples=25, deadline=None)
@given(operators)
def test_text_and_json_read_back(names):
    architecture = SPACE.architecture(names)
    assert parse_architecture(str(architecture)) == architecture
    assert parse_architecture(str(architecture).removeprefix("portrait/"), SPACE) == architecture
    record = json.loads(json.dumps(architecture.to_record()))
    assert architecture_from_record(record) == architecture
    assert record["params"] == architecture.params
    check_graph(architecture.graph())


def test_the_text_is_short_and_grouped_by_stage():
    names = ["mbconv_k3", "sepconv_k5"] + ["dilconv_k3"] * 4 + ["shuffle"] * 4 + ["mbconv_k5"] * 4
    assert str(SPACE.architecture(names)) == "portrait/m3-s5/d3-d3-d3-d3/sh-sh-sh-sh/m5-m5-m5-m5"
    assert str(SPACE.baseline("mobilenetv3_small")) == "portrait/mobilenetv3_small"


def test_the_hash_of_an_architecture_never_changes():
    assert SPACE.architecture(["mbconv_k3"] * 14).hash == "c35cde914e565635"


@pytest.mark.parametrize(
    "text",
    [
        "portrait",
        "portrait:height=192,width=128",
        "portrait:widths=16.24.40.80,decoder_channels=24",
        "portrait:depths=1.1.1.1,skip=True",
        "portrait:expand_ratio=4,narrow_ratio=2",
        "portrait:skip=True,narrow_ratio=2,operators=mbconv_k3.mbconv_k5",
    ],
)
def test_a_spaces_text_reads_back(text):
    space = parse_space(text)
    assert space.text == text
    assert space.architecture(space.cover()[0].operators).space == space


def test_resolution_stands_for_both_sizes():
    assert parse_space("portrait:resolution=192") == PortraitSpace(height=192, width=192)
    assert parse_space("portrait:resolution=96x160") == PortraitSpace(height=96, width=160)


def test_skip_only_where_the_shape_is_kept():
    space = PortraitSpace(skip=True)
    assert ["skip" in options for options in space.choices] == [False, True, *([False, True, True, True] * 3)]


def test_a_space_may_have_some_of_the_operators():
    space = parse_space("portrait:operators=mbconv_k5.shuffle,narrow_ratio=2,skip=true")
    assert space.choices[0] == ("mbconv_k5", "shuffle", "narrow_k3", "narrow_k5")
    assert set(space.choices[1]) == {*space.choices[0], "skip"}
    drawn = space.sample(20, np.random.default_rng(0))
    assert {name for one in drawn for name in one.operators} == set(space.choices[1])
    whole = PortraitSpace(narrow_ratio=2, skip=True)
    assert all(whole.architecture(one.operators).graph() == one.graph() for one in drawn)
    with pytest.raises(UnknownOperatorError, match="has no operator 'sepconv_k3'"):
        space.architecture(["sepconv_k3"] * 14)


def test_narrow_blocks_are_those_of_a_space_with_that_expansion():
    space, three = PortraitSpace(narrow_ratio=3, skip=True), PortraitSpace(expand_ratio=3)
    assert all({"narrow_k3", "narrow_k5", "mbconv_k3"} < set(options) for options in space.choices)
    for kernel in ("k3", "k5"):
        narrow = space.architecture([f"narrow_{kernel}"] * 14)
        assert narrow.graph() == three.architecture([f"mbconv_{kernel}"] * 14).graph()
        assert parse_architecture(str(narrow)) == narrow and str(narrow).endswith("-".join([f"n{kernel[1]}"] * 4))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("landscape", UnknownSpaceError, "unknown space 'landscape'; known: dpc, nasbench201, portrait"),
        ("portrait:depth=3", UsageError, "setting 'depth=3' is not known; portrait has resolution, height"),
        ("portrait:height=big", UsageError, "height is 'big', which is not a whole number"),
        ("portrait:height=100", UsageError, "height is 100; portrait needs a multiple of 32"),
        ("portrait:widths=16.24", UsageError, r"widths \(16, 24\)"),
        ("portrait:widths=18.24.40.80", UsageError, "multiples of 4"),
        ("portrait:resolution", UsageError, "'resolution' has no value; write resolution=..."),
        ("portrait:narrow_ratio=6", UsageError, "narrow_ratio is 6; it must be 0 for none, or another than expand"),
        ("portrait:num_classes=0", UsageError, "num_classes 0"),
        (
            "portrait:operators=mbconv_k3.warp",
            UsageError,
            "operators are mbconv_k3.warp; give each once, of mbconv_k3.mb",
        ),
        ("portrait:operators=shuffle.shuffle", UsageError, "operators are shuffle.shuffle; give each once"),
        ("portrait:operators=", UsageError, "operators is '', which is not names parted by dots"),
    ],
)
def test_impossible_spaces_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        parse_space(text)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("portrait/m3-m3", UsageError, "has 2 operators; portrait has 14"),
        (
            "portrait/" + "-".join(["m3"] * 13 + ["warp"]),
            UnknownOperatorError,
            "layer 13 of portrait has no operator 'warp'",
        ),
        ("m3-m3", UsageError, "names no space"),
    ],
)
def test_impossible_architectures_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        parse_architecture(text)


def test_an_architecture_of_another_space_is_refused():
    with pytest.raises(UsageError, match="is of portrait:skip=True, not of portrait"):
        parse_architecture("portrait:skip=True/" + "-".join(["m3"] * 14), SPACE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not an architecture"),
        ('{"space": "portrait", "operators": 3}', "must be a list"),
        (json.dumps(SPACE.cover()[0].to_record() | {"hash": "0" * 16}), "hash 0000000000000000 is recorded"),
    ],
)
def test_broken_architecture_files_are_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(FileFormatError, match=message):
        read_architecture(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_architecture(tmp_path / "none.json")


def test_a_small_space_is_enumerated_and_drawn_out(tiny_space):
    everything = list(enumerate_space(tiny_space))
    assert len(everything) == tiny_space.size == len(set(everything))
    few = PortraitSpace(height=32, width=32, depths=(1, 1, 1, 1))
    assert few.size == 7**4
    with pytest.raises(UsageError, match="count is 0"):
        few.sample(0, np.random.default_rng(0))


def test_stages_are_slices_of_the_layers_and_are_filled_with_one_operator():
    space = PortraitSpace(depths=(1, 3, 2, 4), skip=True)
    assert space.stage_slices() == [slice(0, 1), slice(1, 4), slice(4, 6), slice(6, 10)]
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        filled = space.fill_stage(slice(1, 4), rng)
        seen.add(filled[-1])
        # A layer that changes the shape has no skip and takes any other operator.
        assert len(set(filled[1:])) == 1 and (filled[0] == filled[1] or filled[1] == "skip")
    assert seen == set(space.choices[2])
    operators = space.random_by_stage(rng).operators
    assert all(len(set(operators[stage][1:])) <= 1 for stage in space.stage_slices())


def test_a_space_that_lacks_something_is_refused_with_what_it_lacks():
    @dataclass(frozen=True)
    class Bare(SearchSpace):
        name: ClassVar[str] = "bare"

    with pytest.raises(UsageError, match="space 'bare' does not say its choices, graph, short_names; see docs"):
        register_space(Bare)  # type: ignore[type-abstract]

    @dataclass(frozen=True)
    class Open(PortraitSpace):
        name: ClassVar[str] = "open"
        blocks: int = field(kw_only=True)

    with pytest.raises(UsageError, match="space 'open' has no default for blocks; its text says what differs"):
        register_space(Open)
    with pytest.raises(UsageError, match="it must be a class of SearchSpace whose name is 'open'"):
        SPACES.add("open", _read_space("open", PortraitSpace))
    assert not {"bare", "open"} & {*SPACES.names()}
