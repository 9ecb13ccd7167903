"""The loss that segmentation networks are trained with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice over the batch. Logits and masks (0..1) are both `(N, 1, H, W)`.

    Pixels with a mask below 0 are void and do not count. A batch that is void everywhere has a loss of 0.
    """
    known = masks >= 0
    if not bool(known.all()):
        logits, masks = logits[known], masks[known]
        if not logits.numel():
            return logits.sum()
    probability = logits.sigmoid()
    overlap = 2.0 * (probability * masks).sum() + 1.0
    dice = 1.0 - overlap / (probability.sum() + masks.sum() + 1.0)
    return F.binary_cross_entropy_with_logits(logits, masks) + dice
