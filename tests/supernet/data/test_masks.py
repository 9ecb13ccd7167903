"""How masks of a set are read: black and white, labels, colours, opacity; what is refused, and what the user may say."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from latlas.errors import DataError, UsageError
from latlas.supernet.data.folder import load_folder, reduced
from latlas.supernet.data.mask_decoder import decoder_of
from latlas.supernet.data.mask_file import read_mask_file
from latlas.supernet.data.mask_survey import survey
from latlas.supernet.data.mask_values import MaskValues, parse_mask_values

SIZE = 64
DOWN, ALONG = np.mgrid[:SIZE, :SIZE]


def person(radius=18, row=40, column=32):
    return (DOWN - row) ** 2 + (ALONG - column) ** 2 < radius**2


def border(inside):
    """A band of two pixels around the person, as label maps have it."""
    grown = np.asarray(Image.fromarray(inside).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    return grown & ~inside


def labelled(*pairs):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for where, value in pairs:
        mask[where] = value
    return mask


def write(folder, masks, suffix=".png", save=None):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    for index, mask in enumerate(masks):
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(
            folder / "images" / f"{index:03d}.png"
        )
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        image.save(folder / "masks" / f"{index:03d}{suffix}", **(save or {}))


def loaded(tmp_path, masks, mask_values=None, **options):
    write(tmp_path / "train", masks, **options)
    return load_folder(tmp_path, "train", SIZE, SIZE, keep_native=True, mask_values=mask_values).masks.numpy()


PERSONS = [person(), person(14, 44, 20), person(22, 45, 40)]


@pytest.mark.parametrize("label", [1, 2, 15])
@pytest.mark.parametrize("kind", ["grey", "palette", "16 bit"])
def test_a_label_map_with_a_void_border_is_refused_and_read_as_said(tmp_path, label, kind):
    masks = [labelled((one, label), (border(one), 255)) for one in PERSONS]
    if kind == "palette":
        images = [Image.fromarray(mask) for mask in masks]
        for image in images:
            image.putpalette([0, 0, 0, *[128, 0, 64] * 254, 224, 224, 192])
        assert {image.mode for image in images} == {"P"}
    else:
        images = [mask.astype(np.uint16) if kind == "16 bit" else mask for mask in masks]
    said = rf"0 \([\d.]+ %\), {label} \([\d.]+ %\), 255 \([\d.]+ %\) in 3 files.*--mask-values person={label},void=255;"
    with pytest.raises(DataError, match=said):
        loaded(tmp_path / "a", images)
    found = loaded(tmp_path / "b", images, f"person={label} void=255")
    for mask, one in zip(found, PERSONS, strict=True):
        assert np.array_equal(mask == 1, one)
        assert np.array_equal(mask == 255, border(one))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 255), (0, 1), (1, 254), (0, 254), (1, 255), (16, 235), (3, 200)], ids=lambda value: str(value)
)
def test_two_values_are_background_and_person(tmp_path, low, high):
    found = loaded(tmp_path, [np.where(one, high, low).astype(np.uint8) for one in PERSONS])
    assert np.array_equal(found, np.array(PERSONS, dtype=np.uint8))


def test_rounded_black_and_white(tmp_path):
    """0, 1, 254 and 255, each in areas: somebody's rounding, no labels."""
    masks = [np.where(one, 255 - DOWN % 8 // 4, DOWN % 8 // 4).astype(np.uint8) for one in PERSONS]
    assert np.array_equal(loaded(tmp_path, masks), np.array(PERSONS, dtype=np.uint8))


def test_a_thin_border_that_is_brighter_than_the_person_is_no_person(tmp_path):
    with pytest.raises(DataError, match=r"200 \([\d.]+ %\), 255 \([\d.]+ %\).*person=200,void=255"):
        loaded(tmp_path, [labelled((one, 200), (border(one), 255)) for one in PERSONS])


@pytest.mark.parametrize("how", ["jpeg", "blurred", "resized", "doubled"])
def test_soft_borders_are_no_labels(tmp_path, how):
    options, images = {}, [Image.fromarray(np.where(one, 255, 0).astype(np.uint8)) for one in PERSONS]
    if how == "jpeg":
        options = {"suffix": ".jpg", "save": {"quality": 60}}
    elif how == "blurred":
        images = [image.filter(ImageFilter.GaussianBlur(2)) for image in images]
    else:
        factor = 2 if how == "resized" else 4
        images = [image.resize((SIZE * factor,) * 2, Image.Resampling.BICUBIC) for image in images]
    found = loaded(tmp_path / "a", images, **options)
    assert (found == np.array(PERSONS)).mean() > 0.98
    inverted = loaded(tmp_path / "b", images, "person=0", **options)
    assert np.array_equal(inverted, 1 - found)


def test_all_masks_of_a_set_are_read_alike(tmp_path):
    """A file with 0 and 1 alone would be labels; beside black and white ones its 1 is nearly black."""
    faint = np.zeros((SIZE, SIZE), np.uint8)
    faint[3, 5] = 1
    found = loaded(tmp_path, [faint, *(np.where(one, 255, 0).astype(np.uint8) for one in PERSONS)])
    assert not found[0].any()
    assert found[1].any()


def test_labels_in_one_file_of_many_are_seen(tmp_path):
    """Beyond the masks that are looked at first, the reading is decided again when all are read."""
    masks = [np.where(person(), 255, 0).astype(np.uint8)] * 66
    masks[32] = labelled((person(), 7), (border(person()), 255))
    with pytest.raises(DataError, match=r"7 \(0\.[\d.]+ %\).* in 66 files"):
        loaded(tmp_path, masks)


@pytest.mark.parametrize(
    ("values", "example"),
    [
        ((0, 64), "person=64"),
        ((0, 128, 255), "person=255,void=128"),
        ((1, 2, 3), "person="),
        ((0, 38, 75, 113, 150), "person="),
    ],
)
def test_other_values_are_refused_with_how_to_say_it(tmp_path, values, example):
    mask = np.take(np.array(values, np.uint8), ALONG * len(values) // SIZE)
    with pytest.raises(
        DataError, match=rf"{values[-1]} \([\d.]+ %\).*say which is person, such as --mask-values {example}"
    ):
        loaded(tmp_path, [mask] * 2)


def test_colours(tmp_path):
    colours = np.zeros((SIZE, SIZE, 3), np.uint8)
    colours[:20] = (128, 64, 128)
    colours[person()] = (220, 20, 60)
    message = (
        r"3 colours besides black|2 colours besides black, most frequent first: #804080, #dc143c; .*person=#804080"
    )
    with pytest.raises(DataError, match=message):
        loaded(tmp_path / "a", [colours] * 2)
    found = loaded(tmp_path / "b", [colours] * 2, "person=#dc143c,void=#804080")
    assert np.array_equal(found[0] == 1, person())
    assert (found[0][:20] == 255).sum() == 20 * SIZE - person()[:20].sum()


def test_a_cut_out_that_is_opaque_everywhere_is_all_person(tmp_path):
    def cut_out(opacity):
        return Image.fromarray(np.dstack([np.full((SIZE, SIZE, 3), 90, np.uint8), opacity]))

    found = loaded(
        tmp_path, [cut_out(np.where(person(), 255, 0).astype(np.uint8)), cut_out(np.full((SIZE, SIZE), 255, np.uint8))]
    )
    assert np.array_equal(found[0], person())
    assert found[1].all()


def test_floats(tmp_path):
    (tmp_path / "train" / "masks").mkdir(parents=True)
    path = tmp_path / "train" / "masks" / "0.tif"
    Image.fromarray(np.where(person(), 0.8, 0.1).astype(np.float32)).save(path)
    file = read_mask_file(path)
    assert np.array_equal(decoder_of(survey([file]), "here").mask(file), person())
    (tmp_path / "train" / "images").mkdir()
    Image.fromarray(np.full((SIZE, SIZE), 0.5, np.float32)).save(tmp_path / "train" / "images" / "0.tif")
    with pytest.raises(DataError, match=r"images/0\.tif has floats for pixels"):
        load_folder(tmp_path, "train", 8, 8)


def test_what_is_said_and_not_there(tmp_path):
    write(tmp_path / "train", [labelled((person(), 1))] * 2)
    with pytest.raises(
        DataError, match=r"no mask of train has a person pixel with --mask-values person=15; .* 0 \(75.5 %\), 1"
    ):
        load_folder(tmp_path, "train", SIZE, SIZE, mask_values="person=15")
    with pytest.raises(
        DataError,
        match=r"every pixel is person with --mask-values person=0-1; .*0 \(75.5 %\), 1 \(24.5 %\); .*person=1",
    ):
        load_folder(tmp_path, "train", SIZE, SIZE, mask_values="person=0-1")


def test_a_small_label_is_not_drawn_to_the_nearest_one(tmp_path):
    mask = labelled((person(), 15), (border(person()), 255))
    mask[2, 2] = 7
    found = loaded(tmp_path, [mask] * 2, "person=15,void=255")
    assert found[0][2, 2] == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("person=15,void=255", MaskValues(((15, 15),), ((255, 255),))),
        (" Person=1, 2 ;void=3-7", MaskValues(((1, 1), (2, 2)), ((3, 7),))),
        ("person=#C08080", MaskValues(((0xC08080, 0xC08080),), colours=True)),
    ],
)
def test_mask_values_are_parsed(text, values):
    assert parse_mask_values(text) == values
    assert parse_mask_values(values.text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("15", "'15' has no name of person, void, background"),
        ("dog=3", "'dog=3' has no name of"),
        ("person=", "'person=' is no number, range or colour"),
        ("person=x", "'person=x' is no number"),
        ("person=-1", "'person=-1' is no number"),
        ("person=1.5", "is no number"),
        ("person=nan", "is no number"),
        ("person=٣", "is no number"),
        ("person=7-3", "'person=7-3' must go up"),
        ("person=70000", "at most 65535"),
        ("void=255", "name no person"),
        ("", "has no name"),
        ("person=1,void=1", "1 is given twice"),
        ("person=1-9,void=5", "5 is given twice"),
        ("person=1,void=#ffffff", "do not go together"),
        ("person=" + "9" * 10000, "is no number"),
    ],
)
def test_mask_values_that_cannot_be(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_mask_values(text)
    assert len(str(caught.value)) < 300


def test_a_reduced_mask_by_hand():
    """Of the four pixels that become one: void where more than half is void, else person by more than half of the rest."""
    mask = np.array([[1, 1, 255, 255, 255, 1, 0, 255], [1, 0, 255, 1, 0, 1, 0, 0]], np.uint8)
    assert reduced(mask, 1, 4).tolist() == [[1, 255, 1, 0]]


def test_sources_of_every_pixel_survive_the_tensor(tmp_path):
    write(tmp_path / "train", [labelled((person(), 1), (border(person()), 255))] * 2)
    data = load_folder(tmp_path, "train", 32, 32, keep_native=True, mask_values="person=1,void=255")
    assert data.masks.dtype == torch.uint8
    assert data.masks.unique().tolist() == [0, 1, 255]
    assert np.array_equal(data.native_masks[0] == 255, border(person()))
