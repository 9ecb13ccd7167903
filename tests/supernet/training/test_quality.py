import numpy as np
import pytest
import torch

from latlas.errors import UsageError
from latlas.supernet.data.dataset import Dataset, synthetic
from latlas.supernet.training.quality import Confusion, evaluate


def as_mask(*rows):
    return np.array([[symbol == "#" for symbol in row] for row in rows])


def dataset(masks, sources, native=()):
    masks = torch.from_numpy(np.stack(masks)).to(torch.uint8)
    images = (masks[:, None] * 255).expand(-1, 3, -1, -1)
    return Dataset(images, masks, tuple(sources), tuple(f"n{i}" for i in range(len(masks))), tuple(native))


def red(images):
    return images[:, :1]


def test_confusion_by_hand():
    confusion = Confusion()
    confusion.add(as_mask("##..", "##.."), as_mask(".##.", ".##."))
    assert confusion.true_person == 2
    assert confusion.false_person == 2
    assert confusion.missed_person == 2
    assert confusion.true_background == 2
    assert confusion.person_iou == pytest.approx(2 / 6)
    assert confusion.background_iou == pytest.approx(2 / 6)
    assert confusion.miou == pytest.approx(1 / 3)


def test_counts_are_pooled_not_averaged_over_images():
    confusion = Confusion()
    confusion.add(as_mask("##"), as_mask("##"), boundary=False)  # alone: person 1, background 1
    confusion.add(as_mask("#......."), as_mask("##......"), boundary=False)  # alone: person 1/2, background 6/7
    assert confusion.person_iou == pytest.approx(3 / 4)
    assert confusion.background_iou == pytest.approx(6 / 7)
    assert confusion.miou == pytest.approx((3 / 4 + 6 / 7) / 2)


@pytest.mark.parametrize(
    ("predicted", "truth", "person", "background"),
    [
        ("....", "....", 1.0, 1.0),  # nobody there and nobody seen
        ("####", "####", 1.0, 1.0),
        ("#...", "....", 0.0, 0.75),
        ("....", "#...", 0.0, 0.75),
        ("####", "....", 0.0, 0.0),
    ],
)
def test_an_absent_class(predicted, truth, person, background):
    confusion = Confusion()
    confusion.add(as_mask(predicted), as_mask(truth))
    assert (confusion.person_iou, confusion.background_iou) == (person, background)
    assert confusion.miou == (person + background) / 2


def square(size, top, left, side):
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (4, 1.0), (40, 0.0)])
def test_boundary_tolerance_is_one_percent_of_the_diagonal(shift, expected):
    size = 300  # diagonal 424, tolerance 4.2 pixels
    confusion = Confusion()
    confusion.add(square(size, 50, 50, 30), square(size, 50, 50 + shift, 30))
    assert confusion.boundary_f == pytest.approx(expected, abs=0.05 if shift == 40 else 1e-9)


def test_boundary_distance_is_straight():
    """Of points 5 pixels apart at (3, 4) both match at 5.3; at (4, 4), 5.7 apart, neither does."""
    for step, expected in (((3, 4), 1.0), ((4, 4), 0.0)):
        one, other = np.zeros((2, 374, 374), dtype=bool)
        one[100, 100] = other[100 + step[0], 100 + step[1]] = True
        confusion = Confusion()
        confusion.add(one, other)
        assert confusion.boundary_f == expected


def test_boundary_by_hand():
    """Of 12 predicted edge pixels the 12 of the true square match, of the truth's 24 the same 12."""
    truth = square(40, 5, 5, 4) | square(40, 30, 30, 4)
    confusion = Confusion()
    confusion.add(square(40, 5, 5, 4), truth)
    assert (confusion.boundary_predicted, confusion.boundary_predicted_matched) == (12, 12)
    assert (confusion.boundary_truth, confusion.boundary_truth_matched) == (24, 12)
    assert confusion.boundary_f == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_the_images_border_is_no_boundary():
    confusion = Confusion()
    confusion.add(square(20, 0, 0, 20), square(20, 0, 0, 20))
    assert (confusion.boundary_truth, confusion.boundary_f) == (0, 1.0)


def test_evaluate_by_source():
    full, none = np.ones((4, 4)), np.zeros((4, 4))
    data = dataset([full, none, full], ["b", "a", "b"])
    perfect = evaluate(red, data)
    assert (perfect.miou, perfect.person_iou, perfect.boundary_f) == (1.0, 1.0, 1.0)
    everyone = evaluate(lambda images: torch.ones(len(images), 1, 4, 4), data)
    assert list(everyone.by_source) == ["a", "b"]
    assert everyone.by_source["a"].person_iou == 0.0
    assert everyone.by_source["b"].person_iou == 1.0
    assert everyone.person_iou == pytest.approx(2 / 3)
    assert everyone.miou == pytest.approx(1 / 3)
    assert everyone.overall.true_person + everyone.overall.false_person == 48


def test_exactly_one_half_is_background():
    data = dataset([np.ones((4, 4))], ["a"])
    assert evaluate(lambda images: torch.full((len(images), 1, 4, 4), 0.5), data).person_iou == 0.0


def test_the_batch_size_does_not_matter():
    data = synthetic(7, 32, 32, seed=1, keep_native=True)
    results = [
        evaluate(lambda images: images.mean(dim=1, keepdim=True), data, batch_size) for batch_size in (1, 3, 7, 50)
    ]
    assert all(result == results[0] for result in results)
    assert 0 < results[0].miou < 1


def test_native_masks_count_at_their_own_size():
    native = np.zeros((8, 12), dtype=np.uint8)
    native[:, 6:] = 1
    data = dataset([np.array([[0, 1], [0, 1]])], ["a"], [native])
    quality = evaluate(red, data)
    assert quality.overall.true_person + quality.overall.true_background == 96
    assert quality.miou == 1.0


def test_a_coarser_prediction_is_enlarged():
    mask = np.zeros((8, 8))
    mask[4:] = 1
    half = torch.tensor([[0.0, 0.0], [1.0, 1.0]])[None, None]
    assert evaluate(lambda images: half.expand(len(images), 1, 2, 2), dataset([mask] * 3, "abc")).miou == 1.0


def test_wrong_predictions_are_said():
    data = dataset([np.ones((4, 4))] * 2, "ab")
    with pytest.raises(UsageError, match=r"predict gave \(2, 2, 4, 4\)"):
        evaluate(lambda images: images[:, :2], data)
    with pytest.raises(UsageError, match="not finite for n0"):
        evaluate(lambda images: images[:, :1] * float("nan"), data)
    with pytest.raises(UsageError, match="batch_size is 0"):
        evaluate(red, data, 0)
    empty = Dataset(torch.empty(0, 3, 4, 4), torch.empty(0, 4, 4), (), ())
    with pytest.raises(UsageError, match="no images"):
        evaluate(red, empty)
