"""Tests that every search space must pass: of its text, graphs, codes, templates, supernet and limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from latlas.latency.limits.limits import limits_of
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.graph import DEAD_BRANCHES, check_graph, executed_inputs, graph_hash
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import SPACES, architecture_from_record, parse_architecture, parse_space
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.testing.parameters import repeat, skip

DRAWS = 20
"""The number of architectures that are drawn from a space, beside its cover."""


def drawn(space: SearchSpace, count: int = DRAWS) -> list[Architecture]:
    """`count` architectures of a space, and its cover."""
    return space.sample(count, np.random.default_rng(0)) + space.cover()


class SpaceSuite:
    """The tests of search spaces. `spaces` are the tested ones, small enough to build a supernet for each.

    Set `templated` to False if a choice changes what feeds a node, so that the space has no template. Set `trained` to False to
    skip the training of a supernet. Set `limited` to False to skip the search for the limits: without a template that predicts
    thousands of networks.
    """

    spaces: ClassVar[Sequence[SearchSpace]] = ()
    templated: ClassVar[bool] = True
    trained: ClassVar[bool] = True
    limited: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Repeat each test for every space."""
        repeat(metafunc, {"space": {space.text: space for space in self.spaces}})

    def test_it_is_known_by_its_name_and_its_text_reads_back(self, space: SearchSpace) -> None:
        """Any process reads the same space from its text; every field has a default."""
        known = SPACES.get(space.name)
        assert type(space) is known or known.variants  # the text then says the class
        again = parse_space(space.text)
        assert (again, hash(again), again.text) == (space, hash(space), space.text)
        defaults = {field.name: field.default for field in fields(known)}
        assert type(again) is type(space) and parse_space(space.name) == known(**defaults)

    def test_its_architectures_read_back_from_text_and_json(self, space: SearchSpace) -> None:
        """An architecture can be read from its text, with or without the space in front, and from JSON."""
        for one in [*drawn(space), *map(space.baseline, space.baselines)]:
            assert parse_architecture(str(one)) == one
            assert parse_architecture(str(one).partition("/")[2], space) == one
            assert architecture_from_record(json.loads(json.dumps(one.to_record()))) == one

    def test_its_graphs_fit_and_have_one_input_and_one_output(self, space: SearchSpace) -> None:
        """In every graph the nodes are in order and the shapes fit. Image and result have the same shape in all graphs."""
        graphs = [one.graph() for one in [*drawn(space), *map(space.baseline, space.baselines)]]
        assert {check_graph(graph) for graph in graphs} == {space.input_shape()}
        assert len({graph[-1].spec.output_shape for graph in graphs}) == 1
        for one, graph in zip(drawn(space), graphs, strict=False):
            assert one.hash == graph_hash(graph) == graph_hash(space.graph(one.operators))

    def test_its_stages_are_its_layers(self, space: SearchSpace) -> None:
        """Every searchable layer is in one stage."""
        assert sum(space.stages) == len(space.choices)
        assert all(len(set(options)) == len(options) >= 1 for options in space.choices)

    def test_drawing_is_from_the_generator_alone(self, space: SearchSpace) -> None:
        """The same seed gives the same architectures, and no architecture comes twice."""
        count = min(DRAWS, space.size)
        first, again = (space.sample(count, np.random.default_rng(1)) for _ in range(2))
        assert first == again
        assert len(set(first)) == count
        assert space.size <= DRAWS or first != space.sample(count, np.random.default_rng(2))
        by_stage, as_before = (space.random_by_stage(np.random.default_rng(3)) for _ in range(2))
        assert by_stage == as_before

    def test_its_codes_read_back(self, space: SearchSpace) -> None:
        """Codes are whole numbers from 0, one column for each layer."""
        chosen = drawn(space)
        codes = space.encode(chosen)
        assert codes.shape == (len(chosen), len(space.choices))
        assert space.decode(codes) == chosen

    def test_its_template_gives_its_graphs(self, space: SearchSpace) -> None:
        """The template gives the same nodes as the graphs, and the same executed nodes, for every kind of runtime."""
        if not self.templated:
            skip("a choice changes what feeds a node")
        template, chosen = space.template(), drawn(space)
        codes = space.encode(chosen)
        assert [template.graph(row) for row in codes] == [a.graph() for a in chosen]
        for option in DEAD_BRANCHES:
            live, sources = template.executed(codes, option)
            for row, architecture in enumerate(chosen):
                expected = executed_inputs(architecture.graph(), option)
                assert list(np.flatnonzero(live[row])) == list(expected)
                assert {i: tuple(s for s in sources[i][row] if s != -2) for i in expected} == expected

    def test_its_cover_holds_every_operator_of_every_layer(self, space: SearchSpace) -> None:
        """The table then has a row for every operator of every architecture."""
        seen = {(layer, name) for a in space.cover() for layer, name in enumerate(a.operators)}
        assert seen == {(layer, name) for layer, options in enumerate(space.choices) for name in options}
        specs = set(space.specs())
        assert {node.spec for one in drawn(space) for node in one.graph()} <= specs
        assert {node.spec for name in space.baselines for node in space.baseline(name).graph()} <= specs

    def test_what_stands_for_an_architecture_is_one_of_the_same_network(self, space: SearchSpace) -> None:
        """The canonical form of a canonical form is itself, and it costs the same."""
        for one in drawn(space):
            canonical = one.canonical()
            assert canonical.canonical() == canonical
            assert (canonical.macs, canonical.params) == (one.macs, one.params)

    def test_its_supernet_has_weights_of_its_own_for_each_operator(self, space: SearchSpace) -> None:
        """No two operators of a node share a name. A path through the supernet and its extracted network agree exactly."""
        if not self.trained:
            skip("no supernet of it is trained")
        torch.manual_seed(0)
        supernet = Supernet(space)
        images = torch.rand(3, *space.input_shape(), generator=torch.Generator().manual_seed(1))
        for one in [*space.sample(min(4, space.size), np.random.default_rng(0)), *space.cover()[:20]]:
            own, said = supernet.extract(one), Subnet(one.graph())
            assert [t.shape for t in own.state_dict().values()] == [t.shape for t in said.state_dict().values()]
            for training in (False, True):
                supernet.train(training)
                extracted = supernet.extract(one)
                assert extracted.training is training
                with torch.no_grad():
                    assert torch.equal(_seeded(supernet, images, one), _seeded(extracted, images))
                    assert torch.equal(_seeded(supernet.logits, images, one), _seeded(extracted.logits, images))

    def test_its_limits_hold_all_networks(self, space: SearchSpace) -> None:
        """With a predictor of multiply-adds, no drawn network is faster than the fastest or slower than the slowest."""
        if not self.limited:
            skip("its limits would take long to find")
        train = drawn(space, 30)
        predictor = LatencyPredictor().fit([a.graph() for a in train], [1.0 + a.macs / 1e5 for a in train])
        limits = limits_of(predictor, space)
        assert limits.fastest.space == limits.slowest.space == space
        found = [one.latency_ms for one in predictor.predict(train)]
        if limits.how == "descent":  # descent may miss the ends of a space
            assert limits.fastest_ms.latency_ms <= limits.slowest_ms.latency_ms
        else:
            assert limits.fastest_ms.latency_ms <= min(found) + 1e-9
            assert limits.slowest_ms.latency_ms >= max(found) - 1e-9


def _seeded(function: Callable[..., Tensor], *arguments: object) -> Tensor:
    """A network's output, with the same random drops in training each time."""
    torch.manual_seed(2)
    return function(*arguments)
