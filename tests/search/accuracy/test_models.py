# mypy: disable-error-code="operator"
"""Predictors of quality: what they learn of known truths, their files, and which of them is taken."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.latency.limits.additive import extreme
from latlas.search.accuracy.file import load_accuracy, save_accuracy
from latlas.search.accuracy.models import (
    KINDS,
    MLPAccuracy,
    RidgeAccuracy,
    best_accuracy,
    cross_validate,
    make_accuracy,
    one_hot,
)
from latlas.spaces.portrait import PortraitSpace

SIZES = (3, 4, 3, 4, 3)
ALL = np.array(list(itertools.product(*(range(size) for size in SIZES))))


@pytest.fixture(scope="module")
def additive_truth():
    rng = np.random.default_rng(0)
    tables = [rng.normal(0, 0.02, size) for size in SIZES]
    return 0.7 + sum(table[ALL[:, column]] for column, table in enumerate(tables))


@pytest.fixture(scope="module")
def paired_truth():
    """Nothing but pairs: a sum over the columns knows nothing of it."""
    rng = np.random.default_rng(1)
    signs = [rng.permutation([-1, 1] * 2)[:size] for size in SIZES]
    for one in signs:
        one[:2] = [-1, 1]
    of = [sign[ALL[:, column]] for column, sign in enumerate(signs)]
    return 0.7 + 0.05 * of[0] * of[1] + 0.03 * of[2] * of[4]


def test_one_hot_is_one_a_column():
    assert one_hot(np.array([[2, 0], [0, 1]]), (3, 2)).tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_sum_of_operators(kind, additive_truth):
    rng = np.random.default_rng(2)
    train = rng.choice(len(ALL), 120, replace=False)
    test = np.setdiff1d(np.arange(len(ALL)), train)
    found = make_accuracy(kind, SIZES).fit(ALL[train], additive_truth[train]).predict(ALL[test])
    assert found.shape == (len(test),)
    assert np.corrcoef(found, additive_truth[test])[0, 1] > 0.95
    assert np.abs(found - additive_truth[test]).mean() < 0.3 * additive_truth.std()


def test_ridge_is_a_sum_whose_best_is_found_exactly(additive_truth):
    train = np.random.default_rng(6).choice(len(ALL), 200, replace=False)
    ridge = RidgeAccuracy(SIZES).fit(ALL[train], additive_truth[train])
    best = extreme(ridge.additive(), -1)
    assert best.codes == tuple(ALL[ridge.predict(ALL).argmax()]) == tuple(ALL[additive_truth.argmax()])


def test_the_network_learns_pairs_and_cross_validation_takes_it(paired_truth, additive_truth):
    rng = np.random.default_rng(3)
    train = rng.choice(len(ALL), 200, replace=False)
    predictor, found = best_accuracy(SIZES, ALL[train], paired_truth[train], folds=3)
    assert predictor.kind == "mlp" and [one.kind for one in found] == ["mlp", "ridge"]
    assert found[0].agreement.kendall.lower > found[1].agreement.kendall.upper
    noisy = additive_truth[train][:60] + rng.normal(0, 0.02, 60)
    predictor, found = best_accuracy(SIZES, ALL[train][:60], noisy, folds=2)
    assert predictor.kind == found[0].kind and found[0].agreement.kendall.value >= found[1].agreement.kendall.value
    assert found[0].to_record()["kendall"]["value"] == found[0].agreement.kendall.value


def test_what_is_left_out_is_not_learnt_from():
    """Qualities without any order: a predictor that saw what it is tested on would know them."""
    rng = np.random.default_rng(4)
    codes = ALL[rng.choice(len(ALL), 80, replace=False)]
    for kind in KINDS:
        assert cross_validate(kind, SIZES, codes, rng.normal(0.7, 0.02, 80), folds=2).agreement.kendall.value < 0.3


def test_the_same_seed_gives_the_same_network(additive_truth):
    first, again, other = (
        MLPAccuracy(SIZES, seed, steps=20).fit(ALL, additive_truth).predict(ALL) for seed in (0, 0, 1)
    )
    assert (first == again).all() and (first != other).any()
    state = torch.random.get_rng_state()
    MLPAccuracy(SIZES, 7, steps=2).fit(ALL, additive_truth)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_output_starts_at_the_mean(additive_truth):
    barely = MLPAccuracy(SIZES, steps=1, learning_rate=1e-12).fit(ALL, additive_truth)
    assert np.abs(barely.predict(ALL) - additive_truth.mean()).max() < 0.2 * additive_truth.std()
    assert [tuple(weight.shape) for weight, _ in barely.weights_] == [(400, 17), (400, 400), (400, 400), (1, 400)]
    assert barely.weights_[-1][1] is None


def test_what_cannot_be_learnt_is_refused(additive_truth):
    with pytest.raises(UsageError, match="7 architectures are too few"):
        RidgeAccuracy(SIZES).fit(ALL[:7], additive_truth[:7])
    with pytest.raises(UsageError, match="one finite number for each of 20"):
        MLPAccuracy(SIZES).fit(ALL[:20], np.full(20, np.nan))
    with pytest.raises(UsageError, match="must be 0 to 2"):
        RidgeAccuracy(SIZES).fit(ALL, additive_truth).predict(np.full((1, 5), 3))
    with pytest.raises(UsageError, match="unknown accuracy predictor 'tree'"):
        make_accuracy("tree", SIZES)
    for kind in KINDS:
        with pytest.raises(UsageError, match="learnt nothing"):
            make_accuracy(kind, SIZES).predict(ALL)
    flat = best_accuracy(SIZES, ALL, np.full(len(ALL), 0.5), kinds=("ridge",))[0]
    assert flat.predict(ALL) == pytest.approx(0.5)


@pytest.fixture(scope="module", params=list(KINDS))
def saved(request, tiny_space, tmp_path_factory):
    rng = np.random.default_rng(5)
    codes = tiny_space.encode(tiny_space.sample(30, rng))
    sizes = [len(options) for options in tiny_space.choices]
    predictor = make_accuracy(request.param, sizes).fit(codes, rng.normal(0.7, 0.02, 30))
    path = tmp_path_factory.mktemp("accuracy") / "accuracy.safetensors"
    save_accuracy(predictor, tiny_space, path, {"images": 192})
    return predictor, codes, path


def test_a_file_is_read_as_it_was_written(saved, tiny_space):
    predictor, codes, path = saved
    found, metadata = load_accuracy(path, tiny_space)
    assert (found.predict(codes) == predictor.predict(codes)).all()
    assert metadata == {"images": 192} and found.kind == predictor.kind
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with pytest.raises(EnvironmentMismatchError, match="not of portrait"):
        load_accuracy(path, PortraitSpace())
    with pytest.raises(UsageError, match="which has"):
        save_accuracy(predictor, PortraitSpace(), path)


def tampered(path, to, change):
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    record = json.loads(metadata["record"])
    change(tensors, metadata, record)
    save_file(tensors, to, metadata | ({"record": json.dumps(record)} if metadata["record"] != "[" else {}))


def drop(tensors, metadata, record):
    del tensors[sorted(tensors)[0]]


def add(tensors, metadata, record):
    tensors["weight.\x1b[31m"] = torch.zeros(2)


def widen(tensors, metadata, record):
    name = sorted(tensors)[-1]
    tensors[name] = torch.zeros(tensors[name].shape[0] + 1, *tensors[name].shape[1:], dtype=tensors[name].dtype)


def flatten(tensors, metadata, record):
    name = sorted(tensors)[-1]
    tensors[name] = torch.zeros((), dtype=tensors[name].dtype)


def poison(tensors, metadata, record):
    tensors[sorted(tensors)[0]].view(-1)[0] = torch.nan


def unnumber(tensors, metadata, record):
    record["numbers"] = dict.fromkeys(record["numbers"], True)


def rename(tensors, metadata, record):
    record["kind"] = "\x1b[2Jtree"


def reschema(tensors, metadata, record):
    metadata["schema"] = "9\x1b"


def foreign(tensors, metadata, record):
    metadata["format"] = "latlas-supernet"


def unrecord(tensors, metadata, record):
    metadata["record"] = "["


@pytest.mark.parametrize(
    "change",
    [drop, add, widen, flatten, poison, unnumber, rename, reschema, foreign, unrecord],
    ids=lambda f: f.__name__,
)
def test_a_hostile_file_is_refused_in_one_clean_line(saved, tiny_space, tmp_path, change):
    path = tmp_path / "broken.safetensors"
    tampered(saved[2], path, change)
    with pytest.raises(FileFormatError) as caught:
        load_accuracy(path, tiny_space)
    assert str(caught.value).isprintable() and str(path) in str(caught.value)


def test_what_is_no_file_is_refused(tiny_space, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_accuracy(tmp_path / "none.safetensors", tiny_space)
    (tmp_path / "text").write_text("accuracy")
    with pytest.raises(FileFormatError, match="not a safetensors file"):
        load_accuracy(tmp_path / "text", tiny_space)
    sizes = [len(options) for options in tiny_space.choices]
    with pytest.raises(UsageError, match="learnt nothing"):
        save_accuracy(RidgeAccuracy(tuple(sizes)), tiny_space, tmp_path / "empty")
