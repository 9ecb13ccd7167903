"""Gate gradients against finite differences and each other, and what they leave alone and keep in memory."""

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from latlas.errors import UsageError
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.portrait import SPACE_OPERATORS, PortraitSpace
from latlas.supernet.networks.gates import batch_statistics, gate_gradients
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Supernet, logits_graph, run_graph

SIZES = {"widths": (8, 8, 8, 8), "stem_channels": 8, "decoder_channels": 8, "aspp_channels": 8}
TINY = PortraitSpace(height=32, width=32, depths=(1, 1, 1, 2), skip=True, **SIZES)
CELL = NasBench201(height=8, width=8, channels=4, cells=1, num_classes=3)


def supernet_of(space, dtype=torch.float64):
    torch.manual_seed(0)
    return Supernet(space).to(dtype)


def data(space, dtype=torch.float64, count=4):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, *space.input_shape(), generator=generator, dtype=dtype)
    if isinstance(space, NasBench201):
        return images, torch.rand(count, space.num_classes, 1, 1, generator=generator, dtype=dtype)
    return images, (torch.rand(count, 1, space.height, space.width, generator=generator) > 0.5).to(dtype)


def squares(logits, targets):
    return ((logits - targets) ** 2).mean()


def loss_of(space):
    return squares if isinstance(space, NasBench201) else segmentation_loss


def mixed_loss(supernet, images, masks, gates):
    """The loss of a supernet whose searchable nodes put out the sum of all options, weighted by the gates."""
    slots = supernet.space.template().slots

    def module(index):
        slot = slots[index]
        operators = [supernet.operator(index, spec) for spec in slot.options]
        if slot.column is None:
            return operators[0]
        weights = gates[slot.column]
        return lambda *inputs: sum(float(g) * one(*inputs) for g, one in zip(weights, operators, strict=True))

    with batch_statistics(supernet), torch.no_grad():
        graph = supernet.space.cover()[0].graph()
        return loss_of(supernet.space)(run_graph(logits_graph(graph), module, images), masks).item()


def differences(supernet, images, masks, codes, step=1e-6):
    """Central differences of `mixed_loss` at the one-hot gates of the codes."""
    found = []
    for column, size in enumerate(supernet.space.template().sizes):
        gradient = np.zeros(size)
        for option in range(size):
            at = []
            for sign in (1, -1):
                gates = [np.eye(len(row))[code] for row, code in zip(supernet.space.choices, codes, strict=True)]
                gates[column][option] += sign * step
                at.append(mixed_loss(supernet, images, masks, gates))
            gradient[option] = (at[0] - at[1]) / (2 * step)
        found.append(gradient)
    return found


def drawn(space, seed):
    architecture = space.random(np.random.default_rng(seed))
    return architecture, space.encode([architecture])[0]


def other_options(codes, sizes, seed=0):
    """Pairs of the active option and another."""
    rng = np.random.default_rng(seed)
    return [(code, (code + rng.integers(1, size)) % size) for code, size in zip(codes, sizes, strict=True)]


@pytest.mark.parametrize(("space", "seed"), [(TINY, 0), (CELL, 0), (CELL, 1)])
def test_gradients_are_the_differences_of_the_mixed_loss(space, seed):
    supernet, (images, masks) = supernet_of(space), data(space, count=3)
    architecture, codes = drawn(space, seed)
    wanted = differences(supernet, images, masks, codes)
    assert max(np.abs(one).max() for one in wanted) > 1e-3
    for mode in ("full", "recompute"):
        loss, found = gate_gradients(supernet, images, masks, architecture, mode, loss=loss_of(space))
        one_hot = [np.eye(len(row))[code] for row, code in zip(space.choices, codes, strict=True)]
        assert loss == pytest.approx(mixed_loss(supernet, images, masks, one_hot), rel=1e-12)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def test_skip_and_zeros_are_paths_with_gradients_of_their_own():
    supernet, (images, masks) = supernet_of(CELL), data(CELL)
    none = CELL.choices[0].index("none")
    # Only the edge from the cell's input reaches its last sum: the gates of the first three edges feel nothing.
    architecture = CELL.architecture(["nor_conv_3x3"] * 3 + ["skip_connect", "none", "none"])
    _, found = gate_gradients(supernet, images, masks, architecture, loss=squares)
    assert not any(one.any() for one in found[:3])
    assert all(one[none] == 0 and np.count_nonzero(one) == 4 for one in found[3:])
    supernet, (images, masks) = supernet_of(TINY), data(TINY)
    _, found = gate_gradients(supernet, images, masks, TINY.architecture(["shuffle"] * 4 + ["skip"]))
    assert found[4][TINY.choices[4].index("skip")] != 0
    assert all(found[column][option] != 0 for column in range(5) for option in range(len(TINY.choices[column])))


@pytest.mark.parametrize("space", [TINY, CELL], ids=["portrait", "nasbench201"])
def test_modes_agree(space):
    supernet, (images, masks) = supernet_of(space, torch.float32), data(space, torch.float32)
    for seed in range(3):
        architecture, codes = drawn(space, seed)
        arguments = supernet, images, masks, architecture
        loss, full = gate_gradients(*arguments, "full", loss=loss_of(space))
        again, recomputed = gate_gradients(*arguments, "recompute", loss=loss_of(space))
        pair = other_options(codes, space.template().sizes, seed)
        at_two, two = gate_gradients(*arguments, "two", pair, loss=loss_of(space))
        assert loss == pytest.approx(again, rel=1e-6) and loss == pytest.approx(at_two, rel=1e-6)
        for ours, theirs, some, options in zip(recomputed, full, two, pair, strict=True):
            atol = 1e-4 * max(np.abs(one).max() for one in full)
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=atol)
            chosen = np.isin(np.arange(len(theirs)), options)
            np.testing.assert_allclose(some[chosen], theirs[chosen], rtol=1e-3, atol=atol)
            assert not some[~chosen].any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mode", ["full", "recompute", "two"])
def test_the_supernet_is_left_as_it_was(mode, training):
    supernet, (images, masks) = supernet_of(TINY, torch.float32), data(TINY, torch.float32)
    supernet.train(training)
    fixed = next(supernet.parameters()).requires_grad_(False)
    supernet.logits(images, TINY.cover()[0]).mean().backward()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    gradients = {name: p.grad if p.grad is None else p.grad.clone() for name, p in supernet.named_parameters()}
    architecture, codes = drawn(TINY, 3)
    pair = other_options(codes, TINY.template().sizes) if mode == "two" else None
    gate_gradients(supernet, images, masks, architecture, mode, pair)
    after = supernet.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    for name, parameter in supernet.named_parameters():
        assert parameter.requires_grad == (parameter is not fixed)
        assert (parameter.grad is None) == (gradients[name] is None)
        assert parameter.grad is None or torch.equal(parameter.grad, gradients[name])
    assert all(module.training is training for module in supernet.modules())
    norms = [module for module in supernet.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and all(norm.track_running_stats for norm in norms)


def test_the_supernet_is_restored_after_an_error():
    supernet, (images, masks) = supernet_of(TINY, torch.float32), data(TINY, torch.float32)
    supernet.eval()

    def broken(logits, masks):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gate_gradients(supernet, images, masks, drawn(TINY, 0)[0], loss=broken)
    assert all(parameter.requires_grad for parameter in supernet.parameters())
    assert not any(module.training for module in supernet.modules())


def test_batch_statistics_are_the_batchs():
    supernet, (images, masks) = supernet_of(TINY, torch.float32), data(TINY, torch.float32)
    architecture, _ = drawn(TINY, 0)
    supernet.eval()
    loss, _ = gate_gradients(supernet, images, masks, architecture)
    with torch.no_grad():
        running = segmentation_loss(supernet.logits(images, architecture), masks).item()
        supernet.train()
        batch = segmentation_loss(supernet.logits(images, architecture), masks).item()
    assert loss == pytest.approx(batch, rel=1e-6)
    assert loss != pytest.approx(running, rel=1e-3)


class Peak:
    """Bytes of the different storages that autograd keeps for a backward pass, and the most at any time."""

    def __init__(self, network):
        self.ignored = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
        self.users, self.now, self.most = {}, 0, 0

    class Kept:
        def __init__(self, peak, tensor):
            self.peak, self.tensor = peak, tensor.detach()
            self.key, self.size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
            peak.users[self.key] = peak.users.get(self.key, 0) + 1
            if peak.users[self.key] == 1 and self.key not in peak.ignored:
                peak.now += self.size
                peak.most = max(peak.most, peak.now)

        def __del__(self):
            self.peak.users[self.key] -= 1
            if not self.peak.users[self.key] and self.key not in self.peak.ignored:
                self.peak.now -= self.size

    def hooks(self):
        return saved_tensors_hooks(lambda tensor: Peak.Kept(self, tensor), lambda kept: kept.tensor)


def kept_bytes(operators, mode):
    """The most bytes that autograd keeps for the gradients of one architecture, in a space of so many operators."""
    space = PortraitSpace(height=64, width=64, depths=(1, 1, 2, 2), operators=SPACE_OPERATORS[:operators], **SIZES)
    supernet, (images, masks) = supernet_of(space, torch.float32), data(space, torch.float32)
    architecture = space.architecture([space.choices[0][0]] * len(space.choices))
    peak = Peak(supernet)
    with peak.hooks():
        if mode == "path":
            graph = logits_graph(architecture.graph())

            def module(index):
                operator = supernet.operator(index, graph[index].spec)
                # Node 0 is the stem: gates need no gradient beyond what the first searchable node puts out.
                return operator if index != 1 else lambda x: operator(x).requires_grad_()

            supernet.requires_grad_(False)
            with batch_statistics(supernet):
                segmentation_loss(run_graph(graph, module, images), masks).backward()
        else:
            pair = [(0, 1)] * len(space.choices) if mode == "two" else None
            gate_gradients(supernet, images, masks, architecture, mode, pair)
    assert peak.now == 0
    return peak.most


def test_recomputed_gates_keep_one_path_however_many_operators_there_are():
    path = kept_bytes(2, "path")
    one = {operators: kept_bytes(operators, "recompute") for operators in (2, 4, 7)}
    assert len(set(one.values())) == 1
    assert path <= one[2] < 1.15 * path
    full = {operators: kept_bytes(operators, "full") for operators in (2, 4, 7)}
    assert full[2] < full[4] < full[7] and full[7] > 2 * one[7]
    assert kept_bytes(7, "two") == kept_bytes(2, "two") == full[2]


def test_a_column_with_one_option_has_nothing_to_choose():
    space = PortraitSpace(height=32, width=32, depths=(1, 1, 1, 1), operators=SPACE_OPERATORS[:1], **SIZES)
    supernet, (images, masks) = supernet_of(space, torch.float32), data(space, torch.float32)
    loss, found = gate_gradients(supernet, images, masks, space.cover()[0])
    assert loss > 0 and [one.tolist() for one in found] == [[0.0]] * 4


def test_what_does_not_fit_is_refused():
    supernet, (images, masks) = supernet_of(TINY, torch.float32), data(TINY, torch.float32)
    architecture, codes = drawn(TINY, 0)
    arguments = supernet, images, masks, architecture
    with pytest.raises(UsageError, match="mode is 'half'; known: full, recompute, two"):
        gate_gradients(*arguments, "half")
    with pytest.raises(UsageError, match="`two` takes a pair of options a column"):
        gate_gradients(*arguments, "two")
    with pytest.raises(UsageError, match="mode full was given pair"):
        gate_gradients(*arguments, "full", other_options(codes, TINY.template().sizes))
    with pytest.raises(UsageError, match="pairs of 1 columns were given; the space has 5"):
        gate_gradients(*arguments, "two", [(0, 1)])
    for wrong in ((codes[2], codes[2]), ((codes[2] + 1) % 7, (codes[2] + 2) % 7), (codes[2], 7), (codes[2], -1)):
        pair = other_options(codes, TINY.template().sizes)
        pair[2] = wrong
        with pytest.raises(UsageError, match="the pair of column 2 is"):
            gate_gradients(*arguments, "two", pair)
