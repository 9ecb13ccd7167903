"""What is looked at in the whole set: inverted masks, masks beside their images, images that are there twice."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from latlas.errors import DataError
from latlas.supernet.data.checks import person_share, shared_images, void_share
from latlas.supernet.data.dataset import subset, synthetic
from latlas.supernet.data.folder import load_folder
from latlas.supernet.data.orientation import fitted, upright

HEIGHT, WIDTH = 48, 36
PERSON = np.zeros((HEIGHT, WIDTH), np.uint8)
PERSON[14:, 8:28] = 255
ORIENTATION = 0x0112


def picture(seed, height=HEIGHT, width=WIDTH):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def write(folder, images, masks, exif=1):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    data = Image.Exif()
    data[ORIENTATION] = exif
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        image.save(folder / "images" / f"{index}.jpg", exif=data)
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")


def load(tmp_path, **options):
    return load_folder(tmp_path, "train", HEIGHT, WIDTH, **options)


def test_inverted_masks_are_said_with_a_sheet_to_look_at(tmp_path, caplog):
    write(tmp_path / "train", [picture(i) for i in range(4)], [255 - PERSON] * 4)
    found = load(tmp_path, sheet=tmp_path / "look" / "sheet.png")
    share = 1 - 20 * 34 / (HEIGHT * WIDTH)
    assert person_share(found) == pytest.approx(share)
    (remark,) = found.warnings
    assert f"the masks look inverted: person is {share:.0%} of all pixels" in remark
    assert "say --mask-values person=0; look at " in remark
    assert remark in caplog.text
    with Image.open(tmp_path / "look" / "sheet.png") as sheet:
        assert sheet.size == (3 * 2 * WIDTH, 2 * HEIGHT)
    turned_round = load(tmp_path, mask_values="person=0")
    assert person_share(turned_round) == pytest.approx(1 - share)
    assert turned_round.warnings == ()
    (warning,) = load(tmp_path, mask_values="person=255").warnings
    assert "if background is marked, name another value than --mask-values person=255; look at" in warning


def test_persons_that_fill_the_picture_are_not_inverted(tmp_path):
    close = np.zeros((HEIGHT, WIDTH), np.uint8)
    close[4:, 2:34] = 255
    write(tmp_path / "train", [picture(i) for i in range(3)], [close, close, PERSON])
    assert load(tmp_path).warnings == ()


def test_drawn_portraits_do_not_look_inverted():
    from latlas.supernet.data.checks import _looks_inverted
    from latlas.supernet.data.mask_decoder import MaskDecoder

    assert _looks_inverted(synthetic(40, 48, 48), "drawn", MaskDecoder()) == []


def test_nobody_and_nothing_else(tmp_path):
    write(tmp_path / "a" / "train", [picture(0)], [PERSON * 0])
    with pytest.raises(DataError, match=r"no mask of train has a person pixel; white .* the values 0 \(100 %\)"):
        load(tmp_path / "a")
    write(tmp_path / "b" / "train", [picture(0)], [PERSON * 0 + 255])
    with pytest.raises(DataError, match="every pixel is person"):
        load(tmp_path / "b")


def test_images_that_are_there_twice(tmp_path):
    images = [picture(i % 3) for i in range(5)]
    write(tmp_path / "train", images, [PERSON] * 5)
    write(tmp_path / "val", [picture(1), picture(9)], [PERSON] * 2)
    training = load(tmp_path)
    assert "2 of 5 images are there more than once" in training.warnings[0]
    validation = load_folder(tmp_path, "val", HEIGHT, WIDTH)
    assert "1 of 2 validation images are among the training images too, such as 0;" in shared_images(
        training, validation
    )
    assert shared_images(training, subset(load_folder(tmp_path, "val", 8, 8), 1)) == ""
    assert void_share(training) == 0


@pytest.mark.parametrize("turned", range(1, 9))
def test_upright_is_pillows(turned):
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(stored)
    image.getexif()[ORIENTATION] = turned
    assert upright(stored, turned).tolist() == np.asarray(ImageOps.exif_transpose(image)).tolist()


def test_a_mask_drawn_on_the_stored_pixels_is_turned_too(tmp_path):
    """Orientation 6: stored 36 high and 48 wide, seen 48 high and 36 wide."""
    stored = np.rot90(PERSON)
    write(tmp_path / "train", [picture(i, WIDTH, HEIGHT) for i in range(2)], [stored, PERSON], exif=6)
    found = load(tmp_path)
    assert np.array_equal(found.masks[0].numpy() * 255, PERSON)
    assert np.array_equal(found.masks[1].numpy() * 255, PERSON)
    assert "1 of 2 images are turned by EXIF and their masks are not; the masks are turned too" in found.warnings[0]


def test_a_half_turn_that_fits_both_ways_is_said(tmp_path):
    write(tmp_path / "train", [picture(0)], [PERSON], exif=3)
    assert "their masks fit before and after" in load(tmp_path).warnings[0]


def test_masks_of_another_size(tmp_path):
    half = PERSON[::2, ::2]
    write(tmp_path / "train", [picture(0), picture(1)], [half, PERSON])
    found = load(tmp_path)
    assert "1 of 2 masks have another size than their images; they are scaled to them" in found.warnings[0]
    assert np.array_equal(found.masks[0].numpy() * 255, PERSON)
    with pytest.raises(DataError, match=r"m\.png is 30x48, its image 36x48.*its shape"):
        fitted(PERSON[:, :30], 1, (HEIGHT, WIDTH), 1, tmp_path / "m.png")
