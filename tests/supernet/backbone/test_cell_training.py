"""Cells trained on features: the same as whole networks with a frozen backbone, and exactly repeatable."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latlas.errors import DivergedError, UsageError
from latlas.spaces.text import parse_space
from latlas.supernet.backbone.cell_training import CellTraining, ProxyData
from latlas.supernet.backbone.feature_cache import FeatureCache
from latlas.supernet.backbone.features import FeaturePlan
from latlas.supernet.backbone.split import Backbone, split_of
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.batches import chosen_samples, training_batch
from latlas.supernet.data.dataset import synthetic
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.operators.build import timing_operator
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig

SPACE = parse_space(
    "dpc:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,backbone=m3-s3-m3-m3,branches=2,"
    "filters=8"
)
SPLIT = split_of(SPACE)
CONFIG = TrainConfig(steps=8, batch_size=4, learning_rate=5e-3, device="cpu")
ARCHITECTURE = SPACE.baseline("dpc_cityscapes")
SCORED = synthetic(8, 32, 32, 2)


@pytest.fixture(scope="module")
def backbone():
    return Backbone(SPLIT, [timing_operator(node.spec) for node in SPLIT.prefix])


@pytest.fixture(scope="module")
def data(backbone, tmp_path_factory):
    cache = FeatureCache(tmp_path_factory.mktemp("cache"))
    plans = (FeaturePlan(Augmentation(), copies=3, seed=1), FeaturePlan(), FeaturePlan())
    sets = (synthetic(10, 32, 32, 0), SCORED, synthetic(8, 32, 32, 4))
    return ProxyData(SPLIT, *(cache.features(backbone, one, plan, "v") for one, plan in zip(sets, plans, strict=True)))


def weights(training):
    return [parameter.detach().clone() for parameter in training.head.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_asking_for_quality_on_the_way_changes_nothing(data):
    """What rungs rest on: a training that was asked at each step ends as one that was not."""
    asked = CellTraining(ARCHITECTURE.graph(), data, CONFIG)
    seen = [asked.advance(step).miou() for step in (0, 1, 2, 5, 8)]
    plain = CellTraining(ARCHITECTURE.graph(), data, CONFIG).advance(8)
    assert same(asked, plain) and plain.miou() == seen[-1]
    assert all(0 <= one <= 1 for one in seen)
    assert plain.miou() == seen[-1]  # again


def test_chance_is_of_the_seed_alone(data):
    """Dropout too, which draws from torch's own generator: what others drew before does not matter."""
    one = CellTraining(ARCHITECTURE.graph(), data, CONFIG).advance(3)
    before = torch.random.get_rng_state()
    torch.rand(5)
    other = CellTraining(ARCHITECTURE.graph(), data, CONFIG).advance(3)
    assert same(one, other)
    torch.random.set_rng_state(before)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not same(one, CellTraining(ARCHITECTURE.graph(), data, replace(CONFIG, seed=1)).advance(3))


def test_it_learns(data):
    training = CellTraining(ARCHITECTURE.graph(), data, replace(CONFIG, steps=80, learning_rate=2e-2))
    features, masks = data.training.batch(np.arange(10), torch.device("cpu"))

    def loss():
        training.head.train()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return float(segmentation_loss(training.head.logits(features), masks))

    before = loss()
    training.advance(80)
    assert loss() < 0.8 * before


def test_steps_are_those_of_a_whole_network_with_its_backbone_frozen(backbone, tmp_path):
    """One step by hand on the same images, without augmentation: loss, clipping, AdamW, the warm-up's rate."""
    images = synthetic(8, 32, 32, 0)
    features = FeatureCache(tmp_path).features(backbone, images, FeaturePlan(), "v")
    with torch.no_grad():  # as they are before they are rounded: at the kink of a ReLU no gradient is near another
        exact = tuple(one.numpy() for one in backbone(images.images.float() / 255))
    features = replace(features, taps=exact)
    training = CellTraining(SPACE.baseline("aspp").graph(), ProxyData(SPLIT, features, features, features), CONFIG)
    whole = training.network(backbone)
    head = whole.nodes[len(SPLIT.prefix) :]
    for module in head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for module in training.head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    whole.nodes[: len(SPLIT.prefix)].requires_grad_(False).eval()
    head.train()
    decayed = [one for one in head.parameters() if one.ndim > 1]
    plain = [one for one in head.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": CONFIG.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=CONFIG.learning_rate_at(0, 0.0),
    )
    batch = training_batch(images, 4, 0, 0, (32, 32), None, np.random.default_rng(0), torch.device("cpu"))
    segmentation_loss(whole.logits(batch[0]), batch[1]).backward()
    torch.nn.utils.clip_grad_norm_(head.parameters(), CONFIG.clip_norm)
    gradients = [one.grad.clone() for one in head.parameters() if one.grad is not None]
    optimizer.step()
    training.advance(1)
    for ours, theirs, gradient in zip(training.head.parameters(), head.parameters(), gradients, strict=True):
        torch.testing.assert_close(ours.grad, gradient, rtol=1e-4, atol=1e-7)
        sure = gradient.abs() > 1e-5  # Adam's first step is the gradient's sign
        torch.testing.assert_close(ours[sure], theirs[sure], rtol=1e-4, atol=1e-6)


def test_epochs_go_round_the_copies(data, monkeypatch):
    rows = []
    batch = type(data.training).batch
    monkeypatch.setattr(
        type(data.training), "batch", lambda self, chosen, device: rows.append(chosen) or batch(self, chosen, device)
    )
    CellTraining(ARCHITECTURE.graph(), data, CONFIG).advance(8)
    copies = [set((chosen // 10).tolist()) for chosen in rows]
    assert copies == [{0}, {0}, {1}, {1}, {2}, {2}, {0}, {0}]  # ten images, four a batch: two batches an epoch
    for step, chosen in enumerate(rows):
        assert (chosen % 10).tolist() == chosen_samples(10, 4, 0, step)[0].tolist()


def test_its_quality_is_that_of_the_whole_network(data, backbone):
    training = CellTraining(ARCHITECTURE.graph(), data, replace(CONFIG, steps=30)).advance(30)
    reached = training.miou()
    whole = training.network(backbone)
    assert score_subnet(whole, SCORED, boundary=False).miou == pytest.approx(reached, abs=0.003)


def test_what_cannot_be_is_refused(data):
    training = CellTraining(ARCHITECTURE.graph(), data, CONFIG).advance(2)
    for step in (1, 9):
        with pytest.raises(UsageError, match=f"is at step 2 of 8; it does not go on to {step}"):
            training.advance(step)
    other = parse_space(f"{SPACE.text},num_classes=2")
    with pytest.raises(UsageError, match="has 2 classes"):
        CellTraining(other.baseline("aspp").graph(), data, CONFIG)
    with torch.no_grad():
        next(training.head.parameters()).fill_(float("nan"))
    with pytest.raises(
        DivergedError, match=r"cell [0-9a-f]{16}: at step 2 the loss is nan.*lower learning_rate than 0.005"
    ):
        training.advance(3)
