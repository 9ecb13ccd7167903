"""Void pixels, which nobody labelled: how resizing and augmentation treat them, and how the loss sees them.

In memory a mask has the values 0, 1 and 255 (void). For the loss it has values in 0..1, and -1 for void. Resizing and warping
interpolate person and known separately, so that a void pixel beside a person does not become part of the person.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latlas.supernet.data.mask_values import PERSON, VOID

UNKNOWN = -1.0
"""The value of a void pixel in a mask for the loss."""


def float_masks(masks: Tensor) -> Tensor:
    """Masks for the loss from masks of 0, 1 and 255: the same values as floats, with `UNKNOWN` for void."""
    return masks.float().masked_fill_(masks == VOID, UNKNOWN)


def parts_of(masks: Tensor) -> tuple[Tensor, Tensor | None]:
    """Where masks of 0, 1 and 255 are person, and where they are known, as 0 and 1 in uint8. Known is None without void."""
    void = masks == VOID
    if not bool(void.any()):
        return masks, None
    return (masks == PERSON).to(torch.uint8), (~void).to(torch.uint8)


def joined(person: Tensor, known: Tensor | None) -> Tensor:
    """Masks of 0, 1 and 255 in uint8, from the shares of each pixel (0..1) that are person and that are known."""
    if known is None:
        return (person > 0.5).to(torch.uint8)
    return torch.where(known < 0.5, VOID, (person > 0.5 * known).to(torch.uint8))


def float_parts(masks: Tensor) -> tuple[Tensor, Tensor | None]:
    """The shares of person and of known in masks for the loss, both 0..1. Known is None without void."""
    known = masks >= 0
    if bool(known.all()):
        return masks, None
    return masks.clamp(min=0), known.float()


def float_joined(person: Tensor, known: Tensor | None) -> Tensor:
    """Masks for the loss from interpolated shares. A pixel is void if more than half of it is void."""
    if known is None:
        return person
    return torch.where(known < 0.5, UNKNOWN, (person / known.clamp(min=0.5)).clamp(max=1))
