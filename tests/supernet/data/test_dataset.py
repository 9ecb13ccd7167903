import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from latlas.errors import DataError, UsageError
from latlas.supernet.data.dataset import evaluation_batches, parted, resized, subset, synthetic
from latlas.supernet.data.folder import load_folder
from latlas.supernet.data.mask_decoder import read_mask


def picture(width=20, height=30):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def white_half(width=20, height=30):
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, width // 2 :] = 255
    return Image.fromarray(mask)


def fill(folder, names=("a", "b"), suffix=".jpg", size=(20, 30)):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        picture(*size).save(folder / "images" / f"{name}{suffix}")
        white_half(*size).save(folder / "masks" / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "val", ("c",), ".png")
    return tmp_path


def write_manifest(folder, *rows, header="split,source,image,mask"):
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def test_split_folders(folder):
    train, val = load_folder(folder, "train", 16, 24), load_folder(str(folder), "val", 16, 24, keep_native=True)
    assert (train.images.shape, train.images.dtype) == ((2, 3, 16, 24), torch.uint8)
    assert (train.masks.shape, train.masks.dtype) == ((2, 16, 24), torch.uint8)
    assert (train.names, train.sources, train.native_masks) == (("a", "b"), ("folder", "folder"), ())
    assert train.masks[0].unique().tolist() == [0, 1]
    assert train.masks[0, :, 12:].all()
    assert not train.masks[0, :, :12].any()
    assert len(val) == 1
    assert val.native_masks[0].shape == (30, 20)
    assert val.native_masks[0].sum() == 300


def test_a_mask_pixel_is_person_where_more_than_half_of_it_is(tmp_path):
    fill(tmp_path / "val", ("a",), ".png", (4, 2))
    Image.fromarray(np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.uint8) * 255).save(tmp_path / "val" / "masks" / "a.png")
    assert load_folder(tmp_path, "val", 1, 2).masks.tolist() == [[[1, 0]]]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".PNG"])
def test_image_formats(tmp_path, suffix):
    fill(tmp_path / "val", ("a",), suffix)
    assert len(load_folder(tmp_path, "val", 8, 8)) == 1


def test_a_folder_without_splits_is_split_by_name(tmp_path):
    fill(tmp_path, [f"photo{i}" for i in range(60)], ".bmp", (4, 4))
    train, val = (load_folder(tmp_path, split, 4, 4) for split in ("train", "val"))
    assert not set(train.names) & set(val.names)
    assert len(train) + len(val) == 60
    assert 1 <= len(val) <= 15
    fill(tmp_path, [f"more{i}" for i in range(20)], ".bmp", (4, 4))
    assert set(val.names) <= set(load_folder(tmp_path, "val", 4, 4).names)  # none changes sides


@pytest.mark.parametrize("count", range(2, 8))
def test_a_handful_gives_both_splits_something(tmp_path, count):
    fill(tmp_path, [f"p{i}" for i in range(count)], ".bmp", (4, 4))
    sizes = [len(load_folder(tmp_path, split, 4, 4)) for split in ("train", "val")]
    assert sum(sizes) == count
    assert min(sizes) >= 1


def test_manifest(folder):
    write_manifest(
        folder,
        "train,x,train/images/b.jpg,train/masks/b.png",
        "train,y,train/images/a.jpg,train/masks/a.png",
        "val,y,val/images/c.png,val/masks/c.png",
    )
    train = load_folder(folder, "train", 8, 8)
    assert (train.names, train.sources) == (("a", "b"), ("y", "x"))


def test_manifest_as_spreadsheets_write_it(folder):
    text = "\ufeffid,mask,image,split\r\n7,val/masks/c.png,val/images/c.png,val\r\n"
    (folder / "manifest.csv").write_bytes(text.encode())
    assert load_folder(folder, "val", 8, 8).sources == ("folder",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("val,x,../outside.png,val/masks/c.png", r"row 2: .*outside.png lies outside"),
        ("val,x,/etc/passwd,val/masks/c.png", r"row 2: /etc/passwd lies outside"),
        ("val,x,linked/secret.png,val/masks/c.png", r"row 2: .*secret.png lies outside"),
        ("val,x,val/images/none.png,val/masks/c.png", r"row 2: .*none.png: no such file"),
        (f"val,x,{'n' * 5000},val/masks/c.png", r"row 2: 'nnn.* is no path"),
        ("val,x,val/images/c.png,", r"row 2: split, image and mask are needed"),
        ("val", r"row 2: split, image and mask are needed"),
        ("train,x,train/images/a.jpg,train/masks/a.png", r"has no images for val"),
    ],
)
def test_bad_manifest_rows(folder, tmp_path_factory, row, message):
    outside = tmp_path_factory.mktemp("outside")
    picture().save(outside / "secret.png")
    (folder / "linked").symlink_to(outside)
    write_manifest(folder, row)
    with pytest.raises(DataError, match=message):
        load_folder(folder, "val", 8, 8)


def test_manifests_without_columns_or_text(folder):
    write_manifest(folder, "val,a", header="split,picture")
    with pytest.raises(DataError, match=r"has no column image, mask; it has 'split, picture'"):
        load_folder(folder, "val", 8, 8)
    for content in (b"", b"\xff\xfe\x00broken", b"split,image,mask\n\x00,\x00\n"):
        (folder / "manifest.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"manifest\.csv"):
            load_folder(folder, "val", 8, 8)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_folder(tmp_path / "none", "val", 8, 8)
    with pytest.raises(DataError, match=r"has neither manifest\.csv, nor val/images, nor images"):
        load_folder(tmp_path, "val", 8, 8)
    (tmp_path / "val" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="has no images for val"):
        load_folder(tmp_path, "val", 8, 8)
    picture().save(tmp_path / "val" / "images" / "a.png")
    with pytest.raises(DataError, match=r"a\.png has no mask; .*masks/a\.png is looked for"):
        load_folder(tmp_path, "val", 8, 8)
    fill(tmp_path, ("only",))
    (tmp_path / "val" / "images" / "a.png").unlink()
    (tmp_path / "val" / "images").rmdir()
    with pytest.raises(DataError, match="at least two are needed"):
        load_folder(tmp_path, "val", 8, 8)


def test_wrong_arguments_are_said(folder):
    with pytest.raises(UsageError, match="split is 'test'; known: train, val"):
        load_folder(folder, "test", 8, 8)
    with pytest.raises(UsageError, match="images of 0x8 were asked for"):
        load_folder(folder, "val", 0, 8)
    with pytest.raises(UsageError, match="count is 0"):
        synthetic(0, 32, 32)
    with pytest.raises(UsageError, match="subset of 0"):
        subset(synthetic(1, 32, 32), 0)


def test_mask_of_another_size(folder):
    white_half(30, 20).save(folder / "val" / "masks" / "c.png")
    with pytest.raises(DataError, match=r"c\.png is 30x20, its image 20x30"):
        load_folder(folder, "val", 8, 8)


def test_two_images_of_one_name(folder):
    picture().save(folder / "val" / "images" / "c.jpg")
    with pytest.raises(DataError, match=r"c\.png and c\.jpg have one name"):
        load_folder(folder, "val", 8, 8)


def test_nobody_in_the_whole_set(folder):
    Image.new("L", (20, 30)).save(folder / "train" / "masks" / "a.png")
    assert len(load_folder(folder, "train", 8, 8)) == 2  # one without a person is fine
    Image.new("L", (20, 30)).save(folder / "train" / "masks" / "b.png")
    with pytest.raises(DataError, match="no mask of train has a person pixel; white"):
        load_folder(folder, "train", 8, 8)


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e\x00\x00\x00\x00IEND\xae\x42\x60\x82"


def truncated(image_format):
    file = io.BytesIO()
    picture(64, 64).save(file, image_format)
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an image"),
        (b"this is text, not a picture\n" * 20, "is not an image"),
        (truncated("JPEG"), "cannot be decoded"),
        (truncated("PNG"), "cannot be decoded"),
        (truncated("WEBP"), r"cannot be decoded|is not an image"),
        (truncated("BMP"), "cannot be decoded"),
        (png_header(20, 30), "cannot be decoded"),
        (png_header(10_000, 9_000), "claims 10000x9000 pixels, more than 64000000 are not read"),
        (png_header(12_000, 12_000), "claims .*pixels, more than 64000000 are not read"),  # Pillow warns here
        (png_header(60_000, 60_000), "claims .*pixels, more than 64000000 are not read"),  # and refuses here
    ],
)
@pytest.mark.parametrize("part", ["images", "masks"])
def test_hostile_files(folder, part, content, message):
    path = folder / "val" / part / "c.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_folder(folder, "val", 8, 8)
    assert str(path) in str(caught.value)


def test_a_folder_named_like_an_image(folder):
    (folder / "val" / "images" / "d.png").mkdir()
    white_half().save(folder / "val" / "masks" / "d.png")
    with pytest.raises(DataError, match=r"d\.png cannot be decoded"):
        load_folder(folder, "val", 8, 8)


def test_exif_orientation_is_applied(tmp_path):
    fill(tmp_path / "val", ("a",))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = white_half(30, 20).convert("RGB")
    turned.save(tmp_path / "val" / "images" / "a.jpg", exif=exif, quality=95)
    loaded = load_folder(tmp_path, "val", 30, 20).images[0].permute(1, 2, 0).numpy().astype(float)
    expected = np.asarray(turned.transpose(Image.Transpose.ROTATE_270)).astype(float)
    assert np.corrcoef(loaded.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_image_modes(tmp_path, mode):
    fill(tmp_path / "val", ("a",))
    (tmp_path / "val" / "images" / "a.jpg").unlink()
    if mode == "I;16":
        image = Image.fromarray(np.full((30, 20), 40_000, np.uint16))
    else:
        image = picture().convert("L").convert(mode) if mode in ("LA", "1") else picture().convert(mode)
    image.save(tmp_path / "val" / "images" / ("a.jpg" if mode == "CMYK" else "a.png"))
    loaded = load_folder(tmp_path, "val", 8, 8).images
    assert loaded.shape == (1, 3, 8, 8)
    if mode == "I;16":
        assert loaded.unique().tolist() == [40_000 >> 8]


HALF = np.repeat([[0, 0, 1, 1]], 3, axis=0).astype(np.uint8)


def rgba(colour, opacity):
    return Image.fromarray(np.dstack([colour] * 3 + [opacity]))


def palette(indices, colours):
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(list(itertools.chain(*colours)))
    return image


FULL = np.full((3, 4), 255, np.uint8)
MASKS = {
    "0 and 255": Image.fromarray(HALF * 255),
    "0 and 1": Image.fromarray(HALF),
    "soft": Image.fromarray(np.where(HALF == 1, 200, 90).astype(np.uint8)),
    "one bit": Image.fromarray(HALF * 255).convert("1"),
    "16 bit": Image.fromarray(HALF.astype(np.uint16) * 65535),
    "16 bit labels": Image.fromarray(HALF.astype(np.uint16)),
    "red": Image.fromarray(np.dstack([HALF * 255, HALF * 0, HALF * 0])),
    "opaque colour": rgba(HALF * 255, FULL),
    "cut out": rgba(FULL, HALF * 255),
    "cut out, black": rgba(FULL * 0, HALF * 255),
    "grey palette, white first": palette(1 - HALF, [(255, 255, 255), (0, 0, 0)]),
    "VOC palette, person": palette(HALF, [(0, 0, 0), (192, 128, 128)]),
    "dark colour of a palette": palette(HALF, [(0, 0, 0), (64, 0, 0)]),
}


@pytest.mark.parametrize("kind", MASKS)
def test_mask_kinds(tmp_path, kind):
    MASKS[kind].save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == np.uint8
    assert mask.tolist() == HALF.tolist()


def test_masks_that_do_not_say_who_is_a_person(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(HALF * 15).save(path)
    message = r"mask\.png: .*values up to 15 that are neither 0 and 1 nor black and white: 0 \(50 %\), 15 \(50 %\).*person=15;"
    with pytest.raises(DataError, match=message):
        read_mask(path)
    palette(HALF + np.array([[0, 1, 0, 0]], np.uint8) * 2, [(0, 0, 0), (192, 128, 128), (0, 64, 0)]).save(path)
    with pytest.raises(
        DataError, match=r"mask\.png: .*1 \(50 %\), 0 \(25 %\), 2 \(25 %\).*palette images of 3 colours"
    ):
        read_mask(path)


def test_synthetic_is_its_arguments():
    data, longer = synthetic(3, 32, 24, seed=4, keep_native=True), synthetic(5, 32, 24, seed=4)
    assert data.images.shape == (3, 3, 32, 24)
    assert data.masks.dtype == torch.uint8
    assert torch.equal(data.images, longer.images[:3])
    assert not torch.equal(data.images, synthetic(3, 32, 24, seed=5).images)
    assert np.array_equal(np.stack(data.native_masks), data.masks.numpy())
    assert data.sources == ("synthetic",) * 3


def test_subset():
    data = synthetic(9, 16, 16, seed=0, keep_native=True)
    chosen = subset(data, 4, seed=1)
    assert (len(chosen), len(chosen.names), len(chosen.sources), len(chosen.native_masks)) == (4, 4, 4, 4)
    for row, name in enumerate(chosen.names):
        assert torch.equal(chosen.images[row], data.images[data.names.index(name)])
    assert list(chosen.names) == sorted(chosen.names)
    assert chosen.names == subset(data, 4, seed=1).names
    assert len(subset(data, 100)) == 9
    both = parted(data, 4, seed=1)
    assert both[0].names == chosen.names
    assert sorted(both[0].names + both[1].names) == sorted(data.names)
    assert len(parted(data, 100)[1]) == 0


def test_resizing_is_pillows_to_a_level_and_keeps_what_is_of_the_size():
    data = synthetic(2, 48, 32, seed=5, keep_native=True)
    assert resized(data, 48, 32) is data
    small = resized(data, 24, 16)
    assert (small.images.shape, small.masks.shape) == ((2, 3, 24, 16), (2, 24, 16))
    assert (small.images.dtype, small.masks.dtype, small.native_masks) == (torch.uint8, torch.uint8, ())
    for image, reduced in zip(data.images, small.images, strict=True):
        theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((16, 24), Image.Resampling.BILINEAR)
        difference = np.abs(np.asarray(theirs, dtype=int) - reduced.permute(1, 2, 0).numpy())
        assert difference.max() <= 1
    assert set(small.masks.unique().tolist()) <= {0, 1}
    assert abs(small.masks.float().mean() - data.masks.float().mean()) < 0.03


def test_evaluation_batches_keep_the_order():
    data = synthetic(5, 16, 16)
    parts = list(evaluation_batches(data, 2))
    assert [list(indices) for _, indices in parts] == [[0, 1], [2, 3], [4]]
    assert torch.equal(torch.cat([images for images, _ in parts]), data.images.float() / 255)
