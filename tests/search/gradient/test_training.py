"""Alpha training on a tiny supernet: what it draws, learns, leaves alone, repeats and goes on from."""

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch

from latlas.errors import EnvironmentMismatchError, InfeasibleBudgetError, LatlasError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.draws import Unrestricted
from latlas.search.gradient.proxyless import trained_distribution
from latlas.search.gradient.sampling import FeasibleSampler
from latlas.search.gradient.soft_latency import SoftLatency
from latlas.search.gradient.training import ArchitectureStep, ArchitectureTrainConfig, train_architecture
from latlas.search.gradient.weight_steps import WeightSteps
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.data.batches import training_batch
from latlas.supernet.data.dataset import parted, synthetic
from latlas.supernet.networks.gates import gate_gradients
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Supernet


@dataclass(frozen=True)
class Three(PortraitSpace):
    """The portrait space with three operators."""

    @property
    def choices(self):
        return (("dilconv_k3", "sepconv_k3", "shuffle"),) * sum(self.depths)


SPACE = Three(
    height=32, width=32, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8, aspp_channels=8
)
SIZES = (3, 3, 3, 3)
TERMS = Additive(1.0, [np.array([0.1, 1.0, 0.5])] * 4, {(0, 1): np.diag([0.2, 0.0, 0.1])})
BUDGET_MS = 3.65
CONFIG = ArchitectureTrainConfig(steps=4, batch_size=4, learning_rate=0.05, seed=1, device="cpu")


@pytest.fixture(scope="module")
def dataset():
    return synthetic(12, 32, 32, seed=0)


@pytest.fixture
def supernet():
    torch.manual_seed(0)
    return Supernet(SPACE).eval()


def initial(kind=LayerWeights):
    return kind.initial(SIZES, np.random.default_rng(0))


def sampler():
    return FeasibleSampler(TERMS, BUDGET_MS)


def trained(supernet, dataset, config=CONFIG, kind=LayerWeights, **arguments):
    steps: list[ArchitectureStep] = []
    done = train_architecture(
        initial(kind), supernet, dataset, sampler(), config, terms=TERMS, on_step=steps.append, **arguments
    )
    return done, steps


def weight_steps(dataset):
    return WeightSteps(dataset, batch_size=4, seed=2)


def state_of(supernet):
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}


def same_state(supernet, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in supernet.state_dict().items())


def same(one, other):
    """Whether two trainings are equal, bit for bit."""
    pairs = zip(one.distribution.parameters, other.distribution.parameters, strict=True)
    names = ("codes", "draws", "loss", "entropy", "expected_ms")
    return all(np.array_equal(a, b) for a, b in pairs) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in names
    )


@pytest.mark.parametrize("kind", [LayerWeights, AdjacentWeights])
@pytest.mark.parametrize("mode", ["full", "recompute", "two"])
def test_every_mode_trains_feasibly_repeats_itself_and_leaves_the_weights_alone(supernet, dataset, mode, kind):
    before, config = state_of(supernet), replace(CONFIG, mode=mode)
    done, steps = trained(supernet, dataset, config, kind)
    assert same_state(supernet, before) and not supernet.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in supernet.parameters())
    assert done.steps == 4 and (TERMS.values(done.codes) <= BUDGET_MS).all()
    for step, loss, codes, entropy in zip(steps, done.loss, done.codes, done.entropy, strict=True):
        assert (step.loss, step.entropy) == (loss, entropy) and np.array_equal(step.codes, codes)
        assert [one.shape for one in step.gates] == [(3,)] * 4 and all(one.any() for one in step.gates)
        assert (step.pairs is None) == (mode != "two") and step.weight_loss is None
    assert done.expected_ms[-1] != done.expected_ms[0]
    again, _ = trained(supernet, dataset, config, kind)
    other, _ = trained(supernet, dataset, replace(config, seed=5), kind)
    assert same(done, again) and not same(done, other)


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("mode", ["recompute", "two"])
def test_a_run_goes_on_from_what_was_recorded(supernet, dataset, mode, alternating, monkeypatch):
    held_out, rest = parted(dataset, 6)
    config, start = replace(CONFIG, mode=mode), state_of(supernet)

    def run(**arguments):
        supernet.load_state_dict(start)
        steps = weight_steps(rest) if alternating else None
        return *trained(supernet, held_out, config, weight_steps=steps, **arguments), state_of(supernet)

    whole, steps, state = run()
    computed = []

    def counted(*arguments):
        computed.append(arguments)
        return gate_gradients(*arguments)

    monkeypatch.setattr("latlas.search.gradient.training.gate_gradients", counted)
    resumed, again, state_again = run(recorded=[(one.loss, [g.tolist() for g in one.gates]) for one in steps[:3]])
    assert same(whole, resumed) and len(again) == 4 and len(computed) == 1
    assert all(torch.equal(state[name], state_again[name]) for name in state)


@pytest.mark.parametrize("kept", [1, 3, 4])
def test_weights_go_on_from_their_checkpoint(supernet, dataset, kept, tmp_path):
    held_out, rest = parted(dataset, 6)
    start, file, saved = state_of(supernet), tmp_path / "weights.training", tmp_path / "saved"

    def run(recorded=(), stop=lambda: False):
        supernet.load_state_dict(start)
        steps = replace(weight_steps(rest), checkpoint=file, checkpoint_every_s=0.0)
        done, found = trained(supernet, held_out, weight_steps=steps, recorded=recorded, stop=stop)
        return done, found, state_of(supernet), steps.done

    def at(limit):
        asked = []

        def stop():
            asked.append(1)
            return len(asked) > limit

        return stop

    run(stop=at(kept))
    file.rename(saved)
    whole, steps, state, done = run()
    assert done == 4 and all(one.weight_loss is not None for one in steps)
    saved.replace(file)
    resumed, again, state_again, _ = run([(one.loss, [g.tolist() for g in one.gates]) for one in steps[:3]])
    assert [one.weight_loss for one in again] == [None] * kept + [one.weight_loss for one in steps[kept:]]
    assert same(whole, resumed) and all(torch.equal(state[name], state_again[name]) for name in state)


def test_a_checkpoint_of_other_weight_steps_is_refused(supernet, dataset, tmp_path):
    steps = replace(weight_steps(dataset), checkpoint=tmp_path / "weights.training")
    trained(supernet, dataset, weight_steps=steps)
    with pytest.raises(EnvironmentMismatchError, match=r"begun otherwise: momentum was 0\.9, is 0\.5;"):
        trained(supernet, dataset, weight_steps=replace(steps, momentum=0.5))


def test_one_step_is_equation_4_and_adam(supernet, dataset):
    distribution, config = initial(), replace(CONFIG, steps=1, correction=False)
    before = [one.copy() for one in distribution.parameters]
    steps: list[ArchitectureStep] = []
    train_architecture(distribution, supernet, dataset, Unrestricted(), config, on_step=steps.append)
    rng = np.random.default_rng(0)
    images, masks = training_batch(dataset, 4, 1, 0, (32, 32), None, rng, torch.device("cpu"))
    (architecture,) = SPACE.decode(steps[0].codes[None])
    loss, gates = gate_gradients(supernet, images, masks, architecture)
    assert steps[0].loss == loss and np.isnan(steps[0].expected_ms) and steps[0].draws == 1
    for was, one, g in zip(before, distribution.parameters, gates, strict=True):
        p = np.exp(was) / np.exp(was).sum()
        # Adam's first step is the learning rate against the gradient's sign.
        np.testing.assert_allclose(one - was, -0.05 * np.sign(p * (g - p @ g)), rtol=1e-4)


def test_adjacent_weights_move_the_active_rows_alone(supernet, dataset):
    distribution = initial(AdjacentWeights)
    steps: list[ArchitectureStep] = []
    before = [one.copy() for one in distribution.parameters]
    config = replace(CONFIG, steps=1, correction=False)
    train_architecture(distribution, supernet, dataset, Unrestricted(), config, on_step=steps.append)
    for column, (was, one) in enumerate(zip(before[1:], distribution.parameters[1:], strict=True)):
        assert np.flatnonzero((was != one).any(axis=1)).tolist() == [steps[0].codes[column]]


def test_two_options_a_step_keep_the_others_probabilities(supernet, dataset):
    for kind, correction in ((LayerWeights, True), (AdjacentWeights, False)):
        distribution = initial(kind)
        before = [one.copy() for one in distribution.parameters]
        config = replace(CONFIG, steps=1, mode="two", correction=correction)
        steps: list[ArchitectureStep] = []
        train_architecture(distribution, supernet, dataset, sampler(), config, on_step=steps.append)
        (step,) = steps
        for was, one, pair, g in zip(before, distribution.parameters, step.pairs, step.gates, strict=True):
            out = np.delete(np.arange(3), pair)
            assert np.array_equal(was[..., out], one[..., out]) and not g[out].any()
            p, q = (np.exp(w) / np.exp(w).sum(-1, keepdims=True) for w in (was, one))
            np.testing.assert_allclose(p[..., out], q[..., out], rtol=1e-12)
            assert not np.array_equal(was, one)


def test_alternating_trains_the_weights_too(supernet, dataset):
    held_out, rest = parted(dataset, 6)
    before = state_of(supernet)
    done, steps = trained(supernet, held_out, weight_steps=weight_steps(rest))
    assert done.steps == 4 and all(step.weight_loss > 0 for step in steps)
    assert not same_state(supernet, before) and not supernet.training
    assert all(parameter.grad is None for parameter in supernet.parameters())
    assert trained(supernet, held_out)[0].steps == 4


def test_stop_ends_it(supernet, dataset):
    calls = iter([False, False, True])
    done, steps = trained(supernet, dataset, stop=lambda: next(calls))
    assert done.steps == len(steps) == 2 and done.codes.shape == (2, 4)
    assert trained(supernet, dataset, stop=lambda: True)[0].codes.shape == (0, 4)


def test_a_screen_is_asked_and_what_it_costs_is_counted(supernet, dataset):
    def screen(codes):
        return (codes[:, 0] == 2) & (TERMS.values(codes) <= BUDGET_MS)

    done, _ = trained(supernet, dataset, screen=screen)
    assert (done.codes[:, 0] == 2).all() and done.draws.max() > 1
    with pytest.raises(InfeasibleBudgetError, match="none of 50 architectures"):
        trained(supernet, dataset, replace(CONFIG, max_draws=50), screen=lambda codes: np.zeros(len(codes), dtype=bool))


def test_a_soft_loss_moves_towards_fast_architectures(supernet, dataset):
    soft = SoftLatency(TERMS, 3.0, 1000.0)
    done = train_architecture(initial(), supernet, dataset, Unrestricted(), CONFIG, terms=TERMS, soft=soft)
    assert (np.diff(done.expected_ms) < 0).all()
    assert all(one.argmax() == 0 for one in done.distribution.parameters)


@pytest.fixture(scope="module")
def planted():
    """A supernet of which one path is trained, the data held out of that, and the path's codes."""
    codes, space = np.array([1, 0, 1, 2]), replace(SPACE, height=64, width=64)
    held_out, rest = parted(synthetic(64, 64, 64, seed=3), 32)
    torch.manual_seed(0)
    supernet = Supernet(space).train()
    optimizer = torch.optim.AdamW(supernet.parameters(), lr=1e-2)
    for step in range(60):
        rng = np.random.default_rng(step)
        images, masks = training_batch(rest, 8, 0, step, (64, 64), None, rng, torch.device("cpu"))
        optimizer.zero_grad()
        segmentation_loss(supernet.logits(images, space.decode(codes[None])[0]), masks).backward()
        optimizer.step()
    supernet.zero_grad()
    return supernet.eval(), held_out, codes


@pytest.fixture(scope="module")
def enumerated(planted):
    """All architectures within the budget and the loss of each on the data held out, batch statistics taken there."""
    supernet, held_out, _ = planted
    space = replace(SPACE, height=64, width=64)
    codes = np.array(list(product(range(3), repeat=4)))
    codes = codes[TERMS.values(codes) <= BUDGET_MS]
    images, masks = training_batch(held_out, 32, 0, 0, (64, 64), None, np.random.default_rng(0), torch.device("cpu"))
    twin = deepcopy(supernet).train()
    with torch.no_grad():
        return codes, np.array([float(segmentation_loss(twin.logits(images, a), masks)) for a in space.decode(codes)])


@pytest.mark.parametrize(
    ("strategy", "mode"),
    [("proxyless", "recompute"), ("proxyless", "two"), ("proxyless-adjacent", "recompute")],
)
def test_what_is_better_becomes_probable_within_the_budget(planted, enumerated, strategy, mode):
    supernet, held_out, _ = planted
    codes, losses = enumerated
    assert 10 < len(codes) < 3**4 - 10
    config = replace(CONFIG, steps=60, mode=mode, batch_size=8, learning_rate=0.1)
    done = trained_distribution(strategy, supernet, held_out, config, terms=TERMS, budget_ms=BUDGET_MS)
    assert (TERMS.values(done.codes) <= BUDGET_MS).all()
    probability = np.exp(done.distribution.log_prob(codes))
    uniform, expected = losses.mean(), probability @ losses / probability.sum()
    share = (uniform - expected) / (uniform - losses.min())  # of the way to the best: 0.4 to 0.8 over four supernets
    assert share > 0.2
    assert done.entropy[-1] < done.entropy[0]


def test_without_terms_the_screen_rejects(planted):
    supernet, held_out, _ = planted

    def screen(codes):
        return TERMS.values(codes) <= BUDGET_MS

    done = trained_distribution("proxyless", supernet, held_out, CONFIG, terms=None, budget_ms=BUDGET_MS, screen=screen)
    assert screen(done.codes).all() and np.isnan(done.expected_ms).all()
    with pytest.raises(UsageError, match="nothing would keep the budget"):
        trained_distribution("proxyless", supernet, held_out, CONFIG, terms=None, budget_ms=BUDGET_MS)
    soft = SoftLatency(TERMS, BUDGET_MS, 0.5)
    done = trained_distribution(
        "proxyless",
        supernet,
        held_out,
        replace(CONFIG, steps=12),
        terms=TERMS,
        budget_ms=BUDGET_MS,
        screen=screen,
        soft=soft,
    )
    assert not screen(done.codes).all()  # the usual way keeps no budget
    with pytest.raises(UsageError, match="'darts' is no gradient search; known: proxyless, proxyless-adjacent"):
        trained_distribution("darts", supernet, held_out, CONFIG, terms=TERMS, budget_ms=BUDGET_MS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"mode": "one"}, "mode is 'one'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        ArchitectureTrainConfig(**settings)


def test_what_does_not_fit_is_refused(supernet, dataset):
    with pytest.raises(UsageError, match=r"over columns of \(3, 3\) options; portrait.* has \(3, 3, 3, 3\)"):
        train_architecture(LayerWeights([np.zeros(3)] * 2), supernet, dataset, Unrestricted(), CONFIG)
    with pytest.raises(UsageError, match="images are 40x32; the network needs multiples of 32"):
        trained(supernet, dataset, replace(CONFIG, height=40))
    with pytest.raises(UsageError, match="step 0 was recorded with gates of"):
        trained(supernet, dataset, recorded=[(1.0, [[0.0]])])
    with pytest.raises(UsageError, match="learning_rate is 0"):
        WeightSteps(dataset, learning_rate=0)
    with torch.no_grad():
        next(supernet.parameters()).fill_(torch.nan)
    with pytest.raises(LatlasError, match="step 0: an architecture's loss is nan"):
        trained(supernet, dataset)
    with pytest.raises(LatlasError, match="the supernet's weights: at step 0 the loss is nan"):
        trained(supernet, dataset, weight_steps=weight_steps(dataset))
