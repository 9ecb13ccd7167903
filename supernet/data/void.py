"""Void pixels, which nobody labelled: how they come through resizing and augmentation, and how the loss sees them.

In memory a mask is 0, 1 or 255; for the loss 0 to 1, and -1 for void. Between the two, person and known are interpolated apart:
a void pixel beside a person is no part of a person.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latlas.supernet.data.mask_values import PERSON, VOID

UNKNOWN = -1.0
"""A void pixel of a mask as the loss takes it."""


def float_masks(masks: Tensor) -> Tensor:
    """Masks of 0, 1 and 255 as the loss takes them: the same in float, void as `UNKNOWN`."""
    return masks.float().masked_fill_(masks == VOID, UNKNOWN)


def parts_of(masks: Tensor) -> tuple[Tensor, Tensor | None]:
    """Where masks of 0, 1 and 255 are person, and where they are known, 0 and 1 in uint8; None where nothing is void."""
    void = masks == VOID
    if not bool(void.any()):
        return masks, None
    return (masks == PERSON).to(torch.uint8), (~void).to(torch.uint8)


def joined(person: Tensor, known: Tensor | None) -> Tensor:
    """Masks of 0, 1 and 255 in uint8, of how much of each pixel is person and how much is known, 0..1."""
    if known is None:
        return (person > 0.5).to(torch.uint8)
    return torch.where(known < 0.5, VOID, (person > 0.5 * known).to(torch.uint8))


def float_parts(masks: Tensor) -> tuple[Tensor, Tensor | None]:
    """Person and known of the loss's masks, both in 0..1; None where nothing is void."""
    known = masks >= 0
    if bool(known.all()):
        return masks, None
    return masks.clamp(min=0), known.float()


def float_joined(person: Tensor, known: Tensor | None) -> Tensor:
    """The loss's masks of interpolated shares; a pixel that is void for more than half is void."""
    if known is None:
        return person
    return torch.where(known < 0.5, UNKNOWN, (person / known.clamp(min=0.5)).clamp(max=1))
