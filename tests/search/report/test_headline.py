"""What a search says first, by hand-made results and confusions."""

import math

import numpy as np
import pytest

from latlas.search.report.headline import TRAINING_SD, all_fit_text, compare, headline, what_settles
from latlas.supernet.training.quality import Confusion

Z = 1.959964


def images(*persons):
    """One confusion an image of 100 pixels, 50 of a person: so many of them are seen, and nothing else is taken for one."""
    return [Confusion(true, 0, 50 - true, 50) for true in persons]


def test_networks_that_do_the_same_on_every_image_differ_by_their_seeds_alone():
    found = compare(images(40, 30, 20), images(40, 30, 20))
    assert (found.verdict, found.miou_difference) == ("level", 0.0)
    assert found.margin == pytest.approx(Z * math.sqrt(2) * TRAINING_SD)


def test_a_difference_is_of_pooled_pixels():
    # 90 of 100 person pixels against 80; background 100 of 110 against 100 of 120.
    found = compare(images(45, 45), images(40, 40))
    assert found.miou_difference == pytest.approx((90 / 100 + 100 / 110 - 80 / 100 - 100 / 120) / 2)
    assert found.verdict == "ahead"
    assert compare(images(40, 40), images(45, 45)).verdict == "behind"


def test_what_a_few_images_decide_is_level():
    # Better on one image of four by 30 points, a little worse on the others: resampled, its sign is chance.
    found = compare(images(50, 30, 30, 30), images(35, 32, 32, 32))
    assert found.miou_difference > Z * math.sqrt(2) * TRAINING_SD
    assert found.verdict == "level"


def test_the_margin_grows_with_the_scatter_over_images():
    rng = np.random.default_rng(3)
    steady, wild = ([compare(images(*(40 + rng.integers(-w, w + 1, 50))), images(*[40] * 50))] for w in (1, 9))
    assert steady[0].margin < wild[0].margin


RESULT = {
    "architecture": "portrait/m3-m3",
    "budget_ms": 4.49,
    "latency_ms": 4.13,
    "lower_ms": 3.39,
    "upper_ms": 4.88,
    "miou": 0.664,
    "certified": False,
    "against_baseline": {"verdict": "behind", "miou_difference": -0.024, "margin": 0.012},
    "baseline": {"architecture": "portrait/mobilenetv3_large", "latency_ms": 4.49, "miou": 0.688},
    "model": "runs/my run/winner.xml",
    "predictor": "runs/my run/predictor",
    "all_fit": False,
    "slowest_ms": 9.0,
}


def test_a_winner_that_may_be_above_the_budget_and_lost_says_both_at_once():
    assert headline(RESULT) == (
        "NOT certified within 4.490 ms: 4.130 ms [3.390, 4.880] ends above it; behind mobilenetv3_large at 4.490 ms: "
        "66.4 % mIoU against 68.8 % (-2.4 points, chance alone makes up to 1.2)"
    )
    named, measure, again = what_settles(RESULT)
    assert "portrait/m3-m3 is the best uncertain one" in named
    assert "latlas measure 'runs/my run/winner.xml' --predictor 'runs/my run/predictor'" in measure
    assert "--budget-ms 4.880" in again


def test_a_certified_winner_needs_nothing_more():
    ahead = {"verdict": "ahead", "miou_difference": 0.018, "margin": 0.012}
    result = RESULT | {"certified": True, "lower_ms": 4.0, "upper_ms": 4.3, "miou": 0.706, "against_baseline": ahead}
    assert headline(result) == (
        "certified within 4.490 ms: 4.130 ms [4.000, 4.300]; ahead of mobilenetv3_large at 4.490 ms: 70.6 % mIoU against "
        "68.8 % (+1.8 points, chance alone makes up to 1.2)"
    )
    assert what_settles(result) == []
    level = {"verdict": "level", "miou_difference": 0.003, "margin": 0.012}
    assert "; level with mobilenetv3_large" in headline(result | {"against_baseline": level})


def test_a_budget_that_decided_nothing_says_so():
    assert all_fit_text(RESULT) == ""
    said = all_fit_text(RESULT | {"budget_ms": 27.0, "all_fit": True, "slowest_ms": 6.0})
    assert said.startswith("all networks of the space fit the budget: the slowest takes 6.000 ms (predicted)")
