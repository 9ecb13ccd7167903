"""Void pixels count in neither loss nor score, through resizing, augmentation, features and evaluation."""

import numpy as np
import pytest
import torch

from latlas.supernet.data.augment import Augmentation, augment
from latlas.supernet.data.batches import training_batch
from latlas.supernet.data.dataset import Dataset, resized
from latlas.supernet.data.void import float_masks
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.training.quality import Confusion, evaluate

STILL = Augmentation(
    **dict.fromkeys(("zoom", "stretch", "shift", "turn", "flip", "brightness", "contrast", "saturation"), 0),
    **dict.fromkeys(("cast", "grey", "focus", "noise", "cutout"), 0),
)


def dataset(masks):
    masks = torch.tensor(masks, dtype=torch.uint8)
    images = (masks[:, None] == 1).to(torch.uint8).mul(255).expand(-1, 3, -1, -1).contiguous()
    count = len(masks)
    return Dataset(images, masks, ("s",) * count, tuple(f"n{i}" for i in range(count)))


def test_the_loss_is_that_of_the_known_pixels_alone():
    logits = torch.tensor([[[[2.0, -1.0, 0.5, 9.0]]]], requires_grad=True)
    masks = torch.tensor([[[[1.0, 0.0, 1.0, -1.0]]]])
    loss = segmentation_loss(logits, masks)
    assert loss.item() == pytest.approx(segmentation_loss(logits[..., :3], masks[..., :3]).item())
    loss.backward()
    assert logits.grad[0, 0, 0, 3] == 0
    assert (logits.grad[0, 0, 0, :3] != 0).all()
    nothing = segmentation_loss(logits, torch.full_like(masks, -1.0))
    assert nothing.item() == 0


def test_resizing_by_hand():
    """Person where more than half of what is known is, void where more than half is void."""
    data = resized(dataset([[[1, 255, 255, 255, 0, 255], [0, 1, 255, 0, 0, 255]]]), 1, 3)
    assert data.masks.tolist() == [[[1, 255, 0]]]


def test_augmentation_moves_void_with_the_picture():
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[:, 8:24, 8:16], mask[:, 8:24, 16:20] = 1, 255
    data = dataset(mask)
    images, masks = data.images.float() / 255, float_masks(data.masks)[:, None]
    _, still = augment(images.clone(), masks.clone(), STILL, np.random.default_rng(0), (32, 32))
    assert torch.equal(still < 0, masks < 0)
    assert torch.allclose(still, masks, atol=1e-5)
    _, halved = augment(images, masks, None, np.random.default_rng(0), (16, 16))
    assert set(halved[0, 0, 8].tolist()) >= {-1.0, 0.0}
    assert (halved[0, 0, 8, 4:7] > 0.5).all()
    turned = augment(images, masks, Augmentation(flip=1.0), np.random.default_rng(3), (32, 32))[1]
    assert 20 < int((turned < 0).sum()) < 200
    assert float(turned.max()) <= 1


def test_beyond_the_picture_is_background_not_void():
    masks = float_masks(torch.full((1, 1, 16, 16), 255, dtype=torch.uint8))
    strength = Augmentation(**{**vars(STILL), "shift": 2.0})
    moved = augment(torch.zeros(1, 3, 16, 16), masks, strength, np.random.default_rng(1), (16, 16))[1]
    assert (moved == 0).any()
    assert set(moved.unique().tolist()) <= {-1.0, 0.0}


def test_a_batch_has_void_as_minus_one():
    data = dataset([[[0, 1], [255, 1]]])
    _, masks = training_batch(data, 1, 0, 0, (2, 2), None, np.random.default_rng(0), torch.device("cpu"))
    assert masks.tolist() == [[[[0, 1], [-1, 1]]]]


def test_quality_does_not_count_void():
    data = dataset([[[0, 1, 255, 255], [0, 1, 0, 1]]])

    def predict(images):
        return torch.tensor([[[[0.0, 1, 1, 0], [1, 1, 0, 0]]]])

    found = evaluate(predict, data).overall
    assert (found.true_person, found.false_person, found.missed_person, found.true_background) == (2, 1, 1, 2)


def test_the_boundary_may_run_anywhere_in_the_void():
    truth, void = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    truth[10:30, 10:30] = True
    void[7:33, 7:33] = True
    void[10:30, 10:30] = False
    for margin in (7, 8, 10):
        predicted = np.zeros((40, 40), bool)
        predicted[margin : 40 - margin, margin : 40 - margin] = True
        found = Confusion()
        found.add(predicted, truth, void=void)
        assert (found.person_iou, found.background_iou, found.boundary_f) == (1.0, 1.0, 1.0), margin
    found = Confusion()
    found.add(np.ones((40, 40), bool) & (np.arange(40) < 3), truth, void=void)
    assert found.boundary_predicted == 40
    assert found.boundary_predicted_matched == 0
