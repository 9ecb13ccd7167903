"""A space's settings as people write them, and what is said of those that are none."""

from dataclasses import replace

import pytest

from latlas.errors import UnknownSpaceError, UsageError
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.settings import nearest_multiple, read_settings, sizes_that_work
from latlas.spaces.text import parse_architecture, parse_space

NARROW = PortraitSpace(widths=(16, 24, 40, 80))


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("portrait:widths=16.24.40.80", NARROW),
        ("portrait:widths=16,24,40,80", NARROW),
        ("portrait: widths = 16, 24, 40, 80", NARROW),
        ("portrait:widths=(16, 24, 40, 80)", NARROW),
        ("portrait:widths=16 24 40 80", NARROW),
        ("Portrait:WIDTHS=16.24.40.80", NARROW),
        ("portrait:widths=16,24,40,80,depths=1,2,3,4,skip=yes", replace(NARROW, depths=(1, 2, 3, 4), skip=True)),
        ("portrait:resolution=64X96", PortraitSpace(64, 96)),
        ("portrait:resolution=64 x 96", PortraitSpace(64, 96)),
        ("portrait:resolution=64×96", PortraitSpace(64, 96)),
        ("portrait:resolution=128", PortraitSpace(128, 128)),
        ("portrait:height=64,resolution=128", PortraitSpace(128, 128)),
        ("portrait:Decoder-Channels=24", PortraitSpace(decoder_channels=24)),
        ("portrait:operators=MBCONV_K3,shuffle", PortraitSpace(operators=("mbconv_k3", "shuffle"))),
        ("portrait: ", PortraitSpace()),
        (" portrait", PortraitSpace()),
    ],
)  # fmt: skip
def test_what_is_clear_is_read(text, space):
    assert parse_space(text) == space
    assert parse_space(space.text) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portrait:widths=16,24", r"widths \(16, 24\) and depths .* must each have four values"),
        ("portrait:widths=a.b", r"widths is 'a\.b', which is not whole numbers parted by dots; such is widths=24\.40\.80\.160"),
        ("portrait:widths=", "widths is '', which is not whole numbers"),
        ("portrait:decoder_channel=24", r"'decoder_channel=24' is not known; .*; did you mean decoder_channels\?"),
        ("portrait:decoder_channels", r"'decoder_channels' has no value; write decoder_channels=\.\.\."),
        ("portrait:24", "'24' is not known; portrait has resolution, height"),
        ("portrait:resolution=256x256x3", r"resolution=256x256x3 is no size: write height x width in pixels, such as .*192x256"),
        ("portrait:resolution=big", "resolution=big is no size"),
        ("portrait:resolution=٣٢", "is no size"),
        ("portrait:height=٣٢", "height is '٣٢', which is not a whole number"),
        ("portrait:height=nan", "height is 'nan', which is not a whole number of at most 20 digits; such is height=256"),
        ("portrait:height=1e3", "height is '1e3', which is not a whole number"),
        ("portrait:height=" + "9" * 3000, "which is not a whole number of at most 20 digits"),
        ("portrait:height=" + "9" * 5000, "have 5007 characters; at most 4000 are read"),
        ("portrait:height=999999999", "height is 999999999; at most 8192"),
        ("portrait:height=-32", r"height is -32; portrait needs a multiple of 32.*nearest resolution is 32x256"),
        ("portrait:height=0", "height is 0; portrait needs a multiple of 32"),
        ("portrait:resolution=1080x1920", r"height is 1080; .*the nearest resolution is 1088x1920 \(height x width\)"),
        ("portrait:resolution=512X290", r"width is 290; .*the nearest resolution is 512x288 \(height x width\)"),
        ("portrait:expand_ratio=99999", "expand_ratio is 99999; it must be at least 1, and none is above 8192"),
        ("portrait:expand_ratio=100", "expand_ratio is 100; it must be at most 64"),
        ("portrait:stem_channels=900000", "stem_channels is 900000; it must be"),
        ("portrait:num_classes=900000", "above 8192"),
        ("portrait:skip=maybe", "skip is 'maybe', which is not true or false; such is skip=false"),
        ("portrait:skip=yes,skip=no", "skip is given twice"),
        ("portrait:operators=mbconv_k7", r"operators are mbconv_k7; give each once, .*; did you mean mbconv_k[35]\?"),
        ("portrait:=3", "'=3' is not known"),
        ("portrait:,", "'' is not known"),
        ("nasbench201:resolution=30x32", r"height is 30; nasbench201 needs a multiple of 4 .*nearest resolution is 32x32"),
    ],
)  # fmt: skip
def test_what_is_not_names_setting_value_and_what_to_write(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_space(text)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_spaces_that_are_not_known():
    with pytest.raises(UnknownSpaceError, match="did you mean portrait"):
        parse_space("portrat:height=64")


def test_architectures_say_what_was_meant():
    assert str(parse_architecture("PORTRAIT/mobilenetv3_large")) == "portrait/mobilenetv3_large"
    with pytest.raises(UsageError, match="did you mean mbconv_k3"):
        PortraitSpace(depths=(1, 1, 1, 1)).architecture(["mbconv_3", "shuffle", "shuffle", "shuffle"])


def test_nearest_multiples_by_hand():
    found = [nearest_multiple(value, 32) for value in (1080, 1920, 100, 112, 1, 0, -5, 47, 48)]
    assert found == [1088, 1920, 96, 128, 32, 32, 32, 32, 64]
    assert sizes_that_work(1080, 1921, 32) == "the nearest resolution is 1088x1920 (height x width)"


def test_a_field_with_a_part():
    assert read_settings("scale=1.5,name=a b", {"scale": 1.0, "name": "x"}, "mine") == {"scale": 1.5, "name": "a b"}
    with pytest.raises(UsageError, match=r"scale is 'inf', which is not a number; such is scale=1\.0"):
        read_settings("scale=inf", {"scale": 1.0}, "mine")
