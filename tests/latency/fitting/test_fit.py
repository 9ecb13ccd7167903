"""Learning from synthetic latencies whose law and noise the test knows."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from latlas.errors import EnvironmentMismatchError, LatlasError, MissingEntryError, UsageError
from latlas.latency.fitting import choose
from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.fitting.fit import CHOICES, Sample, fit_predictor, sample_of, subnets_to_measure
from latlas.latency.machine.environment import detect
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass
from latlas.latency.table.table import Manifest, Row, Table
from latlas.spaces.graph import live_nodes
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.sampling import draw_different

REFERENCE_MS = 0.5
NOISE = 0.01
TRAIN = 70
SLOWDOWN = 0.7
"""What an operator takes in the network over what it takes alone."""


@dataclass(frozen=True)
class TwoOperators(PortraitSpace):
    """A space of 16 architectures."""

    @property
    def choices(self):
        return (("mbconv_k3", "shuffle"),) * 4


def tiny(kind):
    return kind(height=32, width=32, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_channels=8, aspp_channels=8)


class TestDraw:
    def test_gives_different_architectures(self, tiny_space):
        drawn = draw_different(tiny_space, 150, np.random.default_rng(0))
        assert len(set(drawn)) == len(drawn) == 150
        assert not any(one.is_baseline for one in drawn)

    def test_gives_the_same_for_the_same_seed_only(self, tiny_space):
        first, again, other = (draw_different(tiny_space, 30, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert first == again != other

    def test_begins_alike_for_any_count(self, tiny_space):
        few, many = (draw_different(tiny_space, count, np.random.default_rng(0)) for count in (20, 40))
        assert many[:20] == few

    def test_spreads_further_than_uniform_draws(self):
        def spread(architectures):
            return float(np.std([one.macs for one in architectures]))

        # At the default's 14 layers, where a sum of independent layers crowds round its mean.
        space, rng = PortraitSpace(height=32, width=32), np.random.default_rng(0)
        drawn, uniform = draw_different(space, 200, rng), space.sample(200, rng)
        assert spread(drawn) > 1.2 * spread(uniform)

    def test_has_every_operator_of_every_layer(self, tiny_space):
        drawn = draw_different(tiny_space, 150, np.random.default_rng(0))
        for layer, options in enumerate(tiny_space.choices):
            assert {one.operators[layer] for one in drawn} == set(options)

    def test_ends_with_the_whole_of_a_small_space(self):
        space = tiny(TwoOperators)
        assert len(draw_different(space, 100, np.random.default_rng(0))) == space.size == 16


def environment_of(**changed):
    environment = detect(
        threads=1,
        streams=1,
        precision="f32",
        batch=1,
        openvino_version="2026.4.1",
        reference_id="reference-1",
        reference_ms=REFERENCE_MS,
    )
    return replace(environment, **changed)


def cost_ms(spec):
    """What an operator takes alone."""
    return 0.01 + spec.macs / 1e7


def sample(architecture, rng):
    """A measured subnet: a start-up cost, `SLOWDOWN` of the sum of its operators, and noise in both passes."""
    graph = architecture.graph()
    true = 0.05 + SLOWDOWN * sum(cost_ms(graph[i].spec) for i in live_nodes(graph))
    passes = [true * (1 + NOISE * rng.normal()) / REFERENCE_MS for _ in range(2)]
    ms = float(np.mean(passes)) * REFERENCE_MS
    return Sample(architecture, ms, 0.99 * ms, 1.01 * ms, ms / REFERENCE_MS, "ok", tuple(passes))


def table_of(space, environment, without=0):
    def row(spec):
        ms = cost_ms(spec)
        ratio = ms / environment.reference_ms
        return Row(
            spec, ms, 0.99 * ms, 1.01 * ms, ratio, 0.99 * ratio, 1.01 * ratio, 24, 0, 2, 0.99 * ms, ms, 1.01 * ms
        )

    specs = space.specs()
    return Table(
        tuple(row(spec) for spec in specs[without:]), Manifest(environment, "reference-1", space.text, "test", 0)
    )


@pytest.fixture(scope="module")
def samples(tiny_space):
    rng = np.random.default_rng(5)
    return [sample(architecture, rng) for architecture in draw_different(tiny_space, TRAIN + 50, rng)]


@pytest.fixture(scope="module")
def learnt(tiny_space, samples):
    """A predictor of a table, whose operators are held against a reference of their own."""
    table = table_of(tiny_space, environment_of(reference_id="operator-1", reference_ms=REFERENCE_MS / 5))
    return fit_predictor(tiny_space, table, samples[:TRAIN], samples[TRAIN:], environment_of())


class TestFitPredictor:
    def test_comes_to_the_noise(self, learnt):
        figures = learnt.figures
        assert (figures["train"], figures["test"]) == (TRAIN, 50)
        # A mean of two passes has 1 % / sqrt(2); its mean absolute value is 0.8 of that: 0.56 %.
        assert 0.004 < figures["mape"] < 0.012
        # Two passes differ by 1 % * sqrt(2), 1.13 % in the mean.
        assert 0.008 < figures["noise_floor"] < 0.015
        assert figures["within_5"] == 1.0
        assert figures["spearman"] > 0.85
        assert figures["coverage"] >= 0.9

    def test_is_tied_to_where_its_samples_come_from(self, learnt, tiny_space):
        assert (learnt.space, learnt.space_text) == (tiny_space, tiny_space.text)
        assert learnt.environment.reference_ms == REFERENCE_MS

    def test_says_how_wrong_the_plain_sum_is(self, learnt, samples):
        test = samples[TRAIN:]
        sums = [sum(cost_ms(node.spec) for node in one.architecture.graph()) for one in test]
        errors = [abs(plain - one.latency_ms) / one.latency_ms for plain, one in zip(sums, test, strict=True)]
        assert learnt.figures["additive_mape"] == pytest.approx(np.mean(errors))

    def test_states_table_and_samples_at_one_reference(self, learnt, tiny_space):
        for spec in tiny_space.specs():
            assert learnt.predictor.cost_of(spec) == pytest.approx(cost_ms(spec))

    def test_learns_without_a_table_too(self, tiny_space, samples):
        figures = fit_predictor(tiny_space, None, samples[:TRAIN], samples[TRAIN:], environment_of()).figures
        assert figures["additive_mape"] is None
        assert figures["mape"] < 0.03

    @pytest.mark.parametrize(
        ("name", "value"),
        [("cpu_model", "Another CPU"), ("threads", 4), ("precision", "bf16"), ("openvino_version", "2024.0.0")],
    )
    def test_refuses_a_table_of_another_environment(self, tiny_space, samples, name, value):
        table = table_of(tiny_space, environment_of(**{name: value}))
        with pytest.raises(EnvironmentMismatchError, match=f"{name} is {value!r} and "):
            fit_predictor(tiny_space, table, samples[:TRAIN], samples[TRAIN:], environment_of())

    def test_refuses_a_table_that_lacks_an_operator(self, tiny_space, samples):
        environment = environment_of()
        table = table_of(tiny_space, environment, without=3)
        with pytest.raises(MissingEntryError, match="the predictor has no latency of"):
            fit_predictor(tiny_space, table, samples[:TRAIN], samples[TRAIN:], environment)

    def test_refuses_to_state_no_error(self, tiny_space, samples):
        with pytest.raises(UsageError, match="no subnets to test on"):
            fit_predictor(tiny_space, None, samples, [], environment_of())

    def test_refuses_too_few(self, tiny_space, samples):
        with pytest.raises(UsageError, match="9 graphs and 9 latencies"):
            fit_predictor(tiny_space, None, samples[:9], samples[9:], environment_of())


def test_accuracy_by_hand():
    figures = accuracy(np.array([1.005, 2.08, 3.27, 8.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert figures["mape"] == pytest.approx((0.005 + 0.04 + 0.09 + 1.0) / 4)
    assert (figures["within_1"], figures["within_5"], figures["within_10"]) == (0.25, 0.5, 0.75)
    assert figures["spearman"] == pytest.approx(1.0)
    # One pair of neighbours of four out of order: 1 - 6 * 2 / (4 * 15).
    swapped = accuracy(np.array([2.0, 1.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert swapped["spearman"] == pytest.approx(0.8)


@pytest.mark.parametrize("predicted", [[1.0, 2.0], [3.0, 3.0, 3.0]])
def test_a_rank_correlation_that_is_undefined_is_none_and_no_nan(predicted):
    assert accuracy(np.array(predicted), np.arange(1.0, len(predicted) + 1))["spearman"] is None


def test_a_sample_is_the_ratio_times_the_reference(tiny_space):
    architecture, one_pass = tiny_space.cover()[0], Pass((0.4,) * 7, (0.8,) * 12)
    one = sample_of(architecture, Measured("x", [one_pass, one_pass]), 0.5, Setting())
    assert one.latency_ms == pytest.approx(1.0)
    assert one.lower_ms < 1.0 < one.upper_ms
    assert one.pass_ratios == (2.0, 2.0)
    with pytest.raises(LatlasError, match="could not be measured: it hung"):
        sample_of(architecture, Measured("x", reason="it hung"), 0.5, Setting())


class TestSubnetsToMeasure:
    @pytest.fixture(autouse=True)
    def _few_candidates(self, monkeypatch):
        monkeypatch.setattr(choose, "POOL", 300)
        monkeypatch.setattr(choose, "INTEREST", 100)

    def test_none_is_both_learnt_from_and_tested_on(self, tiny_space):
        for choice in CHOICES:
            train, test = subnets_to_measure(tiny_space, 20, 10, 0, choice)
            assert (len(set(train)), len(set(test))) == (20, 10)
            assert not set(train) & set(test)

    def test_they_are_the_same_for_a_seed(self, tiny_space):
        first = subnets_to_measure(tiny_space, 5, 5, 1)
        assert first == subnets_to_measure(tiny_space, 5, 5, 1)
        assert first != subnets_to_measure(tiny_space, 5, 5, 2)

    def test_another_choice_is_refused(self, tiny_space):
        with pytest.raises(UsageError, match="choice is 'best'"):
            subnets_to_measure(tiny_space, 5, 5, 0, "best")
