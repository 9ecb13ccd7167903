import numpy as np
import pytest
import torch

from latlas.errors import LatlasError, UsageError
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.recalibrate import recalibrate

TINY = PortraitSpace(
    height=32, width=32, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8, aspp_channels=8
)


def one_layer():
    """A 1x1 convolution that passes its one channel on, doubled, and its batch normalisation."""
    subnet = Subnet((Node(OpSpec("conv", 1, 1, 1, 2), (INPUT,)),))
    torch.nn.init.constant_(next(subnet.parameters()), 2.0)
    return subnet


def batch_norms(module):
    return [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]


def test_one_layer_by_hand():
    subnet = one_layer()
    (norm,) = batch_norms(subnet)
    # Doubled, the batches are (0, 2; 4, 6) and (10, 14): means 3 and 12, variances 5 and 4; two images and one.
    first = torch.tensor([0.0, 1.0, 2.0, 3.0]).reshape(2, 1, 1, 2)
    second = torch.tensor([5.0, 7.0]).reshape(1, 1, 1, 2)
    assert recalibrate(subnet, [first, second]) is subnet
    assert norm.running_mean.item() == pytest.approx((2 * 3 + 12) / 3)
    assert norm.running_var.item() == pytest.approx((2 * 5 + 4) / 3)


def test_the_mean_is_exact_and_one_batch_gives_the_exact_variance():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 1, 1, 2, generator=generator) * 3 + 1
    whole, parts = one_layer(), one_layer()
    recalibrate(whole, [images])
    recalibrate(parts, images.split([5, 4, 3]))
    (one,), (many,) = batch_norms(whole), batch_norms(parts)
    torch.testing.assert_close(one.running_mean, (2 * images).mean().reshape(1))
    torch.testing.assert_close(one.running_var, (2 * images).var(unbiased=False).reshape(1))
    torch.testing.assert_close(many.running_mean, one.running_mean)
    assert many.running_var.item() < one.running_var.item()  # what lies between the batches' means is left out


def test_a_whole_subnet_normalises_its_own_activations():
    torch.manual_seed(0)
    subnet = Supernet(TINY).extract(TINY.random(np.random.default_rng(0)))
    images = torch.rand(8, 3, 64, 64)
    with torch.no_grad():
        wanted = subnet.train().logits(images)
    recalibrate(subnet, [images])
    assert not subnet.training
    with torch.no_grad():
        torch.testing.assert_close(subnet.logits(images), wanted, rtol=1e-3, atol=1e-3)


def test_weights_and_momenta_stay_and_old_statistics_are_forgotten():
    torch.manual_seed(0)
    subnet = Supernet(TINY).extract(TINY.random(np.random.default_rng(0)))
    weights = {name: parameter.clone() for name, parameter in subnet.named_parameters()}
    images = [torch.rand(4, 3, 64, 64) for _ in range(2)]
    recalibrate(subnet, images)
    first = {name: buffer.clone() for name, buffer in subnet.named_buffers() if "num_batches" not in name}
    for norm in batch_norms(subnet):
        norm.running_mean.fill_(100.0)
    recalibrate(subnet, images)
    for name, parameter in subnet.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert parameter.grad is None
    for name, buffer in subnet.named_buffers():
        if name in first:
            assert torch.equal(buffer, first[name]), name
    assert all(norm.momentum == 0.1 and not norm._forward_pre_hooks for norm in batch_norms(subnet))


def test_what_cannot_be_calibrated_is_refused():
    subnet = one_layer()
    with pytest.raises(UsageError, match="was given no images"):
        recalibrate(subnet, [])
    with pytest.raises(UsageError, match="more than one value a channel"):
        recalibrate(subnet, [torch.ones(1, 1, 1, 1)])
    assert not batch_norms(subnet)[0]._forward_pre_hooks
    with pytest.raises(LatlasError, match="diverged"):
        recalibrate(subnet, [torch.full((2, 1, 1, 2), float("nan"))])
