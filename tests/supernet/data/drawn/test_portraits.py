import subprocess
import sys

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from latlas.errors import UsageError
from latlas.supernet.data.drawn.portraits import generate_portrait
from latlas.supernet.training.quality import Confusion


@pytest.fixture(scope="module")
def portraits():
    return [generate_portrait(np.random.default_rng([5, index]), 64, 64) for index in range(240)]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 48), (33, 70)])
def test_size_and_values(height, width):
    image, mask = generate_portrait(np.random.default_rng(0), height, width)
    assert image.shape == (height, width, 3)
    assert mask.shape == (height, width)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1}


def test_the_same_in_every_process():
    code = (
        "import numpy as np, hashlib; from latlas.supernet.data.drawn.portraits import generate_portrait as g;"
        "print(hashlib.sha256(b''.join(a.tobytes() for i in range(4) for a in g(np.random.default_rng(i), 48, 48))).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": s}
        )
        for s in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_another_seed_draws_another_portrait():
    one, other = (generate_portrait(np.random.default_rng(seed), 48, 48)[0] for seed in (1, 2))
    assert (one != other).any()


def test_persons_fill_a_portraits_share_and_are_sometimes_missing(portraits):
    shares = np.array([mask.mean() for _, mask in portraits])
    assert 0.2 < shares.mean() < 0.45
    assert 0.01 < (shares == 0).mean() < 0.1
    assert np.quantile(shares, 0.9) - np.quantile(shares, 0.1) > 0.3  # from close-up to the whole body


def test_colour_alone_tells_little(portraits):
    """A tree on a pixel's colour, of which persons it has seen others, stays near what no picture at all would give."""
    rng = np.random.default_rng(0)
    pixels = np.concatenate([image.reshape(-1, 3) for image, _ in portraits]).astype(np.float32)
    truth = np.concatenate([mask.ravel() for _, mask in portraits]).astype(bool)
    half = len(truth) // 2
    chosen = rng.choice(half, 40_000, replace=False)
    for weights in (None, "balanced"):
        tree = DecisionTreeClassifier(min_samples_leaf=100, class_weight=weights, random_state=0)
        confusion = Confusion()
        seen = tree.fit(pixels[chosen], truth[chosen]).predict(pixels[half:])
        confusion.add(seen[None], truth[None, half:], boundary=False)
        assert confusion.miou < 0.5


def test_position_alone_does_not_suffice(portraits):
    """The mean mask, the best guess without looking, is well below what a network should reach."""
    masks = np.stack([mask for _, mask in portraits])
    guess = np.broadcast_to(masks[:120].mean(axis=0) > 0.4, masks[120:].shape)
    confusion = Confusion()
    confusion.add(guess.reshape(-1, 64), masks[120:].reshape(-1, 64) > 0, boundary=False)
    assert confusion.miou < 0.7


def test_too_small_is_said():
    with pytest.raises(UsageError, match="8x64 pixels is too small"):
        generate_portrait(np.random.default_rng(0), 8, 64)
