"""Quality of person segmentation: from one confusion matrix over all pixels of a data set, not a mean over images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from latlas.supernet.data import Dataset, evaluation_batches

Binary = npt.NDArray[np.bool_]


@dataclass
class Confusion:
    """Pooled counts of pixels, and of boundary pixels that are matched within the tolerance."""

    true_person: int = 0
    false_person: int = 0
    missed_person: int = 0
    true_background: int = 0
    boundary_predicted: int = 0
    boundary_predicted_matched: int = 0
    boundary_truth: int = 0
    boundary_truth_matched: int = 0

    def add(self, predicted: Binary, truth: Binary, boundary: bool = True) -> None:
        """Count one image, both `(h, w)`."""
        self.true_person += int(np.count_nonzero(predicted & truth))
        self.false_person += int(np.count_nonzero(predicted & ~truth))
        self.missed_person += int(np.count_nonzero(~predicted & truth))
        self.true_background += int(np.count_nonzero(~predicted & ~truth))
        if not boundary:
            return
        near = max(1, round(0.01 * float(np.hypot(*truth.shape))))
        edges = [mask & ~binary_erosion(mask, border_value=1) for mask in (predicted, truth)]
        wide = [binary_dilation(edge, iterations=near) for edge in edges]
        self.boundary_predicted += int(np.count_nonzero(edges[0]))
        self.boundary_truth += int(np.count_nonzero(edges[1]))
        self.boundary_predicted_matched += int(np.count_nonzero(edges[0] & wide[1]))
        self.boundary_truth_matched += int(np.count_nonzero(edges[1] & wide[0]))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def person_iou(self) -> float:
        """Intersection over union of person; 1 where nobody is there and nobody is seen."""
        return _ratio(self.true_person, self.true_person + self.false_person + self.missed_person)

    @property
    def background_iou(self) -> float:
        """Intersection over union of background; 1 where there is none and none is seen."""
        return _ratio(self.true_background, self.true_background + self.false_person + self.missed_person)

    @property
    def miou(self) -> float:
        """Mean of both, 0..1."""
        return (self.person_iou + self.background_iou) / 2

    @property
    def boundary_f(self) -> float:
        """F-score of boundary pixels within 1 % of the image's diagonal, 0..1; 1 where there are none on either side."""
        precision = _ratio(self.boundary_predicted_matched, self.boundary_predicted)
        recall = _ratio(self.boundary_truth_matched, self.boundary_truth)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


@dataclass(frozen=True)
class Quality:
    """The confusion over all samples, and that of each source."""

    overall: Confusion
    by_source: dict[str, Confusion] = field(default_factory=dict)

    @property
    def miou(self) -> float:
        """Mean IoU of person and background over all pixels, 0..1."""
        return self.overall.miou

    @property
    def person_iou(self) -> float:
        """IoU of person over all pixels, 0..1."""
        return self.overall.person_iou

    @property
    def boundary_f(self) -> float:
        """Boundary F-score over all samples, 0..1."""
        return self.overall.boundary_f


def evaluate(
    predict: Callable[[Tensor], Tensor], dataset: Dataset, batch_size: int = 16, boundary: bool = True
) -> Quality:
    """Quality of `predict`, which maps images `(B, 3, H, W)` in 0..1 to probabilities of person `(B, 1, H, W)`.

    Where the data set has native masks, each probability is enlarged bilinearly to the mask's own size; person is what
    is above 0.5.
    """
    by_source: dict[str, Confusion] = {}
    with torch.inference_mode():
        for images, indices in evaluation_batches(dataset, batch_size):
            probability = predict(images).float().cpu()
            for row, index in enumerate(indices):
                truth = dataset.native_masks[index] if dataset.native_masks else dataset.masks[index].numpy()
                one = probability[row : row + 1]
                if one.shape[2:] != truth.shape:
                    one = F.interpolate(one, truth.shape, mode="bilinear", align_corners=False)
                confusion = by_source.setdefault(dataset.sources[index], Confusion())
                confusion.add(one[0, 0].numpy() > 0.5, truth > 0, boundary)
    overall = sum(by_source.values(), Confusion())
    return Quality(overall, dict(sorted(by_source.items())))
