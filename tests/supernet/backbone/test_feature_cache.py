"""Features on the disk: what they are, what becomes of broken and of old ones, how much there may be."""

import json
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from latlas.errors import LatlasError, UsageError
from latlas.spaces.text import parse_space
from latlas.supernet.backbone.feature_cache import GB, FeatureCache
from latlas.supernet.backbone.features import AT_ONCE, FeaturePlan, layout_of
from latlas.supernet.backbone.split import Backbone, NetworkHead, split_of
from latlas.supernet.data.augment import Augmentation, augment
from latlas.supernet.data.dataset import synthetic
from latlas.supernet.operators.build import timing_operator

SPACE = parse_space(
    "dpc:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,backbone=m3-s3-m3-m3,branches=2,"
    "filters=8"
)
SPLIT = split_of(SPACE)
DATA = synthetic(AT_ONCE + 3, 32, 32, 0)
CPU = torch.device("cpu")
AUGMENTED = FeaturePlan(Augmentation(), copies=2, seed=7)


@pytest.fixture(scope="module")
def backbone():
    """With seeded weights that keep activations at unit scale."""
    return Backbone(SPLIT, [timing_operator(node.spec) for node in SPLIT.prefix])


def size_of(backbone, data=DATA, plan=AUGMENTED):
    return sum(layout_of(backbone, data, plan).size_bytes.values())


def test_features_from_the_cache_and_rest_are_the_whole_network(backbone, tmp_path):
    """In inference mode, within what float16 leaves of the features."""
    found = FeatureCache(tmp_path).features(backbone, DATA, FeaturePlan(), "v")
    assert all(isinstance(tap, np.memmap) and tap.dtype == np.float16 for tap in found.taps)
    graph = SPACE.baseline("dpc_cityscapes").graph()
    head = NetworkHead(graph, SPLIT).eval()
    whole = backbone.network(graph)
    for index, module in head.nodes.items():
        whole.nodes[int(index)].load_state_dict(module.state_dict())
    whole.eval()
    images = DATA.images.float() / 255
    with torch.inference_mode():
        expected = whole.logits(images)
        taps, masks = found.batch(slice(None), CPU)
        got = head.logits(taps)
        for tap, exact in zip(taps, backbone(images), strict=True):
            torch.testing.assert_close(tap, exact, rtol=1e-3, atol=1e-6)
    assert torch.equal(masks[:, 0], DATA.masks.float())
    torch.testing.assert_close(got, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))


def test_a_row_is_the_augmented_image_and_its_own_mask(backbone, tmp_path):
    """Masks and features of a row are of one view: both as `augment` gives them with the row's chance."""
    found = FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v")
    count = len(DATA)
    assert found.masks.shape == (2 * count, 32, 32) and (found.count, found.copies) == (count, 2)
    for copy in (0, 1):
        for start in (0, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            images, masks = augment(
                DATA.images[part].float() / 255,
                DATA.masks[part].float()[:, None],
                AUGMENTED.augmentation,
                np.random.default_rng([7, copy, start]),
                (32, 32),
            )
            rows = copy * count + np.arange(count)[part]
            taps, seen = found.batch(rows, CPU)
            assert (seen - masks).abs().max() <= 0.51 / 255
            with torch.inference_mode():
                for tap, exact in zip(taps, backbone(images), strict=True):
                    torch.testing.assert_close(tap, exact, rtol=1e-3, atol=1e-6)
    assert not np.array_equal(found.masks[:count], found.masks[count:])  # the copies differ


def test_what_is_there_is_not_computed_again(backbone, tmp_path):
    told = []
    cache = FeatureCache(tmp_path)
    first = cache.features(backbone, DATA, AUGMENTED, "v", lambda *of: told.append(of))
    assert told[-1] == (2 * len(DATA),) * 2
    second = FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v", lambda *of: pytest.fail("computed again"))
    assert all(np.array_equal(a, b) for a, b in zip(first.taps, second.taps, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        path.name for path in tmp_path.glob("features-*")
    ]


def test_anything_that_decides_the_features_makes_other_ones(backbone, tmp_path):
    cache = FeatureCache(tmp_path)
    cache.features(backbone, DATA, AUGMENTED, "v")
    other_backbone = Backbone(SPLIT, [timing_operator(node.spec) for node in SPLIT.prefix])
    with torch.no_grad():
        next(other_backbone.parameters()).view(-1)[0] += 1e-3
    others = [
        (other_backbone, DATA, AUGMENTED, "v"),
        (backbone, synthetic(AT_ONCE + 3, 32, 32, 2), AUGMENTED, "v"),
        (backbone, synthetic(AT_ONCE + 3, 32, 64, 0), AUGMENTED, "v"),
        (backbone, DATA, replace(AUGMENTED, seed=8), "v"),
        (backbone, DATA, replace(AUGMENTED, copies=1), "v"),
        (backbone, DATA, replace(AUGMENTED, augmentation=Augmentation(zoom=0.1)), "v"),
        (backbone, DATA, AUGMENTED, "w"),
    ]
    for known, other in enumerate(others, start=1):
        assert len(list(tmp_path.glob("features-*"))) == known
        cache.features(*other)
    assert len(list(tmp_path.glob("features-*"))) == len(others) + 1


def truncate(folder):
    with (folder / "tap0.f16").open("r+b") as file:
        file.truncate(100)


def flip_a_bit(folder):
    data = bytearray((folder / "tap1.f16").read_bytes())
    data[50] ^= 1
    (folder / "tap1.f16").write_bytes(data)


def break_masks(folder):
    (folder / "masks.u8").write_bytes(bytes((folder / "masks.u8").stat().st_size))


def no_manifest(folder):
    (folder / "manifest.json").unlink()


def wrong_manifest(folder):
    record = json.loads((folder / "manifest.json").read_text())
    record["identity"]["seed"] += 1
    (folder / "manifest.json").write_text(json.dumps(record))


def deep_manifest(folder):
    (folder / "manifest.json").write_text("[" * 90_000)


def large_manifest(folder):
    with (folder / "manifest.json").open("a") as file:
        file.write(" " * 200_000)


def a_missing_file(folder):
    (folder / "masks.u8").unlink()


BREAKAGES = [
    truncate,
    flip_a_bit,
    break_masks,
    no_manifest,
    wrong_manifest,
    deep_manifest,
    large_manifest,
    a_missing_file,
]


@pytest.mark.parametrize("damage", BREAKAGES, ids=lambda one: one.__name__)
def test_broken_ones_are_seen_and_computed_anew(backbone, tmp_path, damage, caplog):
    first = FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v")
    expected = [np.array(tap) for tap in (*first.taps, first.masks)]
    (folder,) = tmp_path.glob("features-*")
    damage(folder)
    told = []
    with caplog.at_level(logging.WARNING):
        again = FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v", lambda *of: told.append(of))
    assert told and "computed anew" in caplog.text
    assert all(np.array_equal(a, b) for a, b in zip((*again.taps, again.masks), expected, strict=True))
    FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v", lambda *of: pytest.fail("still broken"))


def test_one_that_was_stopped_leaves_nothing(backbone, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v", stop)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    left = tmp_path / f".features-{'0' * 32}.a_b1.tmp"  # of a process that was killed
    left.mkdir()
    (left / "tap0.f16").write_bytes(b"half")
    FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v")
    assert not left.exists()


def test_the_oldest_make_room_and_nothing_else_does(backbone, tmp_path, caplog):
    size = size_of(backbone)
    limit_gb = 2.5 * size / GB
    plans = [replace(AUGMENTED, seed=seed) for seed in range(3)]
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "features-of-mine").mkdir()
    for age, plan in enumerate(plans[:2]):
        FeatureCache(tmp_path, limit_gb).features(backbone, DATA, plan, "v")
        newest = max(tmp_path.glob("features-*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + age, 1000 + age))
    FeatureCache(tmp_path, limit_gb).features(backbone, DATA, plans[0], "v", lambda *of: pytest.fail("was there"))
    with caplog.at_level(logging.WARNING):
        FeatureCache(tmp_path, limit_gb).features(backbone, DATA, plans[2], "v")
    assert caplog.text.count("is deleted") == 1
    assert (tmp_path / "mine.txt").read_text() == "kept" and (tmp_path / "features-of-mine").is_dir()
    # The second was used longest ago; the first was used since.
    FeatureCache(tmp_path, limit_gb).features(backbone, DATA, plans[0], "v", lambda *of: pytest.fail("was deleted"))


def test_too_much_is_refused_before_it_is_computed(backbone, tmp_path):
    def computed(*of):
        pytest.fail("computed")

    size = size_of(backbone)
    with pytest.raises(
        UsageError, match=r"the features take .* GB, the limit .* is .*; raise the limit, or take fewer"
    ):
        FeatureCache(tmp_path, 0.9 * size / GB).features(backbone, DATA, AUGMENTED, "v", computed)
    # What the same search needs at once is not deleted for each other.
    cache = FeatureCache(tmp_path, 1.5 * size / GB)
    cache.features(backbone, DATA, AUGMENTED, "v")
    with pytest.raises(UsageError, match="raise the limit"):
        cache.features(backbone, DATA, replace(AUGMENTED, seed=9), "v", computed)
    assert len(list(tmp_path.glob("features-*"))) == 1
    with pytest.raises(UsageError, match="limit is 0"):
        FeatureCache(tmp_path, 0)


def test_a_full_disk_is_seen_before(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(UsageError, match=r"the disk of .* has 0.00 GB left"):
        FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v", lambda *of: pytest.fail("computed"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*file: "):
        FeatureCache(blocked).features(backbone, DATA, AUGMENTED, "v")


def test_the_sizes_told_are_those_written(backbone, tmp_path):
    FeatureCache(tmp_path).features(backbone, DATA, AUGMENTED, "v")
    (folder,) = tmp_path.glob("features-*")
    written = {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix != ".json"}
    assert written == layout_of(backbone, DATA, AUGMENTED).size_bytes


def test_features_beyond_float16_are_refused(tmp_path):
    backbone = Backbone(SPLIT, [timing_operator(node.spec) for node in SPLIT.prefix])
    with torch.no_grad():
        for layer in [part for part in backbone.modules() if isinstance(part, torch.nn.BatchNorm2d)]:
            layer.weight.mul_(1e3)
    with pytest.raises(LatlasError, match="not finite in float16"):
        FeatureCache(tmp_path).features(backbone, DATA, FeaturePlan(), "v")
    assert not list(tmp_path.glob("*features-*"))


@pytest.mark.parametrize(
    "plan",
    [{"copies": 0, "augmentation": Augmentation()}, {"copies": 2}, {"copies": 65, "augmentation": Augmentation()}],
)
def test_plans_that_make_no_sense_are_refused(plan):
    with pytest.raises(UsageError, match="copies is"):
        FeaturePlan(**plan)


def test_no_images_no_features(backbone, tmp_path):
    empty = replace(DATA, images=DATA.images[:0], masks=DATA.masks[:0], sources=(), names=())
    with pytest.raises(UsageError, match="no images"):
        FeatureCache(tmp_path).features(backbone, empty, FeaturePlan(), "v")
