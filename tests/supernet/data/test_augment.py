import numpy as np
import pytest
import torch

from latlas.errors import UsageError
from latlas.supernet.data.augment import Augmentation, augment

STILL = Augmentation(**dict.fromkeys(vars(Augmentation()), 0.0))


def strength(**changes):
    return Augmentation(**{**vars(STILL), **changes})


@pytest.fixture
def batch():
    """Images whose red channel is the mask, a lopsided triangle."""
    down, along = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    masks = ((down > 8) & (along > 10) & (along < down + 12)).float().expand(6, 1, 32, 48).contiguous()
    images = torch.cat((masks, torch.rand(6, 2, 32, 48, generator=torch.Generator().manual_seed(0))), dim=1)
    return images, masks


def rng(seed=0):
    return np.random.default_rng(seed)


def test_no_strength_changes_nothing(batch):
    images, masks = augment(batch[0], batch[1], STILL, rng(), (32, 48))
    torch.testing.assert_close(images, batch[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(masks, batch[1], atol=1e-5, rtol=0)


def test_a_flip_mirrors_image_and_mask(batch):
    images, masks = augment(batch[0], batch[1], strength(flip=1), rng(), (32, 48))
    torch.testing.assert_close(images, batch[0].flip(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(masks, batch[1].flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(32, 48), (24, 24), (64, 96)])
def test_image_and_mask_move_together(batch, size):
    moved = strength(zoom=0.5, stretch=0.3, shift=0.3, turn=30, flip=0.5)
    fill = batch[1].mean(dim=(2, 3), keepdim=True)  # beyond the image is its mean colour, but no person
    images, masks = augment(batch[0], batch[1], moved, rng(), size)
    inside = augment(torch.ones_like(batch[0]) * 0.5, torch.ones_like(batch[1]), moved, rng(), size)[1]
    torch.testing.assert_close(images[:, :1], masks + (1 - inside) * fill, atol=1e-4, rtol=0)
    assert images.shape[2:] == masks.shape[2:] == size
    assert not torch.equal(masks[0], masks[1])


def test_a_turn_keeps_squares_square():
    masks = torch.zeros(4, 1, 32, 96)
    masks[:, :, 8:24, 40:56] = 1
    turned = augment(masks.expand(4, 3, 32, 96), masks, strength(turn=45), rng(3), (32, 96))[1]
    torch.testing.assert_close(turned.sum(dim=(1, 2, 3)), torch.full((4,), 256.0), atol=4, rtol=0)
    rows, columns = turned.amax(dim=3)[:, 0].sum(dim=1), turned.amax(dim=2)[:, 0].sum(dim=1)
    torch.testing.assert_close(rows, columns, atol=1.5, rtol=0)


def test_colour_by_hand(batch):
    """Without saturation the channels are their mean; brightness is one factor an image."""
    grey, masks = augment(batch[0], batch[1], strength(grey=1), rng(), (32, 48))
    torch.testing.assert_close(grey, batch[0].mean(dim=1, keepdim=True).expand_as(grey), atol=1e-5, rtol=0)
    torch.testing.assert_close(masks, batch[1], atol=1e-5, rtol=0)
    dim = augment(batch[0], batch[1], strength(brightness=0.5), rng(), (32, 48))[0]
    ratio = (dim / batch[0])[:, 1:].flatten(1)
    unclipped = (dim < 1)[:, 1:].flatten(1) & (batch[0] > 0.05)[:, 1:].flatten(1)
    for one, kept in zip(ratio, unclipped, strict=True):
        assert one[kept].max() - one[kept].min() < 1e-3
        assert 0.5 <= float(one[kept].mean()) <= 1.5


def test_contrast_is_about_the_images_mean(batch):
    images = batch[0] * 0.2 + 0.4
    changed = augment(images, batch[1], strength(contrast=0.9), rng(), (32, 48))[0]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    factors = ((changed - mean) / (images - mean)).flatten(1).median(dim=1).values
    assert factors.min() < 0.9 < 1.1 < factors.max()
    torch.testing.assert_close(changed, mean + (images - mean) * factors.view(-1, 1, 1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("only", ["focus", "noise", "cutout", "brightness", "contrast", "saturation", "cast"])
def test_the_mask_stays_under_changes_of_the_image(batch, only):
    images, masks = augment(batch[0], batch[1], strength(**{only: 1.0}), rng(), (32, 48))
    torch.testing.assert_close(masks, batch[1], atol=1e-5, rtol=0)
    assert (images - batch[0]).abs().max() > 0.01


def test_full_strength_stays_in_range_and_channels_last(batch):
    images, masks = augment(batch[0], batch[1], Augmentation(), rng(), (32, 48))
    for values in (images, masks):
        assert values.dtype == torch.float32
        assert float(values.min()) >= 0
        assert float(values.max()) <= 1 + 1e-6
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert masks.shape == (6, 1, 32, 48)


def test_the_same_seed_the_same_batch(batch):
    torch.manual_seed(1)
    first = augment(batch[0], batch[1], Augmentation(), rng(7), (32, 48))
    torch.manual_seed(2)
    second = augment(batch[0], batch[1], Augmentation(), rng(7), (32, 48))
    other = augment(batch[0], batch[1], Augmentation(), rng(8), (32, 48))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_the_arguments_are_left_alone(batch):
    before = batch[0].clone(), batch[1].clone()
    augment(batch[0], batch[1], Augmentation(), rng(), (32, 48))
    augment(batch[0], batch[1], None, rng(), (32, 48))
    assert torch.equal(batch[0], before[0])
    assert torch.equal(batch[1], before[1])


def test_none_only_resizes(batch):
    images, masks = augment(batch[0], batch[1], None, rng(), (16, 24))
    assert images.shape == (6, 3, 16, 24)
    torch.testing.assert_close(images[:, :1], masks)
    assert torch.equal(augment(batch[0], batch[1], None, rng(), (32, 48))[0], batch[0])


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_wrong_strength_is_said(value):
    with pytest.raises(UsageError, match=r"augmentation zoom is .*; it must be finite and at least 0"):
        Augmentation(zoom=value)
