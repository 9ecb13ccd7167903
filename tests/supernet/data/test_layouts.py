"""Folders as people have them: pairs that are found, and what is said of the others."""

import json

import numpy as np
import pytest
from PIL import Image

from latlas.errors import DataError
from latlas.supernet.data.folder import load_folder
from latlas.supernet.data.layouts import pairs_of

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8))
MASK = Image.fromarray(np.repeat([[0] * 5 + [255] * 5], 12, axis=0).astype(np.uint8))


def put(folder, *names, picture=PICTURE):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)


def put_masks(folder, *names):
    put(folder, *names, picture=MASK)


def pairs(folder, *splits):
    return sorted(
        (image.relative_to(folder).as_posix(), mask.relative_to(folder).as_posix())
        for split in splits or ("train", "val")
        for image, mask, _ in pairs_of(folder, split)
    )


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["images/a.jpg", "images/b.jpg"], ["masks/a_mask.gif", "masks/b_mask.gif"]),
        (["images/a.png", "images/b.png"], ["masks/a_matte.png", "masks/b_matte.png"]),
        (["images/a.jpg", "images/b.jpg"], ["masks/a_segmentation.png", "masks/b_segmentation.png"]),
        (["images/x/1.jpg", "images/y/1.jpg"], ["masks/x/1.png", "masks/y/1.png"]),
        (["images/a.tif", "images/b.tiff"], ["masks/a.tif", "masks/b.tif"]),
        (["Images/A.JPG", "Images/B.JPG"], ["Masks/A.PNG", "Masks/B.PNG"]),
        (["images/A.JPG", "images/B.JPG"], ["masks/a.png", "masks/b.png"]),
        (["img/a.jpg", "img/b.jpg"], ["label/a.png", "label/b.png"]),
        (
            ["clip_img/1/clip_0/p-1.jpg", "clip_img/1/clip_0/p-2.jpg"],
            ["matting/1/matting_0/p-1.png", "matting/1/matting_0/p-2.png"],
        ),
        (["images/a.jpg", "images/b.jpg"], ["masks/a_x7.png", "masks/b_x7.png"]),
        (["images/a.jpg", "images/b.jpg"], ["masks/mask_a.png", "masks/mask_b.png"]),
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"]),
        (["images/a.jpg", "images/a_1.jpg"], ["masks/a.png", "masks/a_1.png"]),
    ],
    ids=lambda names: names[0],
)
def test_pairs_are_found(tmp_path, images, masks):
    put(tmp_path, *images)
    put_masks(tmp_path, *masks)
    (tmp_path / masks[0]).with_name("._" + masks[0].rpartition("/")[2]).write_bytes(b"of macOS, no picture")
    (tmp_path / "Thumbs.db").write_bytes(b"of Windows")
    assert pairs(tmp_path) == sorted(zip(images, masks, strict=True))
    assert len(load_folder(tmp_path, "train", 8, 8)) == len(load_folder(tmp_path, "val", 8, 8)) == 1


@pytest.mark.parametrize(
    "name", ["{split}/images/{i}.png {split}/masks/{i}.png", "images/{split}/{i}.png masks/{split}/{i}.png",
             "{split}/{i}.png {split}/{i}_mask.png", "{SPLIT}/Images/{i}.png {SPLIT}/Masks/{i}.png"]
)  # fmt: skip
def test_splits(tmp_path, name):
    for split, numbers in (("train", (1, 2)), ("val", (3,))):
        for i in numbers:
            image, mask = name.format(split=split, SPLIT=split.title(), i=i).split()
            put(tmp_path, image)
            put_masks(tmp_path, mask)
    assert (len(pairs(tmp_path, "train")), len(pairs(tmp_path, "val"))) == (2, 1)


def test_pascal_voc(tmp_path):
    put(tmp_path, *(f"JPEGImages/{name}.jpg" for name in "abcd"))
    put_masks(tmp_path, *(f"SegmentationClass/{name}.png" for name in "abc"))
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    assert pairs(tmp_path, "train") == [(f"JPEGImages/{n}.jpg", f"SegmentationClass/{n}.png") for n in "ab"]
    assert pairs(tmp_path, "val") == [("JPEGImages/c.jpg", "SegmentationClass/c.png")]
    with pytest.raises(DataError, match=r"this looks like PASCAL VOC; give the folder above SegmentationClass: .*/VOC"):
        pairs_of(tmp_path.rename(tmp_path.with_name("VOC")).parent, "train")


@pytest.mark.parametrize(
    ("path", "content", "tool"),
    [
        ("annotations/instances_val.json", {"images": [], "annotations": [], "categories": []}, "COCO"),
        ("ds/ann/1.jpg.json", {"size": {}, "objects": []}, "Supervisely"),
        ("pictures/1.json", {"version": "5", "shapes": []}, "LabelMe"),
    ],
)
def test_known_tools_are_named(tmp_path, path, content, tool):
    put(tmp_path, "ds/img/1.jpg", "ds/img/2.jpg")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"this looks like {tool} \({path}\).*write one PNG a picture into masks/"):
        load_folder(tmp_path, "train", 8, 8)


def test_a_large_coco_file_is_known_by_its_beginning_and_end(tmp_path):
    put(tmp_path, "val2017/1.jpg")
    text = json.dumps(
        {"images": [{"id": i} for i in range(2000)], "annotations": [{"id": i} for i in range(2000)], "categories": []}
    )
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(DataError, match="this looks like COCO"):
        load_folder(tmp_path, "train", 8, 8)


def test_what_is_there_is_said(tmp_path):
    put(tmp_path, "pictures/a.tif", "pictures/b.tif")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"has neither manifest.csv.*; 2 \.tif and 1 \.txt are there, such as notes\.txt"
    ):
        load_folder(tmp_path, "train", 8, 8)
    put(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    with pytest.raises(DataError, match=r"a\.jpg has no mask.*3 of 3 images have none; there is no .*masks"):
        load_folder(tmp_path, "train", 8, 8)
    put_masks(tmp_path, "masks/b.png")
    with pytest.raises(
        DataError, match=r"a\.jpg has no mask; .*2 of 3 images have none; 1 masks are there, such as b\.png"
    ):
        load_folder(tmp_path, "train", 8, 8)


def test_one_mask_of_two_images_is_no_pair(tmp_path):
    put(tmp_path, "images/x/1.jpg", "images/y/1.jpg")
    put_masks(tmp_path, "masks/1.png")
    with pytest.raises(DataError, match="has no mask"):
        load_folder(tmp_path, "train", 8, 8)
