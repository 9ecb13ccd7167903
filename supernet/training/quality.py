"""Quality of person segmentation. It comes from one confusion matrix over all pixels of a data set, not from a mean over
images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from latlas.errors import UsageError
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset, evaluation_batches
from latlas.supernet.data.mask_values import PERSON, VOID
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.recalibrate import recalibrate

Binary = npt.NDArray[np.bool_]


@dataclass
class Confusion:
    """Counts of pixels over many images, and counts of boundary pixels that match within the tolerance."""

    true_person: int = 0
    false_person: int = 0
    missed_person: int = 0
    true_background: int = 0
    boundary_predicted: int = 0
    boundary_predicted_matched: int = 0
    boundary_truth: int = 0
    boundary_truth_matched: int = 0

    def add(self, predicted: Binary, truth: Binary, boundary: bool = True, void: Binary | None = None) -> None:
        """Count one image; all arrays are `(h, w)`. Pixels that are `void` do not count.

        The true boundary may run anywhere in the void, so a predicted boundary near the void counts as a match.
        """
        if void is not None and void.any():
            self._add_known(predicted, truth & ~void, void, boundary)
            return
        self.true_person += int(np.count_nonzero(predicted & truth))
        self.false_person += int(np.count_nonzero(predicted & ~truth))
        self.missed_person += int(np.count_nonzero(~predicted & truth))
        self.true_background += int(np.count_nonzero(~predicted & ~truth))
        if not boundary:
            return
        tolerance = max(1.0, 0.01 * float(np.hypot(*truth.shape)))
        edges = [_edge(mask) for mask in (predicted, truth)]
        wide = [_near(edge, tolerance) for edge in edges]
        self.boundary_predicted += int(np.count_nonzero(edges[0]))
        self.boundary_truth += int(np.count_nonzero(edges[1]))
        self.boundary_predicted_matched += int(np.count_nonzero(edges[0] & wide[1]))
        self.boundary_truth_matched += int(np.count_nonzero(edges[1] & wide[0]))

    def _add_known(self, predicted: Binary, truth: Binary, void: Binary, boundary: bool) -> None:
        known = ~void
        self.add(predicted[known], truth[known], boundary=False)
        if not boundary:
            return
        tolerance = max(1.0, 0.01 * float(np.hypot(*truth.shape)))
        seen, real = _edge(predicted) & known, _edge(truth | void) & known
        self.boundary_predicted += int(np.count_nonzero(seen))
        self.boundary_truth += int(np.count_nonzero(real))
        self.boundary_predicted_matched += int(np.count_nonzero(seen & _near(real | void, tolerance)))
        self.boundary_truth_matched += int(np.count_nonzero(real & _near(_edge(predicted), tolerance)))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def person_iou(self) -> float:
        """Intersection over union of person, 0..1; 1 if there is no person and none was predicted."""
        return _ratio(self.true_person, self.true_person + self.false_person + self.missed_person)

    @property
    def background_iou(self) -> float:
        """Intersection over union of background, 0..1; 1 if there is no background and none was predicted."""
        return _ratio(self.true_background, self.true_background + self.false_person + self.missed_person)

    @property
    def miou(self) -> float:
        """Mean of the two IoUs, 0..1."""
        return (self.person_iou + self.background_iou) / 2

    @property
    def boundary_f(self) -> float:
        """F-score of boundary pixels within 1 % of the image's diagonal, 0..1; 1 if neither side has a boundary."""
        precision = _ratio(self.boundary_predicted_matched, self.boundary_predicted)
        recall = _ratio(self.boundary_truth_matched, self.boundary_truth)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _edge(mask: Binary) -> Binary:
    """Person pixels with background above, below, left or right of them. The image's border is not an edge."""
    inner = np.pad(mask, 1, constant_values=True)
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return np.asarray(mask & ~inner)


def _near(edge: Binary, tolerance: float) -> Binary:
    """Pixels within `tolerance` pixels of an edge, by straight distance."""
    return np.asarray(distance_transform_edt(~edge) <= tolerance) if edge.any() else edge


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


@dataclass(frozen=True)
class Quality:
    """The confusion counts over all samples, for each source, and for each image in order."""

    overall: Confusion
    by_source: dict[str, Confusion] = field(default_factory=dict)
    by_image: tuple[Confusion, ...] = ()

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

    If the data set has native masks, the probabilities are resized bilinearly to the mask's own size. A pixel is person
    above 0.5. The batch size does not change the result. `boundary=False` skips the boundary F-score, which saves time.

    Raises:
        UsageError: There are no images, or `predict` gave another shape or a value that is not finite.

    Example:
        >>> evaluate(lambda images: images.mean(dim=1, keepdim=True), synthetic(8, 64, 64)).by_source["synthetic"].miou
    """
    if not len(dataset):
        raise UsageError("the data set has no images; an evaluation needs at least one")
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
    by_source: dict[str, Confusion] = {}
    by_image: dict[int, Confusion] = {}
    with torch.inference_mode():
        for images, indices in evaluation_batches(dataset, batch_size):
            probability = predict(images).float().cpu()
            if probability.ndim != 4 or probability.shape[:2] != (len(images), 1):
                raise UsageError(
                    f"predict gave {tuple(probability.shape)} for {tuple(images.shape)}; want (B, 1, H, W)"
                )
            if not bool(torch.isfinite(probability).all()):
                raise UsageError(
                    f"predict gave values that are not finite for {dataset.names[indices[0]]} or those after it"
                )
            for row, index in enumerate(indices):
                truth = dataset.native_masks[index] if dataset.native_masks else dataset.masks[index].numpy()
                one = probability[row : row + 1]
                if one.shape[2:] != truth.shape:
                    one = F.interpolate(one, truth.shape, mode="bilinear", align_corners=False)
                confusion = by_image[index] = Confusion()
                confusion.add(one[0, 0].numpy() > 0.5, truth == PERSON, boundary, truth == VOID)
                source = dataset.sources[index]
                by_source[source] = by_source.get(source, Confusion()) + confusion
    overall = sum(by_source.values(), Confusion())
    return Quality(overall, dict(sorted(by_source.items())), tuple(by_image[index] for index in sorted(by_image)))


def score(
    supernet: Supernet,
    architecture: Architecture,
    calibration_images: Iterable[Tensor],
    validation: Dataset,
    batch_size: int = 32,
) -> Quality:
    """The quality of one architecture with the supernet's weights, after its batch normalisation was recalibrated.

    The supernet does not change. To compare architectures fairly, give all of them the same calibration images.

    Args:
        supernet: A trained supernet.
        architecture: Of the supernet's space, not a baseline.
        calibration_images: Batches `(N, 3, H, W)` in 0..1 of training data; give a list if you use it several times.
        validation: The data that the quality is computed on.
        batch_size: Images evaluated at once.

    Raises:
        UsageError: The architecture is not the supernet's, or there are no calibration images.

    Example:
        >>> score(supernet, space.random(rng), [torch.rand(16, 3, 256, 256)], validation).miou
    """
    subnet = recalibrate(supernet.extract(architecture), calibration_images)
    return score_subnet(subnet, validation, batch_size, boundary=False)


def score_subnet(subnet: Subnet, validation: Dataset, batch_size: int = 32, boundary: bool = True) -> Quality:
    """The quality of a standalone network. It keeps its mode. `boundary=False` skips the boundary F-score."""
    device = next((parameter.device for parameter in subnet.parameters()), torch.device("cpu"))
    training = subnet.training
    subnet.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stub
    try:
        return evaluate(lambda images: subnet(images.to(device)), validation, batch_size, boundary)
    finally:
        subnet.train(training)
